"""Compiled loop over the boxes of a mesh: derivatives of the energy of a density in a potential.

With q_i = sum_j D_ij phi_j at the points of a box, d int V rho = 2 sum_i int V q_i d phi_i. An orbital is
R(r) / r^l times a solid harmonic, whose gradient is made of the harmonics of l - 1.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from n2amd.baseline.compiled_harmonics import FUSED, MAX_L, solid_rows
from n2amd.baseline.mesh_kernels import box_orbitals, box_points, entry_of, relative_points
from n2amd.baseline.radial_splines import evaluate_with_slope
from n2amd.orbitals.harmonics import solid_gradient


class HarmonicGradients(NamedTuple):
    """Gradients of solid harmonics: terms start[l]:start[l + 1] are those of l.

    Attributes
    ----------
    start
        (MAX_L + 2,).
    axis, upper, lower
        d(row `upper`) / d(x, y, z)[axis] has `factor` times row `lower` of the harmonics, (n_terms,).
    factor
        (n_terms,).
    """

    start: NDArray[np.int64]
    axis: NDArray[np.int64]
    upper: NDArray[np.int64]
    lower: NDArray[np.int64]
    factor: NDArray[np.float64]


@cache
def harmonic_gradients() -> HarmonicGradients:
    """List the terms that are not zero."""
    start, terms = [0, 0], [np.zeros((0, 4))]
    for l in range(1, MAX_L + 1):
        matrix = solid_gradient(l)
        axis, upper, lower = np.nonzero(np.abs(matrix) > 1e-12)
        terms.append(np.column_stack([axis, upper, lower + (l - 1) ** 2, matrix[axis, upper, lower]]))
        start.append(start[-1] + len(axis))
    table = np.concatenate(terms)
    axis, upper, lower = np.ascontiguousarray(table[:, :3].T.astype(np.int64))
    return HarmonicGradients(np.array(start), axis, upper, lower, np.ascontiguousarray(table[:, 3]))


class GradientSpace(NamedTuple):
    """Memory of one box beside `Workspace`: D, D phi, its products with the field, a slope and a gradient."""

    density: NDArray[np.float64]
    applied: NDArray[np.float64]
    weighted: NDArray[np.float64]
    slope: NDArray[np.float64]
    flow: NDArray[np.float64]


def gradient_space(n_points: int, n_rows: int) -> GradientSpace:
    """Reserve memory for boxes of up to so many points and orbitals."""
    return GradientSpace(
        np.empty(n_rows * n_rows),
        np.empty(n_rows * n_points),
        np.empty(n_rows * n_points),
        np.empty((2, n_points)),
        np.empty((3, n_points)),
    )


@njit(cache=True)
def _density_of_box(values: Any, kept: int, atoms: Any, lookup: Any, work: Any, out: Any) -> None:
    """Fill the density matrix of all orbitals of the box, (n_rows, n_rows)."""
    row = work.row
    out[:] = 0.0
    for a in range(kept):
        for b in range(a, kept):
            entry = entry_of(lookup.row, lookup.code, lookup.half_span, work.atom, work.shift, a, b)
            if entry < 0:
                continue
            base, width = lookup.base[entry], atoms.orbitals[work.atom[b]]
            for r in range(row[a + 1] - row[a]):
                for c in range(row[b + 1] - row[b]):
                    place = c * width + r if lookup.transposed[entry] else r * width + c
                    out[row[a] + r, row[b] + c] = values[base + place]
                    out[row[b] + c, row[a] + r] = values[base + place]


@njit(cache=True, fastmath=FUSED)
def _image_flow(
    element: int,
    first: int,
    last: int,
    n: int,
    weighted: Any,
    splines: Any,
    table: Any,
    work: Any,
    space: Any,
) -> None:
    """Fill `flow` (3, n) with sum_i weighted[i] grad phi_i of the rows first..last - 1 of an atom image.

    Harmonics and distances of the image are in the work space.
    """
    radial, slope, mixed = work.radial, space.slope[0], space.slope[1]
    flow = space.flow
    for p in range(n):
        flow[0, p] = flow[1, p] = flow[2, p] = 0.0
    function, row = splines.first[element], first
    while row < last:
        start, l = splines.start[function], splines.l[function]
        coefficients = splines.coefficients[start : start + splines.intervals[function] + 1]
        step, reach = splines.step[function], splines.reach[function]
        evaluate_with_slope(coefficients, step, reach, work.relative[3], n, radial, slope)
        for p in range(n):
            mixed[p] = 0.0
        for m in range(2 * l + 1):
            for p in range(n):
                mixed[p] += weighted[row + m, p] * work.harmonics[l * l + m, p]
        for p in range(n):
            mixed[p] *= slope[p]
        for c in range(3):
            for p in range(n):
                flow[c, p] += mixed[p] * work.relative[c, p]
        for t in range(table.start[l], table.start[l + 1]):
            target, factor = flow[table.axis[t]], table.factor[t]
            source, lower = weighted[row + table.upper[t]], work.harmonics[table.lower[t]]
            for p in range(n):
                target[p] += factor * radial[p] * source[p] * lower[p]
        row += 2 * l + 1
        function += 1


@njit(cache=True, fastmath=FUSED | {"reassoc"})
def _add_flow(flow: Any, relative: Any, n: int, factor: float, result: Any) -> None:
    """Add sums of the flow and of its products with the vectors from the atom to `result` (4, 3)."""
    for c in range(3):
        total, x, y, z = 0.0, 0.0, 0.0, 0.0
        for p in range(n):
            total += flow[c, p]
            x += flow[c, p] * relative[0, p]
            y += flow[c, p] * relative[1, p]
            z += flow[c, p] * relative[2, p]
        result[0, c] += factor * total
        result[1 + c, 0] += factor * x
        result[1 + c, 1] += factor * y
        result[1 + c, 2] += factor * z


@njit(cache=True, fastmath=FUSED)
def gradient_boxes(
    begin: int,
    end: int,
    boxes: Any,
    images: Any,
    atoms: Any,
    splines: Any,
    lookup: Any,
    values: Any,
    fields: Any,
    volume_element: float,
    table: Any,
    work: Any,
    space: Any,
    result: Any,
) -> None:
    """Add to result[atom] (4, 3) 2 sum int V q_i grad phi_i, and the products with x, y, z from the atom.

    `values` (n_spin, n_elements) is the density matrix, `fields` (n_spin, n_points) the potential.
    """
    for number in range(begin, end):
        n = box_points(boxes, number, work)
        kept = box_orbitals(boxes, number, n, images, atoms, splines, work)
        rows = work.row[kept]
        phi = work.phi[: rows * n].reshape(rows, n)
        density = space.density[: rows * rows].reshape(rows, rows)
        applied = space.applied[: rows * n].reshape(rows, n)
        weighted = space.weighted[: rows * n].reshape(rows, n)
        weighted[:] = 0.0
        for spin in range(len(values)):
            _density_of_box(values[spin], kept, atoms, lookup, work, density)
            np.dot(density, phi, applied)
            for p in range(n):
                work.radial[p] = fields[spin, work.flat[p]]
            for r in range(rows):
                target, source = weighted[r], applied[r]
                for p in range(n):
                    target[p] += work.radial[p] * source[p]
        for image in range(kept):
            atom, element = work.atom[image], atoms.element[work.atom[image]]
            relative_points(
                boxes.cell, atoms.positions[atom], work.shift[image], work.points, n, work.relative
            )
            # the rows of an image are the first functions of its atom
            l_max = splines.l[splines.first[element] : splines.first[element + 1]].max()
            solid_rows(l_max, work.relative[0], work.relative[1], work.relative[2], n, work.harmonics)
            first, last = work.row[image], work.row[image + 1]
            _image_flow(element, first, last, n, weighted, splines, table, work, space)
            _add_flow(space.flow, work.relative, n, 2 * volume_element, result[atom])
