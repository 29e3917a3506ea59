"""Levels of a defect among the states of a window, told by where they live or by their filling.

Where it stays on some atoms, a level is known by its part of the inverse participation ratio that lies on
the atoms around the defect,

    L = sum_{a around the defect} w_a^2 / (sum_a w_a)^2,

w_a its weight on atom a: large for a state that is localised, and localised there. Of a state spread over N
atoms, n of them named, L is n / N^2; of one held by the n alone, 1 / n. Order alone would not do: a level
may lie within the bands, and cross them as the atoms move. Nor would following a state from frame to frame:
where a level and a band state pass each other slowly they exchange what they are.

A level that moves from atom to atom, as a small polaron does, has no such atoms. It then is known by its
filling: the highest filled state of a donor that holds its electron, the lowest empty one of an acceptor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from n2amd.config.states import DefectSettings
from n2amd.couplings.projection import Projection, carried, on_atoms
from n2amd.errors import InputError

#: Frames for which another state must be more the level before the level is that one.
PATIENCE = 5.0
#: Ratio of L from which on a level is told clearly from the bands.
CLEAR = 2.0


@dataclass(frozen=True)
class DefectLevels:
    """Which columns hold levels of a defect.

    Attributes
    ----------
    columns
        Columns, ascending.
    atoms
        Atoms around the defect, counted from 0; none where levels are told by their filling.
    """

    columns: tuple[int, ...]
    atoms: tuple[int, ...]


def localisation(projection: Projection, atoms: tuple[int, ...]) -> NDArray[np.float64]:
    """L of every state in every frame, (F, n); without atoms the whole inverse participation ratio."""
    weight = on_atoms(projection)
    around = weight[:, :, list(atoms)] if atoms else weight
    return (around**2).sum(axis=2) / weight.sum(axis=2) ** 2


@dataclass(frozen=True)
class LevelsOfFrames:
    """Which eigenstate of each frame is a level of a defect.

    Attributes
    ----------
    ranks
        Ranks in the window by energy, (F, d).
    columns
        Columns of the window that hold them in every frame: their mean ranks, (d,).
    atoms
        Atoms around the defect, counted from 0; none where levels are told by their filling.
    """

    ranks: NDArray[np.int64]
    columns: NDArray[np.int64]
    atoms: tuple[int, ...]

    def ranks_by_column(self, states: int) -> NDArray[np.int64]:
        """Rank of the eigenstate that each column holds, (F, w): levels in theirs, all others by energy."""
        frames, d = self.ranks.shape
        of_bands = np.ones((frames, states), dtype=bool)
        of_bands[np.arange(frames)[:, None], self.ranks] = False
        result = np.empty((frames, states), dtype=np.int64)
        result[:, np.setdiff1d(np.arange(states), self.columns)] = np.nonzero(of_bands)[1].reshape(
            frames, states - d
        )
        result[:, self.columns] = self.ranks
        return result

    def band_edges(self, states: int, filled: int) -> NDArray[np.int64]:
        """Ranks of VBM and CBM, the nearest to the gap that are no levels, in every frame, (F, 2)."""
        bands = np.setdiff1d(np.arange(states), self.columns)
        edges = [bands[bands < filled].max(), bands[bands >= filled].min()]
        return self.ranks_by_column(states)[:, edges]


def find_levels(
    shards: Sequence[Projection | None],
    overlap: NDArray,
    settings: DefectSettings | None,
    order: str,
    filled: int,
) -> LevelsOfFrames | None:
    """Find the levels in every frame: the sequences of eigenstates that live most around the defect.

    Without atoms they are the states beside the gap. Else, of a sequence counts the sum over the frames of L,
    relative to the largest of the frame, less `PATIENCE` times 1 - |O|^2 for each step: it goes on with the
    state that continues it, and passes on to another one where that is the level for more than a few frames.

    Parameters
    ----------
    shards
        Weights of the eigenstates of the window, the margin included, of all shards in order.
    overlap
        O(t, t+dt) between them, (F - 1, w, w).
    settings
        Atoms, and number of levels; None: there are none.
    order
        Meaning of a column that is asked for.
    filled
        How many states of the window are filled.

    Raises
    ------
    InputError
        If columns are to be by energy, or there are no weights or no such atom.
    """
    if settings is None:
        return None
    frames, w = len(overlap) + 1, overlap.shape[1]
    if settings.atoms is None:
        first = filled - settings.states if settings.edge == "filled" else filled
        columns = np.arange(first, first + settings.states)
        return LevelsOfFrames(np.tile(columns, (frames, 1)), columns, ())
    weights = carried(shards, np.broadcast_to(np.eye(w), (frames, w, w)))
    local = localisation(_checked(weights, settings.atoms, order), tuple(settings.atoms))
    score = local / np.maximum(local.max(axis=1, keepdims=True), np.finfo(float).tiny)
    lost = PATIENCE * (1 - np.abs(overlap) ** 2)
    found: list[NDArray[np.int64]] = []
    for _ in range(settings.states):
        found.append(_best_sequence(score, lost))
        score[np.arange(frames), found[-1]] = -np.inf
    ranks = np.stack(found, axis=1)
    ranks = ranks[:, np.argsort(ranks.mean(axis=0), kind="stable")]
    columns = np.rint(ranks.mean(axis=0)).astype(np.int64)
    for k in range(1, len(columns)):
        columns[k] = max(columns[k], columns[k - 1] + 1)
    return LevelsOfFrames(ranks, columns, tuple(settings.atoms))


def _checked(weights: Projection | None, atoms: Sequence[int], order: str) -> Projection:
    """Return the weights, or raise `InputError` where levels cannot be looked for in them."""
    if order == "energy":
        raise InputError(
            "levels of a defect keep their columns by character only",
            field="couplings.order",
            remedy="set it to character",
        )
    if weights is None:
        raise InputError(
            "the states have no weights on atoms",
            field="states.defect",
            remedy="solve the states with these settings of states",
        )
    n_atoms = weights.sites.structure.n_atoms
    if (largest := max(atoms)) >= n_atoms:
        raise InputError(
            f"there is no atom {largest}, the cell has {n_atoms} (counted from 0)",
            field="states.defect.atoms",
            remedy="name atoms around the defect",
        )
    return weights


def _best_sequence(score: NDArray[np.float64], lost: NDArray[np.float64]) -> NDArray[np.int64]:
    """States k_t that make sum_t score[t, k_t] - sum_t lost[t, k_t, k_t+1] largest, (F,) (Viterbi)."""
    total, before = score[0], []
    for here, step in zip(score[1:], lost):
        reached = total[:, None] - step
        before.append(reached.argmax(axis=0))
        total = reached.max(axis=0) + here
    sequence = [int(total.argmax())]
    for earlier in reversed(before):
        sequence.append(int(earlier[sequence[-1]]))
    return np.array(sequence[::-1], dtype=np.int64)


def kept_levels(levels: LevelsOfFrames, keep: slice, valence: int) -> DefectLevels:
    """Columns of the levels among the kept ones.

    Parameters
    ----------
    levels
        In the window.
    keep
        Columns that are kept.
    valence
        How many of them are filled, the first ones.

    Raises
    ------
    InputError
        If a level is in the margin, or no filled or no empty state of the bands is left.
    """
    columns = tuple(int(k) - keep.start for k in levels.columns)
    width = keep.stop - keep.start
    if outside := [k for k in columns if not 0 <= k < width]:
        side, place = ("valence", -outside[0]) if outside[0] < 0 else ("conduction", outside[0] - width + 1)
        raise InputError(
            f"a level of the defect is {place} beyond the kept {side} states",
            field="states.defect",
            remedy=f"raise states.{side} by {place}, or name the atoms that the level lives on",
        )
    band_edges(valence - 1, width, columns)
    return DefectLevels(columns, levels.atoms)


def contrast(levels: DefectLevels, projection: Projection) -> tuple[float, float]:
    """How clearly the levels are told from the bands.

    Returns
    -------
    ratio, smallest
        Least L of a level over the largest of another column: of the means, and in the frame where it is
        smallest.
    """
    found = localisation(projection, levels.atoms)
    others = np.setdiff1d(np.arange(found.shape[1]), levels.columns)
    own, rest = found[:, list(levels.columns)], found[:, others]
    ratio = float(own.mean(axis=0).min() / rest.mean(axis=0).max())
    return ratio, float((own.min(axis=1) / rest.max(axis=1)).min())


def band_edges(vbm: int, states: int, levels: tuple[int, ...]) -> tuple[int, int]:
    """Columns of the band edges: highest filled and lowest empty state that is no level of a defect.

    Parameters
    ----------
    vbm
        Column of the highest filled state, level or not.
    states
        Number of columns.
    levels
        Columns of the levels.

    Raises
    ------
    InputError
        If the levels leave no filled or no empty state.

    Examples
    --------
    >>> band_edges(1, 4, ()), band_edges(1, 4, (1,)), band_edges(1, 4, (2,))
    ((1, 2), (0, 2), (1, 3))
    """
    below = [k for k in range(vbm + 1) if k not in levels]
    above = [k for k in range(vbm + 1, states) if k not in levels]
    if not below or not above:
        raise InputError(
            f"the levels of the defect leave no {'empty' if below else 'filled'} state of the bands",
            field="states.defect",
            remedy=f"raise states.{'conduction' if below else 'valence'}",
        )
    return below[-1], above[0]


def state_labels(states: int, vbm: int, levels: tuple[int, ...] = ()) -> tuple[str, ...]:
    """Names of the columns of a window whose highest filled state is column `vbm`.

    Examples
    --------
    >>> state_labels(4, 1)
    ('VBM-1', 'VBM', 'CBM', 'CBM+1')
    >>> state_labels(4, 1, (1,))
    ('VBM', 'defect', 'CBM', 'CBM+1')
    """
    names = [""] * states
    below = [k for k in range(min(vbm + 1, states)) if k not in levels]
    above = [k for k in range(vbm + 1, states) if k not in levels]
    for column, distance in zip(below, range(len(below) - 1, -1, -1)):
        names[column] = f"VBM-{distance}" if distance else "VBM"
    for distance, column in enumerate(above):
        names[column] = f"CBM+{distance}" if distance else "CBM"
    for number, column in enumerate(levels):
        names[column] = "defect" if len(levels) == 1 else f"defect {number + 1}"
    return tuple(names)
