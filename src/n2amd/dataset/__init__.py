"""The HDF5 data set of DFT frames: write, read, check, split, statistics."""
