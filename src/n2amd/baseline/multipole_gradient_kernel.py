"""Compiled loop over the mesh points around an atom: gradient of its multipole functions times a field.

A function is g(r) times a solid harmonic, whose gradient is made of the harmonics of l - 1; the points are
sorted by their distance from the atom, as in `n2amd.baseline.multipole_kernel`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from n2amd.baseline.multipole_kernel import BATCH, SUMMED, component_count, sort_points


@njit(cache=True, fastmath=SUMMED)
def _sum_flow(
    table: Any, ends: Any, grid: Any, work: Any, gradients: Any, field: Any, flow: Any, result: Any
) -> None:
    """Add the field times the gradient of the atom's functions at the sorted points to `result` (3,)."""
    inverse, starts = grid[1], work.starts
    radial, slope, mixed = work.value[0], work.value[1], work.value[2]
    for k in range(len(table)):
        for begin in range(starts[k], starts[k + 1], BATCH):
            n = min(BATCH, starts[k + 1] - begin)
            place, point = work.place[:, begin : begin + n], work.point[begin : begin + n]
            t = place[3]
            components = component_count(k, ends, begin, n, work)
            mixed[:n] = 0.0
            flow[:, :n] = 0.0
            for m in range(components):
                a, b, c, d = table[k, 0, m], table[k, 1, m], table[k, 2, m], table[k, 3, m]
                harmonic = work.harmonics[m]
                for p in range(n):
                    slope[p] = inverse * (b + t[p] * (2 * c + 3 * t[p] * d))
                    radial[p] = a + t[p] * (b + t[p] * (c + t[p] * d))
                    mixed[p] += slope[p] * harmonic[p]
                l = np.int64(np.sqrt(m + 0.5))
                for term in range(gradients.start[l], gradients.start[l + 1]):
                    if l * l + gradients.upper[term] == m:
                        target, factor = flow[gradients.axis[term]], gradients.factor[term]
                        lower = work.harmonics[gradients.lower[term]]
                        for p in range(n):
                            target[p] += factor * radial[p] * lower[p]
            for p in range(n):
                r = (k + t[p]) / inverse
                mixed[p] = mixed[p] / r if r > 0.0 else 0.0
            for axis in range(3):
                total = 0.0
                for p in range(n):
                    total += field[point[p]] * (flow[axis, p] + mixed[p] * place[axis, p])
                result[axis] += total


@njit(cache=True)
def gradient_of_atom(
    place: Any,
    grid: Any,
    box: Any,
    ends: Any,
    work: Any,
    table: Any,
    gradients: Any,
    field: Any,
    result: Any,
) -> None:
    """Add to `result` (3,) the sum over points of the field times the gradient of one atom's functions.

    Parameters
    ----------
    place, grid, box, ends, work, table
        As for `n2amd.baseline.multipole_kernel.visit_atom`.
    gradients
        Terms of the gradients of solid harmonics.
    field
        (n_points,).
    result
        (3,).
    """
    low, high = box
    flow = np.empty((3, BATCH))
    line = min(high[2] - low[2] + 1, len(work.node))
    step = max(1, len(work.node) // max(1, (high[1] - low[1] + 1) * line))
    for begin in range(low[0], high[0] + 1, step):
        sort_points(begin, min(begin + step, high[0] + 1), place, grid, box, work)
        _sum_flow(table, ends, grid, work, gradients, field, flow, result)
