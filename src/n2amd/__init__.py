"""n2amd: neural-network non-adiabatic molecular dynamics for solids, from DFT to carrier lifetimes."""

__version__ = "0.1.0"
