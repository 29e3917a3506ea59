"""Radial functions from overlaps: which functions R_a(r) have the overlaps that a code wrote?

All overlaps of a basis come from one radial function a shell,

    s_L(d) = 8 i^(l1 - l2 - L) int k^2 F_a(k) F_b(k) j_L(kd) dk,   F_a(k) = int j_l(kr) R_a(r) r^2 dr

(see `n2amd.orbitals.bessel_transform`). The functions end, at radii longer than half the bonds, so that the
overlaps at the distances of a few frames determine them, and with them the overlaps at every other distance:
those of an atom with its own displaced image included. R_a is a cubic spline; the bilinear least squares are
solved by the Levenberg-Marquardt method (D. W. Marquardt, J. SIAM 11, 431 (1963)) from smooth nodeless
functions, first with coarse splines, then with finer ones. What the data leave open is told by the
covariance of the solution (A. Tarantola, Inverse Problem Theory (SIAM, 2005), eq. 3.56).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from n2amd.blocks.matrix import SpeciesPair
from n2amd.orbitals.basis import Basis, RadialFunction
from n2amd.orbitals.bessel_transform import QUADRATURE_STEP
from n2amd.orbitals.overlap_samples import OverlapSamples, PairSamples, estimated_cutoffs
from n2amd.orbitals.pair_splines import channels
from n2amd.orbitals.radial_model import Functions, RadialModel, ShellKey, list_samples, wave_numbers

#: Knot spacings at the nucleus, Angstrom, from the first stage to the last.
SPACINGS = (0.10, 0.06, 0.04)
#: Errors that the samples are taken to have in each stage, one after the other.
NOISE = ((1e-1, 1e-2, 1e-3, 1e-4), (1e-4, 1e-5, 1e-6), (1e-5, 1e-6, 1e-7))
#: Cutoffs that are tried, factor and addend (Angstrom) on what the data show: where orbitals fade, overlaps
#: are negligible long before the orbitals end (a Gaussian's tail by the square root of two).
LONGER = ((1.0, 0.35), (1.2, 0.1), (1.45, 0.0))
#: Starts that are tried with each, and the root-mean-square difference at which the search ends.
STARTS, GOOD = 3, 1e-6
#: An orbital ends where the square root of the norm beyond is this, if the overlaps fit as well then:
#: root-mean-square difference at most so many times larger.
EMPTY, ALIKE = 1e-4, 1.2
#: Steps of one noise level, and relative gain below which it is left.
MAX_STEPS, LEAST_GAIN = 60, 1e-3
#: Smallest error that samples are taken to have where the doubt is computed.
LEAST_NOISE = 1e-8
#: Standard deviations of s_L, times the largest harmonic of an element, that count as doubt.
DEVIATIONS = 10 / np.sqrt(4 * np.pi)


@dataclass(frozen=True)
class Recovery:
    """A basis with radial functions, how well its overlaps fit, and what the data leave open.

    Attributes
    ----------
    basis
        Every shell with its radial function. All functions at once may have the other sign, which no overlap
        shows.
    model, unknowns, cutoffs
        The functions as splines; radius of each orbital, Angstrom.
    differences
        s_L minus the samples, those on the atoms included, (n_samples,).
    """

    basis: Basis
    model: RadialModel
    unknowns: NDArray[np.float64]
    cutoffs: Mapping[ShellKey, float]
    differences: NDArray[np.float64]

    @property
    def rms(self) -> float:
        """Root-mean-square difference from the samples."""
        return float(np.sqrt(np.mean(self.differences**2)))

    def doubt(self, key: SpeciesPair, distances: NDArray[np.float64]) -> NDArray[np.float64]:
        """Error that an overlap element may have at each distance, as far as the data can tell, (n,).

        Ten standard deviations of the element with the largest, where the samples' errors are as large as
        their differences from the fit.

        Parameters
        ----------
        key
            Species pair (z_i <= z_j).
        distances
            (n,), Angstrom; not zero.
        """
        listed = channels(self.basis[key[0]], self.basis[key[1]])
        # the range ends where orbitals end: a channel counts only the distances below that
        points = OverlapSamples({key: PairSamples(distances, np.zeros((len(distances), len(listed))))}, {})
        transforms = self.model.transforms(self.unknowns)
        result = np.zeros(len(distances))
        for samples in list_samples(self.basis, points, self.cutoffs, wave_numbers(self.cutoffs)):
            jacobian = np.zeros((len(samples.wanted), len(self.unknowns)))
            for columns, part in self.model.derivative(samples, transforms):
                jacobian[:, columns] += part
            deviation = np.linalg.norm(jacobian @ self._root, axis=1)
            n = len(deviation)
            result[:n] = np.maximum(result[:n], DEVIATIONS * deviation)
        return result

    @cached_property
    def _root(self) -> NDArray[np.float64]:
        """Square root of the covariance of the unknowns, (n_unknowns, n_unknowns)."""
        noise = max(self.rms, LEAST_NOISE)
        matrix = self.model.normal_equations(self.unknowns)[0] / noise**2
        values, vectors = np.linalg.eigh(matrix + self.model.penalty())
        return vectors / np.sqrt(np.maximum(values, 1e-15 * values[-1]))


def recover(basis: Basis, samples: OverlapSamples) -> Recovery:
    """Find radial functions whose overlaps are the samples.

    Parameters
    ----------
    basis
        Shells of every element; radial functions are not used.
    samples
        s_L(d) and on-site blocks.

    Returns
    -------
    recovery
        The best that was found; look at its `rms` and `doubt`.
    """
    cutoffs, functions = _first_stage(basis, samples)
    for spacing, noise in zip(SPACINGS[1:], NOISE[1:], strict=True):
        found = _refine(basis, samples, cutoffs, functions, spacing, noise)
        functions = found.model.functions(found.unknowns)
    # orbitals that end with a slope are sharper with the right end, which their tails give away
    ends = {
        key: min(_end(basis[key[0]].shells[key[1]].l, function), cutoffs[key])
        for key, function in functions.items()
    }
    shorter = _refine(basis, samples, ends, functions, SPACINGS[-1], NOISE[-1])
    return shorter if shorter.rms < ALIKE * found.rms else found


def _first_stage(basis: Basis, samples: OverlapSamples) -> tuple[Mapping[ShellKey, float], Functions]:
    """Try cutoffs and starts with coarse splines; return the best ones."""
    shown = estimated_cutoffs(basis, samples)
    best: tuple[float, Mapping[ShellKey, float], Functions] | None = None
    for factor, addend in LONGER:
        cutoffs = {key: factor * radius + addend for key, radius in shown.items()}
        for seed in range(STARTS):
            start = _start(basis, cutoffs, np.random.default_rng(seed) if seed else None)
            found = _refine(basis, samples, cutoffs, start, SPACINGS[0], NOISE[0])
            if best is None or found.rms < best[0]:
                best = found.rms, cutoffs, found.model.functions(found.unknowns)
            if found.rms < GOOD:
                return best[1:]
    assert best is not None
    return best[1:]


def _start(basis: Basis, cutoffs: Mapping[ShellKey, float], rng: np.random.Generator | None) -> Functions:
    """Nodeless normalised functions that fade towards their cutoffs."""
    functions = {}
    for (z, n), cutoff in cutoffs.items():
        r, l = np.arange(0.0, cutoff, QUADRATURE_STEP), basis[z].shells[n].l
        decay = 4.0 if rng is None else rng.uniform(2.0, 8.0)
        function = np.exp(-decay * r / cutoff) * (1 - (r / cutoff) ** 2) ** 2
        if rng is not None:
            function *= 1 + 0.5 * rng.normal() * np.cos(np.pi * r / cutoff)
        functions[z, n] = function / np.sqrt(QUADRATURE_STEP * np.sum(function**2 * r ** (2 * l + 2)))
    return functions


def _refine(
    basis: Basis,
    samples: OverlapSamples,
    cutoffs: Mapping[ShellKey, float],
    functions: Functions,
    spacing: float,
    noise: tuple[float, ...],
) -> Recovery:
    """Improve functions with splines of one spacing."""
    model = RadialModel.build(basis, samples, cutoffs, spacing)
    unknowns = _solve(model, model.unknowns_of(functions), noise)
    found = _with_functions(basis, model.functions(unknowns), cutoffs)
    return Recovery(found, model, unknowns, cutoffs, model.residuals(unknowns))


def _solve(
    model: RadialModel, unknowns: NDArray[np.float64], noise: tuple[float, ...]
) -> NDArray[np.float64]:
    """Levenberg-Marquardt steps, noise level after noise level."""
    penalty, damping = model.penalty(), 1e-2
    for sigma in noise:
        for _ in range(MAX_STEPS):
            matrix, right, squares = model.normal_equations(unknowns)
            matrix, right = matrix / sigma**2 + penalty, right / sigma**2 + penalty @ unknowns
            before = squares / sigma**2 + float(unknowns @ penalty @ unknowns)
            diagonal = np.diag(np.diag(matrix))
            for _ in range(12):
                trial = unknowns - np.linalg.solve(matrix + damping * diagonal, right)
                after = float(np.sum(model.residuals(trial) ** 2)) / sigma**2 + float(trial @ penalty @ trial)
                if after < before:
                    break
                damping *= 4
            else:
                break  # no step of any length helps
            unknowns, damping = trial, max(damping / 5, 1e-12)
            if before - after < LEAST_GAIN * before:
                break
    return unknowns


def _end(l: int, function: NDArray[np.float64]) -> float:
    """Radius beyond which less than `EMPTY` of the norm is left (as a square root), Angstrom."""
    r = QUADRATURE_STEP * np.arange(len(function))
    left = np.sqrt(QUADRATURE_STEP * np.cumsum((function * r ** (l + 1))[::-1] ** 2)[::-1])
    return float(r[np.flatnonzero(left > EMPTY).max()]) + 2 * QUADRATURE_STEP


def _with_functions(basis: Basis, functions: Functions, cutoffs: Mapping[ShellKey, float]) -> Basis:
    """Return the basis with the functions in its shells."""
    atoms = {}
    for z, atom in basis.atoms.items():
        shells = tuple(
            replace(
                shell,
                radial=RadialFunction(QUADRATURE_STEP, np.append(functions[z, n], 0.0), cutoffs[z, n]),
            )
            for n, shell in enumerate(atom.shells)
        )
        atoms[z] = replace(atom, shells=shells)
    return Basis(atoms)
