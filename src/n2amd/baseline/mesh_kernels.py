"""Compiled loops over the boxes of a mesh: orbitals at its points, and matrix products of them, box by box.

Of each box the orbitals are evaluated that do not vanish on all of its points; they are the rows of one
matrix, and all their products are a matrix product. Rows are taken in panels, each with the rows from it on,
so that of the symmetric result little more than half is computed. Sums run in a fixed order.

The functions of an element must be sorted by their reach, longest first: those of an atom that matter in a
box are then its first ones, and blocks are added up row by row.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from llvmlite.binding import get_host_cpu_features
from numba import njit
from numpy.typing import NDArray

from n2amd.baseline.compiled_harmonics import FUSED, solid_rows
from n2amd.baseline.pair_lookup import find
from n2amd.baseline.radial_splines import evaluate

#: Orbitals from which on a panel is full: wide enough for an efficient matrix product.
PANEL = 40
#: Rows of the panels whose products have up to so many elements. OpenBLAS multiplies such matrices without
#: packing them, at twice the speed, where it has AVX-512; elsewhere narrow panels are slow.
NARROW, SMALL_PRODUCT = (8 if get_host_cpu_features().get("avx512f") else PANEL), 1200

#: Points of a box are made a multiple of this for the products, without remainders in vector instructions.
LANES = 8

#: Precision of orbitals and of their products at the points of a box.
Real = type[np.float32] | type[np.float64]


class Atoms(NamedTuple):
    """Atoms of the compiled loops.

    Attributes
    ----------
    positions
        (n_atoms, 3), Angstrom.
    element
        Number of each atom's element in the spline set, (n_atoms,).
    orbitals
        Orbitals of each atom, (n_atoms,).
    """

    positions: NDArray[np.float64]
    element: NDArray[np.int64]
    orbitals: NDArray[np.int64]


class Workspace(NamedTuple):
    """Memory of one box."""

    points: NDArray[np.float64]
    flat: NDArray[np.int64]
    relative: NDArray[np.float64]
    harmonics: NDArray[np.float64]
    radial: NDArray[np.float64]
    row: NDArray[np.int64]
    atom: NDArray[np.int64]
    shift: NDArray[np.int64]
    phi: NDArray[np.floating]
    panel: NDArray[np.floating]
    block: NDArray[np.floating]
    start: NDArray[np.int64]


def workspace(
    n_points: int, n_images: int, n_rows: int, widest: int, l_max: int, dtype: Real = np.float64
) -> Workspace:
    """Reserve memory for boxes of up to so many points, atom images and orbitals.

    Parameters
    ----------
    n_points, n_images, n_rows
        Of the largest box.
    widest
        Most orbitals of an atom.
    l_max
        Largest angular momentum.
    dtype
        Of the orbitals and of their products.
    """
    n_points += -n_points % LANES
    return Workspace(
        points=np.empty((3, n_points)),
        flat=np.empty(n_points, np.int64),
        relative=np.empty((4, n_points)),
        harmonics=np.empty(((l_max + 1) ** 2, n_points)),
        radial=np.empty(n_points),
        row=np.zeros(n_images + 1, np.int64),
        atom=np.empty(n_images, np.int64),
        shift=np.empty((n_images, 3), np.int64),
        phi=np.empty(n_rows * n_points, dtype),
        panel=np.empty((PANEL + widest) * n_points, dtype),
        block=np.empty((n_rows + PANEL + widest) * n_rows, dtype),
        start=np.empty(n_rows, np.int64),
    )


@njit(cache=True, fastmath=FUSED)
def box_points(boxes: Any, number: int, work: Any) -> int:
    """Fill coordinates and flat indices of the points of a box; returns how many they are."""
    shape, bounds, cell = boxes.shape, boxes.bounds, boxes.cell
    b2 = number % boxes.divisions[2]
    b1 = number // boxes.divisions[2] % boxes.divisions[1]
    b0 = number // boxes.divisions[2] // boxes.divisions[1]
    n = 0
    for i in range(bounds[0, b0], bounds[0, b0 + 1]):
        for j in range(bounds[1, b1], bounds[1, b1 + 1]):
            for k in range(bounds[2, b2], bounds[2, b2 + 1]):
                u, v, w = i / shape[0], j / shape[1], k / shape[2]
                for c in range(3):
                    work.points[c, n] = u * cell[0, c] + v * cell[1, c] + w * cell[2, c]
                work.flat[n] = (i * shape[1] + j) * shape[2] + k
                n += 1
    return n


@njit(cache=True, fastmath=FUSED | {"nnan"})
def relative_points(cell: Any, position: Any, shift: Any, points: Any, n: int, relative: Any) -> float:
    """Fill vectors and distances from an atom image to the points; returns the shortest distance."""
    for c in range(3):
        origin = position[c] + shift[0] * cell[0, c] + shift[1] * cell[1, c] + shift[2] * cell[2, c]
        for p in range(n):
            relative[c, p] = points[c, p] - origin
    for p in range(n):
        x, y, z = relative[0, p], relative[1, p], relative[2, p]
        relative[3, p] = x * x + y * y + z * z
    nearest = np.inf
    for p in range(n):
        nearest = min(nearest, relative[3, p])
    for p in range(n):
        relative[3, p] = np.sqrt(relative[3, p])
    return np.sqrt(nearest)


@njit(cache=True, fastmath=FUSED)
def box_orbitals(boxes: Any, number: int, n: int, images: Any, atoms: Any, splines: Any, work: Any) -> int:
    """Fill the rows of orbitals of a box and what they belong to; returns the number of atom images.

    Image q has the rows row[q]:row[q + 1] of `phi` (n_rows, n): the first orbitals of its atom.
    """
    phi = work.phi[: len(work.phi) // n * n].reshape(-1, n)
    kept, row = 0, 0
    for entry in range(images.starts[number], images.starts[number + 1]):
        atom, shift = images.atom[entry], images.shift[entry]
        nearest = relative_points(boxes.cell, atoms.positions[atom], shift, work.points, n, work.relative)
        begin, end = splines.first[atoms.element[atom]], splines.first[atoms.element[atom] + 1]
        l_max = -1
        for function in range(begin, end):
            if splines.reach[function] <= nearest:
                end = function
                break
            l_max = max(l_max, splines.l[function])
        if l_max < 0:
            continue
        solid_rows(l_max, work.relative[0], work.relative[1], work.relative[2], n, work.harmonics)
        for function in range(begin, end):
            start, l = splines.start[function], splines.l[function]
            table = splines.coefficients[start : start + splines.intervals[function] + 1]
            evaluate(table, splines.step[function], splines.reach[function], work.relative[3], n, work.radial)
            for m in range(l * l, (l + 1) * (l + 1)):
                for p in range(n):
                    phi[row, p] = work.radial[p] * work.harmonics[m, p]
                row += 1
        work.atom[kept] = atom
        work.shift[kept] = shift
        kept += 1
        work.row[kept] = row
    return kept


@njit(cache=True)
def _panel_end(row: Any, begin: int, kept: int) -> int:
    """Image behind the last one of the panel that begins with image `begin`."""
    end = begin + 1
    while end < kept and row[end] - row[begin] < PANEL:
        end += 1
    return end


@njit(cache=True, inline="always")
def entry_of(row: Any, code: Any, half_span: int, atom: Any, shift: Any, a: int, b: int) -> int:
    """Entry of the pair of two images of the box."""
    x, y, z = shift[b, 0] - shift[a, 0], shift[b, 1] - shift[a, 1], shift[b, 2] - shift[a, 2]
    return find(row, code, half_span, atom[a], atom[b], x, y, z)


@njit(cache=True)
def _get_block(
    values: Any, base: int, width: int, weight: float, rows: int, c0: int, columns: int, product: Any
) -> None:
    """Write a flat block, times `weight`, into columns c0.. of the first rows of `product`."""
    for r in range(rows):
        target, source = product[r, c0:], values[base + r * width :]
        for c in range(columns):
            target[c] = weight * source[c]


@njit(cache=True)
def _scatter(kept: int, atoms: Any, lookup: Any, work: Any, values: Any) -> None:
    """Add the products of every two images to the flat blocks.

    The product of rows r <= c stands at block[start[r] + c].
    """
    row, block, start = work.row, work.block, work.start
    for a in range(kept):
        for b in range(a, kept):
            entry = entry_of(lookup.row, lookup.code, lookup.half_span, work.atom, work.shift, a, b)
            if entry < 0:
                continue
            base, c0, columns = lookup.base[entry], row[b], row[b + 1] - row[b]
            width = atoms.orbitals[work.atom[b]]
            if a == b:
                _add_symmetric(block, start, c0, columns, values[base:], width)
            elif lookup.transposed[entry]:
                for r in range(row[a + 1] - row[a]):
                    source = block[start[row[a] + r] + c0 :]
                    for c in range(columns):
                        values[base + c * width + r] += source[c]
            else:
                for r in range(row[a + 1] - row[a]):
                    # pieces of their own: indices that may be negative would not become vector instructions
                    target, source = values[base + r * width :], block[start[row[a] + r] + c0 :]
                    for c in range(columns):
                        target[c] += source[c]


@njit(cache=True)
def _add_symmetric(block: Any, start: Any, first: int, n: int, values: Any, width: int) -> None:
    """Add the products of an image with itself, of which only those of rows r <= c are known."""
    for r in range(n):
        source = block[start[first + r] + first :]
        values[r * width + r] += source[r]
        for c in range(r + 1, n):
            values[r * width + c] += source[c]
            values[c * width + r] += source[c]


@njit(cache=True)
def _gather(
    values: Any, first: int, last: int, kept: int, atoms: Any, lookup: Any, work: Any, product: Any
) -> None:
    """Write the blocks of images first..last - 1 into `product`, twice where they have a partner.

    They are the blocks that `_scatter` adds to, with all images from each of them on.
    """
    row, r0 = work.row, work.row[first]
    product[:] = 0.0
    for a in range(first, last):
        rows = row[a + 1] - row[a]
        part = product[row[a] - r0 :]
        for b in range(a, kept):
            entry = entry_of(lookup.row, lookup.code, lookup.half_span, work.atom, work.shift, a, b)
            if entry < 0:
                continue
            base, c0, columns = lookup.base[entry], row[b] - r0, row[b + 1] - row[b]
            width = atoms.orbitals[work.atom[b]]
            weight = 1.0 if a == b else 2.0
            if lookup.transposed[entry]:
                for r in range(rows):
                    for c in range(columns):
                        part[r, c0 + c] = weight * values[base + c * width + r]
            else:
                _get_block(values, base, width, weight, rows, c0, columns, part)


@njit(cache=True)
def _fill_up(n: int, work: Any) -> int:
    """Repeat the last of the `n` points of a box up to a multiple of `LANES`; returns that."""
    wide = (n + LANES - 1) // LANES * LANES
    for p in range(n, wide):
        for c in range(3):
            work.points[c, p] = work.points[c, n - 1]
    return wide


@njit(cache=True, fastmath=FUSED)
def _multiply(field: Any, volume_element: float, inside: int, n: int, rows: int, work: Any) -> None:
    """Fill `block` with the products of rows r <= c of orbitals, weighted by a field, and `start`.

    Of the `n` points the first `inside` count.
    """
    phi = work.phi[: rows * n].reshape(rows, n)
    for p in range(inside):
        work.radial[p] = field[work.flat[p]] * volume_element
    for p in range(inside, n):
        work.radial[p] = 0.0
    at, r0 = 0, 0
    while r0 < rows:
        width = rows - r0
        height = min(NARROW if NARROW * width <= SMALL_PRODUCT else PANEL, width)
        weighted = work.panel[: height * n].reshape(height, n)
        for r in range(height):
            source, target = phi[r0 + r], weighted[r]
            for p in range(n):
                target[p] = source[p] * work.radial[p]
            work.start[r0 + r] = at + r * width - r0
        np.dot(weighted, phi[r0:].T, work.block[at : at + height * width].reshape(height, width))
        at, r0 = at + height * width, r0 + height


@njit(cache=True, fastmath=FUSED)
def integrate_boxes(
    begin: int,
    end: int,
    boxes: Any,
    images: Any,
    atoms: Any,
    splines: Any,
    lookup: Any,
    fields: Any,
    volume_element: float,
    work: Any,
    values: Any,
) -> None:
    """Add <phi_i | field | phi_j R> over boxes begin..end - 1 to `values` (n_fields, n_elements).

    `fields` is (n_fields, n_points).
    """
    for number in range(begin, end):
        inside = box_points(boxes, number, work)
        n = _fill_up(inside, work)
        kept = box_orbitals(boxes, number, n, images, atoms, splines, work)
        for f in range(len(fields)):
            _multiply(fields[f], volume_element, inside, n, work.row[kept], work)
            _scatter(kept, atoms, lookup, work, values[f])


@njit(cache=True, fastmath=FUSED)
def density_boxes(
    begin: int,
    end: int,
    boxes: Any,
    images: Any,
    atoms: Any,
    splines: Any,
    lookup: Any,
    values: Any,
    work: Any,
    density: Any,
) -> None:
    """Fill `density` (n_spin, n_points) at the points of boxes begin..end - 1.

    `values` is (n_spin, n_elements).
    """
    for number in range(begin, end):
        n = box_points(boxes, number, work)
        kept = box_orbitals(boxes, number, n, images, atoms, splines, work)
        rows = work.row[kept]
        phi = work.phi[: rows * n].reshape(rows, n)
        for spin in range(len(values)):
            work.radial[:n] = 0.0
            first = 0
            while first < kept:
                last = _panel_end(work.row, first, kept)
                r0, r1 = work.row[first], work.row[last]
                weights = work.block[: (r1 - r0) * (rows - r0)].reshape(r1 - r0, rows - r0)
                _gather(values[spin], first, last, kept, atoms, lookup, work, weights)
                product = work.panel[: (r1 - r0) * n].reshape(r1 - r0, n)
                np.dot(weights, phi[r0:], product)
                for r in range(r0, r1):
                    source, other = phi[r], product[r - r0]
                    for p in range(n):
                        work.radial[p] += source[p] * other[p]
                first = last
            for p in range(n):
                density[spin, work.flat[p]] = work.radial[p]
