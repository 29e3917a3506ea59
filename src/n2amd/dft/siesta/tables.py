"""The text files of a run: geometry, energy, forces, eigenvalues, k points, orbital table.

Values are returned in n2amd units, with the Rydberg and Bohr of the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.dft.files import read_text
from n2amd.dft.siesta.constants import Constants
from n2amd.dft.siesta.records import REMEDY
from n2amd.errors import InputError
from n2amd.structure import Structure


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


def read_xv(
    path: Path, constants: Constants
) -> tuple[Structure, NDArray[np.float64] | None, NDArray[np.int64]]:
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
    cell = _numbers(path, " ".join(lines[:3]), "cell", (3, 6))[:, :3] * constants.bohr
    n_atoms = _count(path, lines[3], "number of atoms")
    table = _numbers(path, " ".join(lines[4:]), "atoms", (n_atoms, 8))
    numbers = table[:, 1].astype(np.int64)
    if np.any(unknown := (numbers < 1) | (numbers > 118)):
        first = int(np.flatnonzero(unknown)[0])
        kind = "a ghost, floating orbitals without an atom" if numbers[first] < 0 else "no element"
        raise InputError(
            f"atomic number {numbers[first]} is {kind} (atom {first + 1})",
            file=path,
            field="Z",
            remedy="use real elements only",
        )
    structure = Structure(cell, table[:, 2:5] * constants.bohr, numbers)
    velocities = table[:, 5:] * constants.bohr
    return structure, velocities if velocities.any() else None, table[:, 0].astype(np.int64) - 1


def read_forces(path: Path) -> NDArray[np.float64]:
    """Read LABEL.FA: (n_atoms, 3), eV/A."""
    lines = _lines(path, 2)
    return _numbers(path, " ".join(lines[1:]), "forces", (_count(path, lines[0], "number of atoms"), 4))[
        :, 1:
    ]


def read_force_stress(
    path: Path, constants: Constants
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Read FORCE_STRESS: total energy (eV), stress (3, 3) (eV/A^3), forces (n_atoms, 3) (eV/A).

    The stress is dE/d(strain) / volume: minus the pressure, as ASE has it.
    """
    lines = _lines(path, 5)
    energy = _numbers(path, lines[0], "energy", (1,))[0] * constants.rydberg
    stress = _numbers(path, " ".join(lines[1:4]), "stress", (3, 3)) * constants.rydberg / constants.bohr**3
    n_atoms = _count(path, lines[4], "number of atoms")
    # species, atomic number, force, and in later versions the label of the species
    table = " ".join(word for line in lines[5:] for word in line.split()[2:5])
    forces = _numbers(path, table, "forces", (n_atoms, 3)) * constants.rydberg / constants.bohr
    return float(energy), stress, forces


def read_eigenvalues(path: Path) -> tuple[float, NDArray[np.float64]]:
    """Read LABEL.EIG: Fermi level (eV) and eigenvalues (n_k, n_spin, n_bands) (eV, absolute).

    Spinors have n_spin = 1 and twice the bands. SIESTA writes them as 2 n bands of 1 or 4 spins (4.1, 5) or
    as n bands of 2 spins (4.0), which cannot be told from collinear spins here: see `as_spinors`.
    """
    lines = _lines(path, 3)
    fermi = _numbers(path, lines[0], "Fermi level", (1,))[0]
    n_bands, n_spin, n_k = (int(n) for n in _numbers(path, lines[1], "dimensions", (3,)))
    n_spin = n_spin if n_spin <= 2 else 1
    table = _numbers(path, " ".join(lines[2:]), "eigenvalues", (n_k, 1 + n_spin * n_bands))
    if not np.array_equal(table[:, 0], np.arange(1, n_k + 1)):
        raise InputError(
            f"the k points are not numbered 1 to {n_k}", file=path, field="eigenvalues", remedy=REMEDY
        )
    return float(fermi), table[:, 1:].reshape(n_k, n_spin, n_bands)


def as_spinors(energies: NDArray[np.float64], n_orbitals: int) -> NDArray[np.float64]:
    """Bring the eigenvalues of a spinor run, in whichever shape, to (n_k, 1, n_bands).

    Where fewer are asked for (`NumberOfEigenStates`), SIESTA 4.0 lists the lowest ones and after them, as if
    they were of the other spin, those from the number of orbitals on: what lies between is not there.
    """
    lowest = energies[:, :1] if energies.shape[1] == 2 and energies.shape[2] < n_orbitals else energies
    return lowest.reshape(len(energies), 1, -1)


def read_kpoints(
    path: Path, cell: NDArray[np.float64], constants: Constants
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Read LABEL.KP: fractional k points (n_k, 3) and weights that sum to 1 (n_k,); `cell` in Angstrom."""
    lines = _lines(path, 2)
    table = _numbers(path, " ".join(lines[1:]), "k points", (_count(path, lines[0], "number of k points"), 5))
    # the file has 2 pi included, so that k.a / 2 pi is fractional
    fractional = table[:, 1:4] / constants.bohr @ cell.T / (2 * np.pi)
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
        Cutoff radius, Bohr with 3 decimals, (n_supercell,).
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
        radius = words[:, 11].astype(float)
        if not np.array_equal(numeric[:, 0], np.arange(1, n_supercell + 1)):
            raise ValueError(f"the table does not list orbitals 1..{n_supercell}")
    except (ValueError, IndexError) as error:
        raise InputError(f"not a complete orbital table ({error})", file=path, remedy=REMEDY) from None
    unit = numeric[:, 9] - 1
    return OrbitalTable(
        n_orbitals, (numeric[:, 1] - 1)[unit], words[:, 3], numeric[:, 2:6], radius, numeric[:, 6:9], unit
    )
