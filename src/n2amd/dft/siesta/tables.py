"""The text files of a run: geometry, energy, forces, eigenvalues, k points, orbital table.

Values are returned in n2amd units; SIESTA's own Rydberg and Bohr are used throughout.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.dft.files import read_text
from n2amd.errors import InputError
from n2amd.structure import Structure
from n2amd.units import SIESTA_BOHR_ANGSTROM, SIESTA_RYDBERG_EV

REMEDY = "copy it again from the run, or run the frame again"


def _numbers(path: Path, text: str, field: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Parse exactly as many numbers as the shape holds."""
    try:
        values = np.array(text.split(), dtype=float)
    except ValueError as error:
        raise InputError(f"not a number ({error})", file=path, field=field, remedy=REMEDY) from None
    if values.size != np.prod(shape):
        raise InputError(
            f"{values.size} numbers instead of {int(np.prod(shape))}", file=path, field=field, remedy=REMEDY
        )
    return values.reshape(shape)


def _count(path: Path, text: str, field: str) -> int:
    return int(_numbers(path, text, field, (1,))[0])


def _lines(path: Path, at_least: int) -> list[str]:
    lines = [line for line in read_text(path).splitlines() if line.strip()]
    if len(lines) < at_least:
        raise InputError(f"{len(lines)} lines only: the file is cut", file=path, remedy=REMEDY)
    return lines


def read_xv(path: Path) -> tuple[Structure, NDArray[np.float64] | None, NDArray[np.int64]]:
    """Read LABEL.XV.

    Returns
    -------
    structure
        Cell and positions, Angstrom.
    velocities
        A/fs, (n_atoms, 3); None where all are zero (a single point).
    species
        Species index of each atom, 0-based.
    """
    lines = _lines(path, 4)
    cell = _numbers(path, " ".join(lines[:3]), "cell", (3, 6))[:, :3] * SIESTA_BOHR_ANGSTROM
    n_atoms = _count(path, lines[3], "number of atoms")
    table = _numbers(path, " ".join(lines[4:]), "atoms", (n_atoms, 8))
    numbers = table[:, 1].astype(np.int64)
    if np.any(unknown := (numbers < 1) | (numbers > 118)):
        raise InputError(
            f"atomic number {numbers[unknown][0]} is no element",
            file=path,
            field="Z",
            remedy="use real elements only",
        )
    structure = Structure(cell, table[:, 2:5] * SIESTA_BOHR_ANGSTROM, numbers)
    velocities = table[:, 5:] * SIESTA_BOHR_ANGSTROM
    return structure, velocities if velocities.any() else None, table[:, 0].astype(np.int64) - 1


def read_forces(path: Path) -> NDArray[np.float64]:
    """Read LABEL.FA: (n_atoms, 3), eV/A."""
    lines = _lines(path, 2)
    return _numbers(path, " ".join(lines[1:]), "forces", (_count(path, lines[0], "number of atoms"), 4))[
        :, 1:
    ]


def read_energy_stress(path: Path) -> tuple[float, NDArray[np.float64]]:
    """Read the total energy (eV) and the stress (3, 3) (eV/A^3) from FORCE_STRESS."""
    lines = _lines(path, 4)
    energy = _numbers(path, lines[0], "energy", (1,))[0] * SIESTA_RYDBERG_EV
    stress = _numbers(path, " ".join(lines[1:4]), "stress", (3, 3))
    return float(energy), stress * SIESTA_RYDBERG_EV / SIESTA_BOHR_ANGSTROM**3


def read_eigenvalues(path: Path) -> tuple[float, NDArray[np.float64]]:
    """Read LABEL.EIG: Fermi level (eV) and eigenvalues (n_k, n_spin, n_bands) (eV, absolute)."""
    lines = _lines(path, 3)
    fermi = _numbers(path, lines[0], "Fermi level", (1,))[0]
    n_bands, n_spin, n_k = (int(n) for n in _numbers(path, lines[1], "dimensions", (3,)))
    table = _numbers(path, " ".join(lines[2:]), "eigenvalues", (n_k, 1 + n_spin * n_bands))
    return float(fermi), table[:, 1:].reshape(n_k, n_spin, n_bands)


def read_kpoints(path: Path, cell: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Read LABEL.KP: fractional k points (n_k, 3) and weights that sum to 1 (n_k,); `cell` in Angstrom."""
    lines = _lines(path, 2)
    table = _numbers(path, " ".join(lines[1:]), "k points", (_count(path, lines[0], "number of k points"), 5))
    # the file has 2 pi included, so that k.a / 2 pi is fractional
    fractional = table[:, 1:4] / SIESTA_BOHR_ANGSTROM @ cell.T / (2 * np.pi)
    return fractional, table[:, 4] / table[:, 4].sum()


@dataclass(frozen=True)
class OrbitalTable:
    """LABEL.ORB_INDX: what every orbital of the auxiliary supercell is.

    Attributes
    ----------
    n_orbitals
        Orbitals in the cell.
    atom
        Atom in the cell, 0-based, (n_supercell,).
    species
        Species label, (n_supercell,).
    quantum
        n, l, m, zeta, (n_supercell, 4).
    radius
        Cutoff radius, Angstrom, (n_supercell,), 3 decimals of a Bohr.
    shift
        Lattice vector R, (n_supercell, 3).
    unit_orbital
        Orbital in the cell that it repeats, 0-based, (n_supercell,).
    """

    n_orbitals: int
    atom: NDArray[np.int64]
    species: NDArray[np.str_]
    quantum: NDArray[np.int64]
    radius: NDArray[np.float64]
    shift: NDArray[np.int64]
    unit_orbital: NDArray[np.int64]


def read_orbital_table(path: Path) -> OrbitalTable:
    """Read LABEL.ORB_INDX (cached: the frames of a set share it)."""
    stat = path.stat()
    return _read_orbital_table(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=8)
def _read_orbital_table(path: Path, modified: int, size: int) -> OrbitalTable:
    """Read the table; the time and size are part of the cache's key."""
    lines = _lines(path, 3)
    try:
        n_orbitals, n_supercell = (int(word) for word in lines[0].split()[:2])
        words = np.array([line.split() for line in lines[2 : 2 + n_supercell]])
        numeric = words[:, [0, 1, 5, 6, 7, 8, 12, 13, 14, 15]].astype(np.int64)
        radius = words[:, 11].astype(float) * SIESTA_BOHR_ANGSTROM
        if not np.array_equal(numeric[:, 0], np.arange(1, n_supercell + 1)):
            raise ValueError(f"the table does not list orbitals 1..{n_supercell}")
    except (ValueError, IndexError) as error:
        raise InputError(f"not a complete orbital table ({error})", file=path, remedy=REMEDY) from None
    unit = numeric[:, 9] - 1
    return OrbitalTable(
        n_orbitals, (numeric[:, 1] - 1)[unit], words[:, 3], numeric[:, 2:6], radius, numeric[:, 6:9], unit
    )
