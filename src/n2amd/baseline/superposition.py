"""Sums of atom-centred functions on a mesh: neutral-atom potentials, atomic densities, partial cores.

All three directions are periodic. Atoms are added one after the other, in their order, line by line of the
mesh; only the piece of a line that lies inside the function's radius is visited.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from n2amd.baseline.compiled_harmonics import FUSED
from n2amd.baseline.mesh_boxes import check_cell
from n2amd.baseline.radial_splines import SplineSet, evaluate, spline_set
from n2amd.errors import InputError
from n2amd.frames.mesh import Mesh
from n2amd.orbitals.basis import RadialFunction
from n2amd.structure import Structure


def superpose(
    structure: Structure,
    mesh: Mesh,
    functions: Mapping[int, Sequence[RadialFunction | None]],
    *,
    atoms: range | None = None,
) -> NDArray[np.float64]:
    """Sum spherical functions f(r) over all atoms and their periodic images.

    Parameters
    ----------
    structure
        Atoms; all three directions are periodic, whatever `pbc` says.
    mesh
        Mesh of the structure's cell.
    functions
        The same number of functions for every element, each with its own grid and radius; None: zero.
    atoms
        Consecutive atoms, for a caller who splits the work: the sums of disjoint ranges add up. Default: all.

    Returns
    -------
    fields
        (n_functions, n1, n2, n3), in the functions' units.

    Raises
    ------
    InputError
        If an element has no functions, or a number of them of its own.
    """
    placed = atoms_on_mesh(structure, mesh, functions)
    n_functions = int(placed.splines.first[1])
    fields = np.zeros((n_functions, mesh.n_points))
    todo = range(structure.n_atoms) if atoms is None else atoms
    buffer = np.empty((2, placed.longest))
    cell, shape = mesh.cell, np.array(mesh.shape)
    _add_atoms(todo.start, todo.stop, *placed[:3], cell, shape, placed.low, placed.high, buffer, fields)
    return fields.reshape(n_functions, *mesh.shape)


class PlacedAtoms(NamedTuple):
    """Atoms with functions around them, for loops over a mesh.

    Attributes
    ----------
    positions, element
        Place of each atom, (n_atoms, 3), Angstrom, and the number of its element, (n_atoms,).
    splines
        Functions of the elements.
    low, high
        First and last mesh point within reach of each atom along each axis, unwrapped, (n_atoms, 3).
    longest
        Points of the longest line along the third axis.
    """

    positions: NDArray[np.float64]
    element: NDArray[np.int64]
    splines: SplineSet
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    longest: int


def atoms_on_mesh(
    structure: Structure, mesh: Mesh, functions: Mapping[int, Sequence[RadialFunction | None]]
) -> PlacedAtoms:
    """Prepare the functions of atoms on a mesh; parameters and errors as for `superpose`."""
    check_cell(structure, mesh)
    numbers, element = np.unique(structure.numbers, return_inverse=True)
    of_elements = [functions_of(functions, int(z)) for z in numbers]
    if any(len(entry) != len(of_elements[0]) for entry in of_elements):
        raise InputError(
            "the elements have different numbers of functions",
            field="functions",
            remedy="pass None where an element has none",
        )
    splines = spline_set([[(0, radial) for radial in entry] for entry in of_elements])
    radii = [splines.reach[a:b] for a, b in zip(splines.first, splines.first[1:])]
    ends = reaches(structure, mesh, radii)
    return PlacedAtoms(structure.positions, element.astype(np.int64), splines, *ends)


def functions_of(functions: Mapping[int, Any], number: int) -> Any:
    """Functions of an element.

    Raises
    ------
    InputError
        If it has none.
    """
    if number not in functions:
        raise InputError(
            f"no functions are given for the element with Z = {number} (only for Z = {sorted(functions)})",
            field="functions",
            remedy="train on data that hold this element",
        )
    return functions[number]


def reaches(
    structure: Structure, mesh: Mesh, by_element: Sequence[NDArray[np.float64]]
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """First and last mesh point within reach of each atom along each axis, unwrapped, and the longest line.

    Parameters
    ----------
    structure, mesh
        Atoms and the mesh of their cell.
    by_element
        Radii of the functions of each element, in ascending order of the atomic numbers, Angstrom.

    Returns
    -------
    low, high, longest
        (n_atoms, 3) twice, and the number of points of the longest line.
    """
    _, element = np.unique(structure.numbers, return_inverse=True)
    reach = np.array([radii.max(initial=0.0) for radii in by_element])[element]
    inverse = np.linalg.inv(mesh.cell)
    fractional = structure.positions @ inverse
    wide = reach[:, None] * np.linalg.norm(inverse, axis=0)
    low = np.ceil((fractional - wide) * mesh.shape).astype(np.int64)
    high = np.floor((fractional + wide) * mesh.shape).astype(np.int64)
    return low, high, int((high - low)[:, 2].max(initial=0)) + 1


@njit(cache=True, inline="always")
def line_within(x: float, y: float, z: float, step: Any, reach: float) -> tuple[int, int]:
    """First and last k with |(x, y, z) + k step| < reach, up to rounding; first > last if none."""
    a = step[0] * step[0] + step[1] * step[1] + step[2] * step[2]
    b = x * step[0] + y * step[1] + z * step[2]
    root = b * b - a * (x * x + y * y + z * z - reach * reach)
    if root <= 0.0:
        return 1, 0
    half = np.sqrt(root)
    return int(np.ceil((-b - half) / a)), int(np.floor((-b + half) / a))


@njit(cache=True, fastmath=FUSED)
def _add_atoms(
    begin: int,
    end: int,
    positions: Any,
    element: Any,
    splines: Any,
    cell: Any,
    shape: Any,
    low: Any,
    high: Any,
    buffer: Any,
    fields: Any,
) -> None:
    """Add the functions of atoms begin..end - 1 to `fields` (n_functions, n_points)."""
    n1, n2, n3 = shape[0], shape[1], shape[2]
    step = cell[2] / n3
    r, value = buffer[0], buffer[1]
    for atom in range(begin, end):
        first, last = splines.first[element[atom]], splines.first[element[atom] + 1]
        reach = 0.0
        for function in range(first, last):
            reach = max(reach, splines.reach[function])
        for i in range(low[atom, 0], high[atom, 0] + 1):
            for j in range(low[atom, 1], high[atom, 1] + 1):
                x = i / n1 * cell[0, 0] + j / n2 * cell[1, 0] - positions[atom, 0]
                y = i / n1 * cell[0, 1] + j / n2 * cell[1, 1] - positions[atom, 1]
                z = i / n1 * cell[0, 2] + j / n2 * cell[1, 2] - positions[atom, 2]
                k0, k1 = line_within(x, y, z, step, reach)
                n = k1 - k0 + 1
                for p in range(n):
                    u, v, w = x + (k0 + p) * step[0], y + (k0 + p) * step[1], z + (k0 + p) * step[2]
                    r[p] = np.sqrt(u * u + v * v + w * w)
                line = ((i % n1) * n2 + j % n2) * n3
                for function in range(first, last):
                    # a short function has a short piece of the line to itself
                    f0, f1 = line_within(x, y, z, step, splines.reach[function])
                    f0, f1 = max(f0, k0), min(f1, k1)
                    if f0 > f1:
                        continue
                    begin, length = f0 - k0, f1 - f0 + 1
                    start = splines.start[function]
                    table = splines.coefficients[start : start + splines.intervals[function] + 1]
                    evaluate(table, splines.step[function], splines.reach[function], r[begin:], length, value)
                    add_line(value, length, f0, fields[function - first, line : line + n3])


@njit(cache=True, fastmath=FUSED)
def add_line(value: Any, n: int, first: int, line: Any) -> None:
    """Add `n` values to the points of a line from `first` on; more than the line has go round again."""
    done = 0
    while done < n:
        at = (first + done) % len(line)
        length = min(n - done, len(line) - at)
        for p in range(length):
            line[at + p] += value[done + p]
        done += length
