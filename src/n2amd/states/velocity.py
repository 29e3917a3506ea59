"""Couplings <i|d/dt j> of the states of one frame along the velocities of its atoms, without differences."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from n2amd.states.gauge import DEGENERATE_EV
from n2amd.structure import Structure


class Coupler(Protocol):
    """A model that tells how its states turn into each other when the atoms move."""

    def velocity_couplings(
        self,
        structure: Structure,
        velocities: NDArray[np.float64],
        energies: NDArray[np.float64],
        vectors: NDArray,
        kpoint: NDArray[np.float64],
    ) -> NDArray:
        """Couplings <i|d/dt j> between states.

        Parameters
        ----------
        structure, velocities
            Atoms and how they move, (n_atoms, 3), A/fs.
        energies, vectors
            States at the k point, (w,), eV, and (n_orbitals, w).
        kpoint
            Fractional, (3,).

        Returns
        -------
        couplings
            Anti-Hermitian, (w, w), 1/fs; zero between states of one level.
        """


def couplings_of_elements(
    energies: NDArray[np.float64], slopes: NDArray, symmetric: NDArray, antisymmetric: NDArray
) -> NDArray:
    """Couplings from the elements of derivatives with time.

    Parameters
    ----------
    energies
        (w,), eV.
    slopes
        c^dagger dH/dt c, (w, w), eV/fs.
    symmetric, antisymmetric
        c^dagger dS/dt c and c^dagger [S> - S<] c / 2 with S>_ab = <a|db/dt>, (w, w), 1/fs.

    Returns
    -------
    couplings
        (w, w), 1/fs. States closer than 1 ueV are one level and have none: what turns them into each other is
        the choice of states within the level; so is a state's own phase.

    Examples
    --------
    H = [[0, a t], [a t, 1 eV]] with a = 0.01 eV/fs at t = 0: the states turn by 0.01 rad a fs.

    >>> zero = np.zeros((2, 2))
    >>> couplings_of_elements(np.array([0.0, 1.0]), np.array([[0, 0.01], [0.01, 0]]), zero, zero).tolist()
    [[0.0, 0.01], [-0.01, 0.0]]
    """
    apart = energies[None, :] - energies[:, None]
    level = np.abs(apart) < DEGENERATE_EV
    mean = (energies[None, :] + energies[:, None]) / 2
    turned = (slopes - mean * symmetric) / np.where(level, 1.0, apart) + antisymmetric
    return np.where(level, 0.0, turned)
