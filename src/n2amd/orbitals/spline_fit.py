"""Two-centre functions fitted to given matrices, where no radial functions are known.

Every matrix has a part that depends on the bond alone: all of the overlap, most of the Hamiltonian. Per
species pair, shell pair and L it is one radial function, here a cubic B-spline whose value, slope and
curvature vanish at the range. Angular matrices of different channels are orthogonal, so the least-squares
problem falls apart into one small linear system a channel; samples are streamed.

A fit knows what it has seen and no more: on TiO2 its error grows from 2e-6 at sampled distances to 1e-5 at
0.01 A from the nearest one, 7e-5 at 0.03 A and 3e-3 at 0.1 A. Evaluation refuses distances further off.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.ndimage import binary_dilation

from n2amd.blocks.matrix import BlockMatrix, SpeciesPair
from n2amd.errors import ComputationError, InputError
from n2amd.orbitals.basis import AtomBasis, Basis
from n2amd.orbitals.harmonics import gaunt
from n2amd.orbitals.pair_splines import PairSplines, channels, oriented
from n2amd.structure import Structure

#: A uniform cubic B-spline on its four intervals: column q holds the polynomial (in t) of the spline that
#: started 3 - q intervals earlier.
B_SPLINE = np.array([[1, 4, 1, 0], [-3, 0, 3, 0], [3, -6, 3, 0], [-1, 3, -3, 1]]) / 6
#: Evaluation refuses distances further than this from every sampled one, Angstrom.
REACH = 0.01
#: Resolution of the record of sampled distances, Angstrom.
BIN = 0.0025
#: Smallest element of an overlap that counts as data where the range is taken from the data.
NEGLIGIBLE = 1e-8


@dataclass(frozen=True)
class TwoCentreFit:
    """Fitted two-centre functions; same `evaluate` as an `OverlapTable`.

    Attributes
    ----------
    splines
        Radial splines per species pair (z_i <= z_j).
    on_site
        Spherical mean of the on-site blocks per element, (n, n).
    covered
        Per species pair, whether a distance is near enough to sampled ones, in bins of `BIN`, (n_bins,).
    """

    splines: Mapping[SpeciesPair, PairSplines]
    on_site: Mapping[int, NDArray[np.float64]]
    covered: Mapping[SpeciesPair, NDArray[np.bool_]]

    @property
    def ranges(self) -> dict[SpeciesPair, float]:
        """Range per species pair (z_i <= z_j), Angstrom."""
        return {key: splines.range for key, splines in self.splines.items()}

    def evaluate(self, key: SpeciesPair, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Blocks of one species pair, either order.

        Parameters
        ----------
        key
            Atomic numbers (z_i, z_j).
        vectors
            Bond vectors, (n_pairs, 3), Angstrom. Zero vectors give the on-site mean.

        Returns
        -------
        blocks
            (n_pairs, n_i, n_j).

        Raises
        ------
        ComputationError
            If the data do not cover a distance, as in the overlap of an atom with its own displaced image.
        """
        splines, reverse = oriented(self.splines, key)
        distance = np.linalg.norm(vectors, axis=1)
        on_site = (distance == 0) & (key[0] == key[1])
        if np.any(missing := self.uncovered(key, distance) & ~on_site):
            raise ComputationError(
                f"{missing.sum()} bonds of elements {key}, the shortest of {distance[missing].min():.3f} A, "
                f"are at distances the fit has not seen (it covers {self._intervals(key)}); add frames with "
                "such bonds to the data set, or give the code's radial functions (.ion.xml, .pao)"
            )
        blocks = splines.evaluate(-vectors).swapaxes(-1, -2) if reverse else splines.evaluate(vectors)
        if on_site.any():
            blocks[on_site] = self.on_site[key[0]]
        return blocks

    def uncovered(self, key: SpeciesPair, distance: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Mask (n_pairs,) of distances inside the range (Angstrom) that the data do not cover."""
        covered = np.append(self.covered[min(key), max(key)], True)  # nothing is beyond the range
        return ~covered[np.minimum(distance / BIN, len(covered) - 1).astype(np.int64)]

    def _intervals(self, key: SpeciesPair) -> str:
        """Describe the covered distances: "1.79-2.35, 3.20-5.48 A"."""
        edges = np.flatnonzero(np.diff(np.pad(self.covered[min(key), max(key)].astype(int), 1))).reshape(
            -1, 2
        )
        return ", ".join(f"{a:.2f}-{b:.2f}" for a, b in edges * BIN) + " A" if len(edges) else "none"


@dataclass
class _NormalEquations:
    """Sums over the samples of one species pair."""

    frame: PairSplines
    matrices: dict[int, NDArray[np.float64]]
    right_sides: NDArray[np.float64]
    sampled: NDArray[np.bool_]

    @classmethod
    def empty(cls, bra: AtomBasis, ket: AtomBasis, range_: float, n_knots: int) -> _NormalEquations:
        listed = channels(bra, ket)
        frame = PairSplines.from_coefficients(bra, ket, range_, np.zeros((n_knots, 4, len(listed))))
        matrices = {c.L: np.zeros((n_knots, n_knots)) for c in listed}
        sampled = np.zeros(int(np.ceil(range_ / BIN)), dtype=bool)
        return cls(frame, matrices, np.zeros((n_knots, len(listed))), sampled)

    def add(self, vectors: NDArray[np.float64], blocks: NDArray[np.float64]) -> None:
        """Add bonds (n_pairs, 3) inside the range with their blocks (n_pairs, n_i, n_j)."""
        distance = np.linalg.norm(vectors, axis=1)
        inside = distance < self.frame.range
        vectors, blocks, distance = vectors[inside], blocks[inside], distance[inside]
        if not len(distance):
            return
        self.sampled[(distance / BIN).astype(np.int64)] = True
        design = _b_splines(distance / self.frame.step, len(self.right_sides))
        self.right_sides += design.T @ self.frame.project(vectors, blocks).T
        for L, matrix in self.matrices.items():
            matrix += design.T @ (design * distance[:, None] ** (2 * L))

    def covered(self, reach: float) -> NDArray[np.bool_]:
        """Bins within `reach` of a sampled distance, (n_bins,)."""
        return binary_dilation(self.sampled, iterations=max(round(reach / BIN), 1))

    def solve(self, bra: AtomBasis, ket: AtomBasis, roughness: float) -> PairSplines:
        """Return the fitted splines."""
        n = len(self.right_sides)
        third = np.diff(np.eye(n + 3), 3, axis=0)[:, :n]  # the splines past the range are zero
        weights = np.zeros_like(self.right_sides)
        for column, c in enumerate(channels(bra, ket)):
            matrix = self.matrices[c.L]
            scale = np.trace(matrix) / n
            if scale == 0:
                continue  # this species pair never came within range
            tensor = gaunt(bra.shells[c.bra].l, ket.shells[c.ket].l, c.L)
            norm = np.sum(tensor**2) / (4 * np.pi)  # squared norm of the angular matrix at r = 1
            factor = cho_factor(matrix + roughness * scale * third.T @ third)
            weights[:, column] = cho_solve(factor, self.right_sides[:, column] / norm)
        padded = np.concatenate([weights, np.zeros((3, weights.shape[1]))])
        active = np.stack([padded[q : q + n] for q in range(4)], axis=1)
        coefficients = np.einsum("pq,iqc->ipc", B_SPLINE, active)
        return PairSplines.from_coefficients(bra, ket, self.frame.range, coefficients)


@dataclass
class _OnSiteMean:
    """Running mean of an element's on-site blocks."""

    total: NDArray[np.float64]
    count: int = field(default=0)

    def spherical(self, atom: AtomBasis) -> NDArray[np.float64]:
        """Part of the mean that is a multiple of the unit matrix in every pair of shells of equal l."""
        mean = np.zeros_like(self.total)
        for bra, rows in atom.shell_slices():
            for ket, columns in atom.shell_slices():
                if bra.l == ket.l:
                    trace = np.trace(self.total[rows, columns]) / max(self.count, 1)
                    mean[rows, columns] = np.eye(bra.n_orbitals) * trace / bra.n_orbitals
        return mean


def fit_two_centre(
    basis: Basis,
    samples: Iterable[tuple[Structure, BlockMatrix]],
    ranges: Mapping[SpeciesPair, float],
    n_knots: int = 80,
    roughness: float = 1e-11,
    reach: float = REACH,
) -> TwoCentreFit:
    """Fit the two-centre part of matrices by least squares.

    Parameters
    ----------
    basis
        Shells of every element; radial functions are not used.
    samples
        Structures with their real matrices, in the canonical convention, read once; spins are averaged.
    ranges
        Range per species pair (z_i <= z_j), Angstrom; the fit goes to zero there with slope and curvature.
    n_knots
        Spline intervals on [0, range].
    roughness
        Weight of squared third differences of the spline coefficients, relative to the data. Tiny for an
        overlap, where it only bridges distances without data. The two-centre part of a Hamiltonian is fitted
        best with 40 knots and 1e-6.
    reach
        How far from sampled distances the fit may be evaluated, Angstrom.

    Returns
    -------
    fit
        Two-centre functions.

    Raises
    ------
    InputError
        If there are no samples, a matrix is complex, or a species pair of the samples has no range.
    """
    sums = {
        (a, b): _NormalEquations.empty(basis[a], basis[b], ranges[a, b], n_knots)
        for a in basis.numbers
        for b in basis.numbers
        if (a, b) in ranges
    }
    on_site = {z: _OnSiteMean(np.zeros((basis[z].n_orbitals,) * 2)) for z in basis.numbers}
    n_samples = 0
    for structure, matrix in samples:
        n_samples += 1
        for (zi, zj), index in matrix.pairs.items():
            if np.iscomplexobj(matrix.values[zi, zj]):
                raise InputError(
                    "complex blocks cannot be fitted", field="samples", remedy="pass real matrices"
                )
            blocks = matrix.values[zi, zj].mean(axis=0)
            diagonal = index.on_site
            on_site[zi].total += blocks[diagonal].sum(axis=0) if zi == zj else 0.0
            on_site[zi].count += int(diagonal.sum())
            vectors, blocks = index.vectors(structure)[~diagonal], blocks[~diagonal]
            key = (min(zi, zj), max(zi, zj))
            if key not in sums:
                raise InputError(f"no range is given for the species pair {key}", field="ranges")
            if zi <= zj:
                sums[key].add(vectors, blocks)
            if zi >= zj:  # the partner of a bond between equal elements is a sample of its own
                sums[key].add(-vectors, blocks.swapaxes(-1, -2))
    if not n_samples:
        raise InputError("there are no samples to fit", field="samples", remedy="pass at least one frame")
    return TwoCentreFit(
        {(a, b): equations.solve(basis[a], basis[b], roughness) for (a, b), equations in sums.items()},
        {z: mean.spherical(basis[z]) for z, mean in on_site.items()},
        {key: equations.covered(reach) for key, equations in sums.items()},
    )


def sampled_ranges(samples: Iterable[tuple[Structure, BlockMatrix]]) -> dict[SpeciesPair, float]:
    """Ranges of an overlap as far as the data show them, for `fit_two_centre`.

    Parameters
    ----------
    samples
        Structures with their overlaps.

    Returns
    -------
    ranges
        Longest distance of a block that is not negligible, plus `REACH`, per species pair (z_i <= z_j),
        Angstrom. Species pairs that never overlap are absent.
    """
    ranges: dict[SpeciesPair, float] = {}
    for structure, matrix in samples:
        for (zi, zj), index in matrix.pairs.items():
            present = (np.abs(matrix.values[zi, zj]).max(axis=(0, 2, 3)) > NEGLIGIBLE) & ~index.on_site
            if present.any():
                longest = float(np.linalg.norm(index.vectors(structure)[present], axis=1).max())
                key = (min(zi, zj), max(zi, zj))
                ranges[key] = max(ranges.get(key, 0.0), longest + REACH)
    return ranges


def _b_splines(position: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Values (n_pairs, n) of the B-splines at positions in units of the knot spacing."""
    interval = position.astype(np.int64)
    t = position - interval
    powers = t[:, None] ** np.arange(4)
    values = np.zeros((len(position), n + 3))
    np.put_along_axis(values, interval[:, None] + np.arange(4), powers @ B_SPLINE, axis=1)
    return values[:, :n]
