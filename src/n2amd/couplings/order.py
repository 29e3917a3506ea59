"""Which column a tracked state is written to: by energy in every frame, or by its character for all time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from n2amd.couplings.defect import LevelsOfFrames
from n2amd.couplings.tracking import Tracked
from n2amd.states.gauge import DEGENERATE_EV

ColumnOrder = Literal["energy", "character"]


@dataclass(frozen=True)
class Columns:
    """States of F frames in their final columns.

    Attributes
    ----------
    energies
        <i|H|i>, (F, n), eV.
    mixing
        <i|H|j> of states that were transported together, diagonal zero, (F, n, n), eV.
    overlap
        O(t, t+dt), (F - 1, n, n), phase-consistent.
    rank
        Position of each column's state in the window, by energy, (F, n).
    successor
        Column at t + dt of the state in each column at t, (F - 1, n); -1 where it leaves the columns.
    gauge
        States of the columns in terms of each frame's eigenvectors, (F, w, n).
    edge
        Columns whose state was transported in a cluster that touches the window's edge, (F - 1, n).
    """

    energies: NDArray[np.float64]
    mixing: NDArray
    overlap: NDArray
    rank: NDArray[np.int64]
    successor: NDArray[np.int64]
    gauge: NDArray
    edge: NDArray[np.bool_]

    def cut(self, keep: slice) -> Columns:
        """Some of the columns."""
        start, stop, _ = keep.indices(self.energies.shape[1])
        kept = self.successor[:, keep] - start
        return Columns(
            energies=self.energies[:, keep],
            mixing=self.mixing[:, keep, keep],
            overlap=self.overlap[:, keep, keep],
            rank=self.rank[:, keep],
            successor=np.where((kept >= 0) & (kept < stop - start), kept, -1),
            gauge=self.gauge[:, :, keep],
            edge=self.edge[:, keep],
        )

    def in_phases(self, phase: NDArray) -> Columns:
        """The same states times phases, (F, n)."""
        return replace(
            self,
            mixing=phase.conj()[:, :, None] * self.mixing * phase[:, None, :],
            overlap=phase[:-1].conj()[:, :, None] * self.overlap * phase[1:][:, None, :],
            gauge=self.gauge * phase[:, None, :],
        )


def arrange(tracked: Tracked, order: ColumnOrder, levels: LevelsOfFrames | None = None) -> Columns:
    """Put tracked states into columns.

    Parameters
    ----------
    tracked
        All states of the window.
    order
        "energy": column k holds the k-th state of each frame, so that the CBM column always is the lowest
        conduction state; an unresolved crossing shows as a rotation by 90 degrees between its two columns.
        States of a transported cluster are ordered by their mean energies.
        "character": a state keeps its column through crossings; columns are sorted by time-mean energy.
    levels
        Of a defect: they are in columns of their own in every frame, and all other states by energy, whatever
        the order.
    """
    n_frames = len(tracked.energies)
    if order == "energy" or levels is not None:
        label = np.argsort(tracked.rank, axis=1)
        if levels is not None:
            label = np.take_along_axis(label, levels.ranks_by_column(label.shape[1]), axis=1)
    else:
        mean = np.rint(tracked.energies.mean(axis=0) / DEGENERATE_EV)
        label = np.tile(np.argsort(mean, kind="stable"), (n_frames, 1))
    column = np.argsort(label, axis=1)
    frame = np.arange(n_frames)[:, None, None]
    columns = Columns(
        energies=np.take_along_axis(tracked.energies, label, axis=1),
        mixing=tracked.mixing[frame, label[:, :, None], label[:, None, :]],
        overlap=tracked.overlap[frame[:-1], label[:-1, :, None], label[1:, None, :]],
        rank=np.take_along_axis(tracked.rank, label, axis=1),
        successor=np.take_along_axis(column[1:], label[:-1], axis=1),
        gauge=np.take_along_axis(tracked.gauge, label[:, None, :], axis=2),
        edge=np.take_along_axis(tracked.edge, label[:-1], axis=1),
    )
    return columns.in_phases(_proper_phases(columns.overlap, columns.successor))


def in_phase_with(columns: Columns, others: Columns) -> Columns:
    """The first columns, each state in the phase that makes its overlap with the other's positive."""
    own = np.einsum("twk,twk->tk", columns.gauge.conj(), others.gauge)
    size = np.abs(own)
    return columns.in_phases(np.divide(own, size, out=np.ones_like(own), where=size > 0))


def _proper_phases(overlap: NDArray, successor: NDArray[np.int64]) -> NDArray:
    """Phases (signs) of the columns, (F, w), that make every crossing a proper rotation in any gauge.

    Tracking leaves a swap as [[0, 1], [1, 0]]: its determinant is -1, it has no logarithm and no HST
    coupling; and the state that arrives brings along the phase it happened to have in the first frame. So
    each column k that gets another state takes the phase that makes its overlap with itself positive or,
    where that is nothing (a perfect swap), carries its couplings on: O_kj O_jk negative, summed over columns
    j that keep their states. The column of the cycle that knows least takes what makes the determinant one.
    """
    n_intervals, w = successor.shape
    phase = np.ones((n_intervals + 1, w), dtype=overlap.dtype)
    for t in range(n_intervals):
        phase[t + 1, successor[t]] = phase[t]
        moved = successor[t] != np.arange(w)
        if not moved.any():
            continue
        here = phase[t].conj()[:, None] * overlap[t] * phase[t + 1]
        wanted = np.diagonal(here) - np.einsum("kj,jk->k", here[:, ~moved], here[~moved])
        for cycle in _cycles(successor[t]):
            if len(cycle) > 1:
                phase[t + 1, cycle] *= _cycle_phases(wanted[cycle], 1.0 if len(cycle) % 2 else -1.0)
    return phase


def _cycle_phases(wanted: NDArray, product: float) -> NDArray:
    """Phases that make the elements of a cycle positive, the smallest apart: all multiply to `product`."""
    size = np.abs(wanted)
    phases = np.divide(wanted.conj(), size, out=np.ones_like(wanted), where=size > 0)
    last = int(size.argmin())
    phases[last] = product * np.prod(np.delete(phases, last)).conj()
    return phases


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
