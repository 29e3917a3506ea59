"""Compiled loops over the mesh points around an atom: gradient of its multipole functions, and moves of it.

A function is g(r) times a solid harmonic, whose gradient is made of the harmonics of l - 1; the points are
sorted by their distance from the atom, as in `n2amd.baseline.multipole_kernel`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from n2amd.baseline.multipole_kernel import BATCH, SUMMED, component_count, sort_points


@njit(cache=True, fastmath=SUMMED)
def _fill_flow(
    k: int, begin: int, n: int, table: Any, ends: Any, grid: Any, work: Any, gradients: Any, flow: Any
) -> None:
    """Fill `flow` (3, n) with the gradient of the atom's functions at `n` sorted points of interval k."""
    inverse = grid[1]
    radial, slope, mixed = work.value[0], work.value[1], work.value[2]
    place = work.place[:, begin : begin + n]
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
        for p in range(n):
            flow[axis, p] += mixed[p] * place[axis, p]


@njit(cache=True, fastmath=SUMMED)
def _sum_flow(
    table: Any, ends: Any, grid: Any, work: Any, gradients: Any, field: Any, flow: Any, result: Any
) -> None:
    """Add the field times the gradient of the atom's functions at the sorted points to `result` (3,)."""
    starts = work.starts
    for k in range(len(table)):
        for begin in range(starts[k], starts[k + 1], BATCH):
            n = min(BATCH, starts[k + 1] - begin)
            point = work.point[begin : begin + n]
            _fill_flow(k, begin, n, table, ends, grid, work, gradients, flow)
            for axis in range(3):
                total = 0.0
                for p in range(n):
                    total += field[point[p]] * flow[axis, p]
                result[axis] += total


@njit(cache=True, fastmath=SUMMED)
def _add_flow(
    table: Any, ends: Any, grid: Any, work: Any, gradients: Any, move: Any, flow: Any, field: Any
) -> None:
    """Add minus the move times the gradient of the atom's functions to the field at the sorted points."""
    starts = work.starts
    for k in range(len(table)):
        for begin in range(starts[k], starts[k + 1], BATCH):
            n = min(BATCH, starts[k + 1] - begin)
            point = work.point[begin : begin + n]
            _fill_flow(k, begin, n, table, ends, grid, work, gradients, flow)
            for p in range(n):
                field[point[p]] -= move[0] * flow[0, p] + move[1] * flow[1, p] + move[2] * flow[2, p]


@njit(cache=True)
def _planes(box: Any, work: Any) -> int:
    """Planes of points that are sorted at once."""
    low, high = box
    line = min(high[2] - low[2] + 1, len(work.node))
    return max(1, len(work.node) // max(1, (high[1] - low[1] + 1) * line))


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
    flow, step = np.empty((3, BATCH)), _planes(box, work)
    for begin in range(low[0], high[0] + 1, step):
        sort_points(begin, min(begin + step, high[0] + 1), place, grid, box, work)
        _sum_flow(table, ends, grid, work, gradients, field, flow, result)


@njit(cache=True)
def change_of_atom(
    place: Any,
    grid: Any,
    box: Any,
    ends: Any,
    work: Any,
    table: Any,
    gradients: Any,
    move: Any,
    field: Any,
) -> None:
    """Add to the field (n_points,) how one atom's functions change at its points along a move (3,).

    The other parameters are those of `gradient_of_atom`.
    """
    low, high = box
    flow, step = np.empty((3, BATCH)), _planes(box, work)
    for begin in range(low[0], high[0] + 1, step):
        sort_points(begin, min(begin + step, high[0] + 1), place, grid, box, work)
        _add_flow(table, ends, grid, work, gradients, move, flow, field)
