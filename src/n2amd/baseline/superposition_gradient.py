"""How integrals of fields with sums of atom-centred functions change when the atoms move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from n2amd.baseline.compiled_harmonics import FUSED
from n2amd.baseline.energy_gradient import EnergyGradient
from n2amd.baseline.mesh_integrals import as_fields
from n2amd.baseline.radial_splines import evaluate_with_slope
from n2amd.baseline.superposition import atoms_on_mesh, line_within
from n2amd.frames.mesh import Mesh
from n2amd.orbitals.basis import RadialFunction
from n2amd.structure import Structure


def superposition_gradient(
    structure: Structure,
    mesh: Mesh,
    functions: Mapping[int, Sequence[RadialFunction | None]],
    fields: NDArray[np.float64],
) -> EnergyGradient:
    """Derivatives of sum_f int fields[f] (sum of function f over all atoms), for fixed fields.

    Parameters
    ----------
    structure, mesh, functions
        As for `n2amd.baseline.superposition.superpose`.
    fields
        One for each function, (n_functions, n1, n2, n3), eV divided by the functions' units and A^3.

    Returns
    -------
    gradient
        Its energy is left at zero, and its strain is that of the functions, without the change of the volume.

    Raises
    ------
    InputError
        As `superpose`, or if the fields are not those of the mesh.
    """
    placed = atoms_on_mesh(structure, mesh, functions)
    by_strain = np.zeros((structure.n_atoms, 4, 3))
    buffer = np.empty((3, placed.longest))
    cell, shape = mesh.cell, np.array(mesh.shape)
    _add_lines(*placed[:-1], cell, shape, as_fields(fields, mesh), buffer, by_strain)
    by_strain *= mesh.volume_element
    return EnergyGradient(0.0, by_strain[:, 0], by_strain[:, 1:].sum(axis=0))


@njit(cache=True, fastmath=FUSED)
def _add_lines(
    positions: Any,
    element: Any,
    splines: Any,
    low: Any,
    high: Any,
    cell: Any,
    shape: Any,
    fields: Any,
    buffer: Any,
    result: Any,
) -> None:
    """Add to result[atom] (4, 3) the sum of field times gradient, and of its products with x, y and z."""
    n1, n2, n3 = shape[0], shape[1], shape[2]
    step = cell[2] / n3
    r, value, slope = buffer[0], buffer[1], buffer[2]
    start = np.empty(3)
    for atom in range(len(positions)):
        first, last = splines.first[element[atom]], splines.first[element[atom] + 1]
        for i in range(low[atom, 0], high[atom, 0] + 1):
            for j in range(low[atom, 1], high[atom, 1] + 1):
                for c in range(3):
                    start[c] = i / n1 * cell[0, c] + j / n2 * cell[1, c] - positions[atom, c]
                line = ((i % n1) * n2 + j % n2) * n3
                for function in range(first, last):
                    reach = splines.reach[function]
                    k0, k1 = line_within(start[0], start[1], start[2], step, reach)
                    n = k1 - k0 + 1
                    if n <= 0:
                        continue
                    for p in range(n):
                        u = start[0] + (k0 + p) * step[0]
                        v = start[1] + (k0 + p) * step[1]
                        w = start[2] + (k0 + p) * step[2]
                        r[p] = np.sqrt(u * u + v * v + w * w)
                    begin = splines.start[function]
                    table = splines.coefficients[begin : begin + splines.intervals[function] + 1]
                    evaluate_with_slope(table, splines.step[function], reach, r, n, value, slope)
                    _sum_line(
                        slope, n, k0, start, step, fields[function - first, line : line + n3], result[atom]
                    )


@njit(cache=True, fastmath=FUSED | {"reassoc"})
def _sum_line(slope: Any, n: int, k0: int, start: Any, step: Any, field: Any, result: Any) -> None:
    """Add one line. Positions along it are start + k step: three moments of k are enough."""
    zeroth, first, second = 0.0, 0.0, 0.0
    at = k0 % len(field)
    for p in range(n):
        weight = slope[p] * field[at]
        k = float(k0 + p)
        zeroth += weight
        first += weight * k
        second += weight * k * k
        at += 1
        if at == len(field):
            at = 0
    for c in range(3):
        result[0, c] += zeroth * start[c] + first * step[c]
        for d in range(3):
            mixed = start[c] * step[d] + step[c] * start[d]
            result[1 + c, d] += zeroth * start[c] * start[d] + first * mixed + second * step[c] * step[d]
