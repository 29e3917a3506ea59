"""Read the shards of a trajectory, and hold them against each other and against the trajectory."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from n2amd.couplings.checks import check_overlaps, check_velocity_couplings
from n2amd.errors import InputError
from n2amd.seals import made_from
from n2amd.states.store import StatesShard, read_shard
from n2amd.trajectory.slice import count_frames, read_slice


def read_shards(paths: Sequence[str | Path]) -> list[tuple[Path, StatesShard]]:
    """Read every shard of a trajectory, in any order given, sorted; each with its file.

    Raises
    ------
    InputError
        If a shard is missing, given twice, half-written, or made with other settings than the others.
    """
    if not paths:
        raise InputError("no shards were given", remedy="pass every file that `n2amd states solve` made")
    found: list[tuple[Path, StatesShard]] = []
    for path in map(Path, paths):
        shard = read_shard(path)
        frames, states = shard.energies.shape
        check_overlaps(shard.overlap, frames, states, path, shard.info.overlap_kind, start=shard.info.start)
        if shard.velocity_couplings is not None:
            check_velocity_couplings(shard.velocity_couplings, path, start=shard.info.start)
        found.append((path, shard))
        _check_same(path, shard, *found[0])
        _check_model(path, found[0][0])
    found.sort(key=lambda entry: entry[1].info.start)
    if (first := found[0][1].info.start) != 0:
        raise _missing(0, first, found[0][0].parent)
    for (earlier_path, earlier), (path, shard) in pairwise(found):
        start, stop = shard.info.start, earlier.info.stop
        if start > stop:
            raise _missing(stop + 1, start, path.parent)
        if start < stop:
            raise InputError(
                f"frames {start} to {min(stop, shard.info.stop)} were already given in {earlier_path}",
                file=path,
                remedy="pass every shard once, all cut alike (states.frames_per_shard)",
            )
    return found


def _missing(first: int, last: int, folder: Path) -> InputError:
    return InputError(
        f"a shard with the frames {first} to {last} is missing",
        file=folder,
        remedy=f"run `n2amd states solve --frames {first}-{last}` and pass its file too",
    )


def check_trajectory(found: Sequence[tuple[Path, StatesShard]], trajectory: str | Path) -> None:
    """Hold shards against the trajectory that they are to be of.

    Parameters
    ----------
    found
        As `read_shards` returns them.
    trajectory
        trajectory.h5.

    Raises
    ------
    InputError
        If they end before it does, or were solved of other geometries than it holds.
    """
    n_frames, last = count_frames(trajectory), found[-1][1].info.stop
    if last < n_frames - 1:
        raise _missing(last + 1, n_frames - 1, found[-1][0].parent)
    strange = [(path, shard) for path, shard in found if not _is_of(shard, trajectory)]
    if strange:
        path, shard = strange[0]
        more = f", as those of {len(strange) - 1} more shards," if len(strange) > 1 else ""
        raise InputError(
            f"the states of frames {shard.info.start} to {shard.info.stop}{more} are of other geometries "
            f"than {trajectory} holds now",
            file=path,
            remedy="delete the file and run again"
            if not more
            else f"delete {path.parent}/frames_*.h5 and run again",
        )


def _is_of(shard: StatesShard, trajectory: str | Path) -> bool:
    """Whether a shard is of the geometries of a trajectory; shards of earlier versions do not say."""
    own = (shard.info.start + 1 if shard.info.start else 0, shard.info.stop)
    moving = shard.velocity_couplings is not None
    found = shard.info.geometry
    return not found or read_slice(trajectory, own, moving=moving).fingerprint == found


def _check_same(path: Path, shard: StatesShard, reference_path: Path, reference: StatesShard) -> None:
    for name, value in vars(reference.info).items():
        if name in ("start", "stop", "geometry"):
            continue
        if (found := getattr(shard.info, name)) != value:
            raise InputError(
                f"{name} is {found!r}, but {value!r} in {reference_path}",
                file=path,
                field=name,
                remedy="make all shards with the same settings from one trajectory",
            )
    if (shard.spin_orbit is None) != (reference.spin_orbit is None):
        held = {True: "no spin-orbit coupling", False: "spin-orbit coupling"}
        raise InputError(
            f"{held[shard.spin_orbit is None]} is held, but {held[reference.spin_orbit is None]} in "
            f"{reference_path}",
            file=path,
            field="spin_orbit",
            remedy="make all shards with the same settings",
        )
    if not np.array_equal(shard.band_index, reference.band_index):
        raise InputError(
            f"states {shard.band_index[0]}..{shard.band_index[-1]} are held, but "
            f"{reference.band_index[0]}..{reference.band_index[-1]} in {reference_path}",
            file=path,
            field="band_index",
            remedy="make all shards with the same settings",
        )


def _check_model(path: Path, reference_path: Path) -> None:
    """Raise `InputError` where two shards were solved with different networks; older ones do not tell."""
    # made from a trajectory, which may have grown since, and a network
    ours, theirs = made_from(reference_path)[1:], made_from(path)[1:]
    if ours and theirs and ours != theirs:
        raise InputError(
            f"was solved with another network than {reference_path}",
            file=path,
            field="inputs",
            remedy="run `n2amd states solve` for it again, with the network of the others",
        )
