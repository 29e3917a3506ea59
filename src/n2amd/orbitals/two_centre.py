"""Overlap matrices from radial functions alone, within one geometry and between two.

S is strictly two-centre, so radial splines per species pair give it for any structure, without the DFT code:
<phi_i | phi_j>, its derivative with the bond, and <phi_i(t) | phi_j(t + dt)> between two frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from n2amd.blocks.matrix import BlockMatrix, PairIndex, SpeciesPair
from n2amd.blocks.pairs import find_pairs
from n2amd.errors import InputError
from n2amd.orbitals.basis import AtomBasis, Basis, Shell
from n2amd.orbitals.bessel_transform import (
    RadialTransforms,
    known_cutoff,
    overlap_sign,
    radial_transforms,
    reduced_bessel,
)
from n2amd.orbitals.pair_splines import Channel, PairSplines, channels, oriented
from n2amd.structure import Structure

#: Knot spacing of the overlap splines, Angstrom.
SPLINE_STEP = 0.02
#: Overlaps below this are not worth a pair: Gaussians never end, and numerical orbitals fade before they do.
NEGLIGIBLE_OVERLAP = 1e-10
#: Quintic Hermite interpolation on [0, 1]: row p gives the coefficient of t^p from (value, slope, curvature)
#: at t = 0 and the same at t = 1.
QUINTIC_HERMITE = np.array(
    [
        [1, 0, 0, 0, 0, 0],
        [0, 1, 0, 0, 0, 0],
        [0, 0, 0.5, 0, 0, 0],
        [-10, -6, -1.5, 10, -4, 0.5],
        [15, 8, 1.5, -15, 7, -1],
        [-6, -3, -0.5, 6, -3, 0.5],
    ]
)


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
            A species pair's range ends where all its overlaps stay below this; 0: with the orbitals themselves.

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
        splines = {}
        for zi, zj in combinations_with_replacement(basis.numbers, 2):
            bra, ket = basis[zi], basis[zj]
            longest = known_cutoff(bra) + known_cutoff(ket)
            grid = step * np.arange(np.ceil(longest / step - 1e-9) + 1)
            values = _radial_overlaps(bra, ket, grid, transforms, transforms.values[zi], transforms.values[zj])
            end = _last_knot(values[0], grid, channels(bra, ket), tolerance)
            coefficients = _hermite(values[:, : end + 1], step)
            splines[zi, zj] = PairSplines.from_coefficients(bra, ket, float(grid[end]), coefficients)
        return cls(splines)

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


def evaluate(table: TwoCentreTable, key: SpeciesPair, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Blocks (n_pairs, n_i, n_j) of one species pair at bond vectors (n_pairs, 3), Angstrom."""
    return table.evaluate(key, vectors)


def overlap_gradient(
    table: OverlapTable, key: SpeciesPair, vectors: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Derivative of overlap blocks with respect to the bond vector, (n_pairs, 3, n_i, n_j), 1/Angstrom."""
    return table.gradient(key, vectors)


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
    if ket is None:
        pairs = find_pairs(bra, table.ranges, half=True)
    else:
        pairs = _cross_pairs(table, bra, ket)
    return BlockMatrix(
        pairs,
        {key: table.evaluate(key, index.vectors(bra, ket))[None] for key, index in pairs.items()},
        hermitian=ket is None,
    )


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


def _radial_overlaps(
    bra: AtomBasis,
    ket: AtomBasis,
    grid: NDArray[np.float64],
    transforms: RadialTransforms,
    bra_transforms: NDArray[np.float64],
    ket_transforms: NDArray[np.float64],
) -> NDArray[np.float64]:
    """f = s_L(r) / r^L of every channel on the grid with its first two derivatives.

    With h_L = j_L(k r) / r^L, dh_L/dr = -k r h_(L+1), so that the derivatives are exact.

    Returns
    -------
    values
        (3, n_grid, n_channels), zero from the sum of the two shells' cutoffs on.
    """
    listed = channels(bra, ket)
    k, r = transforms.k, grid[:, None]
    bessel = [reduced_bessel(L, k, grid) for L in range(max(c.L for c in listed) + 3)]
    values = np.empty((3, len(grid), len(listed)))
    for L in {c.L for c in listed}:
        columns = [column for column, c in enumerate(listed) if c.L == L]
        weighted = np.stack(
            [
                overlap_sign(bra.shells[c.bra].l, ket.shells[c.ket].l, L)
                * (8 * transforms.weights * k**2 * bra_transforms[c.bra] * ket_transforms[c.ket])
                for c in (listed[column] for column in columns)
            ],
            axis=1,
        )
        once, twice = (bessel[L + n] @ (k[:, None] ** n * weighted) for n in (1, 2))
        values[0][:, columns] = bessel[L] @ weighted
        values[1][:, columns] = -r * once
        values[2][:, columns] = r**2 * twice - once
    for column, c in enumerate(listed):
        values[:, grid >= _reach(bra.shells[c.bra]) + _reach(ket.shells[c.ket]) - 1e-9, column] = 0.0
    return values


def _last_knot(
    values: NDArray[np.float64],
    grid: NDArray[np.float64],
    listed: Sequence[Channel],
    tolerance: float,
) -> int:
    """First knot from which on every s_L stays within the tolerance."""
    powers = grid[:, None] ** np.array([c.L for c in listed])
    relevant = np.abs(values * powers).max(axis=1) > tolerance
    return min(int(np.flatnonzero(relevant).max(initial=0)) + 1, len(grid) - 1)


def _hermite(values: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """Polynomials (n_grid - 1, 6, n_channels) through (value, slope, curvature) at the knots; 0 at the last."""
    scaled = values * (step ** np.arange(3))[:, None, None]
    scaled[:, -1] = 0.0
    ends = np.concatenate([scaled[:, :-1], scaled[:, 1:]])
    return np.einsum("pd,dic->ipc", QUINTIC_HERMITE, ends)


def _reach(shell: Shell) -> float:
    return shell.radial.cutoff if shell.radial is not None else np.inf
