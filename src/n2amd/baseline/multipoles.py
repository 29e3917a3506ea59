"""Densities of atom-centred multipole functions on a mesh, and the projection of a field on them.

    rho(x) = sum_a sum_q sum_m c_aqm f_q(r) r^l Y_lm(x - R_a)

The functions of one l are contracted first: an atom has one radial function for each (l, m), tabulated with
its derivative on a fine grid and interpolated by cubic Hermite polynomials, so that the cost of a point does
not grow with the number of functions. The projection is the transpose of the same sums.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from n2amd.baseline.compiled_harmonics import FUSED, MAX_L, solid_point
from n2amd.baseline.mesh import Mesh
from n2amd.baseline.mesh_boxes import check_cell
from n2amd.baseline.radial_splines import radial_of
from n2amd.baseline.superposition import functions_of, line_within, reaches
from n2amd.errors import InputError
from n2amd.orbitals.basis import Shell
from n2amd.orbitals.bessel_transform import interpolate
from n2amd.structure import Structure

#: Largest interval of the fine radial grid, Angstrom: functions as smooth as orbitals are met to 1e-9. Their
#: last interval ends with the longest function; one that ends earlier should go to zero smoothly.
FINE_STEP = 0.005
#: Components are padded to a multiple of this, whole vectors of the processor.
_VECTOR = 16


def superpose_multipoles(
    structure: Structure,
    mesh: Mesh,
    functions: Mapping[int, Sequence[Shell]],
    coefficients: NDArray[np.float64],
    *,
    atoms: range | None = None,
) -> NDArray[np.float64]:
    """Sum c f(r) r^l Y_lm over the functions of all atoms and their periodic images.

    Parameters
    ----------
    structure
        Atoms; all three directions are periodic, whatever `pbc` says.
    mesh
        Mesh of the structure's cell.
    functions
        Shells of each element, l <= 4; the radial function of each is f = R / r^l.
    coefficients
        Atom after atom, shell after shell, m = -l..l: (n_total,).
    atoms
        Consecutive atoms, for a caller who splits the work: the sums of disjoint ranges add up. Default: all.

    Returns
    -------
    field
        (n1, n2, n3), in the units of coefficient times R.

    Raises
    ------
    InputError
        If an element has no functions, a shell no radial function or too high an l, or the number of
        coefficients is another one.
    """
    setup = _Setup.of(structure, mesh, functions)
    if coefficients.shape != (setup.offsets[-1],):
        raise InputError(
            f"coefficients of shape {coefficients.shape} for {setup.offsets[-1]} functions",
            field="coefficients",
        )
    field = np.zeros(mesh.n_points)
    for atom in range(structure.n_atoms) if atoms is None else atoms:
        own = coefficients[setup.offsets[atom] : setup.offsets[atom + 1]]
        table = setup.tables[setup.element[atom]]
        _add_atom(*setup.arguments(atom), table.contract(own), field)  # type: ignore[call-arg]
    return field.reshape(mesh.shape)


def project_multipoles(
    structure: Structure,
    mesh: Mesh,
    functions: Mapping[int, Sequence[Shell]],
    field: NDArray[np.float64],
    *,
    atoms: range | None = None,
) -> NDArray[np.float64]:
    """Sum field x function over the points of the mesh: the transpose of `superpose_multipoles`.

    There is no volume element: multiply by that of the mesh for an integral. The derivative of E with respect
    to the coefficients is the projection of dE / d(field value at a point).

    Parameters
    ----------
    structure, mesh, functions
        As for `superpose_multipoles`.
    field
        (n1, n2, n3).
    atoms
        Consecutive atoms; the projections of all others are left zero. Default: all.

    Returns
    -------
    projections
        (n_total,), in the order of the coefficients.

    Raises
    ------
    InputError
        As `superpose_multipoles`, or if the field has another shape.
    """
    setup = _Setup.of(structure, mesh, functions)
    if field.shape != mesh.shape:
        raise InputError(f"a field of shape {field.shape} on a mesh of {mesh.shape} points", field="field")
    flat = np.ascontiguousarray(field, dtype=np.float64).reshape(-1)
    result = np.zeros(setup.offsets[-1])
    for atom in range(structure.n_atoms) if atoms is None else atoms:
        table = setup.tables[setup.element[atom]]
        sums = np.zeros((table.n_nodes, 2, table.width))
        _project_atom(*setup.arguments(atom), sums, flat)  # type: ignore[call-arg]
        result[setup.offsets[atom] : setup.offsets[atom + 1]] = table.expand(sums)
    return result


@dataclass(frozen=True)
class _FineTable:
    """Radial functions of an element on the fine grid.

    Attributes
    ----------
    l_max
        Highest angular momentum.
    reach
        Where the last function ends, Angstrom.
    step
        Interval, Angstrom.
    groups
        For each l: its functions' first coefficients (n_q,), and their values and derivatives times the step
        at the nodes, (n_nodes, 2, n_q).
    n_nodes
        Nodes of the grid, the last one at `reach`.
    """

    l_max: int
    reach: float
    step: float
    groups: Mapping[int, tuple[NDArray[np.int64], NDArray[np.float64]]]
    n_nodes: int

    @classmethod
    def of(cls, shells: Sequence[Shell], number: int) -> _FineTable:
        """Tabulate the shells of an element."""
        radials = [radial_of(s, number) for s in shells]
        ends = [min(f.cutoff, f.step * (len(f.values) - 1)) for f in radials]
        reach = max(ends, default=0.0)
        l_max = max((s.l for s in shells), default=0)
        if l_max > MAX_L:
            raise InputError(
                f"multipole functions of l = {l_max}; l <= {MAX_L} is implemented", field="functions"
            )
        n_intervals = max(1, math.ceil(reach / FINE_STEP))
        nodes = np.linspace(0.0, reach, n_intervals + 1)
        step = reach / n_intervals or FINE_STEP
        starts = np.cumsum([0, *(s.n_orbitals for s in shells)])
        groups = {}
        for l in sorted({s.l for s in shells}):
            mine = [k for k, s in enumerate(shells) if s.l == l]
            values = np.zeros((len(nodes), 2, len(mine)))
            for column, k in enumerate(mine):
                spline = interpolate(radials[k])
                inside = nodes <= ends[k]
                values[inside, 0, column] = spline(nodes[inside])
                values[inside, 1, column] = step * spline(nodes[inside], 1)
            groups[l] = (starts[mine], values)
        return cls(l_max, reach, step, groups, len(nodes))

    @property
    def width(self) -> int:
        """Components (l, m) of an atom, padded."""
        return -(-((self.l_max + 1) ** 2) // _VECTOR) * _VECTOR

    def _columns(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64], slice]]:
        for l, (starts, values) in self.groups.items():
            yield starts[:, None] + np.arange(2 * l + 1), values, slice(l * l, (l + 1) ** 2)

    def contract(self, coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
        """Radial functions of one atom and their derivatives, (n_nodes, 2, width)."""
        result = np.zeros((self.n_nodes, 2, self.width))
        for places, values, part in self._columns():
            result[:, :, part] = values @ coefficients[places]
        return result

    def expand(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Transpose of `contract`."""
        result = np.zeros(sum(2 * l + 1 for l, (starts, _) in self.groups.items() for _ in starts))
        for places, values, part in self._columns():
            result[places] = np.tensordot(values, sums[:, :, part], axes=((0, 1), (0, 1)))
        return result


