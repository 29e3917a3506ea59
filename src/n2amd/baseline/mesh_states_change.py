"""Matrix elements of a potential on a mesh between states whose orbitals move with the atoms.

    d<i|V|j> = sum over points of V (dpsi_i* psi_j + psi_i* dpsi_j) + dV psi_i* psi_j

at fixed coefficients of the states: all elements between w states at once, box by box. Nothing is held of
the states but their values in one box.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from n2amd.baseline.compiled_harmonics import FUSED, solid_rows
from n2amd.baseline.mesh_gradient_kernel import harmonic_gradients
from n2amd.baseline.mesh_integrals import MeshOrbitals, as_fields
from n2amd.baseline.mesh_kernels import box_orbitals, box_points, relative_points
from n2amd.baseline.mesh_states import StateWeights, box_weights
from n2amd.baseline.radial_splines import evaluate_with_slope
from n2amd.frames.mesh import Mesh
from n2amd.orbitals.basis import Basis
from n2amd.structure import Structure


def changes_of_elements(
    basis: Basis,
    structure: Structure,
    mesh: Mesh,
    coefficients: NDArray,
    fields: NDArray[np.float64],
    moves: NDArray[np.float64],
    kpoint: NDArray[np.float64] | None = None,
) -> NDArray:
    """Derivative of <i|V|j> along a motion of the atoms, for fixed coefficients.

    Parameters
    ----------
    basis, structure, mesh, coefficients, kpoint
        As for `n2amd.baseline.mesh_states.states_on_mesh`.
    fields
        V and its own derivative, (2, n1, n2, n3), eV and eV times the unit of the moves per Angstrom.
    moves
        Directions of the atoms, e.g. velocities, (n_atoms, 3).

    Returns
    -------
    changes
        Hermitian, (n_states, n_states), in the unit of the second field; real where the states are.

    Raises
    ------
    InputError
        If a shape does not fit, or a radial function is unknown.
    """
    orbitals = MeshOrbitals.of(basis, structure, mesh)
    states = StateWeights.of(basis, structure, orbitals, coefficients, kpoint)
    work = orbitals.workspace()
    sums = np.zeros((states.parts, states.parts))
    _sum_boxes(
        orbitals.boxes,
        orbitals.images,
        orbitals.atoms,
        orbitals.splines,
        states,
        as_fields(fields, mesh),
        np.ascontiguousarray(moves, dtype=np.float64),
        harmonic_gradients(),
        work,
        np.empty_like(work.phi),
        np.empty((2, orbitals.boxes.largest)),
        sums,
    )
    n = coefficients.shape[1]
    half: NDArray = sums
    if len(sums) > n:
        half = sums[:n, :n] + sums[n:, n:] + 1j * (sums[:n, n:] - sums[n:, :n])
    return (half + half.conj().T) * mesh.volume_element


@njit(cache=True, fastmath=FUSED)
def _move_orbitals(
    kept: int,
    n: int,
    cell: Any,
    atoms: Any,
    splines: Any,
    moves: Any,
    table: Any,
    work: Any,
    room: Any,
    out: Any,
) -> None:
    """Fill `out` (n_rows, n) with -move . grad phi of the rows of a box."""
    slope, along = room[0], room[1]
    for image in range(kept):
        atom, element = work.atom[image], atoms.element[work.atom[image]]
        relative_points(cell, atoms.positions[atom], work.shift[image], work.points, n, work.relative)
        # the rows of an image are the first functions of its atom
        l_max = splines.l[splines.first[element] : splines.first[element + 1]].max()
        solid_rows(l_max, work.relative[0], work.relative[1], work.relative[2], n, work.harmonics)
        for p in range(n):
            along[p] = 0.0
            for c in range(3):
                along[p] -= moves[atom, c] * work.relative[c, p]
        function, row = splines.first[element], work.row[image]
        while row < work.row[image + 1]:
            start, l = splines.start[function], splines.l[function]
            coefficients = splines.coefficients[start : start + splines.intervals[function] + 1]
            step, reach = splines.step[function], splines.reach[function]
            evaluate_with_slope(coefficients, step, reach, work.relative[3], n, work.radial, slope)
            for m in range(2 * l + 1):
                target, harmonic = out[row + m], work.harmonics[l * l + m]
                for p in range(n):
                    target[p] = slope[p] * along[p] * harmonic[p]
            for t in range(table.start[l], table.start[l + 1]):
                factor = -table.factor[t] * moves[atom, table.axis[t]]
                target, lower = out[row + table.upper[t]], work.harmonics[table.lower[t]]
                for p in range(n):
                    target[p] += factor * work.radial[p] * lower[p]
            row += 2 * l + 1
            function += 1


@njit(cache=True, fastmath=FUSED)
def _sum_boxes(
    boxes: Any,
    images: Any,
    atoms: Any,
    splines: Any,
    states: Any,
    fields: Any,
    moves: Any,
    table: Any,
    work: Any,
    moved: Any,
    room: Any,
    sums: Any,
) -> None:
    """Add psi (V dpsi + dV psi / 2) to `sums` (n_parts, n_parts); with its transpose it is the derivative."""
    for number in range(boxes.divisions[0] * boxes.divisions[1] * boxes.divisions[2]):
        n = box_points(boxes, number, work)
        kept = box_orbitals(boxes, number, n, images, atoms, splines, work)
        rows = work.row[kept]
        if rows == 0:
            continue
        change = moved[: rows * n].reshape(rows, n)
        _move_orbitals(kept, n, boxes.cell, atoms, splines, moves, table, work, room, change)
        weights = np.ascontiguousarray(box_weights(kept, states, work).T)
        psi = np.dot(weights, work.phi[: rows * n].reshape(rows, n))
        other = np.dot(weights, change)
        for s in range(states.parts):
            for p in range(n):
                point = work.flat[p]
                other[s, p] = fields[0, point] * other[s, p] + 0.5 * fields[1, point] * psi[s, p]
        sums += np.dot(psi, other.T)
