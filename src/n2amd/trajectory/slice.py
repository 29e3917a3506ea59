"""Geometries of a trajectory file, frame by frame."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from n2amd.errors import InputError
from n2amd.fields import array, number, word
from n2amd.storage import open_hdf5
from n2amd.structure import Structure
from n2amd.trajectory.motion import Motion, check_times, fixed_cell, follow

#: Atomic numbers that there are.
ELEMENTS = set(range(1, 119))


@dataclass(frozen=True)
class TrajectorySlice:
    """Consecutive frames of a trajectory.

    Attributes
    ----------
    start
        Number of the first frame held.
    timestep_fs
        Time between frames.
    structure
        The first frame: cell, species and periodicity are those of every frame.
    positions
        (f, n_atoms, 3), Angstrom, unwrapped.
    first_positions
        Of the first frame of the whole trajectory, (n_atoms, 3); None: those of the first frame held.
    velocities
        (f, n_atoms, 3), A/fs; None where they were not asked for.
    n_frames
        Of the whole trajectory; None: those held.
    beside
        Positions of further frames by their number; not part of `fingerprint`.
    """

    start: int
    timestep_fs: float
    structure: Structure
    positions: NDArray[np.float64]
    first_positions: NDArray[np.float64] | None = None
    velocities: NDArray[np.float64] | None = None
    n_frames: int | None = None
    beside: Mapping[int, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def last_of_all(self) -> int:
        """Number of the last frame of the whole trajectory."""
        return (self.start + len(self.positions) if self.n_frames is None else self.n_frames) - 1

    @property
    def first(self) -> Structure:
        """Geometry of the first frame of the whole trajectory."""
        known = self.positions[0] if self.first_positions is None else self.first_positions
        return self.structure.with_positions(known)

    def __getitem__(self, frame: int) -> Structure:
        """Return the geometry of a frame, counted from the start of the whole trajectory."""
        held = 0 <= frame - self.start < len(self.positions)
        return self.structure.with_positions(
            self.positions[frame - self.start] if held else self.beside[frame]
        )

    @property
    def fingerprint(self) -> str:
        """Hash of all that states are solved of: the geometries, the first one, and the time between them.

        Velocities, where they are held, are part of it.
        """
        found = hashlib.sha256(repr((self.start, self.timestep_fs, self.structure.pbc)).encode())
        moving = () if self.velocities is None else (self.velocities,)
        geometry = (self.structure.cell, self.structure.numbers, self.first.positions, self.positions)
        for values in (*geometry, *moving):
            found.update(np.ascontiguousarray(values).tobytes())
        return found.hexdigest()[:16]


def read_slice(
    path: str | Path,
    frames: tuple[int, int] | None = None,
    *,
    moving: bool = False,
    beside_fs: float = 0.0,
) -> TrajectorySlice:
    """Read consecutive geometries of a `trajectory.h5`, and the one before them.

    Parameters
    ----------
    path
        The file.
    frames
        First and last; None: all.
    moving
        Whether to read velocities, too.
    beside_fs
        Time before the first and after the last of these frames whose frames are held `beside` them.

    Raises
    ------
    InputError
        If the file is not a whole trajectory, its time step is not positive, it has not these frames or no
        velocities that are asked for, or its frames cannot follow each other (`n2amd.trajectory.motion`):
        all of them are looked at.
    """
    with open_hdf5(path, "trajectory") as file:
        timestep = number(file, "timestep_fs", positive=True)
        numbers = array(file, "numbers", (None,), "whole")
        # far too long to read whole
        found = file["positions"]
        if found.dtype.kind != "f" or found.ndim != 3 or found.shape[1:] != (len(numbers), 3):
            raise InputError(
                f"has shape {found.shape} of {found.dtype}, where {len(numbers)} atoms are",
                file=path,
                field="positions",
                remedy="run the trajectory again",
            )
        start, stop = _with_frame_before(frames, len(found), path)
        check_times(file, timestep)
        first = _with_cell_of(file, found[0], numbers)
        if not np.isfinite(first.cell).all() or first.volume < 1e-6 or not set(numbers.tolist()) <= ELEMENTS:
            raise InputError(
                "the lattice vectors span no volume, or an atom is of no element",
                file=path,
                field="cell, numbers",
                remedy="run the trajectory again",
            )
        temperature = number(file, "temperature_K") if "temperature_K" in file.attrs else None
        margin = int(beside_fs / timestep)
        low, high = max(start - margin, 0), min(stop + margin, len(found) - 1)
        followed = follow(file, Motion.of(first, timestep, temperature), low, high)
        positions = followed[start - low : stop + 1 - low]
        beside = {frame: followed[frame - low] for frame in (*range(low, start), *range(stop + 1, high + 1))}
        structure = first.with_positions(positions[0])
        velocities = _velocities(file, start, stop) if moving else None
        return TrajectorySlice(
            start, timestep, structure, positions, found[0], velocities, len(found), beside
        )


def _velocities(file: h5py.File, start: int, stop: int) -> NDArray[np.float64]:
    """Velocities of frames, both included; that they fit the positions was looked at before."""
    found = file.get("velocities")
    if found is None or found.shape != file["positions"].shape or not found[0].any():
        raise InputError(
            "the trajectory has no velocities, along which analytic couplings are taken",
            file=file.filename,
            field="velocities",
            remedy="choose couplings.scheme: hst, or run the trajectory with n2amd",
        )
    return np.asarray(found[start : stop + 1], dtype=np.float64)


def _with_frame_before(frames: tuple[int, int] | None, n_frames: int, path: str | Path) -> tuple[int, int]:
    """First and last frame to read, both included, for some frames asked for."""
    first, last = frames or (0, n_frames - 1)
    if n_frames < 2 or not (0 <= first <= last < n_frames and last > 0):
        raise InputError(
            f"frames {first} to {last} are no part of the {n_frames} frames, or hold no interval",
            file=path,
            field="--frames",
            remedy="choose frames of the trajectory, or leave the option out for all of them",
        )
    return max(first - 1, 0), last


def count_frames(path: str | Path) -> int:
    """Frames of a `trajectory.h5`.

    Raises
    ------
    InputError
        If the file is not a whole trajectory.
    """
    with open_hdf5(path, "trajectory") as file:
        return len(file["positions"])


def read_cell(path: str | Path) -> tuple[str, Structure]:
    """Read the label of the supercell ("2x2x2") and the first frame of a `trajectory.h5`.

    Raises
    ------
    InputError
        If the file is not a whole trajectory.
    """
    with open_hdf5(path, "trajectory") as file:
        numbers = array(file, "numbers", (None,), "whole")
        # trajectories of other programs have no label
        label = word(file, "supercell") if "supercell" in file.attrs else "of the trajectory"
        return label, _with_cell_of(file, file["positions"][0], numbers)


def _with_cell_of(file: h5py.File, positions: NDArray[np.float64], numbers: NDArray[np.int64]) -> Structure:
    pbc = tuple(bool(p) for p in file["pbc"][...])
    cell = fixed_cell(file)
    if cell is None:
        cell = array(file, "cell", (3, 3))
    return Structure(cell, positions, numbers, pbc)  # type: ignore[arg-type]
