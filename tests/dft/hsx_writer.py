"""Writes HSX files of versions 0, 1 and 2 and TSHS files: for round trips, and to plant defects."""

from __future__ import annotations

import lzma
import struct
from pathlib import Path

import numpy as np

from n2amd.dft.siesta.ion_xml import LETTERS
from n2amd.dft.siesta.matrices import SparseMatrices


def record(payload: bytes) -> bytes:
    mark = struct.pack("<i", len(payload))
    return mark + payload + mark


def shell_numbers(label: str) -> tuple[int, int, int]:
    """Inverse of the reader's names: n, l, zeta of e.g. "3d z2"."""
    name, _, zeta = label.partition(" z")
    return int(name[:-1]), LETTERS.index(name[-1]), int(zeta or 1)


def row_slices(m: SparseMatrices) -> list[slice]:
    counts = np.bincount(m.row, minlength=m.n_orbitals)
    return [slice(end - n, end) for end, n in zip(np.cumsum(counts), counts)]


def species_orbitals(m: SparseMatrices) -> list[list[tuple[int, int, int]]]:
    shells = [[shell_numbers(label) for _, label in entry.shells] for entry in m.species]
    return [[shell for shell in entry for _ in range(2 * shell[1] + 1)] for entry in shells]


def species_table(m: SparseMatrices) -> bytes:
    return b"".join(
        struct.pack("<20sdi", entry.label.ljust(20).encode(), entry.valence, len(listed))
        for entry, listed in zip(m.species, species_orbitals(m))
    )


def sparsity(m: SparseMatrices) -> list[bytes]:
    counts = np.bincount(m.row, minlength=m.n_orbitals).astype("<i4")
    return [counts.tobytes(), *((m.column[row] + 1).astype("<i4").tobytes() for row in row_slices(m))]


def rows(m: SparseMatrices, values: np.ndarray, dtype: str) -> list[bytes]:
    return [values[row].astype(dtype).tobytes() for row in row_slices(m)]


def last_orbitals(m: SparseMatrices) -> np.ndarray:
    return np.cumsum(np.bincount(m.orbital_atom)).astype("<i4")


def hsx_records(m: SparseMatrices) -> list[bytes]:
    """Version 0; a run of Gamma only where the matrices have no bonds."""
    is_gamma = m.bonds is None
    n_supercell = m.n_orbitals * m.n_images
    orbitals = species_orbitals(m)
    supercell = (np.arange(n_supercell) % m.n_orbitals + 1).astype("<i4")
    return [
        np.array([m.n_orbitals, n_supercell, len(m.hamiltonian), len(m.row)], "<i4").tobytes(),
        np.array([is_gamma], "<i4").tobytes(),
        *([] if is_gamma else [supercell.tobytes()]),
        *sparsity(m),
        *(part for spin in m.hamiltonian for part in rows(m, spin, "<f4")),
        *rows(m, m.overlap, "<f4"),
        np.array([m.n_electrons, 0.001], "<f8").tobytes(),
        *([] if m.bonds is None else rows(m, m.bonds, "<f4")),
        np.array([len(m.species)], "<i4").tobytes(),
        species_table(m),
        *(np.array(orbital, "<i4").tobytes() for entry in orbitals for orbital in entry),
        np.array([len(m.atom_species)], "<i4").tobytes(),
        (m.atom_species + 1).astype("<i4").tobytes(),
        np.stack([m.orbital_atom + 1, np.ones_like(m.orbital_atom)], axis=-1).astype("<i4").tobytes(),
    ]


def hsx_records_1_or_2(m: SparseMatrices, version: int) -> list[bytes]:
    width = "<f8" if m.double_precision else "<f4"
    fermi = np.finfo(float).max if m.fermi_level is None else m.fermi_level
    cells = np.ptp(m.geometry.shifts, axis=0) + 1
    return [
        np.array([version], "<i4").tobytes(),
        # compilers write .true. as 1 or as -1
        np.array([-1 if m.double_precision else 0], "<i4").tobytes(),
        np.array([m.n_atoms, m.n_orbitals, len(m.hamiltonian), len(m.species), *cells], "<i4").tobytes(),
        np.array([*m.geometry.cell.ravel(), fermi, m.n_electrons, 0.001], "<f8").tobytes(),
        m.geometry.shifts.astype("<i4").tobytes()
        + m.geometry.positions.astype("<f8").tobytes()
        + (m.atom_species + 1).astype("<i4").tobytes()
        + last_orbitals(m).tobytes(),
        species_table(m),
        *(np.array(entry, "<i4").tobytes() for entry in species_orbitals(m)),
        *([np.diag([4, 4, 4]).astype("<i4").tobytes() + bytes(24)] if version == 2 else []),
        *sparsity(m),
        *(part for spin in m.hamiltonian for part in rows(m, spin, width)),
        *rows(m, m.overlap, width),
    ]


def tshs_records(m: SparseMatrices, *, overlap_only: bool = False) -> list[bytes]:
    is_gamma = m.n_images == 1
    cells = np.ptp(m.geometry.shifts, axis=0) + 1
    n_supercell = m.n_orbitals * m.n_images
    return [
        np.array([1], "<i4").tobytes(),
        np.array([m.n_atoms, m.n_orbitals, n_supercell, len(m.hamiltonian), len(m.row)], "<i4").tobytes(),
        cells.astype("<i4").tobytes(),
        m.geometry.cell.astype("<f8").tobytes() + m.geometry.positions.astype("<f8").tobytes(),
        np.array([is_gamma, is_gamma, overlap_only], "<i4").tobytes(),
        np.diag([4, 4, 4]).astype("<i4").tobytes() + bytes(24),
        np.array([m.fermi_level, m.n_electrons, 0.001], "<f8").tobytes(),
        bytes(8),
        np.array([0, *last_orbitals(m)], "<i4").tobytes(),
        *sparsity(m),
        *rows(m, m.overlap, "<f8"),
        *(part for spin in m.hamiltonian for part in rows(m, spin, "<f8") if not overlap_only),
        *([] if is_gamma else [m.geometry.shifts.astype("<i4").tobytes()]),
    ]


def write_records(path: Path, records: list[bytes]) -> None:
    """Write Fortran records; compressed where the name ends in .xz."""
    data = b"".join(record(payload) for payload in records)
    path.write_bytes(lzma.compress(data, preset=0) if path.suffix == ".xz" else data)


def write_hsx(path: Path, matrices: SparseMatrices, version: int = 0) -> None:
    write_records(path, hsx_records_1_or_2(matrices, version) if version else hsx_records(matrices))


def write_tshs(path: Path, matrices: SparseMatrices) -> None:
    write_records(path, tshs_records(matrices))
