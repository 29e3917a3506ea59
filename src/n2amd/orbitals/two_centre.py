"""Overlap matrices from radial functions alone, within one geometry and between two.

S is strictly two-centre, so radial splines per species pair give it for any structure, without the DFT code:
<phi_i | phi_j>, its derivative with the bond, and <phi_i(t) | phi_j(t + dt)> between two frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from n2amd.blocks.matrix import BlockMatrix, PairIndex, SpeciesPair
from n2amd.blocks.pairs import find_pairs
from n2amd.errors import InputError
from n2amd.orbitals.basis import Basis
from n2amd.orbitals.bessel_transform import RadialTransforms, known_cutoff, radial_transforms
from n2amd.orbitals.pair_splines import PairSplines, oriented
from n2amd.orbitals.radial_overlaps import BesselKernels, tabulate
from n2amd.structure import Structure

#: Knot spacing of the overlap splines, Angstrom.
SPLINE_STEP = 0.02
#: Overlaps below this are not worth a pair: Gaussians never end, and numerical orbitals fade before they do.
NEGLIGIBLE_OVERLAP = 1e-10


class TwoCentreTable(Protocol):
    """A two-centre matrix as a function of the bond: exact overlaps and fitted matrices alike."""

    @property
    def ranges(self) -> Mapping[SpeciesPair, float]:
        """Range per species pair (z_i <= z_j), Angstrom."""

    def evaluate(self, key: SpeciesPair, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Blocks (n_pairs, n_i, n_j) of bond vectors (n_pairs, 3)."""


