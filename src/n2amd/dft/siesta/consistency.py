"""Comparisons across the files of a frame: species, basis, supercell and geometry must be of one run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.dft.siesta.hsx import SparseMatrices
from n2amd.dft.siesta.ion_xml import shell_label
from n2amd.dft.siesta.tables import OrbitalTable
from n2amd.errors import InputError
from n2amd.orbitals.basis import Basis
from n2amd.structure import Structure
from n2amd.units import SIESTA_BOHR_ANGSTROM

#: Largest disagreement between the bonds in HSX and those of XV, Angstrom.
BOND_TOLERANCE = 1e-3
#: Largest disagreement of orbital radii, printed with 3 decimals of a Bohr, Angstrom.
RADIUS_TOLERANCE = 1e-3
ONE_RUN = "keep the files of one run together"


def _names(shells: tuple[tuple[int, str], ...]) -> str:
    return ", ".join(name for _, name in shells)


def _orbital(entry: tuple[int, str, int, float]) -> str:
    atom, name, m, radius = entry
    return f"{name} m={m} of atom {atom + 1} with radius {radius:.3f} A"


def check_species(
    folder: Path, matrices: SparseMatrices, structure: Structure, species: NDArray[np.int64], basis: Basis
) -> None:
    """Compare the species and shells of HSX with XV and .ion.xml; raise `InputError` if they differ."""
    if not np.array_equal(matrices.atom_species, species):
        raise InputError(
            f"the {len(matrices.atom_species)} atoms in HSX have other species than the {len(species)} in XV",
            file=folder,
            remedy=ONE_RUN,
        )
    for index, entry in enumerate(matrices.species):
        for z in np.unique(structure.numbers[species == index]):
            if z not in basis:
                raise InputError(
                    f"no .ion.xml file of element {z} ({entry.label}), only of {list(basis.numbers)}",
                    file=folder,
                    remedy=f"copy {entry.label}.ion.xml from the run",
                )
            expected, valence = tuple((s.l, s.label) for s in basis[z].shells), basis[z].valence_charge
            if entry.shells != expected or abs(entry.valence - valence) > 1e-6:
                raise InputError(
                    f"another basis: HSX has {_names(entry.shells)} (valence {entry.valence:g}) for "
                    f"{entry.label}, the .ion.xml file {_names(expected)} (valence {valence:g})",
                    file=folder,
                    field="basis",
                    remedy="use the .ion.xml files of this run, and one basis in a data set",
                )


def check_orbitals(
    folder: Path, matrices: SparseMatrices, table: OrbitalTable, structure: Structure, basis: Basis
) -> None:
    """Compare ORB_INDX with HSX and with the .ion.xml files; raise `InputError` if they differ."""
    same_cell = np.array_equal(matrices.orbital_atom, table.atom[: table.n_orbitals])
    if not same_cell or not np.array_equal(matrices.unit_orbital, table.unit_orbital):
        raise InputError(
            f"HSX has {matrices.n_orbitals} orbitals in the cell and {matrices.n_supercell} in the "
            f"supercell, ORB_INDX {table.n_orbitals} and {len(table.unit_orbital)}, or another order",
            file=folder,
            field="ORB_INDX",
            remedy="use the ORB_INDX of a run with the same cell, atoms and supercell",
        )
    orbitals = [
        (atom, shell.label, m, shell.radial.cutoff if shell.radial else 0.0)
        for atom, z in enumerate(structure.numbers)
        for shell in basis[z].shells
        for m in range(-shell.l, shell.l + 1)
    ]
    found = [
        (int(atom), shell_label(int(n), int(l), int(zeta)), int(m), float(radius))
        for atom, (n, l, m, zeta), radius in zip(table.atom, table.quantum[: table.n_orbitals], table.radius)
    ]
    for number, (ours, theirs) in enumerate(zip(orbitals, found, strict=False), 1):
        if ours[:3] != theirs[:3] or abs(ours[3] - theirs[3]) > RADIUS_TOLERANCE:
            raise InputError(
                f"another basis: orbital {number} is {_orbital(theirs)} in ORB_INDX, "
                f"{_orbital(ours)} in .ion.xml",
                file=folder,
                field="basis",
                remedy="use the ORB_INDX and .ion.xml files of this run",
            )
    if len(orbitals) != len(found):
        raise InputError(
            f"the basis gives {len(orbitals)} orbitals, ORB_INDX lists {len(found)}",
            file=folder,
            field="basis",
            remedy="use the ORB_INDX and .ion.xml files of this run",
        )


def check_bonds(folder: Path, matrices: SparseMatrices, structure: Structure, table: OrbitalTable) -> None:
    """Compare the bond vectors of HSX with the geometry of XV; raise `InputError` if they differ."""
    i, j = table.atom[matrices.row], table.atom[matrices.column]
    expected = structure.positions[j] - structure.positions[i] + table.shift[matrices.column] @ structure.cell
    bonds = matrices.bonds * SIESTA_BOHR_ANGSTROM
    error = float(np.abs(bonds - expected).max(initial=0.0))
    if error <= BOND_TOLERANCE:
        return
    ratio = float(np.sqrt((expected**2).sum() / (bonds**2).sum()))
    if abs(ratio / SIESTA_BOHR_ANGSTROM - 1) < 0.02:
        reason, remedy = "XV holds Angstrom where Bohr is expected", "restore the XV of the run"
    else:
        reason = "the geometry is not the one the matrices were computed for"
        remedy = "keep XV and HSX of the same step (single points: MD.NumCGsteps 0)"
    raise InputError(
        f"the bonds of XV are {ratio:.3f} times those of HSX and differ by up to {error:.3g} A: {reason}",
        file=folder,
        field="XV",
        remedy=remedy,
    )
