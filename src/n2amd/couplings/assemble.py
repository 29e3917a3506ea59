"""Join the shards of a trajectory into one set of tracked couplings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.config.couplings import CouplingsSettings
from n2amd.config.states import StatesSettings
from n2amd.couplings.analytic import couplings_of_motion
from n2amd.couplings.checks import check_overlaps, check_velocity_couplings
from n2amd.couplings.defect import LevelsOfFrames, find_levels, kept_levels
from n2amd.couplings.doubt import doubt_of_shards
from n2amd.couplings.nac import adjoint, hammes_schiffer_tully, polar_factor
from n2amd.couplings.order import ColumnOrder, Columns, arrange, in_phase_with
from n2amd.couplings.projection import Projection, carried
from n2amd.couplings.store import Couplings, CouplingScheme, Tracking, Window
from n2amd.couplings.tracking import track
from n2amd.errors import InputError
from n2amd.seals import made_from
from n2amd.states.gauge import canonical_gauge
from n2amd.states.store import ShardInfo, StatesShard, read_shard
from n2amd.trajectory.slice import count_frames, read_slice

#: Levels of the frame that two shards share may differ by this (eV): two runs of one model on two machines.
_SAME_LEVEL_EV = 1e-4
#: Norm of a shared frame's state within the other shard's states.
_SAME_STATE = 0.99


@dataclass(frozen=True)
class Joined:
    """States of a whole trajectory.

    Attributes
    ----------
    info
        Of the first shard.
    energies
        (F, w), ascending in each frame, eV.
    band_index
        (w,).
    overlap
        (F - 1, w, w) between eigenvectors, continuous across shard borders.
    first_gauge
        Canonical gauge of the first frame, (w, w).
    projections
        Weights on atoms or shells that each shard holds.
    velocity_couplings
        <i|d/dt j> of each frame's eigenvectors, (F, w, w), 1/fs; None where the shards hold none.
    """

    info: ShardInfo
    energies: NDArray[np.float64]
    band_index: NDArray[np.int64]
    overlap: NDArray
    first_gauge: NDArray
    projections: tuple[Projection | None, ...] = ()
    velocity_couplings: NDArray | None = None


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


def join(shards: Sequence[StatesShard]) -> Joined:
    """Put shards end to end.

    Two shards share a frame, but each solved it by itself: its eigenvectors may differ by signs, phases and
    rotations inside degenerate levels. G = (S C)^dagger C' between the two sets carries the later shard
    into the gauge of the earlier one.

    Raises
    ------
    InputError
        If the shared frame has other levels or states in the two shards.
    """
    energies, overlap = [shards[0].energies], [shards[0].overlap]
    along = [shards[0].velocity_couplings]
    for earlier, later in pairwise(shards):
        place = f"frame {later.info.start} shared by two shards"
        difference = np.abs(earlier.energies[-1] - later.energies[0]).max()
        if difference > _SAME_LEVEL_EV:
            raise InputError(
                f"{place}: levels differ by {difference:.1e} eV",
                field="energies",
                remedy="make both shards again with the same model",
            )
        gauge = adjoint(earlier.last_overlap_coefficients) @ later.first_coefficients
        # a degenerate level cut by the window's edge may differ between the shards; only the inner states
        # must agree
        margin = (len(gauge) - later.info.valence - later.info.conduction) // 2
        norm = np.linalg.norm(gauge[margin : len(gauge) - margin], axis=1).min()
        if norm < _SAME_STATE:
            raise InputError(
                f"{place}: a state of one has norm {norm:.3f} within the other",
                field="first_coefficients",
                remedy="make both shards again with the same model, and with a wider states.margin",
            )
        first = polar_factor(gauge) @ later.overlap[:1]
        energies.append(later.energies[1:])
        overlap += [first, later.overlap[1:]]
        along.append(None if later.velocity_couplings is None else later.velocity_couplings[1:])
    start = shards[0]
    return Joined(
        start.info,
        np.concatenate(energies),
        start.band_index,
        np.concatenate(overlap),
        canonical_gauge(start.first_coefficients, start.energies[0]),
        tuple(shard.projection for shard in shards),
        _all_of(along),
    )


def _all_of(parts: Sequence[NDArray | None]) -> NDArray | None:
    """Parts put end to end; nothing where one is missing."""
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if len(known) == len(parts) else None


@dataclass(frozen=True)
class Coupled:
    """Tracked states of a whole window.

    Attributes
    ----------
    columns
        States in their columns.
    nac
        hbar d_ij by the scheme asked for, (F - 1, w, w), eV.
    n_clusters
        Near-degenerate groups transported together, (F - 1,).
    edge
        Columns whose state was transported in a group that touches the window's edge, (F - 1, w).
    """

    columns: Columns
    nac: NDArray
    n_clusters: NDArray[np.int64]
    edge: NDArray[np.bool_]


def couple(
    joined: Joined,
    timestep: float,
    degeneracy: float,
    order: ColumnOrder,
    scheme: CouplingScheme = "hst",
    levels: LevelsOfFrames | None = None,
) -> Coupled:
    """Track the states of a trajectory.

    Columns by energy hold eigenstates; only couplings are those of transported states, because finite
    differences of eigenstates that mix faster than the step resolves mean nothing. Columns by character hold
    the transported states themselves.

    Parameters
    ----------
    joined
        All states of the window.
    timestep, degeneracy
        fs; eV.
    order
        Meaning of a column.
    scheme
        "hst": differences of the overlaps; "analytic": what the shards hold of each frame's motion.
    levels
        Of a defect: columns of their own, and all others by energy.

    Raises
    ------
    InputError
        If couplings are to be analytic and the shards hold none, or a step does not resolve them.
    """
    series = joined.energies, joined.overlap, timestep
    tracked = track(*series, degeneracy, joined.first_gauge)
    transported = arrange(tracked, order, levels)
    columns = transported
    if order == "energy" or levels is not None:
        columns = arrange(track(*series, 0.0, joined.first_gauge), order, levels)
        transported = in_phase_with(transported, columns)
    if scheme == "analytic":
        along = _along_velocities(joined)
        nac = couplings_of_motion(along, transported.gauge, tracked.cluster, timestep)
    else:
        nac = hammes_schiffer_tully(transported.overlap, timestep)
    return Coupled(columns, nac, tracked.n_clusters, transported.edge)


def _along_velocities(joined: Joined) -> NDArray:
    if joined.velocity_couplings is None:
        raise InputError(
            "the shards hold no couplings along the velocities",
            field="couplings.scheme",
            remedy="solve the states with couplings.scheme: analytic, or assemble with hst",
        )
    return joined.velocity_couplings


def assemble(
    shards: Sequence[StatesShard], settings: CouplingsSettings, states_settings: StatesSettings
) -> Couplings:
    """Make the couplings of a whole trajectory from its shards.

    Raises
    ------
    InputError
        If the shards were made with other settings, or do not fit together.
    """
    info = shards[0].info
    for name, found, wanted in (
        ("couplings.overlap", info.overlap_kind, settings.overlap),
        ("states.kpoint", info.kpoint, states_settings.kpoint),
        ("states.valence", info.valence, states_settings.valence),
        ("states.conduction", info.conduction, states_settings.conduction),
        ("states.spin", info.spin, states_settings.spin or ""),
    ):
        if found != wanted:
            raise InputError(
                f"the shards were made with {found!r}, the settings say {wanted!r}",
                field=name,
                remedy="make the shards again with these settings, or pass the settings they were made with",
            )
    joined = join(shards)
    degeneracy = settings.degeneracy_meV / 1000
    filled = info.n_occupied - int(joined.band_index[0])
    levels = find_levels(joined.projections, joined.overlap, states_settings.defect, settings.order, filled)
    coupled = couple(joined, info.timestep_fs, degeneracy, settings.order, settings.scheme, levels)
    kept = keep_states(joined, coupled, settings.order, levels)
    return replace(kept, scheme=settings.scheme, doubt=doubt_of_shards(shards))


def keep_states(
    joined: Joined, coupled: Coupled, order: ColumnOrder, levels: LevelsOfFrames | None = None
) -> Couplings:
    """Cut the margin, and keep it beside."""
    info, columns = joined.info, coupled.columns
    cbm = info.n_occupied - int(joined.band_index[0])
    keep = slice(cbm - info.valence, cbm + info.conduction)
    kept = columns.cut(keep)
    return Couplings(
        timestep_fs=info.timestep_fs,
        n_occupied=info.n_occupied,
        vbm=info.valence - 1,
        cbm=info.valence,
        overlap_kind=info.overlap_kind,
        order=order,
        kpoint=info.kpoint,
        energies=kept.energies,
        overlap=kept.overlap,
        nac=coupled.nac[:, keep, keep],
        band_index=joined.band_index[kept.rank[0]],
        tracking=_report(kept, coupled, keep),
        window=Window(
            first=keep.start,
            energies=columns.energies,
            overlap=columns.overlap,
            nac=coupled.nac,
            mixing=columns.mixing if columns.mixing.any() else None,
        ),
        projection=carried(joined.projections, kept.gauge),
        spin=info.spin,
        defect=None if levels is None else kept_levels(levels, keep, info.valence),
    )


def _report(kept: Columns, coupled: Coupled, keep: slice) -> Tracking:
    followed = np.take_along_axis(np.abs(kept.overlap), kept.successor[:, :, None], axis=2)[:, :, 0]
    singular = np.linalg.svd(kept.overlap, compute_uv=False)
    return Tracking(
        permutation=kept.rank - keep.start,
        successor=kept.successor,
        min_overlap=np.where(kept.successor >= 0, followed, 0.0).min(axis=1),
        n_clusters=coupled.n_clusters,
        window_leak=1 - singular[:, -1],
        edge_clusters=coupled.edge[:, keep].sum(axis=1),
    )
