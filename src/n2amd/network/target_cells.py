"""Whether the training frames suit the cells that a model will be used on: numbers and a remedy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from n2amd.config.hamiltonian import HamiltonianSettings
from n2amd.config.section import parse_supercell
from n2amd.dataset.split import split_frames, split_indices
from n2amd.errors import InputError
from n2amd.network.cells import SAME_G, CellGroup, TrainingCells, smallest_g
from n2amd.network.diagnosis import INDEPENDENT_FRAMES, Finding
from n2amd.structure import Structure

#: Cells of at least so many unit cells hold waves of the density that none of one unit cell has.
LARGE = 2
_REMEDY = (
    "choose frames of larger cells with `n2amd hamiltonian select`, compute them, and add them to paths or, "
    "kept small by `n2amd hamiltonian densities`, to density_paths; or let the job do it (active_learning)"
)


def training_cells(
    structures: Sequence[Structure], settings: HamiltonianSettings, further: Sequence[Structure] = ()
) -> TrainingCells:
    """Take stock of what a training would learn from.

    Parameters
    ----------
    structures
        Of the data set, in its order.
    settings
        Section of the configuration: which frames are held out.
    further
        Of frames that are kept as densities only; all of them train.

    Raises
    ------
    InputError
        As `split_frames`.
    """
    split = split_frames(structures, settings.validation_fraction, settings.test_fraction, settings.seed)
    trained, judged = ([structures[k] for k in part] for part in (split.train, split.validation))
    return TrainingCells.of_structures([*trained, *further], judged)


def cells_to_come(cell: Structure, n_frames: int, settings: HamiltonianSettings) -> TrainingCells:
    """Take stock of frames of one cell that are not made yet: displaced at random, all are independent.

    Parameters
    ----------
    cell
        Cell of every frame.
    n_frames
        Frames in all, held-out ones among them.
    settings
        Section of the configuration: how many are held out.

    Raises
    ------
    InputError
        As `split_indices`.
    """
    split = split_indices(n_frames, settings.validation_fraction, settings.test_fraction, settings.seed)
    count = len(split.train)
    return TrainingCells((CellGroup(cell.n_atoms, count, count, smallest_g(cell)),), frozenset())


def with_frames_to_come(
    cells: TrainingCells, cell: Structure, n_frames: int, settings: HamiltonianSettings
) -> TrainingCells:
    """Add frames of one cell that rounds of active learning will label, the held-out share left out.

    Parameters
    ----------
    cells
        Of the frames that are there, or will be.
    cell
        Cell of the added frames.
    n_frames
        How many; no two are near-copies.
    settings
        Section of the configuration.
    """
    count = round(n_frames * (1 - settings.validation_fraction - settings.test_fraction))
    groups = {group.n_atoms: group for group in cells.groups}
    there = groups.get(cell.n_atoms, CellGroup(cell.n_atoms, 0, 0, np.inf))
    groups[cell.n_atoms] = CellGroup(
        cell.n_atoms,
        there.n_frames + count,
        there.n_independent + count,
        min(there.smallest_g, smallest_g(cell)),
    )
    return TrainingCells(tuple(groups[n] for n in sorted(groups)), cells.geometries)


def judge_target(name: str, target: Structure, cells: TrainingCells, n_unit: int) -> list[Finding]:
    """Say what the training cells lack for a cell that the model will be used on.

    Parameters
    ----------
    name
        Of the cell, e.g. "2x2x2".
    target
        The cell.
    cells
        What the model learned from, or will.
    n_unit
        Atoms of the unit cell.
    """
    found = [_longer_waves(name, target, cells)]
    if target.n_atoms >= LARGE * n_unit:
        found.append(_few_large(name, cells, n_unit))
    return [finding for finding in found if finding is not None]


def judge_trajectory(label: str, first: Structure, cells: TrainingCells) -> list[Finding]:
    """Say what the training cells lack for the cell of a trajectory.

    Parameters
    ----------
    label
        Supercell "AxBxC"; with any other label the smallest cell trained on counts as the unit cell.
    first
        First frame.
    cells
        What the model learned from.
    """
    try:
        a, b, c = parse_supercell(label)
    except InputError:
        return judge_target(label, first, cells, cells.groups[0].n_atoms)
    return judge_target(label, first, cells, first.n_atoms // (a * b * c))


def _longer_waves(name: str, target: Structure, cells: TrainingCells) -> Finding | None:
    shortest = smallest_g(target)
    if shortest >= SAME_G * cells.smallest_g:
        return None
    return Finding(
        "extrapolation",
        f"supercell {name} ({target.n_atoms} atoms) has a shortest reciprocal vector of {shortest:.2f} 1/A, "
        f"the training cells (up to {cells.largest} atoms) none below {cells.smallest_g:.2f} 1/A: waves of "
        "the density this long are in no training frame",
        shortest,
        f"{_REMEDY}, or judge the model on such cells (`n2amd hamiltonian evaluate --on`)",
    )


def _few_large(name: str, cells: TrainingCells, n_unit: int) -> Finding | None:
    count = cells.independent_from(LARGE * n_unit)
    if count >= INDEPENDENT_FRAMES:
        return None
    return Finding(
        "too little data",
        f"supercell {name} is asked for, and {count} independent training frames have {LARGE * n_unit} atoms "
        f"or more, twice the unit cell's (frames that are a moment of motion apart count once), fewer than "
        f"{INDEPENDENT_FRAMES}",
        count,
        _REMEDY,
    )
