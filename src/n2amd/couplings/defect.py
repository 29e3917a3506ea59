"""Levels of a defect among the states of a window, told from the bands by where they live.

A level is known by its part of the inverse participation ratio that lies on the atoms around the defect,

    L = sum_{a around the defect} w_a^2 / (sum_a w_a)^2,

w_a its weight on atom a: large for a state that is localised, and localised there. Of a state spread over N
atoms, n of them named, L is n / N^2; of one held by the n alone, 1 / n. Order alone would not do: a level
may lie within the bands, and cross them as the atoms move.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from n2amd.config_states import DefectSettings
from n2amd.errors import InputError
from n2amd.states.projection import Projection, on_atoms

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
        Atoms around the defect, counted from 0.
    """

    columns: tuple[int, ...]
    atoms: tuple[int, ...]


def localisation(projection: Projection, atoms: tuple[int, ...]) -> NDArray[np.float64]:
    """L of every state in every frame, (F, n)."""
    weight = on_atoms(projection)
    return (weight[:, :, list(atoms)] ** 2).sum(axis=2) / weight.sum(axis=2) ** 2


def find_levels(
    projection: Projection | None, settings: DefectSettings, keep: slice, valence: int, order: str
) -> DefectLevels:
    """Find the levels among the kept columns of a window: those of the largest mean L.

    Parameters
    ----------
    projection
        Weights of all columns, the margin included, (F, w, g).
    settings
        Atoms, and number of levels.
    keep
        Columns that are kept.
    valence
        How many of them are filled, the first ones.
    order
        Meaning of a column.

    Returns
    -------
    levels
        Columns counted from the first kept one.

    Raises
    ------
    InputError
        If columns are by energy, there are no weights or no such atom, a state of the margin is more a level
        than one that is kept, or no filled or no empty state of the bands is left.
    """
    if order == "energy":
        raise InputError(
            "levels of a defect keep their columns by character only",
            field="couplings.order",
            remedy="set it to character",
        )
    if projection is None:
        raise InputError(
            "the states have no weights on atoms",
            field="states.defect",
            remedy="solve the states with these settings of states",
        )
    n_atoms = projection.sites.structure.n_atoms
    if (largest := max(settings.atoms)) >= n_atoms:
        raise InputError(
            f"there is no atom {largest}, the cell has {n_atoms} (counted from 0)",
            field="states.defect.atoms",
            remedy="name atoms around the defect",
        )
    atoms = tuple(settings.atoms)
    mean = localisation(projection, atoms).mean(axis=0)
    found = np.sort(np.argsort(-mean, kind="stable")[: settings.states])
    kept = range(len(mean))[keep]
    if outside := [int(k) for k in found if k not in kept]:
        side = "conduction" if outside[0] >= kept.stop else "valence"
        raise InputError(
            f"the state {outside[0] - kept.start} columns from the first kept one lives more around the "
            f"defect (L {mean[outside[0]]:.3g}) than one that is kept (at most {mean[keep].max():.3g})",
            field="states.defect",
            remedy=f"raise states.{side}, or name the atoms that the level lives on",
        )
    columns = tuple(int(k) - kept.start for k in found)
    band_edges(valence - 1, len(kept), columns)
    return DefectLevels(columns, atoms)


def contrast(levels: DefectLevels, projection: Projection) -> tuple[float, float]:
    """How clearly the levels are told from the bands.

    Returns
    -------
    ratio
        Smallest mean L of a level over the largest of another column.
    share
        Share of the frames in which the levels are those of the largest L.
    """
    found = localisation(projection, levels.atoms)
    others = np.setdiff1d(np.arange(found.shape[1]), levels.columns)
    own, rest = found[:, list(levels.columns)], found[:, others]
    ratio = float(own.mean(axis=0).min() / rest.mean(axis=0).max())
    return ratio, float((own.min(axis=1) > rest.max(axis=1)).mean())


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
