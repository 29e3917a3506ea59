"""One figure a question: parity, bands, couplings, dephasing, populations, lifetimes."""
