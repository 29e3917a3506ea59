"""A DFT frame: what it holds, its spin channels, what H0 of it is made of, and what is measured of it."""
