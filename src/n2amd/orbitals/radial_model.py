"""Radial functions as splines, and the overlaps that they make: residuals, derivatives, plausible sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline
from scipy.special import spherical_jn

from n2amd.orbitals.basis import AtomBasis, Basis
from n2amd.orbitals.bessel_transform import QUADRATURE_STEP, overlap_sign
from n2amd.orbitals.harmonics import gaunt
from n2amd.orbitals.overlap_samples import OverlapSamples
from n2amd.orbitals.pair_splines import channels

#: Element and position of the shell in its atom.
ShellKey = tuple[int, int]
#: R(r) / r^l of every shell at r = 0, `QUADRATURE_STEP`, ... up to its cutoff, Angstrom^(-3/2 - l).
Functions = Mapping[ShellKey, NDArray[np.float64]]

#: Highest wave number, 1/Angstrom: sharper features than valence orbitals have.
MAX_WAVE_NUMBER = 40.0
#: Ratio of the knots' spacing at the cutoff to that at the nucleus is cosh of this.
GRADING = 1.5
#: Weight of squared third differences of the unknowns (smoothness), and of their squares.
SMOOTHNESS, SIZE = 0.1, 1e-4
#: Plausible R(r) / r^l: large and steep at the nucleus, small outside (Angstrom^-3/2-l; decay in Angstrom).
PEAK, DECAY, TAIL = 6.0, 0.6, 0.02


@dataclass(frozen=True)
class ShellSplines:
    """A shell as linear combination of splines.

    Attributes
    ----------
    l
        Angular momentum.
    unknowns
        Its part of the vector of all unknowns.
    grid
        Radii, (n_grid,), Angstrom.
    splines
        R(r) / r^l of every spline on the grid, (n_grid, n).
    transforms
        F(k) of every spline, (n_k, n).
    """

    l: int
    unknowns: slice
    grid: NDArray[np.float64]
    splines: NDArray[np.float64]
    transforms: NDArray[np.float64]

    def unknowns_of(self, function: NDArray[np.float64]) -> NDArray[np.float64]:
        """Unknowns of a function R(r) / r^l on the radial grid, by least squares weighted as the norm is."""
        n = len(self.grid)
        function = np.pad(function[:n], (0, max(n - len(function), 0)))
        weight = self.grid ** (self.l + 1) + 1e-3
        return np.asarray(np.linalg.lstsq(self.splines * weight[:, None], function * weight, rcond=1e-8)[0])


@dataclass(frozen=True)
class ChannelSamples:
    """One channel: s_L(d) wanted at n distances, (n,), and the kernel (n, n_k) on the product F_a F_b."""

    bra: ShellKey
    ket: ShellKey
    kernel: NDArray[np.float64]
    wanted: NDArray[np.float64]


@dataclass(frozen=True)
class RadialModel:
    """Shells as splines, and the samples that their overlaps are compared with."""

    shells: Mapping[ShellKey, ShellSplines]
    samples: list[ChannelSamples]

    @classmethod
    def build(
        cls, basis: Basis, samples: OverlapSamples, cutoffs: Mapping[ShellKey, float], spacing: float
    ) -> RadialModel:
        """Make the splines of every shell.

        Parameters
        ----------
        basis
            Shells of every element; radial functions are not used.
        samples
            s_L(d) and on-site blocks.
        cutoffs
            Radius beyond which each orbital is zero, Angstrom.
        spacing
            Spacing of the knots at the nucleus, Angstrom.
        """
        k = wave_numbers(cutoffs)
        return cls(_shells(basis, cutoffs, spacing, k), list_samples(basis, samples, cutoffs, k))

    def unknowns_of(self, functions: Functions) -> NDArray[np.float64]:
        """Vector of unknowns of given functions."""
        return np.concatenate([shell.unknowns_of(functions[key]) for key, shell in self.shells.items()])

    def functions(self, unknowns: NDArray[np.float64]) -> Functions:
        """R(r) / r^l of every shell."""
        return {key: s.splines @ unknowns[s.unknowns] for key, s in self.shells.items()}

    def transforms(self, unknowns: NDArray[np.float64]) -> dict[ShellKey, NDArray[np.float64]]:
        """F(k) of every shell."""
        return {key: s.transforms @ unknowns[s.unknowns] for key, s in self.shells.items()}

    def residuals(self, unknowns: NDArray[np.float64]) -> NDArray[np.float64]:
        """Differences of s_L from the samples, (n_samples,)."""
        f = self.transforms(unknowns)
        return np.concatenate([s.kernel @ (f[s.bra] * f[s.ket]) - s.wanted for s in self.samples])

    def derivative(
        self, samples: ChannelSamples, f: Mapping[ShellKey, NDArray[np.float64]]
    ) -> list[tuple[slice, NDArray[np.float64]]]:
        """Derivatives of a channel's s_L with the unknowns of its two shells, as (unknowns, (n, n_unknowns)).

        For a shell with itself the two parts belong to the same unknowns and add up.
        """
        bra, ket = self.shells[samples.bra], self.shells[samples.ket]
        return [
            (bra.unknowns, (samples.kernel * f[samples.ket]) @ bra.transforms),
            (ket.unknowns, (samples.kernel * f[samples.bra]) @ ket.transforms),
        ]

    def normal_equations(
        self, unknowns: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        """Return J^T J, J^T r and r^T r of the residuals r and their Jacobian J."""
        f = self.transforms(unknowns)
        matrix = np.zeros((len(unknowns),) * 2)
        right, total = np.zeros(len(unknowns)), 0.0
        for samples in self.samples:
            residual = samples.kernel @ (f[samples.bra] * f[samples.ket]) - samples.wanted
            parts = self.derivative(samples, f)
            for rows, first in parts:
                right[rows] += first.T @ residual
                for columns, second in parts:
                    matrix[rows, columns] += first.T @ second
            total += float(residual @ residual)
        return matrix, right, total

    def penalty(self) -> NDArray[np.float64]:
        """Quadratic form (n_unknowns, n_unknowns) that prefers smooth functions of plausible size."""
        matrix = SIZE * np.eye(sum(s.splines.shape[1] for s in self.shells.values()))
        for shell in self.shells.values():
            third = np.diff(np.eye(shell.splines.shape[1]), 3, axis=0)
            matrix[shell.unknowns, shell.unknowns] += SMOOTHNESS * third.T @ third
        return matrix


def wave_numbers(cutoffs: Mapping[ShellKey, float]) -> NDArray[np.float64]:
    """Uniform wave numbers (n_k,) for which the trapezoidal rule over k is exact."""
    n = int(np.ceil(1.3 * MAX_WAVE_NUMBER * 2 * max(cutoffs.values()) / np.pi))
    return MAX_WAVE_NUMBER / n * np.arange(1, n + 1, dtype=np.float64)


def _splines(cutoff: float, spacing: float, r: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cubic B-splines that are even in r and zero at the cutoff, (n_grid, n); knots are denser inside."""
    n = max(int(np.ceil(cutoff * GRADING / (spacing * np.sinh(GRADING)))), 6)
    knots = cutoff * np.sinh(GRADING * np.arange(-3, n + 4) / n) / np.sinh(GRADING)
    values = BSpline.design_matrix(np.append(r, cutoff), knots, 3, extrapolate=True).toarray()
    values[:, 2] += values[:, 0]  # the mirror image of the first spline on this side of the nucleus
    values = values[:, 1:]
    last, kept = values[:, -1], values[:, :-1].copy()
    kept -= last[:, None] * (kept[-1] / last[-1])
    return kept[:-1]