@dataclass(frozen=True)
class _Setup:
    """What the loops over atoms share."""

    structure: Structure
    cell: NDArray[np.float64]
    shape: NDArray[np.int64]
    element: NDArray[np.int64]
    tables: list[_FineTable]
    offsets: NDArray[np.int64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]

    @classmethod
    def of(cls, structure: Structure, mesh: Mesh, functions: Mapping[int, Sequence[Shell]]) -> _Setup:
        check_cell(structure, mesh)
        numbers, element = np.unique(structure.numbers, return_inverse=True)
        tables = [_FineTable.of(functions_of(functions, int(z)), int(z)) for z in numbers]
        counts = np.array([sum(s.n_orbitals for s in functions[int(z)]) for z in numbers])
        offsets = np.concatenate([[0], np.cumsum(counts[element])])
        low, high, _ = reaches(structure, mesh, [np.array([table.reach]) for table in tables])
        return cls(structure, mesh.cell, np.array(mesh.shape), element, tables, offsets, low, high)

    def arguments(self, atom: int) -> tuple[Any, ...]:
        """Arguments of the compiled loops for one atom, up to the table."""
        table = self.tables[self.element[atom]]
        place = (self.structure.positions[atom], self.cell, self.shape, self.low[atom], self.high[atom])
        return table.l_max, table.reach, table.step, *place


