"""Join the shards of a trajectory into one set of tracked couplings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from n2amd.config.couplings import CouplingsSettings
from n2amd.config.states import CHANNELS, StatesSettings
from n2amd.couplings.analytic import couplings_of_motion
from n2amd.couplings.defect import LevelsOfFrames, find_levels, kept_levels
from n2amd.couplings.doubt import doubt_of_shards
from n2amd.couplings.nac import adjoint, hammes_schiffer_tully, polar_factor
from n2amd.couplings.order import ColumnOrder, Columns, arrange, in_phase_with
from n2amd.couplings.projection import Projection, carried
from n2amd.couplings.store import Couplings, CouplingScheme, Tracking, Window
from n2amd.couplings.tracking import track
from n2amd.errors import InputError
from n2amd.states.gauge import canonical_gauge
from n2amd.states.store import ShardInfo, StatesShard

#: Levels of the frame that two shards share may differ by this (eV): two runs of one model on two machines.
_SAME_LEVEL_EV = 1e-4
#: Splitting of a pair of spinors that is none, eV.
_ROUNDING_EV = 1e-9
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
    spin_orbit
        Spin-orbit coupling of the eigenvectors, (F, 3, w, w), eV; None where the shards hold none.
    """

    info: ShardInfo
    energies: NDArray[np.float64]
    band_index: NDArray[np.int64]
    overlap: NDArray
    first_gauge: NDArray
    projections: tuple[Projection | None, ...] = ()
    velocity_couplings: NDArray | None = None
    spin_orbit: NDArray | None = None


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
    along, spin_orbit = [shards[0].velocity_couplings], [shards[0].spin_orbit]
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
        spin_orbit.append(None if later.spin_orbit is None else later.spin_orbit[1:])
    start = shards[0]
    return Joined(
        start.info,
        np.concatenate(energies),
        start.band_index,
        np.concatenate(overlap),
        canonical_gauge(start.first_coefficients, start.energies[0]),
        tuple(shard.projection for shard in shards),
        _all_of(along),
        _all_of(spin_orbit),
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
        ("states.spin", info.spin if info.spin in CHANNELS else "", states_settings.spin or ""),
        ("states.spin_orbit", _picture(shards[0]), states_settings.spin_orbit or "none"),
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
    edges = None if levels is None else levels.band_edges(len(joined.band_index), filled)
    return replace(kept, scheme=settings.scheme, doubt=doubt_of_shards(shards, edges))


def _picture(shard: StatesShard) -> str:
    """`states.spin_orbit` of a shard."""
    if shard.info.spin == "spinors":
        return "spinors"
    return "none" if shard.spin_orbit is None else "spin_states"


def _mixed(mixing: NDArray, info: ShardInfo) -> bool:
    """Whether states are mixtures; what is left between the two of a pair of spinors is rounding."""
    return bool((np.abs(mixing) > (_ROUNDING_EV if info.spin == "spinors" else 0.0)).any())


def _between_columns(elements: NDArray | None, gauge: NDArray) -> NDArray | None:
    """Spin-orbit coupling of the states of columns from that of eigenvectors, (F, 3, n, n)."""
    return None if elements is None else adjoint(gauge)[:, None] @ elements @ gauge[:, None]


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
            mixing=columns.mixing if _mixed(columns.mixing, info) else None,
            spin_orbit=_between_columns(joined.spin_orbit, columns.gauge),
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
