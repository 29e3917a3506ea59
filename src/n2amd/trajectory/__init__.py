"""Trajectories: molecular dynamics, their health, their file and its slices."""
