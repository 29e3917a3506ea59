"""Writes HSX files of version 0, for round trips and for frames with a planted defect."""

from __future__ import annotations

import lzma
import struct
from pathlib import Path

import numpy as np

from n2amd.dft.siesta.hsx import SparseMatrices
from n2amd.dft.siesta.ion_xml import LETTERS


def record(payload: bytes) -> bytes:
    mark = struct.pack("<i", len(payload))
    return mark + payload + mark


def shell_numbers(label: str) -> tuple[int, int, int]:
    """Inverse of the reader's names: n, l, zeta of e.g. "3d z2"."""
    name, _, zeta = label.partition(" z")
    return int(name[:-1]), LETTERS.index(name[-1]), int(zeta or 1)


def hsx_records(m: SparseMatrices) -> list[bytes]:
    counts = np.bincount(m.row, minlength=m.n_orbitals)
    ends = np.cumsum(counts)
    rows = [slice(end - n, end) for end, n in zip(ends, counts)]
    records = [
        np.array([m.n_orbitals, m.n_supercell, len(m.hamiltonian), len(m.row)], "<i4"),
        np.array([0], "<i4"),
        (m.unit_orbital + 1).astype("<i4"),
        counts.astype("<i4"),
        *((m.column[row] + 1).astype("<i4") for row in rows),
        *(spin[row].astype("<f4") for spin in m.hamiltonian for row in rows),
        *(m.overlap[row].astype("<f4") for row in rows),
        np.array([m.n_electrons, 0.001], "<f8"),
        *(m.bonds[row].astype("<f4") for row in rows),
        np.array([len(m.species)], "<i4"),
    ]
    shells = [[shell_numbers(label) for _, label in entry.shells] for entry in m.species]
    orbitals = [[shell for shell in entry for _ in range(2 * shell[1] + 1)] for entry in shells]
    table = [
        struct.pack("<20sdi", entry.label.ljust(20).encode(), entry.valence, len(listed))
        for entry, listed in zip(m.species, orbitals)
    ]
    atoms = [
        np.array([len(m.atom_species)], "<i4"),
        (m.atom_species + 1).astype("<i4"),
        np.stack([m.orbital_atom + 1, np.ones_like(m.orbital_atom)], axis=-1).astype("<i4"),
    ]
    return [
        *(r.tobytes() for r in records),
        b"".join(table),
        *(np.array(orbital, "<i4").tobytes() for entry in orbitals for orbital in entry),
        *(r.tobytes() for r in atoms),
    ]


def write_hsx(path: Path, matrices: SparseMatrices) -> None:
    """Write the matrices; compressed where the name ends in .xz."""
    data = b"".join(record(payload) for payload in hsx_records(matrices))
    path.write_bytes(lzma.compress(data, preset=0) if path.suffix == ".xz" else data)
