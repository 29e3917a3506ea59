"""Functions in which unknown ingredients of H0 are written: local potentials, projectors, partial cores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline

from n2amd.orbitals.basis import RadialFunction, Shell

#: Spacing of the tables, Angstrom.
STEP = 0.01


@dataclass(frozen=True)
class TrialSpace:
    """How freely ingredients are fitted.

    Attributes
    ----------
    local_radius
        Where the local pseudopotential becomes that of a point charge, Angstrom.
    knot_spacing
        Of its B-splines, Angstrom.
    core_charge_width
        Width of the Gaussian charge that the splines start from, Angstrom.
    projector_radius
        Where projectors end, Angstrom.
    n_projectors
        Shapes for each l = 0, 1, ...
    core_widths
        Widths of the Gaussians of the partial core, Angstrom; none: no partial core.
    """

    local_radius: float = 1.6
    knot_spacing: float = 0.12
    core_charge_width: float = 0.45
    projector_radius: float = 1.35
    n_projectors: tuple[int, ...] = (5, 5, 5, 3)
    core_widths: tuple[float, ...] = (0.15, 0.2, 0.3, 0.45, 0.65)

    def local_functions(self) -> list[RadialFunction]:
        """Cubic B-splines, even at the nucleus, that end at `local_radius`."""
        h, r = self.knot_spacing, _grid(self.local_radius)
        bump = BSpline.basis_element(h * np.arange(-2, 3), extrapolate=False)
        tables = []
        for k in range(round(self.local_radius / h) - 1):
            value = np.nan_to_num(bump(r - k * h))
            if k == 1:
                value = value + np.nan_to_num(bump(r + h))
            tables.append(RadialFunction(STEP, value, self.local_radius))
        return tables

    def projector_shapes(self, l: int) -> list[Shell]:
        """Orthonormal shapes r^l (1 - (r / r_c)^2)^3 times polynomials of r^2."""
        if l >= len(self.n_projectors):
            return []
        r = _grid(self.projector_radius)
        x = np.minimum(r / self.projector_radius, 1.0)
        envelope = (1 - x**2) ** 3
        raw = np.array([envelope * x ** (2 * k) for k in range(self.n_projectors[l])])
        gram = (raw * r ** (2 * l + 2)) @ raw.T * STEP
        shapes = np.linalg.solve(np.linalg.cholesky(gram), raw)
        return [
            Shell(l, f"{l}.{k}", RadialFunction(STEP, table, self.projector_radius))
            for k, table in enumerate(shapes)
        ]

    def core_functions(self) -> list[RadialFunction]:
        """Gaussians of one electron each, 1/A^3."""
        return [_gaussian(width) for width in self.core_widths]


def _grid(radius: float) -> NDArray[np.float64]:
    return STEP * np.arange(int(np.ceil(radius / STEP - 1e-9)) + 1, dtype=np.float64)


def _gaussian(width: float) -> RadialFunction:
    radius = 4 * width
    r = _grid(radius)
    return RadialFunction(STEP, np.exp(-((r / width) ** 2)) / (np.pi**1.5 * width**3), radius)


def symmetric_directions(n: int) -> NDArray[np.float64]:
    """Vectors whose outer products span the symmetric n x n matrices: e_i and (e_i + e_j) / sqrt 2, rows."""
    unit = np.eye(n)
    sums = [(unit[i] + unit[j]) / np.sqrt(2) for i in range(n) for j in range(i)]
    return np.array([*unit, *sums])


def combine(shapes: list[Shell], weights: NDArray[np.float64], label: str) -> Shell:
    """Linear combination of shells of one l and one grid."""
    tables = [s.radial for s in shapes]
    values = sum(w * table.values for w, table in zip(weights, tables) if table is not None)
    first = tables[0]
    assert isinstance(first, RadialFunction)
    return Shell(shapes[0].l, label, RadialFunction(first.step, np.asarray(values), first.cutoff))
