"""What a basis makes of a structure: how far its overlaps reach, and how near to linear dependence it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from n2amd.blocks.matrix import SpeciesPair, fold
from n2amd.errors import InputError
from n2amd.orbitals.two_centre import OverlapTable, overlap
from n2amd.structure import Structure

#: Largest matrix whose eigenvalues are worth the wait, orbitals.
MAX_ORBITALS = 6000


@dataclass(frozen=True)
class OverlapReport:
    """Figures of an overlap matrix.

    Attributes
    ----------
    n_orbitals
        Orbitals in the cell.
    ranges
        Range per species pair of the structure, Angstrom.
    shortest
        Shortest bond per species pair that overlaps, Angstrom.
    n_pairs
        Stored (Hermitian half) pairs per species pair, on-site ones included.
    lowest, highest
        Extreme eigenvalues of S(k) over the mesh.
    """

    n_orbitals: int
    ranges: dict[SpeciesPair, float]
    shortest: dict[SpeciesPair, float]
    n_pairs: dict[SpeciesPair, int]
    lowest: float
    highest: float

    @property
    def condition(self) -> float:
        """Condition number of S; infinite where it is not positive definite."""
        return self.highest / self.lowest if self.lowest > 0 else math.inf


def report_overlap(
    table: OverlapTable, structure: Structure, mesh: Sequence[int] = (2, 2, 2)
) -> OverlapReport:
    """Build S of a structure and describe it.

    Parameters
    ----------
    table
        Two-centre table of the basis.
    structure
        Atoms and cell.
    mesh
        k points along the three reciprocal vectors, Gamma included; along a direction that is not periodic
        there is one.

    Raises
    ------
    InputError
        If an element has no basis, or the cell has more than `MAX_ORBITALS` orbitals.
    """
    offsets = table.basis.orbital_offsets(structure.numbers)
    if (n_orbitals := int(offsets[-1])) > MAX_ORBITALS:
        raise InputError(
            f"{n_orbitals} orbitals are too many for all eigenvalues of S (at most {MAX_ORBITALS})",
            field="structure",
            remedy="check a smaller cell of the same material",
        )
    matrix = overlap(table, structure)
    shortest = {}
    for key, index in matrix.pairs.items():
        bonds = np.linalg.norm(index.vectors(structure)[~index.on_site], axis=1)
        if len(bonds):
            shortest[key] = float(bonds.min())
    grid = np.indices([n if periodic else 1 for n, periodic in zip(mesh, structure.pbc)]).reshape(3, -1).T
    extremes = []
    for k in grid / (grid.max(axis=0) + 1):
        eigenvalues = np.linalg.eigvalsh(fold(matrix, offsets, k))
        extremes.append((eigenvalues[0], eigenvalues[-1]))
    lowest, highest = (float(bound) for bound in (np.min(extremes), np.max(extremes)))
    return OverlapReport(
        n_orbitals,
        {key: table.ranges[key] for key in matrix.pairs},
        shortest,
        {key: len(index) for key, index in matrix.pairs.items()},
        lowest,
        highest,
    )
