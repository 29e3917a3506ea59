"""Readers of DFT output: each gives `n2amd.frames.frame.Frame` in canonical order and n2amd units."""
