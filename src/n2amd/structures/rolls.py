"""Sheets rolled into tubes: what a wave of a sheet is at its crests, all the way round."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

from n2amd.errors import InputError
from n2amd.structure import Structure
from n2amd.structures.ripples import sheet_frame

#: Lattice vectors are tried for the one along the tube up to this many repeats of each.
LONGEST = 20
#: Cosine of the angle between circumference and tube axis that counts as zero.
SQUARE = 1e-4
#: Smallest radius of the middle of a sheet, in units of its thickness: its inner side must go somewhere.
THINNEST = 1.0


def read_indices(text: str) -> tuple[int, int]:
    """Read a circumference "n,m".

    Raises
    ------
    InputError
        If it is not two integers, or both are zero.
    """
    parts = text.split(",")
    try:
        n, m = (int(part) for part in parts)
    except ValueError:
        n, m = 0, 0
    if (n, m) == (0, 0):
        raise InputError(
            f"{text!r} is no circumference", field="tube", remedy="give two integers, e.g. --tube 6,0"
        )
    return n, m


def rolled(structure: Structure, indices: tuple[int, int], axis: int, vacuum: float) -> Structure:
    """Roll a sheet up along n a + m b; its middle keeps its lengths.

    Parameters
    ----------
    structure
        Unit cell of a sheet in vacuum.
    indices
        (n, m): lattice vectors of the sheet, those other than `axis`, that add up to the circumference.
    axis
        Lattice vector that leaves the sheet.
    vacuum
        Empty space between a tube and its images, Angstrom.

    Returns
    -------
    tube
        Along the third lattice vector; what is above the sheet comes to lie outside.

    Raises
    ------
    InputError
        If there is no vacuum beside the sheet, no lattice vector at right angles to the circumference, or
        the tube is so thin that its inside would overlap.
    """
    sheet = sheet_frame(structure, axis)
    a, b = (structure.cell[k] for k in range(3) if k != axis)
    around = indices[0] * a + indices[1] * b
    around = around - (around @ sheet.normal) * sheet.normal
    length = float(np.linalg.norm(around))
    radius = length / (2 * np.pi)
    thickness = float(np.ptp(sheet.heights))
    if radius < max(THINNEST * thickness, 0.5):
        raise InputError(
            f"the tube {indices[0]},{indices[1]} has a radius of {radius:.2f} A, the sheet is "
            f"{thickness:.2f} A thick",
            field="tube",
            remedy="roll a longer circumference",
        )
    repeats = _along(a, b, around / length, indices)
    along = repeats[0] * a + repeats[1] * b
    period = float(np.linalg.norm(along))
    places, atoms = _inside(sheet.flat, a, b, indices, repeats)
    angle = 2 * np.pi * (places @ (around / length)) / length
    height = radius + sheet.heights[atoms]
    width = 2 * float(height.max()) + vacuum
    positions = np.stack(
        [
            width / 2 + height * np.cos(angle),
            width / 2 + height * np.sin(angle),
            (places @ (along / period)) % period,
        ],
        axis=1,
    )
    return Structure(np.diag([width, width, period]), positions, structure.numbers[atoms])


def _along(
    a: NDArray[np.float64], b: NDArray[np.float64], direction: NDArray[np.float64], indices: tuple[int, int]
) -> tuple[int, int]:
    """Shortest lattice vector at right angles to the circumference, turned so that both are right-handed."""
    found: list[tuple[float, tuple[int, int]]] = []
    for i, j in product(range(-LONGEST, LONGEST + 1), repeat=2):
        vector = i * a + j * b
        length = float(np.linalg.norm(vector))
        if length and abs(vector @ direction) < SQUARE * length and indices[0] * j - indices[1] * i > 0:
            found.append((length, (i, j)))
    if not found:
        raise InputError(
            f"no lattice vector of up to {LONGEST} repeats is at right angles to the circumference "
            f"{indices[0]},{indices[1]}",
            field="tube",
            remedy="choose another circumference, or a cell of the sheet that is not strained",
        )
    return min(found)[1]


def _inside(
    flat: NDArray[np.float64],
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    around: tuple[int, int],
    along: tuple[int, int],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Places in the plane of the atoms of the cell spanned by both vectors, and which atoms they are."""
    spanning = np.array([around, along])
    inverse = np.linalg.inv(spanning)
    corners = np.array([(0, 0), around, along, np.add(around, along)])
    low, high = corners.min(axis=0), corners.max(axis=0)
    cells = [
        (i, j)
        for i, j in product(range(low[0], high[0] + 1), range(low[1], high[1] + 1))
        # a cell belongs to the tube where its corner lies in it; integers, so that none is counted twice
        if all(-1e-9 <= part < 1 - 1e-9 for part in np.array([i, j]) @ inverse)
    ]
    shifts = np.array(cells) @ np.array([a, b])
    places = (shifts[:, None] + flat[None]).reshape(-1, 3)
    return places, np.tile(np.arange(len(flat)), len(cells))
