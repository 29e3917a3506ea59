"""LABEL.HSX, the sparse matrices of SIESTA and HONPAS: format versions 0, 1 and 2.

Version 0 (SIESTA up to 4.1, HONPAS) is in single precision and has bond vectors but neither the cell nor
the Fermi level. Versions 1 (development versions after 4.1) and 2 (SIESTA 5; it adds the k mesh) have the
geometry and the Fermi level, in single or double precision as the file says. Layouts: SIESTA's iohsx
modules (`write_hsx`) of these versions.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.dft.siesta.ion_xml import shell_label
from n2amd.dft.siesta.matrices import Geometry, SparseMatrices, Species
from n2amd.dft.siesta.records import Records

#: Spin components of H: none, collinear, non-collinear, spin-orbit.
SPIN_COMPONENTS = (1, 2, 4, 8)
#: SIESTA writes the largest number there is where it has no Fermi level.
NO_FERMI_LEVEL = 1e30


def read_hsx(path: str | Path) -> SparseMatrices:
    """Read H, S and the species tables.

    Parameters
    ----------
    path
        LABEL.HSX, plain or compressed.

    Raises
    ------
    InputError
        If the file is cut, damaged, or of another format.
    """
    records = Records(Path(path), "HSX")
    first = records.next("the dimensions")
    if len(first) == 16:
        return _read_version_0(records, *struct.unpack("<4i", first))
    if len(first) != 4:
        raise records.fail("this is not an HSX file", "pass the LABEL.HSX of the run (SaveHS .true.)")
    version = struct.unpack("<i", first)[0]
    if version not in (1, 2):
        raise records.fail(
            f"HSX format version {version} is not supported, only 0, 1 and 2",
            "write LABEL.TSHS instead (TS.HS.Save .true.)",
        )
    return _read_version_1_or_2(records, version)


def _read_version_0(
    records: Records, n_orbitals: int, n_supercell: int, n_spin: int, n_elements: int
) -> SparseMatrices:
    check_spin(records, n_spin)
    is_gamma = bool(records.array("the Gamma mark", "<i4", 1)[0])
    if n_orbitals < 1 or n_supercell % n_orbitals:
        raise records.fail(f"{n_supercell} orbitals in the supercell, {n_orbitals} in the cell")
    if not is_gamma:
        in_cell = records.array("the supercell map", "<i4", n_supercell)
        if not np.array_equal(in_cell - 1, np.arange(n_supercell) % n_orbitals):
            raise records.fail("the orbitals of the supercell are not listed cell by cell")
    counts, column = records.sparsity(n_orbitals, n_supercell)
    if counts.sum() != n_elements:
        raise records.fail(f"the rows hold {counts.sum()} elements, the header says {n_elements}")
    hamiltonian = [records.rows("the Hamiltonian", "<f4", counts) for _ in range(n_spin)]
    overlap = records.rows("the overlap", "<f4", counts)
    n_electrons, _temperature = records.array("the number of electrons", "<f8", 2)
    bonds = None if is_gamma else records.rows("the bond vectors", "<f4", 3 * counts).reshape(-1, 3)
    n_species = int(records.array("the number of species", "<i4", 1)[0])
    entries = _species_entries(records, n_species)
    tables = [
        np.array([records.array("the orbitals of a species", "<i4", 3) for _ in range(n)])
        for _, _, n in entries
    ]
    n_atoms = int(records.array("the number of atoms", "<i4", 1)[0])
    atom_species = records.array("the species of the atoms", "<i4", n_atoms).astype(np.int64) - 1
    orbital_atom = records.array("the atoms of the orbitals", "<i4", 2 * n_orbitals)[::2].astype(np.int64) - 1
    return SparseMatrices(
        n_orbitals,
        n_supercell // n_orbitals,
        np.repeat(np.arange(n_orbitals), counts),
        column,
        np.array(hamiltonian, dtype=float),
        overlap.astype(float),
        float(n_electrons),
        orbital_atom,
        double_precision=False,
        bonds=None if bonds is None else bonds.astype(float),
        species=_species(records, entries, tables),
        atom_species=atom_species,
    )


def _read_version_1_or_2(records: Records, version: int) -> SparseMatrices:
    is_double = bool(records.array("the precision", "<i4", 1)[0])
    n_atoms, n_orbitals, n_spin, n_species, *n_cells = records.array("the dimensions", "<i4", 7).tolist()
    check_spin(records, n_spin)
    n_images = int(np.prod(n_cells))
    if min(n_atoms, n_orbitals, n_species, n_images) < 1:
        raise records.fail(f"{n_orbitals} orbitals on {n_atoms} atoms of {n_species} species")
    cell, fermi, n_electrons, _ = records.fields(
        "the cell and the Fermi level", ("<f8", 9), ("<f8", 1), ("<f8", 1), ("<f8", 1)
    )
    shifts, positions, species_index, last_orbital = records.fields(
        "the geometry", ("<i4", 3 * n_images), ("<f8", 3 * n_atoms), ("<i4", n_atoms), ("<i4", n_atoms)
    )
    entries = _species_entries(records, n_species)
    tables = [records.array("the orbitals of a species", "<i4", 3 * n).reshape(-1, 3) for _, _, n in entries]
    if version == 2:
        records.fields("the k mesh", ("<i4", 9), ("<f8", 3))
    counts, column = records.sparsity(n_orbitals, n_orbitals * n_images)
    width = "<f8" if is_double else "<f4"
    hamiltonian = [records.rows("the Hamiltonian", width, counts) for _ in range(n_spin)]
    overlap = records.rows("the overlap", width, counts)
    return SparseMatrices(
        n_orbitals,
        n_images,
        np.repeat(np.arange(n_orbitals), counts),
        column,
        np.array(hamiltonian, dtype=float),
        overlap.astype(float),
        float(n_electrons[0]),
        orbital_atoms(records, last_orbital, n_orbitals),
        double_precision=is_double,
        fermi_level=float(fermi[0]) if abs(fermi[0]) < NO_FERMI_LEVEL else None,
        geometry=Geometry(
            cell.reshape(3, 3), positions.reshape(-1, 3), shifts.reshape(-1, 3).astype(np.int64)
        ),
        species=_species(records, entries, tables),
        atom_species=species_index.astype(np.int64) - 1,
    )


def check_spin(records: Records, n_spin: int) -> None:
    """Raise `InputError` if SIESTA knows no such number of spin components."""
    if n_spin not in SPIN_COMPONENTS:
        raise records.fail(f"{n_spin} spin components instead of 1, 2, 4 or 8")


def orbital_atoms(records: Records, last_orbital: NDArray, n_orbitals: int) -> NDArray[np.int64]:
    """Atom of each orbital, 0-based, (n_orbitals,), from each atom's last orbital, 1-based, (n_atoms,)."""
    counts = np.diff(np.concatenate([[0], last_orbital])).astype(np.int64)
    if counts.min() < 1 or counts.sum() != n_orbitals:
        raise records.fail(f"the atoms have {counts.tolist()} orbitals, the cell {n_orbitals}")
    return np.repeat(np.arange(len(counts)), counts)


def _species_entries(records: Records, n_species: int) -> list[tuple[str, float, int]]:
    """Label, valence charge and number of orbitals of each species."""
    table = records.next("the species", 32 * n_species)
    entries = [struct.unpack_from("<20sdi", table, 32 * k) for k in range(n_species)]
    return [(label.decode("latin-1").strip(), valence, n) for label, valence, n in entries]


def _species(
    records: Records, entries: list[tuple[str, float, int]], tables: list[NDArray]
) -> tuple[Species, ...]:
    """Group the (n, l, zeta) of every orbital of a species into shells."""
    species = []
    for (label, valence, _), table in zip(entries, tables):
        orbitals = [tuple(orbital) for orbital in table.tolist()]
        shells: list[tuple[int, str]] = []
        while orbitals:
            principal, l, zeta = shell = orbitals[0]
            members, orbitals = orbitals[: 2 * l + 1], orbitals[2 * l + 1 :]
            if not 0 <= l <= 6 or members != [shell] * (2 * l + 1):
                raise records.fail(f"the shells of species {label!r} are incomplete")
            shells.append((l, shell_label(principal, l, zeta)))
        species.append(Species(label, valence, tuple(shells)))
    return tuple(species)
