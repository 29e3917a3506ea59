"""The states file of one shard: `n2amd/states`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from n2amd.states.projection import Projection, read_projection, write_projection
from n2amd.storage import create_hdf5, open_hdf5

#: A frame whose `coefficient_norm` is this many times the shard's median is doubtful.
DOUBTFUL_RATIO = 5.0


@dataclass(frozen=True)
class ShardInfo:
    """What a shard is a part of; written as root attributes.

    Attributes
    ----------
    shard, shards
        Number of this shard (from 0) and of all.
    start, stop
        First and last frame, both included; `stop` is also the first frame of the next shard.
    n_frames_total
        Frames of the trajectory.
    n_occupied, n_orbitals
        Doubly occupied bands; size of the basis.
    timestep_fs
        Time between frames.
    valence, conduction
        States asked for on each side of the gap, margin not counted.
    overlap_kind
        "exact" or "electron-translation-free".
    kpoint
        Fractional k point.
    """

    shard: int
    shards: int
    start: int
    stop: int
    n_frames_total: int
    n_occupied: int
    n_orbitals: int
    timestep_fs: float
    valence: int
    conduction: int
    overlap_kind: str
    kpoint: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class StatesShard:
    """States of the frames start..stop (f of them) in a window of w states.

    Attributes
    ----------
    info
        Where the shard belongs.
    energies
        (f, w), ascending, eV.
    band_index
        Absolute index of each state, (w,).
    overlap
        O(t, t+dt) as solved, (f - 1, w, w).
    residual, orthonormality_error, coefficient_norm
        Largest of each frame, (f,).
    first_coefficients, last_coefficients
        C of the end frames, (n, w).
    last_overlap_coefficients
        S C of the last frame, (n, w).
    projection
        Weights of the states on atoms or shells, None where none were asked for.
    """

    info: ShardInfo
    energies: NDArray[np.float64]
    band_index: NDArray[np.int64]
    overlap: NDArray
    residual: NDArray[np.float64]
    orthonormality_error: NDArray[np.float64]
    coefficient_norm: NDArray[np.float64]
    first_coefficients: NDArray
    last_coefficients: NDArray
    last_overlap_coefficients: NDArray
    projection: Projection | None = None

    @property
    def gap(self) -> NDArray[np.float64]:
        """Band gap of each frame, (f,), eV."""
        cbm = self.info.n_occupied - int(self.band_index[0])
        return self.energies[:, cbm] - self.energies[:, cbm - 1]

    @property
    def doubtful_frames(self) -> NDArray[np.int64]:
        """Frames with a state near the gap that is made of nearly empty directions of the basis."""
        limit = DOUBTFUL_RATIO * np.median(self.coefficient_norm)
        return self.info.start + np.flatnonzero(self.coefficient_norm > limit)


_ARRAYS = (
    "energies",
    "band_index",
    "overlap",
    "residual",
    "orthonormality_error",
    "coefficient_norm",
    "first_coefficients",
    "last_coefficients",
    "last_overlap_coefficients",
)


def write_shard(
    path: str | Path, shard: StatesShard, *, config: Any = None, inputs: Iterable[str | Path] = ()
) -> None:
    """Write a shard atomically."""
    with create_hdf5(path, "states", version="1.1", config=config, inputs=inputs) as file:
        for name, value in vars(shard.info).items():
            file.attrs[name] = value
        for name in _ARRAYS:
            file.create_dataset(name, data=getattr(shard, name))
        write_projection(file, shard.projection)


def read_shard(path: str | Path) -> StatesShard:
    """Read a shard.

    Raises
    ------
    InputError
        If the file is missing, half-written or of another kind.
    """
    with open_hdf5(path, "states") as file:
        plain = {name: file.attrs[name] for name in ShardInfo.__dataclass_fields__}
        info = ShardInfo(
            **{
                name: value.item() if isinstance(value, np.generic) else value
                for name, value in plain.items()
                if name != "kpoint"
            },
            kpoint=tuple(float(x) for x in plain["kpoint"]),  # type: ignore[arg-type]
        )
        arrays = {name: file[name][...] for name in _ARRAYS}
        return StatesShard(info, projection=read_projection(file), **arrays)
