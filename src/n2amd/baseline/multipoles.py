"""Densities of atom-centred multipole functions on a mesh, and the projection of a field on them.

    rho(x) = sum_a sum_q sum_m c_aqm f_q(r) r^l Y_lm(x - R_a)

The functions of one l are contracted first: an atom has one radial function for each (l, m), a piecewise
cubic polynomial, so that the cost of a point does not grow with the number of functions. The projection is
the transpose of the same sums, gradient and changes are their derivatives with the places of the atoms,
reverse and forward.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from n2amd.baseline.harmonic_sums import sum_table
from n2amd.baseline.mesh_boxes import check_cell
from n2amd.baseline.mesh_gradient_kernel import harmonic_gradients
from n2amd.baseline.multipole_gradient_kernel import change_of_atom, gradient_of_atom
from n2amd.baseline.multipole_kernel import Sorted, visit_atom
from n2amd.baseline.multipole_table import MultipoleTable
from n2amd.baseline.superposition import functions_of, reaches
from n2amd.errors import InputError
from n2amd.frames.mesh import Mesh
from n2amd.orbitals.basis import Shell
from n2amd.structure import Structure


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
    setup.check_coefficients(coefficients)
    field = np.zeros(mesh.n_points)
    for atom in range(structure.n_atoms) if atoms is None else atoms:
        own = coefficients[setup.offsets[atom] : setup.offsets[atom + 1]]
        table = setup.tables[setup.element[atom]]
        sums = sum_table(table.contract(own))
        visit_atom(True, *setup.arguments(atom), sums, field)  # type: ignore[call-arg]
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
    flat = _flat(field, mesh)
    result = np.zeros(setup.offsets[-1])
    for atom in range(structure.n_atoms) if atoms is None else atoms:
        table = setup.tables[setup.element[atom]]
        sums = np.zeros((*table.values.shape[:2], (table.l_max + 1) ** 2))
        visit_atom(False, *setup.arguments(atom), sums, flat)  # type: ignore[call-arg]
        result[setup.offsets[atom] : setup.offsets[atom + 1]] = table.expand(sums)
    return result


def multipole_gradient(
    structure: Structure,
    mesh: Mesh,
    functions: Mapping[int, Sequence[Shell]],
    coefficients: NDArray[np.float64],
    field: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Derivative of the sum over points of field x `superpose_multipoles` with respect to the positions.

    There is no volume element: multiply by that of the mesh for an integral.

    Parameters
    ----------
    structure, mesh, functions, coefficients
        As for `superpose_multipoles`.
    field
        (n1, n2, n3); it stays where it is.

    Returns
    -------
    gradient
        (n_atoms, 3), in the units of field times coefficient times R per Angstrom.

    Raises
    ------
    InputError
        As `superpose_multipoles` and `project_multipoles`.
    """
    setup = _Setup.of(structure, mesh, functions)
    setup.check_coefficients(coefficients)
    flat = _flat(field, mesh)
    gradients = harmonic_gradients()
    result = np.zeros((structure.n_atoms, 3))
    for atom in range(structure.n_atoms):
        own = coefficients[setup.offsets[atom] : setup.offsets[atom + 1]]
        table = setup.tables[setup.element[atom]].contract(own)
        gradient_of_atom(*setup.arguments(atom), table, gradients, flat, result[atom])  # type: ignore[call-arg]
    # the functions look back at their atom
    return -result


def multipole_changes(
    structure: Structure,
    mesh: Mesh,
    functions: Mapping[int, Sequence[Shell]],
    coefficients: NDArray[np.float64],
    moves: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Derivative of `superpose_multipoles` along a motion of the atoms, for fixed coefficients.

    Parameters
    ----------
    structure, mesh, functions, coefficients
        As for `superpose_multipoles`.
    moves
        Directions of the atoms, e.g. velocities, (n_atoms, 3).

    Returns
    -------
    changes
        (n1, n2, n3), in the units of coefficient times R times that of the moves per Angstrom.

    Raises
    ------
    InputError
        As `superpose_multipoles`.
    """
    setup = _Setup.of(structure, mesh, functions)
    setup.check_coefficients(coefficients)
    gradients = harmonic_gradients()
    field = np.zeros(mesh.n_points)
    for atom in range(structure.n_atoms):
        own = coefficients[setup.offsets[atom] : setup.offsets[atom + 1]]
        table = setup.tables[setup.element[atom]].contract(own)
        change_of_atom(*setup.arguments(atom), table, gradients, moves[atom], field)  # type: ignore[call-arg]
    return field.reshape(mesh.shape)


def _flat(field: NDArray[np.float64], mesh: Mesh) -> NDArray[np.float64]:
    """Field as (n_points,)."""
    if field.shape != mesh.shape:
        raise InputError(f"a field of shape {field.shape} on a mesh of {mesh.shape} points", field="field")
    return np.ascontiguousarray(field, dtype=np.float64).reshape(-1)


@dataclass(frozen=True)
class _Setup:
    """What the loops over atoms share."""

    structure: Structure
    cell: NDArray[np.float64]
    shape: NDArray[np.int64]
    element: NDArray[np.int64]
    tables: list[MultipoleTable]
    offsets: NDArray[np.int64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    work: Sorted

    @classmethod
    def of(cls, structure: Structure, mesh: Mesh, functions: Mapping[int, Sequence[Shell]]) -> _Setup:
        check_cell(structure, mesh)
        numbers, element = np.unique(structure.numbers, return_inverse=True)
        tables = [MultipoleTable.of(functions_of(functions, int(z)), int(z)) for z in numbers]
        counts = np.array([(2 * table.l + 1).sum() for table in tables], dtype=np.int64)
        offsets = np.concatenate([[0], np.cumsum(counts[element])])
        low, high, longest = reaches(structure, mesh, [np.array([table.reach]) for table in tables])
        lines = int((high - low)[:, 1].max(initial=0)) + 1
        intervals = max(len(table.values) for table in tables)
        work = Sorted.reserve(lines * longest, intervals, max(table.l_max for table in tables))
        shape = np.array(mesh.shape)
        return cls(structure, mesh.cell, shape, element, tables, offsets, low, high, work)

    def check_coefficients(self, coefficients: NDArray[np.float64]) -> None:
        """Refuse coefficients of other functions."""
        if coefficients.shape != (self.offsets[-1],):
            raise InputError(
                f"coefficients of shape {coefficients.shape} for {self.offsets[-1]} functions",
                field="coefficients",
            )

    def arguments(self, atom: int) -> tuple[Any, ...]:
        """Arguments of the compiled loop for one atom, up to the table."""
        table = self.tables[self.element[atom]]
        place = (self.structure.positions[atom], self.cell, self.shape)
        grid = (table.reach, 1.0 / table.step, len(table.values))
        return place, grid, (self.low[atom], self.high[atom]), table.ends, self.work
