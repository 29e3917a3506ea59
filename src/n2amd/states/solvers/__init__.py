"""Window states of large cells: shift-inverting solvers, block Lanczos, certificates.

Nothing here needs more than numpy, scipy and torch, so that it runs where only these are installed.
"""
