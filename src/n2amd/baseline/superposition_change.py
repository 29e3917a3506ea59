"""How sums of atom-centred functions change at the points of a mesh when the atoms move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from n2amd.baseline.compiled_harmonics import FUSED
from n2amd.baseline.radial_splines import evaluate_with_slope
from n2amd.baseline.superposition import add_line, atoms_on_mesh, line_within
from n2amd.frames.mesh import Mesh
from n2amd.orbitals.basis import RadialFunction
from n2amd.structure import Structure


def superposition_changes(
    structure: Structure,
    mesh: Mesh,
    functions: Mapping[int, Sequence[RadialFunction | None]],
    moves: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Derivative of `n2amd.baseline.superposition.superpose` along a motion of the atoms.

    Parameters
    ----------
    structure, mesh, functions
        As for `superpose`.
    moves
        Directions of the atoms, e.g. velocities, (n_atoms, 3).

    Returns
    -------
    changes
        (n_functions, n1, n2, n3), in the functions' units times that of the moves per Angstrom.

    Raises
    ------
    InputError
        As `superpose`.
    """
    placed = atoms_on_mesh(structure, mesh, functions)
    fields = np.zeros((int(placed.splines.first[1]), mesh.n_points))
    buffer = np.empty((3, placed.longest))
    steps = np.ascontiguousarray(moves, dtype=np.float64)
    _add_changes(*placed[:-1], mesh.cell, np.array(mesh.shape), steps, buffer, fields)
    return fields.reshape(-1, *mesh.shape)


@njit(cache=True, fastmath=FUSED)
def _add_changes(
    positions: Any,
    element: Any,
    splines: Any,
    low: Any,
    high: Any,
    cell: Any,
    shape: Any,
    moves: Any,
    buffer: Any,
    fields: Any,
) -> None:
    """Add -move . grad f of all atoms to `fields` (n_functions, n_points)."""
    n1, n2, n3 = shape[0], shape[1], shape[2]
    step = cell[2] / n3
    r, value, slope = buffer[0], buffer[1], buffer[2]
    for atom in range(len(positions)):
        first, last = splines.first[element[atom]], splines.first[element[atom] + 1]
        a, b, c = moves[atom, 0], moves[atom, 1], moves[atom, 2]
        for i in range(low[atom, 0], high[atom, 0] + 1):
            for j in range(low[atom, 1], high[atom, 1] + 1):
                x = i / n1 * cell[0, 0] + j / n2 * cell[1, 0] - positions[atom, 0]
                y = i / n1 * cell[0, 1] + j / n2 * cell[1, 1] - positions[atom, 1]
                z = i / n1 * cell[0, 2] + j / n2 * cell[1, 2] - positions[atom, 2]
                line = ((i % n1) * n2 + j % n2) * n3
                for function in range(first, last):
                    reach = splines.reach[function]
                    k0, k1 = line_within(x, y, z, step, reach)
                    n = k1 - k0 + 1
                    if n <= 0:
                        continue
                    for p in range(n):
                        u, v, w = x + (k0 + p) * step[0], y + (k0 + p) * step[1], z + (k0 + p) * step[2]
                        r[p] = np.sqrt(u * u + v * v + w * w)
                    begin = splines.start[function]
                    table = splines.coefficients[begin : begin + splines.intervals[function] + 1]
                    evaluate_with_slope(table, splines.step[function], reach, r, n, value, slope)
                    for p in range(n):
                        u, v, w = x + (k0 + p) * step[0], y + (k0 + p) * step[1], z + (k0 + p) * step[2]
                        value[p] = -slope[p] * (a * u + b * v + c * w)
                    add_line(value, n, k0, fields[function - first, line : line + n3])