def _shells(
    basis: Basis, cutoffs: Mapping[ShellKey, float], spacing: float, k: NDArray[np.float64]
) -> dict[ShellKey, ShellSplines]:
    shells, first = {}, 0
    for (z, n), cutoff in cutoffs.items():
        l = basis[z].shells[n].l
        r = np.arange(0.0, cutoff, QUADRATURE_STEP)
        splines = _splines(cutoff, spacing, r)
        splines *= _plausible(r[splines.argmax(axis=0)])
        transforms = spherical_jn(l, k[:, None] * r) @ (QUADRATURE_STEP * splines * r[:, None] ** (l + 2))
        shells[z, n] = ShellSplines(l, slice(first, first + splines.shape[1]), r, splines, transforms)
        first += splines.shape[1]
    return shells


def _plausible(r: NDArray[np.float64]) -> NDArray[np.float64]:
    """Size of R(r) / r^l that makes the unknowns of order one."""
    return PEAK * np.exp(-r / DECAY) + TAIL


def list_samples(
    basis: Basis, samples: OverlapSamples, cutoffs: Mapping[ShellKey, float], k: NDArray[np.float64]
) -> list[ChannelSamples]:
    """List the samples channel by channel, up to where the two orbitals end."""
    weights = 8 * k[0] * k**2
    result = []
    for (zi, zj), found in samples.pairs.items():
        listed = channels(basis[zi], basis[zj])
        kernels = {L: spherical_jn(L, found.distances[:, None] * k) * weights for L in {c.L for c in listed}}
        for column, c in enumerate(listed):
            bra, ket = (zi, c.bra), (zj, c.ket)
            n = int(np.searchsorted(found.distances, cutoffs[bra] + cutoffs[ket]))
            sign = overlap_sign(basis[zi].shells[c.bra].l, basis[zj].shells[c.ket].l, c.L)
            if n:
                result.append(ChannelSamples(bra, ket, kernels[c.L][:n], sign * found.values[:n, column]))
    for z, block in samples.on_site.items():
        result += _on_site(basis[z], block, weights)
    return result


def _on_site(
    atom: AtomBasis, block: NDArray[np.float64], weights: NDArray[np.float64]
) -> list[ChannelSamples]:
    """Overlaps of the shells of one atom with equal l: s_0(0)."""
    result = []
    for a, first in enumerate(atom.shells):
        for b, second in enumerate(atom.shells[: a + 1]):
            if first.l == second.l:
                harmonic = gaunt(first.l, first.l, 0)[0, 0, 0] / np.sqrt(4 * np.pi)
                value = block[atom.offsets[a], atom.offsets[b]] / harmonic
                result.append(
                    ChannelSamples((atom.number, a), (atom.number, b), weights[None], np.array([value]))
                )
    return result
