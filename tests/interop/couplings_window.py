"""A couplings file to export."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from n2amd.couplings.store import Couplings, Tracking, write_couplings
from n2amd.units import HBAR_EV_FS


def a_window(file: Path, *, frames: int = 30, complex_couplings: bool = False) -> Path:
    """Two states that a small rotation mixes in every interval of 0.5 fs."""
    generator = np.random.default_rng(3)
    angle = 0.02 * generator.standard_normal(frames - 1)
    phase = np.exp(1j * generator.uniform(0, 6, frames - 1)) if complex_couplings else np.ones(frames - 1)
    overlap = np.zeros((frames - 1, 2, 2), phase.dtype)
    overlap[:, 0, 0] = overlap[:, 1, 1] = np.cos(angle)
    overlap[:, 0, 1], overlap[:, 1, 0] = phase * np.sin(angle), -phase.conj() * np.sin(angle)
    couplings = Couplings(
        timestep_fs=0.5,
        n_occupied=11,
        vbm=0,
        cbm=1,
        overlap_kind="exact",
        order="energy",
        kpoint=(0.0, 0.0, 0.0),
        energies=np.array([-1.0, 1.5]) + 0.1 * generator.standard_normal((frames, 2)),
        overlap=overlap,
        nac=HBAR_EV_FS / 1.0 * (overlap - overlap.conj().swapaxes(1, 2)),
        band_index=np.array([10, 11]),
        tracking=Tracking(
            permutation=np.tile([0, 1], (frames, 1)),
            successor=np.tile([0, 1], (frames - 1, 1)),
            min_overlap=np.ones(frames - 1),
            n_clusters=np.zeros(frames - 1, int),
            window_leak=np.zeros(frames - 1),
            edge_clusters=np.zeros(frames - 1, int),
        ),
    )
    write_couplings(file, couplings)
    return file
