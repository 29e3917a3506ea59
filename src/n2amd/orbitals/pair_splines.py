"""Two-centre matrices of one species pair: radial splines times solid harmonics, evaluated in batches.

Block of a bond vector v:  M(v) = sum_c f_c(|v|) sum_M R_LM(v) G_c(M), where a channel c is (shell of i,
shell of j, L), R_LM = r^L Y_LM is a solid harmonic, f_c(r) = s_L(r) / r^L a piecewise polynomial on a uniform
grid that is zero from the range on, and G the Gaunt coefficients. Nothing is divided by |v|: smooth at v = 0,
where the overlap of an atom with its own displaced image is needed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from n2amd.blocks.matrix import SpeciesPair
from n2amd.errors import InputError
from n2amd.orbitals.basis import AtomBasis
from n2amd.orbitals.harmonics import gaunt, solid_components, solid_gradient

#: Pairs evaluated at once: the work arrays of a chunk stay in the processor's cache.
CHUNK = 512


@dataclass(frozen=True)
class Channel:
    """One radial function of a species pair: positions of the two shells in their atoms, and L."""

    bra: int
    ket: int
    L: int


def channels(bra: AtomBasis, ket: AtomBasis) -> tuple[Channel, ...]:
    """List the channels that parity and triangle rule allow: L = |l1 - l2|, |l1 - l2| + 2, .., l1 + l2."""
    return tuple(
        Channel(a, b, L)
        for a, first in enumerate(bra.shells)
        for b, second in enumerate(ket.shells)
        for L in range(abs(first.l - second.l), first.l + second.l + 1, 2)
    )


@dataclass(frozen=True)
class PairSplines:
    """Radial splines of a species pair and their expansion in blocks.

    Attributes
    ----------
    shape
        Orbitals (n_i, n_j).
    range
        Distance from which on everything is exactly zero, Angstrom.
    coefficients
        Polynomials (n_intervals, degree + 1, n_channels) in the fraction t of an interval: sum_p c_p t^p.
    term_channel, term_harmonic
        Channel and solid harmonic (L^2 + L + M) of each term of the expansion, (n_terms,).
    expansion
        Gaunt coefficients, sparse, (n_i * n_j, n_terms).
    """

    shape: tuple[int, int]
    range: float
    coefficients: NDArray[np.float64]
    term_channel: NDArray[np.int64]
    term_harmonic: NDArray[np.int64]
    expansion: csr_matrix

    @classmethod
    def from_coefficients(
        cls, bra: AtomBasis, ket: AtomBasis, range_: float, coefficients: NDArray[np.float64]
    ) -> PairSplines:
        """Attach the expansion to splines whose channels come in the order of `channels(bra, ket)`."""
        rows: list[int] = []
        columns: list[int] = []
        data: list[float] = []
        term_channel: list[int] = []
        term_harmonic: list[int] = []
        for c, channel in enumerate(channels(bra, ket)):
            tensor = gaunt(bra.shells[channel.bra].l, ket.shells[channel.ket].l, channel.L)
            first = len(term_channel)
            term_channel += [c] * (2 * channel.L + 1)
            term_harmonic += range(channel.L**2, (channel.L + 1) ** 2)
            for m1, m2, m in zip(*np.nonzero(tensor)):
                i, j = bra.offsets[channel.bra] + m1, ket.offsets[channel.ket] + m2
                rows.append(i * ket.n_orbitals + j)
                columns.append(first + m)
                data.append(tensor[m1, m2, m])
        shape = (bra.n_orbitals, ket.n_orbitals)
        expansion = csr_matrix((data, (rows, columns)), shape=(shape[0] * shape[1], len(term_channel)))
        coefficients = np.ascontiguousarray(coefficients)
        return cls(shape, range_, coefficients, np.array(term_channel), np.array(term_harmonic), expansion)

    @property
    def step(self) -> float:
        """Length of an interval, Angstrom."""
        return self.range / len(self.coefficients)

    def evaluate(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Blocks (n_pairs, n_i, n_j) of bond vectors (n_pairs, 3), Angstrom."""
        result = np.zeros((len(vectors), self.shape[0] * self.shape[1]))
        # pairs may be listed that something longer connects, as projectors do
        near = np.flatnonzero(np.einsum("pa,pa->p", vectors, vectors) < self.range**2)
        for chunk in _chunks(len(near)):
            v = vectors[near[chunk]]
            radial, _ = self._radial(v, slope=False)
            result[near[chunk]] = self._expand(radial, self._harmonics(v)).T
        return result.reshape(-1, *self.shape)

    def derivative(
        self, vectors: NDArray[np.float64], directions: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Derivatives of the blocks along a direction for each bond.

        Parameters
        ----------
        vectors
            Bond vectors (n_pairs, 3), Angstrom.
        directions
            Velocities of the bond vectors, (n_pairs, 3), in any unit.

        Returns
        -------
        derivative
            (n_pairs, n_i, n_j), in the directions' unit per Angstrom.
        """
        result = np.empty((len(vectors), self.shape[0] * self.shape[1]))
        for chunk in _chunks(len(vectors)):
            v, u = vectors[chunk], directions[chunk]
            radial, slope = self._radial(v, slope=True)
            harmonics = self._harmonics(v)
            length = np.linalg.norm(v, axis=1)
            # the splines are flat at the origin, so a zero bond has no direction to ask for
            stretch = np.einsum("pa,pa->p", v, u) / np.where(length > 0, length, 1.0)
            blocks = self._expand(slope * stretch, harmonics)
            blocks += self._expand(radial, _harmonic_derivative(harmonics, u))
            result[chunk] = blocks.T
        return result.reshape(-1, *self.shape)

    def gradient(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Derivatives (n_pairs, 3, n_i, n_j) of the blocks with respect to the bond vector, 1/Angstrom."""
        axes = (np.broadcast_to(axis, (len(vectors), 3)) for axis in np.eye(3))
        return np.stack([self.derivative(vectors, axis) for axis in axes], axis=1)

    def contracted_gradient(
        self, vectors: NDArray[np.float64], weights: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Derivative of sum_ij weights_ij M_ij(v) with respect to each bond vector, without its blocks.

        Parameters
        ----------
        vectors
            Bond vectors (n_pairs, 3), Angstrom.
        weights
            (n_pairs, n_i, n_j).

        Returns
        -------
        gradient
            (n_pairs, 3), per Angstrom.
        """
        result = np.empty((len(vectors), 3))
        for chunk in _chunks(len(vectors)):
            v = vectors[chunk]
            radial, slope = self._radial(v, slope=True)
            harmonics = self._harmonics(v)
            terms = self.expansion.T @ weights[chunk].reshape(len(v), -1).T
            length = np.linalg.norm(v, axis=1)
            along = terms * slope[self.term_channel] * harmonics[self.term_harmonic]
            # the splines are flat at the origin, so a zero bond has no direction to ask for
            stretch = along.sum(axis=0) / np.where(length > 0, length, 1.0)
            terms *= radial[self.term_channel]
            for a, axis in enumerate(np.eye(3)):
                turned = _harmonic_derivative(harmonics, np.broadcast_to(axis, v.shape))
                result[chunk, a] = stretch * v[:, a]
                result[chunk, a] += (terms * turned[self.term_harmonic]).sum(axis=0)
        return result

    def project(self, vectors: NDArray[np.float64], blocks: NDArray[np.float64]) -> NDArray[np.float64]:
        """Inner products of blocks with the angular matrix of each channel, (n_channels, n_pairs).

        That matrix is sum_M R_LM(v) G_c(M); the matrices of different channels are orthogonal.
        """
        terms = self.expansion.T @ blocks.reshape(len(blocks), -1).T
        terms *= self._harmonics(vectors)[self.term_harmonic]
        first = np.flatnonzero(np.diff(self.term_channel, prepend=-1))
        return np.add.reduceat(terms, first, axis=0)

    @cached_property
    def l_max(self) -> int:
        """Highest L of a channel."""
        return math.isqrt(int(self.term_harmonic.max()))

    def _harmonics(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Solid harmonics up to `l_max`, ((l_max + 1)^2, n_pairs)."""
        return np.stack(solid_components(self.l_max, *np.ascontiguousarray(vectors.T)))

    def _expand(self, radial: NDArray[np.float64], harmonics: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum over the terms of the expansion, (n_i * n_j, n_pairs)."""
        terms = radial[self.term_channel]
        terms *= harmonics[self.term_harmonic]
        return self.expansion @ terms

    def _radial(
        self, vectors: NDArray[np.float64], *, slope: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Radial functions and (where asked, else empty) their slopes, (n_channels, n_pairs) each."""
        position = np.linalg.norm(vectors, axis=1) / self.step
        inside = position < len(self.coefficients)
        interval = np.where(inside, position, 0).astype(np.int64)
        t = (position - interval)[:, None]
        polynomials = self.coefficients[interval]
        polynomials[~inside] = 0.0
        *lower, value = polynomials.swapaxes(0, 1)
        rise = np.zeros_like(value)
        for c in reversed(lower):  # Horner's rule
            if slope:
                rise = value + t * rise
            value = c + t * value
        return value.T, rise.T / self.step


Splines = TypeVar("Splines")


def oriented(splines: Mapping[SpeciesPair, Splines], key: SpeciesPair) -> tuple[Splines, bool]:
    """Splines of a species pair, of any back end, and whether they are kept in the reverse order.

    Raises
    ------
    InputError
        If the pair is in neither order.
    """
    if (found := splines.get(key)) is not None:
        return found, False
    if (found := splines.get((key[1], key[0]))) is not None:
        return found, True
    known = sorted({z for pair in splines for z in pair})
    raise InputError(
        f"no two-centre functions are known for the species pair {key}",
        field="species",
        remedy=f"use a basis that holds both elements (known: {known})",
    )


def _chunks(n: int) -> Iterator[slice]:
    for start in range(0, n, CHUNK):
        yield slice(start, min(start + CHUNK, n))


def _harmonic_derivative(
    harmonics: NDArray[np.float64], directions: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Derivative of all solid harmonics along one direction a pair, ((l_max + 1)^2, n_pairs)."""
    result = np.zeros_like(harmonics)
    for l in range(1, math.isqrt(len(harmonics))):
        lower = harmonics[(l - 1) ** 2 : l * l]
        for matrix, component in zip(solid_gradient(l), directions.T):
            result[l * l : (l + 1) ** 2] += matrix @ (lower * component)
    return result
