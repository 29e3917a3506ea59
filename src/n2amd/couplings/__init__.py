"""Couplings between states: tracking, non-adiabatic couplings, joining shards, parity with DFT."""
