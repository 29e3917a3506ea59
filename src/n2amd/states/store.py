"""The states file of one shard: `n2amd/states`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from n2amd.config.states import COMPONENTS
from n2amd.errors import InputError
from n2amd.fields import array, number, vector, whole, word
from n2amd.states.doubt import StateDoubt, read_doubt, write_doubt
from n2amd.states.false_states import NOTHING_KNOWN, FalseState, TrainedStates, find_false_states
from n2amd.states.projection import Projection, read_projection, write_projection
from n2amd.storage import create_hdf5, open_hdf5

#: Levels of one degenerate set may be out of order by this, eV.
_ROUNDING_EV = 1e-6
#: A frame whose `coefficient_norm` is this many times the shard's median is doubtful.
DOUBTFUL_RATIO = 5.0


@dataclass(frozen=True)
class ShardInfo:
    """What a shard is a part of; written as root attributes.

    Attributes
    ----------
    start, stop
        First and last frame, both included; `stop` is also the first frame of the next shard.
    n_occupied, n_orbitals
        Doubly occupied bands, or filled ones of the channel or of spinors; size of the matrices.
    timestep_fs
        Time between frames.
    valence, conduction
        States asked for on each side of the gap, margin not counted.
    overlap_kind
        "exact" or "electron-translation-free".
    kpoint
        Fractional k point.
    solver
        "dense" or "block_si".
    geometry
        `TrajectorySlice.fingerprint` of the frames; empty where they are not known.
    spin
        "up" or "down": the channel the states are of; "spinors"; empty of a closed shell.
    trained
        States near the gap of the frames that the model was trained on, as far as they are known.
    """

    start: int
    stop: int
    n_occupied: int
    n_orbitals: int
    timestep_fs: float
    valence: int
    conduction: int
    overlap_kind: str
    kpoint: tuple[float, float, float] = (0.0, 0.0, 0.0)
    solver: str = "dense"
    geometry: str = ""
    spin: str = ""
    trained: TrainedStates = NOTHING_KNOWN


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
    residual, orthonormality_error
        Largest of each frame, (f,).
    coefficient_norms
        Of each state, (f, w); in files of versions before 1.3 the largest of each frame, for all of them.
    inertia, shift
        States counted below an energy (eV), (f,); -1 and NaN where they were not counted.
    ends_counted
        Whether states were also counted at both ends of the window, (f,).
    first_coefficients, last_coefficients
        C of the end frames, (n, w).
    last_overlap_coefficients
        S C of the last frame, (n, w).
    projection
        Weights of the states on atoms or shells, None where none were asked for.
    doubt
        Of the model at some of the frames, None where the model does not tell or it was not asked.
    velocity_couplings
        <i|d/dt j> of the eigenvectors of each frame along its velocities, (f, w, w), 1/fs; None where they
        were not asked for.
    spin_orbit
        Spin-orbit coupling A between the eigenvectors, V_SO = sum over x, y, z of A sigma, (f, 3, w, w), eV;
        None where it was not asked for or is in the Hamiltonian.
    """

    info: ShardInfo
    energies: NDArray[np.float64]
    band_index: NDArray[np.int64]
    overlap: NDArray
    residual: NDArray[np.float64]
    orthonormality_error: NDArray[np.float64]
    coefficient_norms: NDArray[np.float64]
    first_coefficients: NDArray
    last_coefficients: NDArray
    last_overlap_coefficients: NDArray
    inertia: NDArray[np.int64] | None = None
    shift: NDArray[np.float64] | None = None
    ends_counted: NDArray[np.bool_] | None = None
    projection: Projection | None = None
    doubt: StateDoubt | None = None
    velocity_couplings: NDArray | None = None
    spin_orbit: NDArray | None = None

    @property
    def coefficient_norm(self) -> NDArray[np.float64]:
        """Largest of each frame, (f,)."""
        return self.coefficient_norms.max(axis=1)

    @property
    def vbm(self) -> int:
        """Place of the VBM in the window."""
        return self.info.n_occupied - 1 - int(self.band_index[0])

    @property
    def outside_frames(self) -> NDArray[np.int64]:
        """Frames, among those whose doubt is known, that are outside the training data of the model."""
        return np.zeros(0, dtype=np.int64) if self.doubt is None else self.doubt.outside(self.vbm)

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

    @property
    def false_states(self) -> list[FalseState]:
        """States asked for, margin not counted, that no sound Hamiltonian has."""
        info, first = self.info, int(self.band_index[0])
        inner = slice(info.n_occupied - info.valence - first, info.n_occupied + info.conduction - first)
        return find_false_states(
            self.energies,
            self.coefficient_norms,
            self.overlap,
            inner,
            info.start,
            first,
            info.trained,
            self.vbm,
        )


_COUNTS = (
    *("start", "stop", "n_occupied", "n_orbitals"),
    *("valence", "conduction"),
)
_ERRORS = ("residual", "orthonormality_error")
_COUNTED = ("inertia", "shift", "ends_counted")
#: What is known of each frame beside energies and overlap; fields of `WindowStates` too.
OF_FRAMES = (*_ERRORS, "coefficient_norms", *_COUNTED)
_COEFFICIENTS = ("first_coefficients", "last_coefficients", "last_overlap_coefficients")
_ARRAYS = (
    "energies",
    "band_index",
    "overlap",
    *OF_FRAMES,
    *_COEFFICIENTS,
    "velocity_couplings",
    "spin_orbit",
)


