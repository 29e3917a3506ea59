"""Radial functions of an element's multipoles as piecewise cubic polynomials on one grid of all functions.

Splines on a common grid, as density functions are, are taken as they are: nothing is interpolated again.
Others are interpolated by Hermite's polynomials on a fine grid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from n2amd.baseline.compiled_harmonics import MAX_L
from n2amd.baseline.radial_splines import radial_of
from n2amd.errors import InputError
from n2amd.orbitals.basis import RadialFunction, Shell
from n2amd.orbitals.bessel_transform import interpolate

#: Largest interval of the fine grid, Angstrom: functions as smooth as orbitals are met to 1e-9. Its last
#: interval ends with the longest function; one that ends earlier should go to zero smoothly.
FINE_STEP = 0.005
#: Part of its largest value below which a function is taken as zero: splines ring on after functions that end
#: before their grid.
NEGLIGIBLE = 1e-13
#: Distance by which two ends of functions may differ and still be the same, Angstrom.
_SAME = 1e-9


@dataclass(frozen=True)
class MultipoleTable:
    """Radial functions R / r^l of an element.

    Attributes
    ----------
    l
        Angular momentum of each function, (n_functions,).
    reach
        Where the last function ends, Angstrom.
    step
        Interval, Angstrom.
    values
        Polynomials in r / step - k of interval k, lowest power first, (n_intervals, 4, n_functions).
    ends
        Interval from which on all functions of an l are zero, (l_max + 1,).
    """

    l: NDArray[np.int64]
    reach: float
    step: float
    values: NDArray[np.float64]
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, shells: Sequence[Shell], number: int) -> MultipoleTable:
        """Tabulate the shells of an element; the last few tables are kept, for the frames of a trajectory.

        Raises
        ------
        InputError
            If one has no radial function on a uniform grid, or its l is too high.
        """
        return _tabulate(tuple(shells), number)

    @property
    def l_max(self) -> int:
        """Highest angular momentum."""
        return len(self.ends) - 1

    def contract(self, coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
        """Polynomials of one atom's radial function of each (l, m), (n_intervals, 4, (l_max + 1)^2)."""
        weights = np.zeros((len(self.l), (self.l_max + 1) ** 2))
        weights[self._places()] = coefficients
        return (self.values.reshape(-1, len(self.l)) @ weights).reshape(*self.values.shape[:2], -1)

    def expand(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Transpose of `contract`."""
        products = self.values.reshape(-1, len(self.l)).T @ sums.reshape(-1, sums.shape[-1])
        return products[self._places()]

    def _places(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Function and component (l, m) of each coefficient."""
        functions = np.repeat(np.arange(len(self.l)), 2 * self.l + 1)
        components = [np.arange(l * l, (l + 1) ** 2) for l in self.l]
        return functions, np.concatenate([np.zeros(0, np.int64), *components])


@lru_cache(maxsize=16)
def _tabulate(shells: tuple[Shell, ...], number: int) -> MultipoleTable:
    if (l_max := max((s.l for s in shells), default=0)) > MAX_L:
        raise InputError(
            f"multipole functions of l = {l_max}; l <= {MAX_L} is implemented", field="functions"
        )
    radials = [radial_of(s, number) for s in shells]
    l = np.array([s.l for s in shells], dtype=np.int64)
    step, reach, values = (_common(radials) or _fine(radials)) if radials else (1.0, 0.0, _nothing(1, 0))
    size = np.abs(values).max(axis=1)
    matters = size > NEGLIGIBLE * size.max(axis=0, initial=0.0)
    ends = [max(np.flatnonzero(matters[:, l == own].any(axis=1)) + 1, default=0) for own in range(l_max + 1)]
    return MultipoleTable(l, reach, step, values, np.array(ends, dtype=np.int64))


def _nothing(intervals: int, functions: int) -> NDArray[np.float64]:
    return np.zeros((intervals, 4, functions))


def _end(radial: RadialFunction) -> float:
    return min(radial.cutoff, radial.step * (len(radial.values) - 1))


def _common(radials: Sequence[RadialFunction]) -> tuple[float, float, NDArray[np.float64]] | None:
    """Step, reach and the functions' own splines; None where they do not share a grid."""
    step, reach = radials[0].step, max(_end(f) for f in radials)
    for radial in radials:
        last = radial.step * (len(radial.values) - 1)
        # one that is cut between two knots must be cut where the loop over the points ends
        if radial.step != step or _end(radial) < min(last, reach) - _SAME:
            return None
    values = _nothing(max(len(f.values) for f in radials) - 1, len(radials))
    for column, radial in enumerate(radials):
        spline = interpolate(radial).c[::-1].T
        values[: len(spline), :, column] = spline * step ** np.arange(4)
    return step, reach, values


def _fine(radials: Sequence[RadialFunction]) -> tuple[float, float, NDArray[np.float64]]:
    """Step, reach and Hermite's polynomials on the fine grid."""
    reach = max(_end(f) for f in radials)
    count = max(1, math.ceil(reach / FINE_STEP))
    nodes = np.linspace(0.0, reach, count + 1)
    step = reach / count or FINE_STEP
    values = _nothing(count, len(radials))
    for column, radial in enumerate(radials):
        spline, inside = interpolate(radial), nodes <= _end(radial)
        f = np.where(inside, spline(nodes), 0.0)
        slope = np.where(inside, step * spline(nodes, 1), 0.0)
        rise = np.diff(f)
        values[:, 0, column], values[:, 1, column] = f[:-1], slope[:-1]
        values[:, 2, column] = 3 * rise - 2 * slope[:-1] - slope[1:]
        values[:, 3, column] = slope[:-1] + slope[1:] - 2 * rise
    return step, reach, values
