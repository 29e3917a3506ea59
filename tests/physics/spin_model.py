"""Spin states with a constant spin-orbit coupling: what Fermi's golden rule knows the rates of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from n2amd.couplings.store import Couplings, Tracking, Window
from n2amd.units import HBAR_EV_FS


def couplings_with_spins(levels: list[float], spin_orbit: NDArray, frames: int) -> Couplings:
    """States at rest, the first of them filled, coupled by V_SO = sum A sigma alone; eV.

    Parameters
    ----------
    levels
        Energies, ascending.
    spin_orbit
        A, (3, n, n).
    """
    n = len(levels)
    energies = np.tile(np.asarray(levels, dtype=float), (frames, 1))
    overlap = np.tile(np.eye(n), (frames - 1, 1, 1))
    nothing = np.zeros((frames - 1, n, n))
    still = np.zeros((frames - 1,))
    tracking = Tracking(
        permutation=np.tile(np.arange(n), (frames, 1)),
        successor=np.tile(np.arange(n), (frames - 1, 1)),
        min_overlap=still + 1,
        n_clusters=still.astype(int),
        window_leak=still,
        edge_clusters=still.astype(int),
    )
    window = Window(0, energies, overlap, nothing, spin_orbit=np.tile(spin_orbit, (frames, 1, 1, 1)))
    return Couplings(
        timestep_fs=1.0,
        n_occupied=1,
        vbm=0,
        cbm=1,
        overlap_kind="exact",
        order="energy",
        kpoint=(0.0, 0.0, 0.0),
        energies=energies,
        overlap=overlap,
        nac=nothing,
        band_index=np.arange(n),
        tracking=tracking,
        window=window,
    )


def golden_rule(coupling: float, gap: float, tau: float) -> float:
    """2 pi / hbar V^2 L(gap), 1/fs: L the Lorentzian of a coherence that decays as exp(-t / tau)."""
    width = HBAR_EV_FS / tau
    return 2 * np.pi / HBAR_EV_FS * coupling**2 * width / np.pi / (gap**2 + width**2)
