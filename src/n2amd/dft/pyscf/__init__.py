"""Frames that n2amd computed with PySCF: their file and its reader."""
