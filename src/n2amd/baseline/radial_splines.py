"""Radial functions of all elements as flat spline tables, for compiled loops over mesh points.

Each function keeps its own step and its own end, and is the spline of
`n2amd.orbitals.bessel_transform.interpolate`: mesh integrals and two-centre integrals see the same orbitals.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from n2amd.baseline.compiled_harmonics import FUSED, MAX_L
from n2amd.errors import InputError
from n2amd.orbitals.basis import RadialFunction, Shell
from n2amd.orbitals.bessel_transform import interpolate


class SplineSet(NamedTuple):
    """Cubic splines R(r) / r^l of the functions of several elements, one after the other.

    Attributes
    ----------
    first
        First function of each element and, last, the total, (n_elements + 1,).
    l
        Angular momentum of each function, (n_functions,).
    step
        Interval, Angstrom, (n_functions,).
    reach
        Where the function ends, Angstrom, (n_functions,); 0 where there is none.
    start, intervals
        First row and number of intervals of each function in `coefficients`, (n_functions,).
    coefficients
        Polynomials in r - k step, lowest power first, (n_rows, 4). A row of zeros follows each function.
    """

    first: NDArray[np.int64]
    l: NDArray[np.int64]
    step: NDArray[np.float64]
    reach: NDArray[np.float64]
    start: NDArray[np.int64]
    intervals: NDArray[np.int64]
    coefficients: NDArray[np.float64]


def radial_of(shell: Shell, number: int) -> RadialFunction:
    """Radial function of a shell on a uniform grid.

    Raises
    ------
    InputError
        If it is unknown or on another grid.
    """
    if not isinstance(shell.radial, RadialFunction):
        raise InputError(
            f"shell {shell.label!r} of element {number} has no radial function on a uniform grid",
            field="basis",
            remedy="integrals on a mesh need the code's own radial functions (.ion.xml)",
        )
    return shell.radial


def spline_set(functions: Sequence[Sequence[tuple[int, RadialFunction | None]]]) -> SplineSet:
    """Tabulate the functions (l, R / r^l) of each element; None stands for zero.

    The last few sets are kept: the frames of a trajectory share theirs.

    Raises
    ------
    InputError
        If an angular momentum is too high.
    """
    return _spline_set(tuple(map(tuple, functions)))


@lru_cache(maxsize=8)
def _spline_set(functions: tuple[tuple[tuple[int, RadialFunction | None], ...], ...]) -> SplineSet:
    flat = [entry for element in functions for entry in element]
    if (highest := max((l for l, _ in flat), default=0)) > MAX_L:
        raise InputError(
            f"a function of l = {highest} on a mesh; l <= {MAX_L} is implemented",
            field="basis",
            remedy="leave out these shells",
        )
    first = np.cumsum([0, *(len(element) for element in functions)])
    tables: list[NDArray[np.float64]] = []
    step, reach, intervals = [], [], []
    for _, radial in flat:
        rows = np.zeros((0, 4)) if radial is None else interpolate(radial).c[::-1].T
        tables += [rows, np.zeros((1, 4))]
        intervals.append(len(rows))
        step.append(1.0 if radial is None else radial.step)
        reach.append(0.0 if radial is None else min(radial.cutoff, radial.step * len(rows)))
    counts = np.array(intervals, dtype=np.int64)
    return SplineSet(
        first.astype(np.int64),
        np.array([l for l, _ in flat], dtype=np.int64),
        np.array(step, dtype=np.float64),
        np.array(reach, dtype=np.float64),
        np.cumsum(counts + 1) - counts - 1,
        counts,
        np.ascontiguousarray(np.concatenate([np.zeros((0, 4)), *tables])),
    )


@njit(cache=True, fastmath=FUSED)
def evaluate(table: Any, step: float, reach: float, r: Any, n: int, out: Any) -> None:
    """Fill `out` with one function at the first `n` distances of `r`; `table` ends with its row of zeros."""
    inverse = 1.0 / step
    for p in range(n):
        if r[p] < reach:
            k = np.int64(r[p] * inverse)  # rounding may lead to the row of zeros, never beyond
            t = r[p] - k * step
            out[p] = table[k, 0] + t * (table[k, 1] + t * (table[k, 2] + t * table[k, 3]))
        else:
            out[p] = 0.0


@njit(cache=True, fastmath=FUSED)
def evaluate_with_slope(table: Any, step: float, reach: float, r: Any, n: int, out: Any, slope: Any) -> None:
    """`evaluate`, and in `slope` the derivative divided by r, which is zero at the centre."""
    inverse = 1.0 / step
    for p in range(n):
        out[p] = slope[p] = 0.0
        if r[p] < reach:
            k = np.int64(r[p] * inverse)  # rounding may lead to the row of zeros, never beyond
            t = r[p] - k * step
            out[p] = table[k, 0] + t * (table[k, 1] + t * (table[k, 2] + t * table[k, 3]))
            if r[p] > 0.0:
                slope[p] = (table[k, 1] + t * (2 * table[k, 2] + 3 * t * table[k, 3])) / r[p]
