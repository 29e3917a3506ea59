"""Exchange-correlation potential of an unpolarised density on a mesh, with SIESTA's gradient, compiled.

Plane after plane of the first mesh direction: the gradient, the functional at each point, and what the
derivative with respect to the gradient there gives to the potential of the neighbours. No temporary is larger
than a few planes.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from n2amd.baseline.exchange_correlation_kernel import parameters, point
from n2amd.baseline.exchange_correlation_rows import ROWS, pbe_row
from n2amd.baseline.functionals import Functional
from n2amd.baseline.mesh_gradient import STENCIL

_C1, _C2, _C3 = STENCIL


def unpolarised(
    density: NDArray[np.float64], functional: Functional, metric: NDArray[np.float64], volume: float
) -> tuple[float, NDArray[np.float64]]:
    """Sum of the energy per volume and the derivative of that sum with respect to the density of every point.

    Parameters
    ----------
    density
        (n1, n2, n3), C order; `volume` times it is in 1/Bohr^3.
    functional
        From `find_functional`.
    metric
        (3, 3): sigma is the metric contracted with the derivatives per mesh step, 1/Bohr^2.
    volume
        One Bohr^3 in the density's unit of volume.

    Returns
    -------
    Hartree / Bohr^3; Hartree, (n1, n2, n3)
    """
    potential = np.zeros_like(density)
    six = (metric[0, 0], metric[1, 1], metric[2, 2], metric[0, 1], metric[0, 2], metric[1, 2])
    local = functional.gradient is None
    return float(_fill(density, volume, six, parameters(functional), local, potential)), potential


@njit(cache=True, error_model="numpy")
def _fill(density, volume, metric, given, local, potential):  # type: ignore[no-untyped-def]
    """Add the potential and return the sum of the energies per volume."""
    n1, n2, n3 = density.shape
    padded = np.empty((n2 + 6, n3 + 6))
    flow = np.empty((3, n2 + 6, n3 + 6))
    slope1, slope2, slope3 = np.empty(n3), np.empty(n3), np.empty(n3)
    sigma, by_sigma, work = np.empty(n3), np.empty(n3), np.empty((ROWS, n3))
    whole_rows = given[0] > 0
    energy = 0.0
    for i in range(n1):
        if local:
            for j in range(n2):
                energy += _local_row(given, volume, density[i, j], potential[i, j])
            continue
        _pad(density[i], padded)
        for j in range(n2):
            _slopes_along(density, i, j, slope1)
            _slopes_in_plane(padded, j, slope2, slope3)
            _sigma(volume, metric, slope1, slope2, slope3, sigma)
            if whole_rows:
                energy += pbe_row(given, volume, density[i, j], sigma, work, potential[i, j], by_sigma)
            else:
                energy += _row(given, volume, density[i, j], sigma, potential[i, j], by_sigma)
            _flow(volume, metric, by_sigma, slope1, slope2, slope3, flow[:, j + 3])
        _spread_along(flow[0], i, potential)
        _wrap(flow[1])
        _wrap(flow[2])
        _spread_in_plane(flow, potential[i])
    return energy


@njit(cache=True, error_model="numpy")
def _local_row(given, volume, density, potential):  # type: ignore[no-untyped-def]
    energy = 0.0
    for k in range(len(density)):
        e, by_density, _ = point(given, density[k] * volume, 0.0)
        energy += e
        potential[k] += by_density
    return energy


@njit(cache=True, error_model="numpy")
def _row(given, volume, density, sigma, potential, by_sigma):  # type: ignore[no-untyped-def]
    """Functional at the points of a row."""
    energy = 0.0
    for k in range(len(density)):
        e, by_density, by_sigma[k] = point(given, density[k] * volume, sigma[k])
        energy += e
        potential[k] += by_density
    return energy


@njit(cache=True, error_model="numpy")
def _pad(plane, padded):  # type: ignore[no-untyped-def]
    """Copy a plane into the middle of one with three more points at each side."""
    n2, n3 = plane.shape
    for j in range(n2):
        for k in range(n3):
            padded[j + 3, k + 3] = plane[j, k]
    _wrap(padded)


@njit(cache=True, error_model="numpy")
def _wrap(padded):  # type: ignore[no-untyped-def]
    """Continue a padded plane periodically. Loops: slices take ten times longer to compile."""
    n2, n3 = padded.shape[0] - 6, padded.shape[1] - 6
    for side in range(3):
        first, last = 3 + (side - 3) % n2, 3 + side % n2
        for k in range(3, n3 + 3):
            padded[side, k] = padded[first, k]
            padded[n2 + 3 + side, k] = padded[last, k]
    for j in range(n2 + 6):
        for side in range(3):
            padded[j, side] = padded[j, 3 + (side - 3) % n3]
            padded[j, n3 + 3 + side] = padded[j, 3 + side % n3]


@njit(cache=True, error_model="numpy")
def _slopes_along(density, i, j, slope):  # type: ignore[no-untyped-def]
    """Differences across the planes."""
    n1 = len(density)
    a1, a2, a3 = density[(i + 1) % n1, j], density[(i + 2) % n1, j], density[(i + 3) % n1, j]
    b1, b2, b3 = density[(i - 1) % n1, j], density[(i - 2) % n1, j], density[(i - 3) % n1, j]
    for k in range(len(slope)):
        slope[k] = _C1 * (a1[k] - b1[k]) + _C2 * (a2[k] - b2[k]) + _C3 * (a3[k] - b3[k])


@njit(cache=True, error_model="numpy")
def _slopes_in_plane(padded, j, slope2, slope3):  # type: ignore[no-untyped-def]
    """Differences in a plane."""
    row = padded[j + 3]
    a1, a2, a3, b1, b2, b3 = (
        padded[j + 4],
        padded[j + 5],
        padded[j + 6],
        padded[j + 2],
        padded[j + 1],
        padded[j],
    )
    for k in range(len(slope2)):
        slope2[k] = (
            _C1 * (a1[k + 3] - b1[k + 3]) + _C2 * (a2[k + 3] - b2[k + 3]) + _C3 * (a3[k + 3] - b3[k + 3])
        )
        slope3[k] = (
            _C1 * (row[k + 4] - row[k + 2]) + _C2 * (row[k + 5] - row[k + 1]) + _C3 * (row[k + 6] - row[k])
        )


@njit(cache=True, error_model="numpy")
def _sigma(volume, metric, d1, d2, d3, sigma):  # type: ignore[no-untyped-def]
    """Squared gradient."""
    m11, m22, m33, m12, m13, m23 = metric
    square = volume * volume
    for k in range(len(sigma)):
        diagonal = m11 * d1[k] * d1[k] + m22 * d2[k] * d2[k] + m33 * d3[k] * d3[k]
        mixed = m12 * d1[k] * d2[k] + m13 * d1[k] * d3[k] + m23 * d2[k] * d3[k]
        sigma[k] = max(0.0, square * (diagonal + 2 * mixed))


@njit(cache=True, error_model="numpy")
def _flow(volume, metric, by_sigma, d1, d2, d3, flow):  # type: ignore[no-untyped-def]
    """Derivative of the energy with respect to the three differences."""
    m11, m22, m33, m12, m13, m23 = metric
    for k in range(len(by_sigma)):
        factor = 2 * volume * by_sigma[k]
        flow[0, k + 3] = factor * (m11 * d1[k] + m12 * d2[k] + m13 * d3[k])
        flow[1, k + 3] = factor * (m12 * d1[k] + m22 * d2[k] + m23 * d3[k])
        flow[2, k + 3] = factor * (m13 * d1[k] + m23 * d2[k] + m33 * d3[k])


@njit(cache=True, error_model="numpy")
def _spread_along(flow, i, potential):  # type: ignore[no-untyped-def]
    """Adjoint of `_slopes_along`."""
    n1, n2, n3 = potential.shape
    for m, weight in ((1, _C1), (2, _C2), (3, _C3)):
        after, before = potential[(i + m) % n1], potential[(i - m) % n1]
        for j in range(n2):
            for k in range(n3):
                after[j, k] += weight * flow[j + 3, k + 3]
            for k in range(n3):
                before[j, k] -= weight * flow[j + 3, k + 3]


@njit(cache=True, error_model="numpy")
def _spread_in_plane(flow, potential):  # type: ignore[no-untyped-def]
    """Adjoint of `_slopes_in_plane`; the padded flow is periodic."""
    n2, n3 = potential.shape
    two, three = flow[1], flow[2]
    for j in range(n2):
        row = three[j + 3]
        a1, a2, a3, b1, b2, b3 = two[j + 4], two[j + 5], two[j + 6], two[j + 2], two[j + 1], two[j]
        for k in range(n3):
            across = (
                _C1 * (a1[k + 3] - b1[k + 3]) + _C2 * (a2[k + 3] - b2[k + 3]) + _C3 * (a3[k + 3] - b3[k + 3])
            )
            along = (
                _C1 * (row[k + 4] - row[k + 2])
                + _C2 * (row[k + 5] - row[k + 1])
                + _C3 * (row[k + 6] - row[k])
            )
            potential[j, k] -= across + along
