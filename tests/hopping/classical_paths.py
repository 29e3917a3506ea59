"""Classical paths for tests: constant, and smoothly fluctuating."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from n2amd.hopping import propagators
from n2amd.hopping.path import ClassicalPath
from n2amd.storage import create_hdf5
from n2amd.units import HBAR_EV_FS


def constant_two_state(gap: float, coupling: float, frames: int, timestep: float = 1.0) -> ClassicalPath:
    """Two states at a constant gap (eV) with a constant coupling hbar d (eV)."""
    nac = np.zeros((frames - 1, 2, 2))
    nac[:, 0, 1], nac[:, 1, 0] = coupling, -coupling
    return ClassicalPath(
        np.tile([0.0, gap], (frames, 1)), timestep, "electron", np.arange(2), 1, 0, overlap=None, nac=nac
    )


def fluctuating(
    states: int,
    frames: int,
    *,
    gap: float = 1.2,
    spacing: float = 0.08,
    sigma: float = 0.035,
    across: float = 0.002,
    within: float = 0.005,
    seed: int = 1,
    carrier: str = "electron",
    complex_couplings: bool = False,
) -> ClassicalPath:
    """State 0, a gap, a ladder of states; energies and couplings are sums of eight modes (eV, 1 fs)."""
    generator = np.random.default_rng(seed)
    frequency = 2 * np.pi * 2.99792458e-5 * np.array([80, 110, 160, 240, 330, 410, 520, 600.0])
    time = np.arange(frames)

    def wave(amplitude: float) -> np.ndarray:
        phase = generator.uniform(0, 2 * np.pi, 8)
        weight = generator.normal(size=8)
        shift = 1 + 0.02 * generator.normal(size=8)
        series = (weight[:, None] * np.cos(np.outer(frequency * shift, time) + phase[:, None])).sum(0)
        return amplitude * series / series.std()

    base = np.r_[0.0, gap + spacing * np.arange(states - 1)]
    sign = 1.0 if carrier == "electron" else -1.0
    energies = sign * base + np.array([wave(sigma) for _ in range(states)]).T
    nac = np.zeros((frames - 1, states, states), dtype=complex if complex_couplings else float)
    for i in range(states):
        for j in range(i + 1, states):
            series = wave(across if i == 0 else within / (j - i))[:-1]
            value = series * np.exp(1j * generator.uniform(0, 2 * np.pi)) if complex_couplings else series
            nac[:, i, j], nac[:, j, i] = value, -np.conj(value)
    return ClassicalPath(energies, 1.0, carrier, np.arange(states), 1, 0, nac=nac)  # type: ignore[arg-type]


def write_couplings(file: Path, path: ClassicalPath, valence: int) -> Path:
    """Write a path as couplings.h5, its first `valence` states below the gap."""
    overlap = propagators.exponential(1j * path.nac / HBAR_EV_FS).real
    with create_hdf5(file, "couplings") as out:
        out.attrs.update(
            timestep_fs=1.0,
            n_frames=len(path.energies),
            n_occupied=40,
            vbm=valence - 1,
            cbm=valence,
            overlap_kind="exact",
        )
        out["energies"], out["overlap"], out["nac"] = path.energies, overlap, path.nac
        out["band_index"] = 40 - valence + np.arange(path.states)
    return file
