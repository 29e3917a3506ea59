"""Follow states through time: assignment across crossings, parallel transport of phases and degenerate
levels.

Overlaps come between eigenvectors whose signs, phases and rotations inside degenerate levels the
eigensolver chose. Here the states of each frame are brought into the gauge that continues that of the frame
before, so that the tracked overlaps depend on the physics only. The rules, and what was measured to choose
them: docs/theory-couplings.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse.csgraph import connected_components

from n2amd.couplings.nac import adjoint, polar_factor
from n2amd.states.gauge import DEGENERATE_EV
from n2amd.units import HBAR_EV_FS

#: Mixing over splitting from which on the step does not resolve a passage.
_SUDDEN = 100.0


@dataclass(frozen=True)
class Alignment:
    """How the states of a frame continue those of the frame before.

    Attributes
    ----------
    gauge
        (w, w), unitary: column i holds tracked state i in terms of the frame's eigenvectors.
    rank
        Eigenvector assigned to each tracked state, (w,).
    cluster
        Group of each eigenvector, (w,); groups of two or more are transported together.
    n_clusters
        Groups of two or more.
    together
        Mask of the tracked states in such a group, (w,).
    edge
        Mask of the tracked states whose group touches the window's edge, (w,).
    """

    gauge: NDArray
    rank: NDArray[np.int64]
    cluster: NDArray[np.int64]
    n_clusters: int
    together: NDArray[np.bool_]
    edge: NDArray[np.bool_]


def find_clusters(
    amplitudes: NDArray,
    energies: NDArray[np.float64],
    timestep: float,
    degeneracy: float,
    transported: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Group near-degenerate states that mix, (w,) group numbers.

    Two states are linked if they are degenerate, or closer than `degeneracy` and mixing so much faster than
    their splitting that the step does not resolve it: hbar min(|A_ij|, |A_ik|) / dt > 100 |E_j - E_k| for
    some state i of the frame before. Such a passage is sudden: through an avoided crossing (coupling V, sweep
    a) the ratio is at most hbar a / 8 V^2, and 1 - exp(-2 pi V^2 / hbar a) of the carriers, under 1 %, stay
    adiabatic. States that were `transported` last time are mixtures already and stay so while the ratio is
    above one: to make them eigenstates again would be a rotation that is no coupling. A swap without mixing
    is no link: assignment follows it.
    """
    splitting = np.abs(energies[:, None] - energies[None, :])
    magnitude = np.abs(amplitudes)
    mixing = np.minimum(magnitude[:, :, None], magnitude[:, None, :])
    mixing = (mixing / np.where(transported, 1.0, _SUDDEN)[:, None, None]).max(axis=0)
    linked = (splitting < degeneracy) & (HBAR_EV_FS * mixing / timestep > splitting)
    return connected_components(linked | (splitting < DEGENERATE_EV), directed=False)[1]


def align(
    amplitudes: NDArray,
    energies: NDArray[np.float64],
    timestep: float,
    degeneracy: float,
    rank_before: NDArray[np.int64] | None = None,
    transported: NDArray[np.bool_] | None = None,
) -> Alignment:
    """Bring the eigenvectors of a frame into the gauge of the tracked states before it.

    Parameters
    ----------
    amplitudes
        A_ij = <tracked state i | eigenvector j>, (w, w).
    energies
        Of the eigenvectors, (w,), ascending, eV.
    timestep
        fs; sets how fast states mix.
    degeneracy
        Splitting below which mixing states are transported together, eV.
    rank_before
        Ranks of the tracked states in the frame before, (w,): states of a cluster at the same mean energy
        keep their order, so that rounding does not swap them. Default: the order of the rows.
    transported
        Tracked states that were in a cluster in the frame before, (w,). Default: none.
    """
    w = len(energies)
    rank_before = np.arange(w) if rank_before is None else rank_before
    transported = np.zeros(w, dtype=bool) if transported is None else transported
    cluster = find_clusters(amplitudes, energies, timestep, degeneracy, transported)
    membership = cluster[:, None] == np.arange(cluster.max() + 1)
    # a state may take any place of a cluster: its weight on the whole cluster counts, which no rotation
    # inside changes
    weight = (np.abs(amplitudes) ** 2 @ membership)[:, cluster]
    _, assigned = linear_sum_assignment(weight, maximize=True)
    gauge = np.zeros_like(amplitudes)
    rank = np.empty(w, dtype=np.int64)
    edge, together = np.zeros(w, dtype=bool), np.zeros(w, dtype=bool)
    n_clusters = 0
    for label in range(cluster.max() + 1):
        columns = np.flatnonzero(cluster == label)
        rows = np.flatnonzero(cluster[assigned] == label)
        gauge[np.ix_(columns, rows)] = adjoint(polar_factor(amplitudes[np.ix_(rows, columns)]))
        mean = np.abs(gauge[np.ix_(columns, rows)]).T ** 2 @ energies[columns]
        rank[rows[_by_energy(mean, rank_before[rows])]] = columns
        if len(columns) > 1:
            n_clusters += 1
            together[rows] = True
            edge[rows] = columns[0] == 0 or columns[-1] == w - 1
    return Alignment(gauge, rank, cluster, n_clusters, together, edge)


