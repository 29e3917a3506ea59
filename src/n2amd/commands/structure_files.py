"""Structures that a user names: one of any file, or a frame of a trajectory, repeated."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from n2amd.structure import Structure

FrameNumber = Annotated[
    int | None, typer.Option("--frame", help="Frame of a trajectory or of a file of several, from 0.")
]
Repeats = Annotated[
    str, typer.Option("--supercell", metavar="NxNxN", help="Repeats of the cell, e.g. 2x2x1.")
]


def frames_of(path: Path) -> list[Structure]:
    """Frames of a trajectory file or an extended XYZ file."""
    from n2amd.interop.extxyz import read_structures
    from n2amd.trajectory.file import read_trajectory

    if path.suffix not in (".h5", ".hdf5"):
        return read_structures(path)
    trajectory = read_trajectory(path)
    return [trajectory.structure.with_positions(x) for x in trajectory.frames.positions]


def structure_of(path: Path, frame: int | None = None) -> Structure:
    """One structure of any file that ASE reads, of extended XYZ or of a trajectory.

    Raises
    ------
    InputError
        If it cannot be read, there is no such frame, or there are several and none is named.
    """
    from n2amd.errors import InputError
    from n2amd.interop.structures import read_structure

    if path.suffix not in (".h5", ".hdf5", ".extxyz", ".xyz"):
        return read_structure(path, frame)
    frames = frames_of(path)
    if frame is None and len(frames) > 1:
        raise InputError(
            f"it holds {len(frames)} structures, and none is named",
            file=path,
            field="frame",
            remedy=f"choose one of 0..{len(frames) - 1} with --frame",
        )
    number = frame or 0
    if not 0 <= number < len(frames):
        raise InputError(
            f"there is no frame {number}", file=path, remedy=f"choose one of 0..{len(frames) - 1}"
        )
    return frames[number]


def repeated(structure: Structure, repeats: tuple[int, int, int]) -> Structure:
    """Repeat a cell."""
    return structure if max(repeats) == 1 else structure.supercell(repeats)