@njit(cache=True, fastmath=FUSED, inline="always")
def _hermite(t):  # type: ignore[no-untyped-def]
    """Weights of value and derivative at the left node, then at the right one."""
    s = 1.0 - t
    return (1.0 + 2.0 * t) * s * s, t * s * s, t * t * (3.0 - 2.0 * t), -t * t * s


@njit(cache=True, fastmath=FUSED | {"reassoc"})
def _value(table: Any, k: int, t: float, harmonics: Any) -> float:
    """Sum of all components at one point."""
    a, b, c, d = _hermite(t)
    total = 0.0
    for m in range(len(harmonics) // _VECTOR * _VECTOR):
        radial = a * table[k, 0, m] + b * table[k, 1, m] + c * table[k + 1, 0, m] + d * table[k + 1, 1, m]
        total += harmonics[m] * radial
    return total


@njit(cache=True, fastmath=FUSED)
def _spread(table: Any, k: int, t: float, harmonics: Any, value: float) -> None:
    """Transpose of `_value`."""
    a, b, c, d = _hermite(t)
    a, b, c, d = a * value, b * value, c * value, d * value
    for m in range(len(harmonics) // _VECTOR * _VECTOR):
        table[k, 0, m] += a * harmonics[m]
        table[k, 1, m] += b * harmonics[m]
        table[k + 1, 0, m] += c * harmonics[m]
        table[k + 1, 1, m] += d * harmonics[m]


@njit(cache=True, fastmath=FUSED)
def _add_atom(
    l_max: int,
    reach: float,
    interval: float,
    position: Any,
    cell: Any,
    shape: Any,
    low: Any,
    high: Any,
    table: Any,
    field: Any,
) -> None:
    """Add one atom's functions to a field."""
    n1, n2, n3 = shape[0], shape[1], shape[2]
    step = cell[2] / n3
    harmonics = np.zeros(table.shape[2])
    inverse = 1.0 / interval
    for i in range(low[0], high[0] + 1):
        for j in range(low[1], high[1] + 1):
            x = i / n1 * cell[0, 0] + j / n2 * cell[1, 0] - position[0]
            y = i / n1 * cell[0, 1] + j / n2 * cell[1, 1] - position[1]
            z = i / n1 * cell[0, 2] + j / n2 * cell[1, 2] - position[2]
            begin, end = line_within(x, y, z, step, reach)
            line = ((i % n1) * n2 + j % n2) * n3
            at = begin % n3
            for p in range(begin, end + 1):
                u, v, w = x + p * step[0], y + p * step[1], z + p * step[2]
                node = np.sqrt(u * u + v * v + w * w) * inverse
                k = int(min(node, len(table) - 2.0))
                solid_point(l_max, u, v, w, harmonics)
                field[line + at] += _value(table, k, node - k, harmonics)
                at = 0 if at + 1 == n3 else at + 1


@njit(cache=True, fastmath=FUSED)
def _project_atom(
    l_max: int,
    reach: float,
    interval: float,
    position: Any,
    cell: Any,
    shape: Any,
    low: Any,
    high: Any,
    table: Any,
    field: Any,
) -> None:
    """Add the projections of a field on one atom's nodes to `table`."""
    n1, n2, n3 = shape[0], shape[1], shape[2]
    step = cell[2] / n3
    harmonics = np.zeros(table.shape[2])
    inverse = 1.0 / interval
    for i in range(low[0], high[0] + 1):
        for j in range(low[1], high[1] + 1):
            x = i / n1 * cell[0, 0] + j / n2 * cell[1, 0] - position[0]
            y = i / n1 * cell[0, 1] + j / n2 * cell[1, 1] - position[1]
            z = i / n1 * cell[0, 2] + j / n2 * cell[1, 2] - position[2]
            begin, end = line_within(x, y, z, step, reach)
            line = ((i % n1) * n2 + j % n2) * n3
            at = begin % n3
            for p in range(begin, end + 1):
                u, v, w = x + p * step[0], y + p * step[1], z + p * step[2]
                node = np.sqrt(u * u + v * v + w * w) * inverse
                k = int(min(node, len(table) - 2.0))
                solid_point(l_max, u, v, w, harmonics)
                _spread(table, k, node - k, harmonics, field[line + at])
                at = 0 if at + 1 == n3 else at + 1
