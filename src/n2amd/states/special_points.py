"""Special points of crystals and lattices, in the reciprocal vectors of any cell.

Names, coordinates and paths are those of seekpath (Hinuma, Pizzi, Kumagai, Oba and Tanaka, Comput. Mater.
Sci. 128, 140 (2017)), but that "G" stands for Gamma and "G_1" for the point G that two lattices have besides.
They are given in the cell as it is, whatever its orientation and choice of vectors, so that bands along them
need no other structure than the user's.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from n2amd.structure import Structure

#: Distance, Angstrom, within which atoms and their images under a symmetry count as the same.
SYMMETRY_TOLERANCE = 0.01
#: Thermal strain up to this part of a length, and this many degrees, still counts as the ideal lattice.
STRAIN, STRAIN_ANGLE = 0.05, 3.0
#: A vector that no band follows is made this many times as long as the longest other, so that no symmetry
#: takes it to one of them.
APART = 3.7
#: Distance of a coordinate from a whole number that is the tolerance's.
_WHOLE = 0.2
#: Lattices by symmetry.
_SYSTEMS = "amothc"


@dataclass(frozen=True)
class SpecialPoints:
    """Special points of a crystal or lattice.

    Attributes
    ----------
    points
        Fractional k point of each name, in the reciprocal vectors of the cell that was asked about.
    path
        Standard path, (from, to) of each line.
    lattice
        Extended Bravais symbol, e.g. "tP1".
    space_group
        Symbol and number, e.g. "P4_2/mnm (136)"; of a lattice alone that of its points.
    n_primitive
        Primitive cells in the cell.
    is_standard
        Whether the cell's vectors are the standard primitive ones, in their order.
    primitive
        The standard primitive cell, in the standard orientation and with the symmetry made exact.
    """

    points: Mapping[str, NDArray[np.float64]]
    path: tuple[tuple[str, str], ...]
    lattice: str
    space_group: str
    n_primitive: int
    is_standard: bool
    primitive: Structure

    @property
    def symmetry(self) -> int:
        """Rank of the lattice by its symmetry: 0 triclinic, 5 cubic."""
        return _SYSTEMS.index(self.lattice[0])


def points_of_crystal(structure: Structure) -> SpecialPoints | None:
    """Special points by the symmetry of the atoms; None where it cannot be determined.

    Points are those of the primitive cell, in the reciprocal vectors of the structure's own cell.
    """
    return _points(structure, SYMMETRY_TOLERANCE)


def points_of_lattice(
    cell: NDArray[np.float64],
    follows: Sequence[bool] = (True, True, True),
    strained: bool = False,
) -> SpecialPoints | None:
    """Special points of a lattice without atoms; None where its symmetry cannot be determined.

    Parameters
    ----------
    cell
        Lattice vectors as rows, (3, 3), Angstrom.
    follows
        Vectors that bands follow. The others are set upright and far longer: their length says nothing.
    strained
        Whether strain as thermal motion has it still counts as the ideal lattice.
    """
    free = np.asarray(cell, dtype=np.float64).copy()
    plane = free[np.flatnonzero(follows)]
    longest = float(np.linalg.norm(plane, axis=1).max())
    for number, axis in enumerate(np.flatnonzero(np.logical_not(follows)), 1):
        upright = free[axis] - free[axis] @ np.linalg.pinv(plane) @ plane
        free[axis] = upright * (longest * APART**number / np.linalg.norm(upright))
        plane = np.vstack([plane, free[axis]])
    point = Structure(free, np.zeros((1, 3)), np.array([1]))
    if not strained:
        return _points(point, SYMMETRY_TOLERANCE)
    return _points(point, STRAIN * float(np.linalg.norm(free, axis=1).min()), STRAIN_ANGLE)


def _points(structure: Structure, tolerance: float, degrees: float = -1.0) -> SpecialPoints | None:
    """Special points of the crystal whose atoms, and angles where they are said, are within tolerances."""
    from seekpath import get_path

    fractional = structure.positions @ np.linalg.inv(structure.cell)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of spglib and of edge cases between lattices
        try:
            found: dict[str, Any] = get_path(
                (structure.cell, fractional, structure.numbers),
                symprec=tolerance,
                angle_tolerance=degrees,
                threshold=1e-3,
            )
        except Exception:  # spglib and seekpath have several kinds for symmetry that they cannot find
            return None
    standard = np.asarray(found["primitive_lattice"], dtype=np.float64)
    # from the reciprocal vectors of the standard cell to those of ours: whole numbers, but for what the
    # tolerance has moved
    turn = np.linalg.inv(standard).T @ found["rotation_matrix"] @ structure.cell.T
    whole = np.rint(turn)
    if np.abs(turn - whole).max() > _WHOLE:
        return None
    points = {_name(label): np.array(k) @ whole for label, k in found["point_coords"].items()}
    primitive = Structure(
        standard, np.asarray(found["primitive_positions"]) @ standard, np.asarray(found["primitive_types"])
    )
    return SpecialPoints(
        points,
        tuple((_name(a), _name(b)) for a, b in found["path"]),
        str(found["bravais_lattice_extended"]),
        f"{found['spacegroup_international']} ({found['spacegroup_number']})",
        abs(round(float(np.linalg.det(whole)))),
        bool(np.array_equal(whole, np.eye(3))),
        primitive,
    )


def _name(label: str) -> str:
    """Our name of a point of seekpath."""
    return {"GAMMA": "G", "G": "G_1"}.get(label, label)
