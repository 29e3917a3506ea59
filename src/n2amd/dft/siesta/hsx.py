"""H, S and bond vectors from LABEL.HSX, the binary sparse-matrix file (format version 0 of SIESTA 4.1).

A sequence of Fortran records: 4-byte length, payload, the same length again. Single precision, Rydberg and
Bohr; the file has neither the cell nor the Fermi level, and H is on the energy zero of LABEL.EIG.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.dft.files import read_bytes
from n2amd.dft.siesta.ion_xml import shell_label
from n2amd.errors import InputError


@dataclass(frozen=True)
class Species:
    """One species of the file's own tables: its label, valence charge, and shells as (l, label)."""

    label: str
    valence: float
    shells: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class SparseMatrices:
    """What an HSX file holds, in its own units and orbital order.

    Attributes
    ----------
    n_orbitals, n_supercell
        Orbitals in the cell and in the auxiliary supercell.
    row, column
        Orbital in the cell and orbital in the supercell, 0-based, (n_elements,).
    unit_orbital
        Orbital in the cell that each supercell orbital repeats, 0-based, (n_supercell,).
    hamiltonian
        (n_spin, n_elements), Ry.
    overlap
        (n_elements,).
    bonds
        From the row's atom to the column's, (n_elements, 3), Bohr.
    n_electrons
        Electrons in the cell.
    species
        Species tables, in the file's order.
    atom_species
        Index into `species` of each atom, (n_atoms,).
    orbital_atom
        Atom of each orbital, (n_orbitals,).
    """

    n_orbitals: int
    n_supercell: int
    row: NDArray[np.int64]
    column: NDArray[np.int64]
    unit_orbital: NDArray[np.int64]
    hamiltonian: NDArray[np.float64]
    overlap: NDArray[np.float64]
    bonds: NDArray[np.float64]
    n_electrons: float
    species: tuple[Species, ...]
    atom_species: NDArray[np.int64]
    orbital_atom: NDArray[np.int64]


class _Records:
    """Fortran records of a file, one after the other."""

    def __init__(self, path: Path) -> None:
        self.path, self.data, self.position = path, read_bytes(path), 0

    def fail(
        self, problem: str, remedy: str = "copy it again from the run, or run the frame again"
    ) -> InputError:
        return InputError(problem, file=self.path, field="HSX", remedy=remedy)

    def next(self, content: str, size: int | None = None) -> bytes:
        """Return the payload of the next record, checked against its end mark and expected size."""
        start = self.position + 4
        length = struct.unpack_from("<i", self.data, self.position)[0] if start <= len(self.data) else 0
        end = start + length
        if start > len(self.data) or end + 4 > len(self.data):
            raise self.fail(f"the file ends at byte {len(self.data)}, inside the record of {content}")
        if length < 0 or struct.unpack_from("<i", self.data, end)[0] != length:
            raise self.fail(f"the record of {content} at byte {self.position} has no matching end mark")
        if size is not None and length != size:
            raise self.fail(f"the record of {content} has {length} bytes instead of {size}")
        self.position = end + 4
        return self.data[start:end]

    def array(self, content: str, dtype: str, count: int) -> NDArray:
        return np.frombuffer(self.next(content, np.dtype(dtype).itemsize * count), dtype)

    def rows(self, content: str, dtype: str, counts: NDArray[np.int64]) -> NDArray:
        """Return one array from a record per row, of counts[row] items each."""
        width = np.dtype(dtype).itemsize
        return np.frombuffer(b"".join(self.next(content, width * int(n)) for n in counts), dtype)


def read_hsx(path: str | Path) -> SparseMatrices:
    """Read H, S and the species tables.

    Parameters
    ----------
    path
        LABEL.HSX or LABEL.HSX.xz.

    Raises
    ------
    InputError
        If the file is cut or damaged, of another format version, non-collinear, or without the auxiliary
        supercell that real-space blocks need.
    """
    records = _Records(Path(path))
    n_orbitals, n_supercell, n_spin, n_elements = _header(records)
    if records.array("the Gamma mark", "<i4", 1)[0]:
        raise records.fail(
            "the run used Gamma only, so the periodic images of each pair are summed",
            "run the frame again with ForceAuxCell .true.",
        )
    unit_orbital = records.array("the supercell map", "<i4", n_supercell).astype(np.int64) - 1
    counts = records.array("the row lengths", "<i4", n_orbitals).astype(np.int64)
    if counts.min(initial=0) < 0 or counts.sum() != n_elements:
        raise records.fail(f"the rows hold {counts.sum()} elements, the header says {n_elements}")
    column = records.rows("the columns", "<i4", counts).astype(np.int64) - 1
    if n_elements and (column.min() < 0 or column.max() >= n_supercell):
        raise records.fail(f"a column lies outside 1..{n_supercell}")
    hamiltonian = np.array(
        [records.rows("the Hamiltonian", "<f4", counts) for _ in range(n_spin)], dtype=float
    )
    overlap = records.rows("the overlap", "<f4", counts).astype(float)
    n_electrons, _temperature = records.array("the number of electrons", "<f8", 2)
    bonds = records.rows("the bond vectors", "<f4", 3 * counts).astype(float).reshape(-1, 3)
    species = _species(records)
    n_atoms = int(records.array("the number of atoms", "<i4", 1)[0])
    atom_species = records.array("the species of the atoms", "<i4", n_atoms).astype(np.int64) - 1
    orbital_atom = records.array("the atoms of the orbitals", "<i4", 2 * n_orbitals)[::2].astype(np.int64) - 1
    return SparseMatrices(
        n_orbitals,
        n_supercell,
        np.repeat(np.arange(n_orbitals), counts),
        column,
        unit_orbital,
        hamiltonian,
        overlap,
        bonds,
        float(n_electrons),
        species,
        atom_species,
        orbital_atom,
    )


def _header(records: _Records) -> tuple[int, int, int, int]:
    first = records.next("the dimensions")
    if len(first) == 4:
        raise records.fail(
            f"HSX format version {struct.unpack('<i', first)[0]} is not supported, only version 0",
            "run with SIESTA 4.1 or HONPAS",
        )
    if len(first) != 16:
        raise records.fail("this is not an HSX file", "pass the LABEL.HSX of the run (SaveHS .true.)")
    n_orbitals, n_supercell, n_spin, n_elements = struct.unpack("<4i", first)
    if n_spin not in (1, 2):
        raise records.fail(
            f"{n_spin} spin components: non-collinear and spin-orbit runs are not supported",
            "use a spin-unpolarised or collinear run",
        )
    return n_orbitals, n_supercell, n_spin, n_elements


def _species(records: _Records) -> tuple[Species, ...]:
    n_species = int(records.array("the number of species", "<i4", 1)[0])
    table = records.next("the species", 32 * n_species)
    entries = [struct.unpack_from("<20sdi", table, 32 * k) for k in range(n_species)]
    species = []
    for label, valence, n in entries:
        orbitals = [tuple(records.array("the orbitals of a species", "<i4", 3).tolist()) for _ in range(n)]
        shells: list[tuple[int, str]] = []
        while orbitals:
            principal, l, zeta = shell = orbitals[0]
            members, orbitals = orbitals[: 2 * l + 1], orbitals[2 * l + 1 :]
            if not 0 <= l <= 6 or members != [shell] * (2 * l + 1):
                raise records.fail(
                    f"the shells of species {label.decode('latin-1').strip()!r} are incomplete"
                )
            shells.append((l, shell_label(principal, l, zeta)))
        species.append(Species(label.decode("latin-1").strip(), valence, tuple(shells)))
    return tuple(species)