def _by_energy(energies: NDArray[np.float64], rank_before: NDArray[np.int64]) -> list[int]:
    """Order of states by energy; those at the same energy, within rounding, keep the order they had."""
    order: list[int] = []
    for state in map(int, np.argsort(rank_before)):
        place = len(order)
        while place > 0 and energies[order[place - 1]] - energies[state] > DEGENERATE_EV:
            place -= 1
        order.insert(place, state)
    return order


@dataclass(frozen=True)
class Tracked:
    """Tracked states of F frames.

    Attributes
    ----------
    energies
        <i|H|i> of the tracked states, (F, w), eV: eigenvalues, but means inside a transported cluster.
    mixing
        <i|H|j> of the tracked states, diagonal zero, (F, w, w), eV: what splits a transported cluster.
    overlap
        O(t, t+dt) between tracked states, (F - 1, w, w).
    rank
        Position of each tracked state among the frame's eigenvalues, (F, w).
    gauge
        Tracked states in terms of each frame's eigenvectors, (F, w, w).
    cluster
        Cluster of each eigenvector, (F, w); of the first frame as seen from the second.
    n_clusters
        Clusters transported in each interval, (F - 1,).
    edge
        Tracked states in a cluster that touches the window's edge, (F - 1, w).
    """

    energies: NDArray[np.float64]
    mixing: NDArray
    overlap: NDArray
    rank: NDArray[np.int64]
    gauge: NDArray
    cluster: NDArray[np.int64]
    n_clusters: NDArray[np.int64]
    edge: NDArray[np.bool_]


def track(
    energies: NDArray[np.float64],
    overlap: NDArray,
    timestep: float,
    degeneracy: float,
    first_gauge: NDArray | None = None,
) -> Tracked:
    """Follow every state from the first frame on.

    Parameters
    ----------
    energies
        (F, w), ascending in each frame, eV.
    overlap
        O(t, t+dt) between eigenvectors in any gauge, (F - 1, w, w).
    timestep
        fs.
    degeneracy
        Splitting below which mixing states are transported together, eV.
    first_gauge
        Tracked states of the first frame in terms of its eigenvectors, (w, w); default: the eigenvectors.
    """
    n_frames, w = energies.shape
    gauge = np.empty((n_frames, w, w), dtype=overlap.dtype)
    rank = np.empty((n_frames, w), dtype=np.int64)
    n_clusters = np.empty(n_frames - 1, dtype=np.int64)
    edge = np.empty((n_frames - 1, w), dtype=bool)
    gauge[0] = np.eye(w) if first_gauge is None else first_gauge
    rank[0] = np.arange(w)
    together = np.zeros(w, dtype=bool)
    cluster = np.empty((n_frames, w), dtype=np.int64)
    cluster[0] = find_clusters(adjoint(overlap[0]), energies[0], timestep, degeneracy, together)
    for t in range(n_frames - 1):
        amplitudes = adjoint(gauge[t]) @ overlap[t]
        step = align(amplitudes, energies[t + 1], timestep, degeneracy, rank[t], together)
        gauge[t + 1], rank[t + 1], n_clusters[t], edge[t] = step.gauge, step.rank, step.n_clusters, step.edge
        cluster[t + 1] = step.cluster
        together = step.together
    tracked_energies = np.einsum("tki,tk->ti", np.abs(gauge) ** 2, energies)
    mixing = adjoint(gauge) @ (energies[:, :, None] * gauge)
    mixing[:, np.arange(w), np.arange(w)] = 0.0
    tracked_overlap = adjoint(gauge[:-1]) @ overlap @ gauge[1:]
    return Tracked(tracked_energies, mixing, tracked_overlap, rank, gauge, cluster, n_clusters, edge)
