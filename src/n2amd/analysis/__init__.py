"""Dephasing, lifetimes with error bars, case summaries, finite-size scaling and figures."""
