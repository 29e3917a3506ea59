"""Sparse real-space matrices of atom-pair blocks: H(R) and S(R)."""
