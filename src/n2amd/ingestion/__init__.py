"""From files of DFT codes, or a self-consistent cycle of our own, to a checked data set."""
