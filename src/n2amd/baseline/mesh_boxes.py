"""A mesh cut into small boxes, and which atoms, at which lattice translations, reach each of them.

Everything here is linear in the number of atoms. All three directions are periodic, as plane-wave meshes are;
a cell may be smaller than the reach of its atoms, which then reach a box through several images.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from n2amd.errors import InputError
from n2amd.frames.mesh import Mesh
from n2amd.structure import Structure

#: Points along an edge of a box. Smaller boxes hold fewer orbitals that vanish on part of the points, larger
#: ones make the matrix products more efficient.
EDGE = 5


class Boxes(NamedTuple):
    """Boxes of a mesh; box (b1, b2, b3) has the number (b1 n2 + b2) n3 + b3.

    Attributes
    ----------
    shape
        Mesh points along each axis, (3,).
    divisions
        Boxes along each axis, (3,).
    bounds
        First mesh point of each box along each axis and, last, the number of points; (3, max(divisions) + 1).
    box_of
        Box of each mesh point along each axis, (3, max(shape)).
    cell
        Lattice vectors as rows, Angstrom, (3, 3).
    """

    shape: NDArray[np.int64]
    divisions: NDArray[np.int64]
    bounds: NDArray[np.int64]
    box_of: NDArray[np.int64]
    cell: NDArray[np.float64]

    @property
    def total(self) -> int:
        """Number of boxes."""
        return math.prod(int(n) for n in self.divisions)

    @property
    def largest(self) -> int:
        """Mesh points of the largest box."""
        return math.prod(int(np.diff(self.bounds[d, : self.divisions[d] + 1]).max()) for d in range(3))


class Images(NamedTuple):
    """Atom images that may reach each box: entries starts[b]:starts[b + 1] belong to box b.

    Attributes
    ----------
    starts
        (n_boxes + 1,).
    atom
        Atom of each entry, ascending in a box, (n_entries,).
    shift
        Lattice translation of the image in units of the cell, (n_entries, 3).
    """

    starts: NDArray[np.int64]
    atom: NDArray[np.int32]
    shift: NDArray[np.int32]


def check_cell(structure: Structure, mesh: Mesh) -> None:
    """Require that the mesh is that of the structure's cell.

    Raises
    ------
    InputError
        If it is not.
    """
    if not np.allclose(structure.cell, mesh.cell, rtol=0, atol=1e-6):
        raise InputError(
            "the mesh belongs to another cell", field="mesh", remedy="make it of this structure's cell"
        )


def cut(mesh: Mesh, edge: int = EDGE) -> Boxes:
    """Cut a mesh into boxes of about `edge` points along each axis."""
    shape = np.array(mesh.shape, dtype=np.int64)
    count = np.maximum(1, np.rint(shape / edge)).astype(np.int64)
    bounds = np.zeros((3, int(count.max()) + 1), dtype=np.int64)
    box_of = np.zeros((3, int(shape.max())), dtype=np.int64)
    for d in range(3):
        edges = np.arange(count[d] + 1) * shape[d] // count[d]
        bounds[d, : count[d] + 1] = edges
        box_of[d, : shape[d]] = np.repeat(np.arange(count[d]), np.diff(edges))
    return Boxes(shape, count, bounds, box_of, np.ascontiguousarray(mesh.cell))


def find_images(boxes: Boxes, structure: Structure, reach: NDArray[np.float64]) -> Images:
    """List the atom images within reach of each box.

    Parameters
    ----------
    boxes
        Boxes of the mesh of the structure's cell.
    structure
        Atoms; positions need not be wrapped, translations refer to them as they are.
    reach
        Radius of each atom, (n_atoms,), Angstrom.
    """
    inverse = np.linalg.inv(boxes.cell)
    fractional = structure.positions @ inverse
    wide = reach[:, None] * np.linalg.norm(inverse, axis=0)
    low = np.ceil((fractional - wide) * boxes.shape).astype(np.int64)
    high = np.floor((fractional + wide) * boxes.shape).astype(np.int64)
    counts = np.zeros(boxes.total + 1, dtype=np.int64)
    nothing = (np.zeros(0, np.int32), np.zeros((0, 3), np.int32))
    # spheres around the boxes: few images too many, which the loop over the points then drops
    arguments = (boxes, structure.positions, reach + _radius(boxes), low, high)
    _scan(*arguments, counts[1:], *nothing, False)
    starts = np.cumsum(counts)
    atom, shift = np.empty(starts[-1], np.int32), np.empty((starts[-1], 3), np.int32)
    _scan(*arguments, starts[:-1].copy(), atom, shift, True)
    return Images(starts, atom, shift)


@njit(cache=True)
def _scan(
    boxes: Any, positions: Any, reach: Any, low: Any, high: Any, place: Any, atom: Any, shift: Any, fill: bool
) -> None:
    """Count (`fill` False) or write, at `place`, the images of each box, atom after atom."""
    count, box_of, shape = boxes.divisions, boxes.box_of, boxes.shape
    begin, end = np.zeros(3, np.int64), np.zeros(3, np.int64)
    box, translation = np.zeros(3, np.int64), np.zeros(3, np.int64)
    for a in range(len(positions)):
        if low[a, 0] > high[a, 0] or low[a, 1] > high[a, 1] or low[a, 2] > high[a, 2]:
            continue
        for d in range(3):
            # unwrapped number of the box of the first and the last point within reach
            begin[d] = box_of[d, low[a, d] % shape[d]] + count[d] * (low[a, d] // shape[d])
            end[d] = box_of[d, high[a, d] % shape[d]] + count[d] * (high[a, d] // shape[d])
        for i in range(begin[0], end[0] + 1):
            for j in range(begin[1], end[1] + 1):
                for k in range(begin[2], end[2] + 1):
                    box[0], box[1], box[2] = i % count[0], j % count[1], k % count[2]
                    translation[0], translation[1] = -(i // count[0]), -(j // count[1])
                    translation[2] = -(k // count[2])
                    if _distance(boxes, box, translation, positions[a]) > reach[a]:
                        continue
                    number = (box[0] * count[1] + box[1]) * count[2] + box[2]
                    if fill:
                        atom[place[number]] = a
                        shift[place[number]] = translation
                    place[number] += 1


@njit(cache=True)
def _distance(boxes: Any, box: Any, translation: Any, position: Any) -> float:
    """Distance of an atom from the centre of the box that it sees, unwrapped, at minus its translation."""
    square = 0.0
    for c in range(3):
        apart = -position[c]
        for d in range(3):
            middle = 0.5 * (boxes.bounds[d, box[d]] + boxes.bounds[d, box[d] + 1] - 1) / boxes.shape[d]
            apart += (middle - translation[d]) * boxes.cell[d, c]
        square += apart * apart
    return np.sqrt(square)


def _radius(boxes: Boxes) -> float:
    """Radius of a sphere that holds the points of any box, from its centre."""
    widest = np.array([np.diff(boxes.bounds[d, : boxes.divisions[d] + 1]).max() for d in range(3)]) - 1
    half = 0.5 * (widest / boxes.shape)[:, None] * boxes.cell
    signs = np.array([[1, 1, 1], [1, 1, -1], [1, -1, 1], [1, -1, -1]])
    return float(np.linalg.norm(signs @ half, axis=1).max())
