"""Sheets bent into waves: curved surroundings in a small periodic cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from n2amd.errors import InputError
from n2amd.structure import Structure

#: Steepest slope of a wave.
STEEPEST = 1.0
#: Least share of the largest curvature that is drawn.
LEAST = 0.3
#: A lattice vector of at least this share of the other one is as long.
_AS_LONG = 0.7
#: Points that a wave is tabulated at.
_POINTS = 4001
#: Empty height that a sheet must have beside it, Angstrom.
_VACUUM = 4.0


@dataclass(frozen=True)
class SheetFrame:
    """A sheet made whole, in and out of its plane.

    Attributes
    ----------
    normal
        Unit vector out of the plane, (3,).
    heights
        Of the atoms above the middle of the sheet, (n_atoms,), Angstrom.
    flat
        Positions in the plane, (n_atoms, 3), Angstrom.
    """

    normal: NDArray[np.float64]
    heights: NDArray[np.float64]
    flat: NDArray[np.float64]


def sheet_frame(structure: Structure, axis: int) -> SheetFrame:
    """Make a sheet whole that may lie across the border of its cell, whose vector out of it may lean.

    Raises
    ------
    InputError
        If there is no vacuum beside the sheet.
    """
    a, b = (structure.cell[k] for k in range(3) if k != axis)
    normal = np.cross(a, b)
    normal *= np.sign(normal @ structure.cell[axis]) / np.linalg.norm(normal)
    period = float(structure.cell[axis] @ normal)
    bottom = _bottom(structure.positions @ normal, period)
    away = np.floor((structure.positions @ normal - bottom) / period + 1e-9)
    positions = structure.positions - np.outer(away, structure.cell[axis])
    heights = positions @ normal - bottom
    flat = positions - np.outer(positions @ normal, normal)
    return SheetFrame(normal, heights - (heights.max() + heights.min()) / 2, flat)


@dataclass(frozen=True)
class Wave:
    """One period of A sin(2 pi x / L + phase) by its arc length.

    Attributes
    ----------
    arc, x, height, angle
        Tabulated over one period, (n,): Angstrom, slope as an angle.
    length
        Period L along x, Angstrom; that of the arc is the sheet's own.
    amplitude
        A, Angstrom.
    """

    arc: NDArray[np.float64]
    x: NDArray[np.float64]
    height: NDArray[np.float64]
    angle: NDArray[np.float64]
    length: float
    amplitude: float

    @classmethod
    def of_arc(cls, arc_length: float, curvature: float, phase: float) -> Wave:
        """Wave whose period has a given arc length, with a curvature (1/Angstrom) at its crests.

        Where it would be steeper than `STEEPEST`, its curvature is less.
        """
        inside = 2 * np.pi * np.arange(_POINTS) / (_POINTS - 1) + phase

        def slope(length: float) -> float:
            # A q^2 is the curvature at a crest, A q the steepest slope
            return min(curvature * length / (2 * np.pi), STEEPEST)

        def stretch(length: float) -> float:
            return float(np.hypot(1.0, slope(length) * np.cos(inside[:-1])).mean())

        low, high = 0.0, arc_length
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if middle * stretch(middle) < arc_length else (low, middle)
        length, steep = low, slope(low)
        amplitude = steep * length / (2 * np.pi)
        rate = np.hypot(1.0, steep * np.cos(inside))
        arc = np.concatenate([[0.0], np.cumsum((rate[1:] + rate[:-1]) / 2)])
        return cls(
            arc * arc_length / arc[-1],
            length * np.arange(_POINTS) / (_POINTS - 1),
            amplitude * np.sin(inside),
            np.arctan(steep * np.cos(inside)),
            length,
            amplitude,
        )


def rippled(
    structure: Structure, largest: float, axis: int, generator: np.random.Generator
) -> tuple[Structure, dict[str, object]]:
    """Bend a sheet into a wave along one of its lattice vectors; bonds of its middle keep their lengths.

    Its curvature is drawn between `LEAST` and 1 of the largest, its phase, and its direction where the two
    lattice vectors of the sheet are about as long; else it runs along the longer one. The cell shrinks along
    the wave and grows by its height, so that the vacuum stays.

    Parameters
    ----------
    structure
        A sheet in vacuum.
    largest
        Largest curvature of a crest, 1/Angstrom: one over the radius of the tube it is like.
    axis
        Lattice vector that leaves the sheet.
    generator
        Source of randomness.

    Returns
    -------
    structure, record
        The bent sheet; along (lattice vector), curvature (1/A), amplitude (A).

    Raises
    ------
    InputError
        If there is no vacuum beside the sheet.
    """
    lengths = np.linalg.norm(structure.cell, axis=1)
    along, across = generator.permutation([k for k in range(3) if k != axis])
    if lengths[along] < _AS_LONG * lengths[across]:
        along, across = across, along
    curvature = largest * generator.uniform(LEAST, 1.0)
    phase = generator.uniform(0.0, 2 * np.pi)
    sheet = sheet_frame(structure, axis)
    normal, heights = sheet.normal, sheet.heights
    step = np.cross(structure.cell[across], normal)
    step *= np.sign(step @ structure.cell[along]) / np.linalg.norm(step)
    wave = Wave.of_arc(float(structure.cell[along] @ step), curvature, phase)
    turns, inside = np.divmod(sheet.flat @ step, wave.arc[-1])
    x, bend, angle = (np.interp(inside, wave.arc, table) for table in (wave.x, wave.height, wave.angle))
    new_x = turns * wave.length + x - np.sin(angle) * heights
    new_height = bend + np.cos(angle) * heights
    flat = sheet.flat - np.outer(sheet.flat @ step, step)
    cell = structure.cell.copy()
    cell[along] += (wave.length - wave.arc[-1]) * step
    # what leaves the sheet may lean: only its part along the normal grows
    cell[axis] += 2 * wave.amplitude * normal
    middle = cell[axis] @ normal / 2
    made = flat + np.outer(new_x, step) + np.outer(new_height + middle, normal)
    record = {"ripple_along": "abc"[along], "curvature_per_A": curvature, "amplitude_A": wave.amplitude}
    return Structure(cell, made, structure.numbers, structure.pbc), record


def _bottom(heights: NDArray[np.float64], period: float) -> float:
    """Height of the lowest plane of the sheet, which may lie across the border of the cell."""
    order = np.sort(heights % period)
    empty = np.diff(np.append(order, order[0] + period))
    largest = int(empty.argmax())
    if empty[largest] < _VACUUM:
        raise InputError(
            f"no vacuum beside a sheet: the largest empty height is {empty[largest]:.2f} A, "
            f"must be {_VACUUM:g}",
            field="ripple_per_A",
            remedy="ripple sheets only, and name the lattice vector that leaves them (slide_axis)",
        )
    return float(order[(largest + 1) % len(order)])
