"""Basis sets, real-harmonic conventions, radial functions and two-centre overlap tables."""
