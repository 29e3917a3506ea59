"""Which column a tracked state is written to: by energy in every frame, or by its character for all time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from n2amd.couplings.tracking import Tracked
from n2amd.states.gauge import DEGENERATE_EV

ColumnOrder = Literal["energy", "character"]


@dataclass(frozen=True)
class Columns:
    """Kept states of F frames in their final columns.

    Attributes
    ----------
    energies
        (F, n), eV.
    overlap
        O(t, t+dt), (F - 1, n, n), phase-consistent.
    rank
        Position of each column's state in the window, by energy, (F, n).
    successor
        Column at t + dt of the state in each column at t, (F - 1, n); -1 where it leaves the kept columns.
    gauge
        States of the columns in terms of each frame's eigenvectors, (F, w, n).
    edge
        Columns whose state was transported in a cluster that touches the window's edge, (F - 1, n).
    """

    energies: NDArray[np.float64]
    overlap: NDArray
    rank: NDArray[np.int64]
    successor: NDArray[np.int64]
    gauge: NDArray
    edge: NDArray[np.bool_]


def arrange(tracked: Tracked, order: ColumnOrder, keep: slice) -> Columns:
    """Put tracked states into columns and cut the margin.

    Parameters
    ----------
    tracked
        All states of the window.
    order
        "energy": column k holds the k-th state of each frame, so that the CBM column always is the lowest
        conduction state; an unresolved crossing shows as a rotation by 90 degrees between its two columns.
        States of a transported cluster keep the order they entered it with.
        "character": a state keeps its column through crossings; columns are sorted by time-mean energy.
    keep
        Columns to keep once they are in order.
    """
    n_frames, w = tracked.energies.shape
    if order == "energy":
        label = np.argsort(tracked.rank, axis=1)
    else:
        mean = np.rint(tracked.energies.mean(axis=0) / DEGENERATE_EV)
        label = np.tile(np.argsort(mean, kind="stable"), (n_frames, 1))
    column = np.argsort(label, axis=1)
    successor = np.take_along_axis(column[1:], label[:-1], axis=1)
    frame = np.arange(n_frames - 1)[:, None, None]
    overlap = tracked.overlap[frame, label[:-1, :, None], label[1:, None, :]]
    sign = _proper_signs(overlap, successor)
    overlap = overlap * sign[:-1, :, None] * sign[1:, None, :]
    start, stop, _ = keep.indices(w)
    kept = successor[:, keep] - start
    kept = np.where((kept >= 0) & (kept < stop - start), kept, -1)
    return Columns(
        energies=np.take_along_axis(tracked.energies, label, axis=1)[:, keep],
        overlap=overlap[:, keep, keep],
        rank=np.take_along_axis(tracked.rank, label, axis=1)[:, keep],
        successor=kept,
        gauge=(np.take_along_axis(tracked.gauge, label[:, None, :], axis=2) * sign[:, None, :])[:, :, keep],
        edge=np.take_along_axis(tracked.edge, label[:-1], axis=1)[:, keep],
    )


def _proper_signs(overlap: NDArray, successor: NDArray[np.int64]) -> NDArray[np.float64]:
    """Signs of the columns, (F, w), that make every crossing a proper rotation.

    Tracking leaves a swap as [[0, 1], [1, 0]]: its determinant is -1, it has no logarithm and no HST
    coupling. An even cycle of columns is made proper by turning the state that arrives where the diagonal
    is most negative.
    """
    n_intervals, w = successor.shape
    sign = np.ones((n_intervals + 1, w))
    for t in range(n_intervals):
        sign[t + 1, successor[t]] = sign[t]
        if (successor[t] == np.arange(w)).all():
            continue
        diagonal = sign[t] * np.diagonal(overlap[t]).real * sign[t + 1]
        for cycle in _cycles(successor[t]):
            if len(cycle) % 2 == 0:
                sign[t + 1, min(cycle, key=lambda k: diagonal[k])] *= -1
    return sign


def _cycles(permutation: NDArray[np.int64]) -> list[list[int]]:
    seen: set[int] = set()
    cycles = []
    for start in range(len(permutation)):
        cycle = []
        k = start
        while k not in seen:
            seen.add(k)
            cycle.append(k)
            k = int(permutation[k])
        if cycle:
            cycles.append(cycle)
    return cycles
