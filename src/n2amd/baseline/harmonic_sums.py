"""Sums of radial polynomials times solid harmonics at points that share the polynomials, compiled.

    value(x, y, z) = sum_lm (a_lm + t (b_lm + t (c_lm + t d_lm))) Y_lm(x, y, z) r^l

Harmonics and sums are made in one pass: written out and read again, the harmonics cost more than the sums.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from n2amd.baseline.compiled_harmonics import FACTORS, FUSED


def sum_table(polynomials: NDArray[np.float64]) -> NDArray[np.float64]:
    """Table for `fill_sums` from polynomials (n_intervals, 4, (l_max + 1)^2), at least up to l = 2."""
    n = polynomials.shape[2]
    table = np.zeros((*polynomials.shape[:2], max(n, 9)))
    np.multiply(polynomials, FACTORS[:n], out=table[:, :, :n])
    return table


@njit(cache=True, fastmath=FUSED)
def fill_sums(table: Any, n_l: int, place: Any, begin: int, n: int, value: Any) -> None:
    """Fill the first `n` of `value` with the sums over l < max(n_l, 3).

    Parameters
    ----------
    table
        Of one interval, (4, n_components), see `sum_table`.
    n_l
        Number of l that matter.
    place
        x, y, z and t of points, (4, n_points).
    begin
        First of the points.
    """
    x, y, z, t = place[0, begin:], place[1, begin:], place[2, begin:], place[3, begin:]
    _low(table, x, y, z, t, n, value)
    if n_l > 3:
        _third(table, x, y, z, t, n, value)
    if n_l > 4:
        _fourth(table, x, y, z, t, n, value)


@njit(cache=True, fastmath=FUSED, inline="always")
def _radial(table, m, t):  # type: ignore[no-untyped-def]
    return table[0, m] + t * (table[1, m] + t * (table[2, m] + t * table[3, m]))


@njit(cache=True, fastmath=FUSED)
def _low(table, x, y, z, t, n, value):  # type: ignore[no-untyped-def]
    """Sums over l <= 2."""
    for p in range(n):
        a, b, c, q = x[p], y[p], z[p], t[p]
        aa, bb = a * a, b * b
        total = _radial(table, 0, q) + a * (_radial(table, 3, q) + c * _radial(table, 7, q))
        total += b * (_radial(table, 1, q) + a * _radial(table, 4, q) + c * _radial(table, 5, q))
        total += c * _radial(table, 2, q) + (2 * c * c - aa - bb) * _radial(table, 6, q)
        value[p] = total + (aa - bb) * _radial(table, 8, q)


@njit(cache=True, fastmath=FUSED)
def _third(table, x, y, z, t, n, value):  # type: ignore[no-untyped-def]
    """Add the sums of l = 3."""
    for p in range(n):
        a, b, c, q = x[p], y[p], z[p], t[p]
        aa, bb, cc = a * a, b * b, c * c
        first = 4 * cc - aa - bb
        total = a * (first * _radial(table, 13, q) + (aa - 3 * bb) * _radial(table, 15, q))
        total += b * (first * _radial(table, 11, q) + (3 * aa - bb) * _radial(table, 9, q))
        total += c * ((2 * cc - 3 * aa - 3 * bb) * _radial(table, 12, q) + (aa - bb) * _radial(table, 14, q))
        value[p] += total + a * b * c * _radial(table, 10, q)


@njit(cache=True, fastmath=FUSED)
def _fourth(table, x, y, z, t, n, value):  # type: ignore[no-untyped-def]
    """Add the sums of l = 4."""
    for p in range(n):
        a, b, c, q = x[p], y[p], z[p], t[p]
        aa, bb, cc = a * a, b * b, c * c
        square = aa + bb + cc
        first, second, across = 7 * cc - 3 * square, 7 * cc - square, aa - bb
        total = a * b * (across * _radial(table, 16, q) + second * _radial(table, 18, q))
        total += b * c * ((3 * aa - bb) * _radial(table, 17, q) + first * _radial(table, 19, q))
        total += a * c * (first * _radial(table, 21, q) + (aa - 3 * bb) * _radial(table, 23, q))
        total += (35 * cc * cc - 30 * cc * square + 3 * square * square) * _radial(table, 20, q)
        total += across * second * _radial(table, 22, q)
        value[p] += total + (across * across - 4 * aa * bb) * _radial(table, 24, q)
