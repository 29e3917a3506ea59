"""Compiled loops over the mesh points around an atom, sorted by their distance from it.

Points in the same interval of the radial grid share their polynomials, so that a loop over them is a few
vector instructions a component: nothing is looked up point by point.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from n2amd.baseline.compiled_harmonics import FUSED, solid_rows
from n2amd.baseline.harmonic_sums import fill_sums
from n2amd.baseline.superposition import line_within

#: Points that are sorted at once: they stay in the processor's cache.
POINTS = 1 << 15
#: Points of one interval whose harmonics are held at once.
BATCH = 128
#: Sums may be taken in any order, so that they become vector instructions.
SUMMED = FUSED | {"reassoc"}


class Sorted(NamedTuple):
    """Memory of the points that are sorted at once.

    Attributes
    ----------
    node
        Distance in intervals, in the order of the mesh, (n_points,).
    place
        x, y, z from the atom (Angstrom) and the position within the interval (0..1), sorted, (4, n_points).
    point
        Point of the mesh, sorted, (n_points,).
    starts
        First point of each interval and, last, the total, (n_intervals + 1,).
    harmonics
        Of a batch of points of one interval, ((l_max + 1)^2, `BATCH`).
    value
        Of the field at the points of a batch, times the powers of the position in the interval, (4, `BATCH`).
    """

    node: NDArray[np.float64]
    place: NDArray[np.float64]
    point: NDArray[np.int64]
    starts: NDArray[np.int64]
    harmonics: NDArray[np.float64]
    value: NDArray[np.float64]

    @classmethod
    def reserve(cls, plane: int, intervals: int, l_max: int) -> Sorted:
        """Reserve memory for planes of up to so many points, so many intervals and this l."""
        n = max(POINTS, plane)
        return cls(
            np.empty(n),
            np.empty((4, n)),
            np.empty(n, np.int64),
            np.empty(intervals + 1, np.int64),
            np.empty(((l_max + 1) ** 2, BATCH)),
            np.empty((4, BATCH)),
        )


@njit(cache=True, fastmath=FUSED)
def _count(begin: int, end: int, place: Any, grid: Any, box: Any, work: Any) -> None:
    """Count the points of planes begin..end - 1 in each interval, into `starts`; fill their distances."""
    position, cell, shape = place
    reach, inverse, intervals = grid
    low, high = box
    n1, n2, n3 = shape[0], shape[1], shape[2]
    s0, s1, s2 = cell[2, 0] / n3, cell[2, 1] / n3, cell[2, 2] / n3
    starts, node = work.starts, work.node
    starts[: intervals + 1] = 0
    n = 0
    for i in range(begin, end):
        for j in range(low[1], high[1] + 1):
            x = i / n1 * cell[0, 0] + j / n2 * cell[1, 0] - position[0]
            y = i / n1 * cell[0, 1] + j / n2 * cell[1, 1] - position[1]
            z = i / n1 * cell[0, 2] + j / n2 * cell[1, 2] - position[2]
            k0, k1 = line_within(x, y, z, (s0, s1, s2), reach)
            length = max(k1 - k0 + 1, 0)
            for p in range(length):
                u, v, w = x + (k0 + p) * s0, y + (k0 + p) * s1, z + (k0 + p) * s2
                node[n + p] = min(np.sqrt(u * u + v * v + w * w) * inverse, intervals - 1e-12)
            for p in range(length):
                starts[np.int64(node[n + p]) + 1] += 1
            n += length
    for k in range(intervals):
        starts[k + 1] += starts[k]


@njit(cache=True, fastmath=FUSED)
def _sort(begin: int, end: int, place: Any, grid: Any, box: Any, work: Any) -> None:
    """Fill the sorted places of the points that `_count` has counted."""
    position, cell, shape = place
    reach, _, intervals = grid
    low, high = box
    n1, n2, n3 = shape[0], shape[1], shape[2]
    s0, s1, s2 = cell[2, 0] / n3, cell[2, 1] / n3, cell[2, 2] / n3
    starts, node, point = work.starts, work.node, work.point
    px, py, pz, pt = work.place[0], work.place[1], work.place[2], work.place[3]
    n = 0
    for i in range(begin, end):
        for j in range(low[1], high[1] + 1):
            x = i / n1 * cell[0, 0] + j / n2 * cell[1, 0] - position[0]
            y = i / n1 * cell[0, 1] + j / n2 * cell[1, 1] - position[1]
            z = i / n1 * cell[0, 2] + j / n2 * cell[1, 2] - position[2]
            k0, k1 = line_within(x, y, z, (s0, s1, s2), reach)
            line = ((i % n1) * n2 + j % n2) * n3
            at = k0 % n3
            for p in range(k0, k1 + 1):
                k = np.int64(node[n])
                q = starts[k]
                starts[k] = q + 1
                px[q], py[q], pz[q], pt[q] = x + p * s0, y + p * s1, z + p * s2, node[n] - k
                point[q] = line + at
                at = 0 if at + 1 == n3 else at + 1
                n += 1
    for following in range(intervals, 0, -1):
        starts[following] = starts[following - 1]
    starts[0] = 0


@njit(cache=True)
def _matter(k: int, ends: Any) -> int:
    """Return the number of l of which the highest is not zero in interval k."""
    highest = 0
    for l in range(len(ends)):
        if k < ends[l]:
            highest = l + 1
    return highest


@njit(cache=True, fastmath=FUSED)
def component_count(k: int, ends: Any, begin: int, n: int, work: Any) -> int:
    """Fill the harmonics of `n` sorted points of interval k; returns how many components matter there."""
    highest = _matter(k, ends)
    if highest > 0:
        x, y, z = work.place[0, begin:], work.place[1, begin:], work.place[2, begin:]
        solid_rows(highest - 1, x, y, z, n, work.harmonics)
    return highest * highest


@njit(cache=True, fastmath=FUSED)
def _add_sorted(table: Any, ends: Any, work: Any, field: Any) -> None:
    """Add the functions of one atom at the sorted points to the field."""
    value, starts = work.value[0], work.starts
    for k in range(len(table)):
        for begin in range(starts[k], starts[k + 1], BATCH):
            n = min(BATCH, starts[k + 1] - begin)
            point = work.point[begin : begin + n]
            fill_sums(table[k], _matter(k, ends), work.place, begin, n, value)
            for p in range(n):
                field[point[p]] += value[p]


@njit(cache=True, fastmath=SUMMED)
def _sum_sorted(sums: Any, ends: Any, work: Any, field: Any) -> None:
    """Add the products of the field and the functions' harmonics and powers at sorted points to `sums`."""
    one, two, three, four = work.value[0], work.value[1], work.value[2], work.value[3]
    starts = work.starts
    for k in range(len(sums)):
        for begin in range(starts[k], starts[k + 1], BATCH):
            n = min(BATCH, starts[k + 1] - begin)
            t, point = work.place[3, begin : begin + n], work.point[begin : begin + n]
            for p in range(n):
                one[p] = field[point[p]]
                two[p] = one[p] * t[p]
                three[p] = two[p] * t[p]
                four[p] = three[p] * t[p]
            for m in range(component_count(k, ends, begin, n, work)):
                harmonic = work.harmonics[m]
                a, b, c, d = 0.0, 0.0, 0.0, 0.0
                for p in range(n):
                    a += harmonic[p] * one[p]
                    b += harmonic[p] * two[p]
                    c += harmonic[p] * three[p]
                    d += harmonic[p] * four[p]
                sums[k, 0, m] += a
                sums[k, 1, m] += b
                sums[k, 2, m] += c
                sums[k, 3, m] += d


