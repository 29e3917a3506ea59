"""Electron-hole pairs: the ground state and single excitations of the window, as states to hop among.

One spin channel, independent particles. |0> is the determinant of all valence states of the window; in |h,e>
the conduction state e stands in the place of the valence state h. With the matrix O of a one-electron
operator between the window's states (a propagator; overlaps across time), cut into valence and conduction
blocks, A = O_vv, B = A^-1, Y = O_cv B, X = B O_vc and W = O_cc - O_cv B O_vc, its determinants between the
occupied states are (matrix determinant lemma)

    <0|0> = det A,  <0|h'e'> = det A X_h'e',  <he|0> = det A Y_eh,
    <he|h'e'> = det A (Y_eh X_h'e' + B_h'h W_ee').
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Levels closer than this (eV) are one level: rounding alone orders them.
SAME_LEVEL_EV = 1e-6
#: Condition number of the valence block beyond which determinants are taken one by one.
_ILL_CONDITIONED = 1e4


@dataclass(frozen=True)
class Pairs:
    """The states of a pair: the ground state, then |h,e>.

    Attributes
    ----------
    valence
        Number of valence states, the first columns of the window; the others are conduction states.
    hole, electron
        Columns of the window of the states |h,e> that follow the ground state, (P,).
    """

    valence: int
    hole: NDArray[np.int64]
    electron: NDArray[np.int64]

    def part(self, states: list[int]) -> Pairs:
        """Some of the states; the ground state stays the first.

        Raises
        ------
        ValueError
            If the ground state is not the first of them.
        """
        if states[0] != 0:
            raise ValueError("the ground state comes first")
        chosen = np.asarray(states[1:]) - 1
        return Pairs(self.valence, self.hole[chosen], self.electron[chosen])


def choose(energies: NDArray[np.float64], valence: int, most: int | None = None) -> Pairs:
    """Pairs of a window by mean energy, that of the band edges first.

    Parameters
    ----------
    energies
        Of the window, (frames, w), eV.
    valence
        Number of valence states, the first columns; the last of them and the next one are the band edges.
    most
        States to keep, the ground state among them; the lowest of them, or all.
    """
    columns = energies.shape[1]
    hole, electron = (
        grid.reshape(-1)
        for grid in np.meshgrid(np.arange(valence), np.arange(valence, columns), indexing="ij")
    )
    # pairs at the same energy, within rounding, keep the order of their columns
    mean = np.rint(energies.mean(axis=0) / SAME_LEVEL_EV)
    energy = mean[electron] - mean[hole]
    energy[(hole == valence - 1) & (electron == valence)] = -np.inf
    order = np.argsort(energy, kind="stable")[: None if most is None else most - 1]
    return Pairs(valence, hole[order], electron[order])


def energies(pairs: Pairs, of_window: NDArray[np.float64]) -> NDArray[np.float64]:
    """Energies of the states, the ground state's zero, (frames, 1 + P), eV; of the window (frames, w)."""
    result = np.zeros((len(of_window), 1 + len(pairs.hole)))
    result[:, 1:] = of_window[:, pairs.electron] - of_window[:, pairs.hole]
    return result


def determinants(pairs: Pairs, of_window: NDArray) -> NDArray:
    """Matrix between the determinants, (intervals, 1 + P, 1 + P), of an operator of the window's states.

    Parameters
    ----------
    pairs
        Which of them.
    of_window
        Propagators of one electron, or overlaps across time, (intervals, w, w), valence states first.
    """
    v = pairs.valence
    block = of_window[:, :v, :v]
    regular = np.linalg.cond(block) < _ILL_CONDITIONED
    size = 1 + len(pairs.hole)
    result = np.empty((len(of_window), size, size), dtype=of_window.dtype)
    result[regular] = _by_inverse(pairs, of_window[regular])
    # a valence state that leaves the window takes the inverse with it, but not the determinants
    for interval in np.flatnonzero(~regular):
        result[interval] = _one_by_one(pairs, of_window[interval])
    return result


def by_band(
    population: NDArray[np.float64], bands: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Add up the populations of states that share a band, -1 (the ground state) left out.

    Parameters
    ----------
    population
        (..., n).
    bands
        Band of the electron, or of the hole, of each state, (n,).

    Returns
    -------
    The bands, ascending, (b,), and their populations, (..., b).
    """
    found = np.unique(bands[bands >= 0])
    return found, population @ (bands[:, None] == found[None, :]).astype(np.float64)


def _by_inverse(pairs: Pairs, overlap: NDArray) -> NDArray:
    """All determinants from the inverse of the valence block: one product an element."""
    v, hole, electron = pairs.valence, pairs.hole, pairs.electron - pairs.valence
    block, across = overlap[:, :v, :v], overlap[:, v:, :v]
    inverse = np.linalg.inv(block)
    left, right = across @ inverse, inverse @ overlap[:, :v, v:]
    rest = overlap[:, v:, v:] - across @ right
    bra, ket = left[:, electron, hole], right[:, hole, electron]
    size = 1 + len(hole)
    result = np.empty((len(overlap), size, size), dtype=overlap.dtype)
    result[:, 0, 0], result[:, 0, 1:], result[:, 1:, 0] = 1.0, ket, bra
    result[:, 1:, 1:] = bra[:, :, None] * ket[:, None, :]
    result[:, 1:, 1:] += (
        inverse[:, hole[None, :], hole[:, None]] * rest[:, electron[:, None], electron[None, :]]
    )
    return np.linalg.det(block)[:, None, None] * result


def _one_by_one(pairs: Pairs, overlap: NDArray) -> NDArray:
    """All determinants of one interval from their definition."""
    occupied = np.tile(np.arange(pairs.valence), (1 + len(pairs.hole), 1))
    occupied[np.arange(1, len(occupied)), pairs.hole] = pairs.electron
    return np.stack([np.linalg.det(overlap[row[None, :, None], occupied[:, None, :]]) for row in occupied])
