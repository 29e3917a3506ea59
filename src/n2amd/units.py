"""Units and constants. Inside n2amd everything is eV, Angstrom, fs, amu, Kelvin; charges in e."""

from __future__ import annotations

from typing import Final

#: Reduced Planck constant in eV fs (CODATA 2018).
HBAR_EV_FS: Final = 0.6582119569
#: Boltzmann constant in eV/K (CODATA 2018).
BOLTZMANN_EV_K: Final = 8.617333262e-5
#: Speed of light in cm/fs (exact).
LIGHT_CM_FS: Final = 2.99792458e-5
#: Mass unit: 1 amu (Angstrom/fs)^2 in eV.
AMU_A2_FS2_IN_EV: Final = 103.642696
#: Bohr radius in Angstrom (CODATA 2018).
BOHR_ANGSTROM: Final = 0.529177210903
#: SIESTA's own Rydberg in eV; with CODATA's value its eigenvalues are missed by up to 0.5 meV.
SIESTA_RYDBERG_EV: Final = 13.60580
#: SIESTA's own Bohr radius in Angstrom.
SIESTA_BOHR_ANGSTROM: Final = 0.529177
#: OpenMX' own Hartree in eV (its source and its inputs in eV use this value).
OPENMX_HARTREE_EV: Final = 27.2113845
#: OpenMX' own Bohr radius in Angstrom.
OPENMX_BOHR_ANGSTROM: Final = 0.529177249

#: The `units` root attribute of every file n2amd writes.
UNITS: Final = "eV, Angstrom, fs, amu, K, e"