@njit(cache=True)
def sort_points(begin: int, end: int, place: Any, grid: Any, box: Any, work: Any) -> None:
    """Sort the points of planes begin..end - 1 by their distance from the atom."""
    _count(begin, end, place, grid, box, work)
    _sort(begin, end, place, grid, box, work)


@njit(cache=True)
def visit_atom(
    add: bool, place: Any, grid: Any, box: Any, ends: Any, work: Any, table: Any, field: Any
) -> None:
    """Add one atom's functions to the field (`add`), or the field's products with them to the table.

    Parameters
    ----------
    add
        Which of the two.
    place
        Position of the atom (3,), cell (3, 3), Angstrom, and points of the mesh (3,).
    grid
        Reach of the functions, Angstrom, intervals per Angstrom, and their number.
    box
        First and last point along each axis, unwrapped, (3,) each.
    ends
        Interval from which on the functions of each l are zero.
    work
        Memory.
    table
        Polynomials of each component, (n_intervals, 4, n_components): of `sum_table` where they are added.
    field
        (n_points,).
    """
    low, high = box
    line = min(high[2] - low[2] + 1, len(work.node))
    step = max(1, len(work.node) // max(1, (high[1] - low[1] + 1) * line))
    for begin in range(low[0], high[0] + 1, step):
        end = min(begin + step, high[0] + 1)
        sort_points(begin, end, place, grid, box, work)
        if add:
            _add_sorted(table, ends, work, field)
        else:
            _sum_sorted(table, ends, work, field)
