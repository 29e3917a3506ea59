"""SIESTA and HONPAS: raw output files read without any patched build or converter."""
