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
from scipy.interpolate import CubicSpline

from n2amd.blocks.matrix import BlockMatrix, PairIndex, SpeciesPair
from n2amd.blocks.pairs import find_pairs
from n2amd.errors import InputError
from n2amd.orbitals import openmx_quadrature
from n2amd.orbitals.basis import AtomBasis, Basis, RadialFunction, Shell
from n2amd.orbitals.bessel_transform import bessel_transform, overlap_sign, reduced_bessel, wave_numbers
from n2amd.orbitals.pair_splines import PairSplines, channels, oriented
from n2amd.structure import Structure

#: Knot spacing of the overlap splines, Angstrom.
SPLINE_STEP = 0.01
#: Spline coefficients below this are the echo of a cubic spline beyond a shell pair's own range.
NEGLIGIBLE = 1e-20


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
    def from_basis(cls, basis: Basis, step: float | None = None) -> OverlapTable:
        """Build the table from the basis' radial functions, with the quadrature of the code they come from.

        Parameters
        ----------
        basis
            Every shell with its radial function, all of one code.
        step
            Knot spacing, Angstrom; None: `SPLINE_STEP` of the quadrature.

        Raises
        ------
        InputError
            If a shell has no radial function, or they come from two codes.
        """
        cutoffs = {z: _cutoff(basis[z]) for z in basis.numbers}
        if openmx_quadrature.applies(basis):
            step = step or openmx_quadrature.SPLINE_STEP
            k, weight, transforms = openmx_quadrature.transforms(basis)
        else:
            step = step or SPLINE_STEP
            k = wave_numbers(2 * max(cutoffs.values()))
            weight = np.full(len(k), k[0])
            transforms = {
                z: np.array(
                    [
                        bessel_transform(s.radial, s.l, k)
                        for s in basis[z].shells
                        if isinstance(s.radial, RadialFunction)
                    ]
                )
                for z in basis.numbers
            }
        weight = 8 * weight * k**2
        splines = {}
        for zi, zj in combinations_with_replacement(basis.numbers, 2):
            range_ = cutoffs[zi] + cutoffs[zj]
            grid = np.linspace(0.0, range_, int(np.ceil(range_ / step)) + 1)
            values = _radial_overlaps(basis[zi], basis[zj], grid, k, weight, transforms[zi], transforms[zj])
            # even functions of the distance at 0, vanishing with their slope at the range
            spline = CubicSpline(grid, values, bc_type="clamped")
            width = grid[1] ** np.arange(4)
            coefficients = spline.c[::-1].swapaxes(0, 1) * width[None, :, None]
            coefficients[np.abs(coefficients) < NEGLIGIBLE] = 0.0
            splines[zi, zj] = PairSplines.from_coefficients(basis[zi], basis[zj], range_, coefficients)
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


def _cutoff(atom: AtomBasis) -> float:
    if (cutoff := atom.cutoff) is None:
        shell = next(s for s in atom.shells if s.radial is None)
        raise InputError(
            f"shell {shell.label!r} of element {atom.number} has no radial function",
            field="basis",
            remedy="give the code's radial functions (.ion.xml, .pao), or fit the overlap to the data set",
        )
    return cutoff


def _radial_overlaps(
    bra: AtomBasis,
    ket: AtomBasis,
    grid: NDArray[np.float64],
    k: NDArray[np.float64],
    weight: NDArray[np.float64],
    bra_transforms: NDArray[np.float64],
    ket_transforms: NDArray[np.float64],
) -> NDArray[np.float64]:
    """s_L(r) / r^L of every channel on the grid, (n_grid, n_channels), zero beyond the two cutoffs."""
    listed = channels(bra, ket)
    values = np.empty((len(grid), len(listed)))
    for L in {c.L for c in listed}:
        kernel = reduced_bessel(L, k, grid)
        for column, c in enumerate(listed):
            if c.L == L:
                first, second = bra.shells[c.bra], ket.shells[c.ket]
                integrand = weight * bra_transforms[c.bra] * ket_transforms[c.ket]
                values[:, column] = overlap_sign(first.l, second.l, L) * (kernel @ integrand)
                values[grid >= _reach(first) + _reach(second) - 1e-9, column] = 0.0
    return values


def _reach(shell: Shell) -> float:
    return shell.radial.reach if shell.radial is not None else np.inf
