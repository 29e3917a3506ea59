"""Geometries of a trajectory file, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from n2amd.errors import InputError
from n2amd.fields import array, number, word
from n2amd.states.motion import Motion, check_times, fixed_cell, follow
from n2amd.storage import open_hdf5
from n2amd.structure import Structure

#: Atomic numbers that there are.
ELEMENTS = set(range(1, 119))


@dataclass(frozen=True)
class TrajectorySlice:
    """Consecutive frames of a trajectory.

    Attributes
    ----------
    start
        Number of the first frame held.
    n_frames_total
        Frames of the whole trajectory.
    timestep_fs
        Time between frames.
    structure
        The first frame: cell, species and periodicity are those of every frame.
    positions
        (f, n_atoms, 3), Angstrom, unwrapped.
    first_positions
        Of the first frame of the whole trajectory, (n_atoms, 3); None: those of the first frame held.
    """

    start: int
    n_frames_total: int
    timestep_fs: float
    structure: Structure
    positions: NDArray[np.float64]
    first_positions: NDArray[np.float64] | None = None

    @property
    def first(self) -> Structure:
        """Geometry of the first frame of the whole trajectory."""
        known = self.positions[0] if self.first_positions is None else self.first_positions
        return self.structure.with_positions(known)

    def __getitem__(self, frame: int) -> Structure:
        """Return the geometry of a frame, counted from the start of the whole trajectory."""
        return self.structure.with_positions(self.positions[frame - self.start])


def shard_range(n_frames: int, shards: int, shard: int) -> tuple[int, int]:
    """First and last frame (both included) of a shard; neighbours share one frame.

    The n_frames - 1 intervals are dealt out as evenly as whole numbers allow.

    Raises
    ------
    InputError
        If there is no such shard, or there are more shards than intervals.
    """
    if not 1 <= shards <= n_frames - 1:
        raise InputError(
            f"{shards} shards cannot share the {n_frames - 1} intervals of {n_frames} frames",
            field="states.shards",
            remedy="use fewer shards or a longer trajectory",
        )
    if not 0 <= shard < shards:
        raise InputError(
            f"there is no shard {shard} among {shards}", field="shard", remedy=f"choose 0 to {shards - 1}"
        )
    return shard * (n_frames - 1) // shards, (shard + 1) * (n_frames - 1) // shards


def read_slice(path: str | Path, shards: int = 1, shard: int = 0) -> TrajectorySlice:
    """Read the geometries of one shard of a `trajectory.h5`.

    Raises
    ------
    InputError
        If the file is not a whole trajectory, its time step is not positive, it has no such shard, or its
        frames cannot follow each other (`n2amd.states.motion`): all of them are looked at.
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
        n_frames = len(found)
        start, stop = shard_range(n_frames, shards, shard)
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
        positions = follow(file, Motion.of(first, timestep, temperature), start, stop)
        structure = first.with_positions(positions[0])
        return TrajectorySlice(start, n_frames, timestep, structure, positions, found[0])


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