@dataclass(frozen=True)
class OverlapTable:
    """Overlap splines of every species pair (z_i <= z_j) of a basis."""

    basis: Basis
    splines: Mapping[SpeciesPair, PairSplines]

    @classmethod
    def from_basis(
        cls, basis: Basis, step: float = SPLINE_STEP, tolerance: float = NEGLIGIBLE_OVERLAP
    ) -> OverlapTable:
        """Build the table from the basis' radial functions.

        Parameters
        ----------
        basis
            Every shell with its radial function.
        step
            Knot spacing, Angstrom.
        tolerance
            A species pair's range ends where all its overlaps stay below this; 0: where the orbitals end.

        Raises
        ------
        InputError
            If a shell has no radial function.
        """
        return cls.from_transforms(basis, radial_transforms(basis), step, tolerance)

    @classmethod
    def from_transforms(
        cls,
        basis: Basis,
        transforms: RadialTransforms,
        step: float = SPLINE_STEP,
        tolerance: float = NEGLIGIBLE_OVERLAP,
    ) -> OverlapTable:
        """Build the table from Bessel transforms, for instance by a DFT code's own quadrature.

        Parameters are those of `from_basis`; `basis` gives the order of the shells and where they end.
        """
        longest = 2 * max(known_cutoff(basis[z]) for z in basis.numbers)
        kernels = BesselKernels(transforms.k, step, longest)
        splines = {}
        for zi, zj in combinations_with_replacement(basis.numbers, 2):
            bra, ket = basis[zi], basis[zj]
            range_, coefficients = tabulate(bra, ket, transforms, kernels, tolerance)
            splines[zi, zj] = PairSplines.from_coefficients(bra, ket, range_, coefficients)
        return cls(basis, splines)

    @cached_property
    def ranges(self) -> dict[SpeciesPair, float]:
        """Largest distance with a non-zero overlap per species pair (z_i <= z_j), Angstrom."""
        return {key: splines.range for key, splines in self.splines.items()}

    def evaluate(self, key: SpeciesPair, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Overlap blocks of one species pair, either order.

        Parameters
        ----------
        key
            Atomic numbers (z_i, z_j).
        vectors
            Bond vectors from i to j, (n_pairs, 3), Angstrom; zero vectors are allowed.

        Returns
        -------
        blocks
            <phi_i | phi_j>, (n_pairs, n_i, n_j).
        """
        splines, reverse = oriented(self.splines, key)
        return splines.evaluate(-vectors).swapaxes(-1, -2) if reverse else splines.evaluate(vectors)

    def gradient(self, key: SpeciesPair, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Derivative of the blocks with respect to the bond vector, (n_pairs, 3, n_i, n_j), 1/Angstrom."""
        splines, reverse = oriented(self.splines, key)
        return -splines.gradient(-vectors).swapaxes(-1, -2) if reverse else splines.gradient(vectors)

    def contracted_gradient(
        self, key: SpeciesPair, vectors: NDArray[np.float64], weights: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Derivative of sum_ij weights_ij M_ij with respect to the bond vectors, (n_pairs, 3), 1/Angstrom.

        `weights` are (n_pairs, n_i, n_j): for a density matrix, what the bonds' blocks add to the energy.
        """
        splines, reverse = oriented(self.splines, key)
        if reverse:
            return -splines.contracted_gradient(-vectors, weights.swapaxes(-1, -2))
        return splines.contracted_gradient(vectors, weights)

    def derivative(
        self, key: SpeciesPair, vectors: NDArray[np.float64], directions: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Derivative of the blocks along a direction (n_pairs, 3) for each bond, (n_pairs, n_i, n_j)."""
        splines, reverse = oriented(self.splines, key)
        if reverse:
            return splines.derivative(-vectors, -directions).swapaxes(-1, -2)
        return splines.derivative(vectors, directions)


def overlap(table: TwoCentreTable, bra: Structure, ket: Structure | None = None) -> BlockMatrix:
    """Overlap matrix of one geometry, or between two geometries of the same atoms.

    Parameters
    ----------
    table
        Two-centre table of the basis.
    bra
        Structure of the left orbitals.
    ket
        Structure of the right orbitals: the same cell and atoms at other positions, not wrapped. None: `bra`.

    Returns
    -------
    overlap
        <phi_i(bra), 0 | phi_j(ket), R>, n_spin = 1. Without `ket` the Hermitian half; with `ket` every
        directed pair whose bra-ket distance is inside the range.

    Raises
    ------
    InputError
        If an element is not in the table, or the two structures do not hold the same atoms and cell.
    """
    pairs = overlapping_pairs(table, bra, ket)
    return BlockMatrix(
        pairs,
        {key: table.evaluate(key, index.vectors(bra, ket))[None] for key, index in pairs.items()},
        hermitian=ket is None,
    )


def overlap_derivative(
    table: OverlapTable,
    bra: Structure,
    bra_velocities: NDArray[np.float64],
    ket: Structure | None = None,
    ket_velocities: NDArray[np.float64] | None = None,
) -> BlockMatrix:
    """Time derivative of `overlap(table, bra, ket)` while the atoms move.

    With `ket` = `bra`, the bra at rest and the ket moving, it is <phi_i | d phi_j / dt>: the part of a
    coupling that comes from orbitals carried along by their atoms.

    Parameters
    ----------
    table
        Two-centre table of the basis.
    bra, ket
        Structures of the left and the right orbitals. `ket` None: dS/dt of one structure.
    bra_velocities, ket_velocities
        (n_atoms, 3), Angstrom/fs. `ket_velocities` None: `bra_velocities`.

    Returns
    -------
    derivative
        1/fs, on the pairs of `overlap(table, bra, ket)`.

    Raises
    ------
    InputError
        As `overlap`.
    """
    ket_velocities = bra_velocities if ket_velocities is None else ket_velocities
    pairs = overlapping_pairs(table, bra, ket)
    values = {}
    for key, index in pairs.items():
        motion = ket_velocities[index.j] - bra_velocities[index.i]
        values[key] = table.derivative(key, index.vectors(bra, ket), motion)[None]
    return BlockMatrix(pairs, values, hermitian=ket is None)


def overlapping_pairs(
    table: TwoCentreTable, bra: Structure, ket: Structure | None = None
) -> dict[SpeciesPair, PairIndex]:
    """Pairs of `overlap(table, bra, ket)`: the Hermitian half, or with `ket` every directed pair in range."""
    if ket is None:
        return find_pairs(bra, table.ranges, half=True)
    return _cross_pairs(table, bra, ket)


def _cross_pairs(table: TwoCentreTable, bra: Structure, ket: Structure) -> dict[SpeciesPair, PairIndex]:
    """Directed pairs within range of each other across two geometries."""
    if not np.array_equal(bra.numbers, ket.numbers):
        raise InputError("the two structures hold different atoms", remedy="pass frames of one trajectory")
    if not np.array_equal(bra.cell, ket.cell):
        raise InputError("the two structures have different cells", remedy="use a trajectory at fixed cell")
    # no pair can come closer by more than the largest displacement
    margin = float(np.linalg.norm(ket.positions - bra.positions, axis=1).max(initial=0.0))
    wide = {key: range_ + margin for key, range_ in table.ranges.items()}
    pairs = {}
    for (zi, zj), index in find_pairs(bra, wide, half=False).items():
        distance = np.linalg.norm(index.vectors(bra, ket), axis=1)
        pairs[zi, zj] = index.select(distance < table.ranges[min(zi, zj), max(zi, zj)])
    return pairs