def write_shard(
    path: str | Path, shard: StatesShard, *, config: Any = None, inputs: Iterable[str | Path] = ()
) -> None:
    """Write a shard atomically."""
    with create_hdf5(path, "states", version="1.8", config=config, inputs=inputs) as file:
        for name, value in vars(shard.info).items():
            if name != "trained" and (name, value) != ("spin", ""):
                file.attrs[name] = value
        for name, value in vars(shard.info.trained).items():
            if value is not None:
                file.attrs[f"trained_{name}"] = value
        for name in _ARRAYS:
            if getattr(shard, name) is not None:
                file.create_dataset(name, data=getattr(shard, name))
        write_projection(file, shard.projection)
        write_doubt(file, shard.doubt)


def read_shard(path: str | Path) -> StatesShard:
    """Read a shard.

    Raises
    ------
    InputError
        If the file is missing, half-written or of another kind, a field is missing or of another shape or
        kind, or the numbers are no states of its frames.
    """
    with open_hdf5(path, "states") as file:
        kpoint = vector(file, "kpoint", 3)
        info = ShardInfo(
            **{name: whole(file, name, 0) for name in _COUNTS},
            timestep_fs=number(file, "timestep_fs", positive=True),
            overlap_kind=word(file, "overlap_kind", ("exact", "electron-translation-free")),
            kpoint=(kpoint[0], kpoint[1], kpoint[2]),
            solver=word(file, "solver", ("dense", "block_si")) if "solver" in file.attrs else "dense",
            geometry=word(file, "geometry") if "geometry" in file.attrs else "",
            spin=word(file, "spin", COMPONENTS) if "spin" in file.attrs else "",
            trained=TrainedStates(
                **{
                    name: number(file, f"trained_{name}")
                    for name in ("norm", "middle")
                    if f"trained_{name}" in file.attrs
                }
            ),
        )
        frames = info.stop - info.start + 1
        if frames < 2:
            raise InputError(
                f"frames {info.start} to {info.stop}",
                file=path,
                field="start, stop",
                remedy="run `n2amd states solve` for this shard again",
            )
        energies = array(file, "energies", (frames, None))
        w, n = energies.shape[1], info.n_orbitals
        shard = StatesShard(
            info,
            energies=energies,
            band_index=array(file, "band_index", (w,), "whole"),
            overlap=array(file, "overlap", (frames - 1, w, w), "any"),
            **{name: array(file, name, (frames,)) for name in _ERRORS},
            coefficient_norms=_norms(file, frames, w),
            **_counted(file, frames),
            **{name: array(file, name, (n, w), "any") for name in _COEFFICIENTS},
            projection=read_projection(file),
            doubt=read_doubt(file, w),
            velocity_couplings=_of_pairs(file, "velocity_couplings", (frames, w, w)),
            spin_orbit=_of_pairs(file, "spin_orbit", (frames, 3, w, w)),
        )
    _check_window(shard, path)
    return shard


def _norms(file: h5py.File, frames: int, states: int) -> NDArray[np.float64]:
    if "coefficient_norms" in file:
        return array(file, "coefficient_norms", (frames, states))
    return np.repeat(array(file, "coefficient_norm", (frames,))[:, None], states, axis=1)


def _of_pairs(file: h5py.File, name: str, shape: tuple[int, ...]) -> NDArray | None:
    """What is known of pairs of states of each frame, None where it was not asked for."""
    return array(file, name, shape, "any") if name in file else None


def _counted(file: h5py.File, frames: int) -> dict[str, NDArray]:
    """Counts of states of each frame, or nothing where the file is older than they are."""
    if "inertia" not in file:
        return {}
    return {
        "inertia": array(file, "inertia", (frames,), "whole"),
        # not a number where no states were counted
        "shift": array(file, "shift", (frames,), finite=False),
        "ends_counted": array(file, "ends_counted", (frames,), "whole").astype(bool),
    }


def _check_window(shard: StatesShard, path: str | Path) -> None:
    """Raise `InputError` unless the levels ascend and the states asked for are among neighbouring bands."""
    info, bands = shard.info, shard.band_index
    first = info.n_occupied - int(bands[0]) if len(bands) else 0
    if (
        min(info.valence, info.conduction) < 1
        or (np.diff(bands) != 1).any()
        or not info.valence <= first <= len(bands) - info.conduction
    ):
        raise InputError(
            f"bands {bands.tolist()} do not hold {info.valence} below and {info.conduction} above the gap of "
            f"{info.n_occupied} occupied ones",
            file=path,
            field="band_index",
            remedy="run `n2amd states solve` for this shard again",
        )
    descends = (np.diff(shard.energies, axis=1) < -_ROUNDING_EV).any(axis=1)
    if descends.any():
        raise InputError(
            "levels do not ascend",
            file=path,
            frame=info.start + int(descends.argmax()),
            field="energies",
            remedy="run `n2amd states solve` for this shard again",
        )
