"""Radial overlap functions f = s_L(r) / r^L of a species pair, as piecewise polynomials.

Quintic Hermite interpolation of values, slopes and curvatures, which the Bessel transforms give exactly:
dh_L/dr = -k r h_(L+1) for h_L = j_L(k r) / r^L. It is local (a shell pair that ends leaves no echo in the
others' range), and at the default step within 1e-9 of the quadrature, kinks in the orbitals included.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from n2amd.orbitals.basis import AtomBasis, Shell
from n2amd.orbitals.bessel_transform import RadialTransforms, known_cutoff, overlap_sign, reduced_bessel
from n2amd.orbitals.pair_splines import Channel, channels

#: Row p gives the coefficient of t^p on [0, 1] from (value, slope, curvature) at t = 0 and the same at t = 1.
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


class BesselKernels:
    """h_L = j_L(k r) / r^L on a uniform grid of distances: made once, shared by all species pairs.

    Parameters
    ----------
    k
        Wave numbers (n_k,), 1/Angstrom.
    step
        Spacing of the distances, which begin at 0, Angstrom.
    longest
        The grid ends at the first multiple of `step` not below this, Angstrom.
    """

    def __init__(self, k: NDArray[np.float64], step: float, longest: float) -> None:
        self.k, self.step = k, step
        self.distances = step * np.arange(np.ceil(longest / step - 1e-9) + 1)
        self._kernels: dict[int, NDArray[np.float64]] = {}

    def __getitem__(self, L: int) -> NDArray[np.float64]:
        """h_L, (n_grid, n_k)."""
        if L not in self._kernels:
            self._kernels[L] = reduced_bessel(L, self.k, self.distances)
        return self._kernels[L]


def tabulate(
    bra: AtomBasis, ket: AtomBasis, transforms: RadialTransforms, kernels: BesselKernels, tolerance: float
) -> tuple[float, NDArray[np.float64]]:
    """Piecewise polynomials of every channel of a species pair.

    Parameters
    ----------
    bra, ket
        The two atoms' shells.
    transforms
        Bessel transforms of both.
    kernels
        Of the same wave numbers, to the sum of the atoms' radii at least; its grid gives the knots.
    tolerance
        The range ends where every |s_L| stays below this; 0: with the sum of the orbitals' radii.

    Returns
    -------
    range
        Distance from which on everything is zero, Angstrom.
    coefficients
        (n_intervals, 6, n_channels), as `PairSplines` takes them.
    """
    step = kernels.step
    n_knots = int(np.ceil((known_cutoff(bra) + known_cutoff(ket)) / step - 1e-9)) + 1
    grid = kernels.distances[:n_knots]
    values = radial_overlaps(bra, ket, transforms, kernels, n_knots)
    end = _last_knot(values[0], grid, channels(bra, ket), tolerance)
    scaled = values[:, : end + 1] * (step ** np.arange(3))[:, None, None]
    scaled[:, -1] = 0.0
    both_ends = np.concatenate([scaled[:, :-1], scaled[:, 1:]])
    return float(grid[end]), np.einsum("pd,dic->ipc", QUINTIC_HERMITE, both_ends)


def radial_overlaps(
    bra: AtomBasis, ket: AtomBasis, transforms: RadialTransforms, kernels: BesselKernels, n_grid: int
) -> NDArray[np.float64]:
    """f = s_L(r) / r^L of every channel with its first two derivatives.

    Parameters
    ----------
    bra, ket
        The two atoms' shells.
    transforms
        Bessel transforms of both.
    kernels
        Of the transforms' wave numbers.
    n_grid
        Distances wanted, from the first on.

    Returns
    -------
    values
        (3, n_grid, n_channels), zero from the sum of the two shells' radii on.
    """
    listed = channels(bra, ket)
    k, grid = transforms.k, kernels.distances[:n_grid]
    r = grid[:, None]
    weights = 8 * transforms.weights * k**2
    bra_transforms, ket_transforms = transforms.values[bra.number], transforms.values[ket.number]
    values = np.empty((3, len(grid), len(listed)))
    for L in {c.L for c in listed}:
        columns = [column for column, c in enumerate(listed) if c.L == L]
        integrand = np.empty((len(k), len(columns)))
        for n, c in enumerate(listed[column] for column in columns):
            sign = overlap_sign(bra.shells[c.bra].l, ket.shells[c.ket].l, L)
            integrand[:, n] = sign * weights * bra_transforms[c.bra] * ket_transforms[c.ket]
        once, twice = (kernels[L + n][:n_grid] @ (k[:, None] ** n * integrand) for n in (1, 2))
        values[0][:, columns] = kernels[L][:n_grid] @ integrand
        values[1][:, columns] = -r * once
        values[2][:, columns] = r**2 * twice - once
    for column, c in enumerate(listed):
        values[:, grid >= _radius(bra.shells[c.bra]) + _radius(ket.shells[c.ket]) - 1e-9, column] = 0.0
    return values


def _last_knot(
    values: NDArray[np.float64], grid: NDArray[np.float64], listed: Sequence[Channel], tolerance: float
) -> int:
    """First knot from which on every |s_L| stays within the tolerance."""
    powers = grid[:, None] ** np.array([c.L for c in listed])
    relevant = np.abs(values * powers).max(axis=1) > tolerance
    return min(int(np.flatnonzero(relevant).max(initial=0)) + 1, len(grid) - 1)


def _radius(shell: Shell) -> float:
    return shell.radial.reach if shell.radial is not None else np.inf
