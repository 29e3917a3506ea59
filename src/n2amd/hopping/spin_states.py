"""Spin states: eigenstates without spin-orbit coupling, each with spin up and down, which it couples.

Carriers hop between them; the coupling V_SO = sum over x, y, z of A sigma is in the Hamiltonian that they are
propagated with. It is what flips spins; derivative couplings keep them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from n2amd.couplings.store import Couplings, States, Window

_PAULI = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])


def have_spins(states: States | Couplings) -> bool:
    """Whether states are spin states: without spin, and with the coupling of spins beside."""
    return states.window is not None and states.window.spin_orbit is not None


def with_spins(states: States | Couplings) -> States:
    """Return every state twice, with spin up and then down.

    Parameters
    ----------
    states
        Of which `have_spins` is true.

    Returns
    -------
    States
        State k of the file is 2 k and 2 k + 1; its window has the coupling of spins as `mixing`.
    """
    window = states.window
    if window is None:
        raise ValueError("states without the window that holds the coupling of their spins")
    both = _window(window)
    n = states.energies.shape[1]
    kept = slice(both.first, both.first + 2 * n)
    return States(
        timestep_fs=states.timestep_fs,
        n_occupied=2 * states.n_occupied,
        vbm=2 * states.vbm + 1,
        cbm=2 * states.cbm,
        overlap_kind=states.overlap_kind,
        energies=both.energies[:, kept],
        overlap=both.overlap[:, kept, kept],
        nac=both.nac[:, kept, kept],
        band_index=np.repeat(states.band_index, 2),
        window=both,
    )


def _window(window: Window) -> Window:
    if window.spin_orbit is None:
        raise ValueError("a window that holds no coupling of spins")
    coupling = np.einsum("faij,ast->fisjt", window.spin_orbit, _PAULI)
    frames, w = window.energies.shape
    coupling = coupling.reshape(frames, 2 * w, 2 * w)
    if window.mixing is not None:
        coupling = coupling + _twice(window.mixing)
    # what couples a state with itself splits its two spins; none at an invariant k
    diagonal = np.arange(2 * w)
    energies = np.repeat(window.energies, 2, axis=1) + coupling[:, diagonal, diagonal].real
    coupling[:, diagonal, diagonal] = 0.0
    return replace(
        window,
        first=2 * window.first,
        energies=energies,
        overlap=_twice(window.overlap),
        nac=_twice(window.nac),
        mixing=coupling,
        spin_orbit=None,
    )


def _twice(matrices: NDArray) -> NDArray:
    """The same matrix for spin up and for spin down, (F, 2 n, 2 n)."""
    frames, n = matrices.shape[:2]
    both = np.zeros((frames, n, 2, n, 2), dtype=matrices.dtype)
    both[:, :, 0, :, 0] = both[:, :, 1, :, 1] = matrices
    return both.reshape(frames, 2 * n, 2 * n)
