"""Pairs of spinors whose Hamiltonian is even under time reversal, diagonalised in any gauge."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from n2amd.config.couplings import CouplingsSettings
from n2amd.config.states import StatesSettings
from n2amd.couplings.assemble import assemble
from n2amd.couplings.store import Couplings
from n2amd.states.store import ShardInfo, StatesShard

PAULI = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])


def quaternion(real: NDArray, imaginary: NDArray) -> NDArray:
    """a + i b.sigma, (F, 2, 2): what is even under time reversal; a (F,), b (F, 3)."""
    return real[:, None, None] * np.eye(2) + 1j * np.einsum("fa,aij->fij", imaginary, PAULI)


def hamiltonian(levels: int, frames: int, coupling: float = 0.02, gap: float = 0.4) -> NDArray:
    """Pairs at 0, `gap`, and 50 meV apart above, coupled by quaternions that swing, (F, 2 n, 2 n), eV."""
    generator = np.random.default_rng(levels)
    time = np.arange(frames)

    def swing(count: int = 1) -> NDArray:
        frequency, phase = generator.uniform(0.05, 0.4, count), generator.uniform(0, 6.3, count)
        return np.sin(np.outer(time, frequency) + phase)

    matrix = np.zeros((frames, 2 * levels, 2 * levels), dtype=complex)
    for i in range(levels):
        energy = (gap + 0.05 * (i - 1) if i else 0.0) + 0.015 * swing()
        matrix[:, 2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = energy.reshape(-1, 1, 1) * np.eye(2)
        for j in range(i):
            block = coupling * quaternion(swing()[:, 0], swing(3))
            matrix[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2] = block
            matrix[:, 2 * j : 2 * j + 2, 2 * i : 2 * i + 2] = block.conj().swapaxes(1, 2)
    return matrix


def random_rotations(generator: np.random.Generator, count: int) -> NDArray:
    """Random U(2), (count, 2, 2)."""
    shape = (count, 2, 2)
    return np.linalg.qr(generator.normal(size=shape) + 1j * generator.normal(size=shape))[0]


def couplings_of(matrix: NDArray, gauge_seed: int | None, cuts: tuple[int, ...] = ()) -> Couplings:
    """Couplings of the eigenstates, all below 0.2 eV full, of shards that share the frames `cuts`.

    With a seed those of each pair are rotated at random in every frame.
    """
    energies, vectors = np.linalg.eigh(matrix)
    if gauge_seed is not None:
        generator = np.random.default_rng(gauge_seed)
        for frame in vectors:
            for first, turn in zip(range(0, len(frame), 2), random_rotations(generator, len(frame) // 2)):
                frame[:, first : first + 2] = frame[:, first : first + 2] @ turn
    filled = int((energies[0] < 0.2).sum())
    width = matrix.shape[1]
    settings = StatesSettings(spin_orbit="spinors", valence=filled, conduction=width - filled, margin=0)
    borders = [0, *cuts, len(matrix) - 1]
    shards = [_shard(energies[a : b + 1], vectors[a : b + 1], a, settings) for a, b in pairwise(borders)]
    return assemble(shards, CouplingsSettings(), settings)


def _shard(energies: NDArray, vectors: NDArray, start: int, settings: StatesSettings) -> StatesShard:
    frames, width = energies.shape
    info = ShardInfo(
        start=start,
        stop=start + frames - 1,
        n_occupied=settings.valence,
        n_orbitals=width,
        timestep_fs=1.0,
        valence=settings.valence,
        conduction=settings.conduction,
        overlap_kind="exact",
        spin="spinors",
    )
    return StatesShard(
        info,
        energies=energies,
        band_index=np.arange(width),
        overlap=vectors[:-1].conj().swapaxes(1, 2) @ vectors[1:],
        residual=np.zeros(frames),
        orthonormality_error=np.zeros(frames),
        coefficient_norms=np.ones((frames, width)),
        first_coefficients=vectors[0],
        last_coefficients=vectors[-1],
        last_overlap_coefficients=vectors[-1],
    )
