"""Lattice vectors of codes that wrap the atoms into the cell, for positions that are not wrapped."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from n2amd.blocks.matrix import BlockMatrix, PairIndex
from n2amd.structure import Structure

#: An atom closer than this (fractional) to the border of the cell may have been wrapped to either side.
BORDER = 1e-5


def image_translations(overlap: BlockMatrix, structure: Structure, origin: float) -> NDArray[np.int64]:
    """Lattice vectors by which a code moved the atoms: position = wrapped + n @ cell.

    The side to which rounding took an atom on the border is not in any file. The overlap tells it: it is
    large for near neighbours, which surround an atom, so that the true choice is the one whose mean bond,
    weighted with the squared overlap, is next to zero.

    Parameters
    ----------
    overlap
        Every directed pair, R as the code counts it.
    structure
        Positions as the user gave them.
    origin
        Atoms are wrapped into fractional [origin, origin + 1).

    Returns
    -------
    translations
        n of every atom, (n_atoms, 3).
    """
    fractional = structure.positions @ np.linalg.inv(structure.cell) - origin
    translations = np.floor(fractional).astype(np.int64)
    nearest = np.rint(fractional).astype(np.int64)
    on_border = np.abs(fractional - nearest) < BORDER
    if not on_border.any():
        return translations
    weight, moment = _bond_moments(overlap, structure)
    for axis in range(3):
        undecided = [int(atom) for atom in np.flatnonzero(on_border[:, axis])]
        settled = [atom for atom in range(structure.n_atoms) if atom not in undecided]
        while undecided:
            ties = weight[np.ix_(settled, undecided)].sum(axis=0)
            atom, total = undecided[int(np.argmax(ties))], float(ties.max())
            if total > 0:
                # mean bond from the settled atoms, theirs corrected: the choice brings it next to zero
                corrected = moment[settled, atom, axis] + weight[settled, atom] * translations[settled, axis]
                choices = nearest[atom, axis] + np.array([0, -1, 1])
                distance = np.abs(corrected.sum() / total - choices)
                translations[atom, axis] = choices[int(np.argmin(distance))]
            undecided.remove(atom)
            settled.append(atom)
    return translations


def refer_to_positions(matrix: BlockMatrix, translations: NDArray[np.int64]) -> BlockMatrix:
    """Count R between unwrapped atoms: R = R(code) - n_j + n_i."""
    pairs = {
        key: PairIndex(index.i, index.j, index.shift - translations[index.j] + translations[index.i])
        for key, index in matrix.pairs.items()
    }
    return BlockMatrix(pairs, matrix.values, matrix.hermitian)


def _bond_moments(
    overlap: BlockMatrix, structure: Structure
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum of |S|^2 (n_atoms, n_atoms) and of |S|^2 times fractional bond (n_atoms, n_atoms, 3) over R."""
    inverse = np.linalg.inv(structure.cell)
    n = structure.n_atoms
    weight, moment = np.zeros((n, n)), np.zeros((n, n, 3))
    for key, index in overlap.pairs.items():
        squared = (np.abs(overlap.values[key]) ** 2).sum(axis=(0, 2, 3))
        np.add.at(weight, (index.i, index.j), squared)
        np.add.at(moment, (index.i, index.j), squared[:, None] * (index.vectors(structure) @ inverse))
    return weight, moment
