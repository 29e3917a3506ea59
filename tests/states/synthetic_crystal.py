"""A small crystal with analytic H and S: s-type Gaussians, kinetic energy and site energies.

Everything is known in closed form, at one geometry and between two, and the overlap is positive definite.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np

from n2amd.blocks.matrix import BlockMatrix
from n2amd.blocks.pairs import find_pairs
from n2amd.orbitals.basis import AtomBasis, Basis, Shell
from n2amd.states.false_states import NOTHING_KNOWN
from n2amd.states.parts import parts_of_trajectory
from n2amd.structure import Structure
from n2amd.trajectory.slice import TrajectorySlice

EXPONENTS = {3: np.array([1.3, 0.5]), 9: np.array([1.1, 0.45])}  # 1/A^2
SITE_ENERGY = {3: np.array([-3.0, 3.0]), 9: np.array([-14.0, -1.0])}  # eV
KINETIC = 3.81  # hbar^2 / 2 m_e, eV A^2
RANGE = 9.0
SPACING = 2.6


class SyntheticCrystal:
    """Predictor and cross-time overlap in closed form; `calls` counts the predictions."""

    #: It knows what it says.
    doubt = None
    #: It was not trained.
    training: ClassVar[dict] = {}
    trained_states = NOTHING_KNOWN

    def __init__(self) -> None:
        shells = (Shell(0, "1s"), Shell(0, "2s"))
        self.basis = Basis({3: AtomBasis(3, shells, 0.0), 9: AtomBasis(9, shells, 2.0)})
        self.calls = 0

    def overlap(self, bra: Structure, ket: Structure | None = None) -> BlockMatrix:
        return self._matrices(bra, ket)[1]

    def cross_overlap(self, kind: str) -> Callable[[Structure, Structure], BlockMatrix]:
        return self.overlap

    def predict(self, structure: Structure) -> tuple[BlockMatrix, BlockMatrix]:
        self.calls += 1
        return self._matrices(structure, None)

    def _matrices(self, bra: Structure, ket: Structure | None) -> tuple[BlockMatrix, BlockMatrix]:
        ranges = {(a, b): RANGE for a in EXPONENTS for b in EXPONENTS if a <= b}
        pairs = find_pairs(bra, ranges, half=ket is None)
        hamiltonian, overlap = {}, {}
        for (zi, zj), index in pairs.items():
            r2 = (index.vectors(bra, ket) ** 2).sum(axis=1)[:, None, None]
            a, b = EXPONENTS[zi][:, None], EXPONENTS[zj][None, :]
            reduced = a * b / (a + b)
            s = (2 * np.sqrt(a * b) / (a + b)) ** 1.5 * np.exp(-reduced * r2)
            kinetic = KINETIC * reduced * (6 - 4 * reduced * r2) * s
            site = (SITE_ENERGY[zi][:, None] + SITE_ENERGY[zj][None, :]) / 2
            overlap[zi, zj] = s[None]
            hamiltonian[zi, zj] = (kinetic + site * s)[None]
        hermitian = ket is None
        return BlockMatrix(pairs, hamiltonian, hermitian), BlockMatrix(pairs, overlap, hermitian)


def rock_salt() -> Structure:
    """Eight atoms on a simple cubic lattice, species alternating."""
    grid = np.stack(np.meshgrid(*[range(2)] * 3, indexing="ij"), -1).reshape(-1, 3)
    numbers = np.where(grid.sum(axis=1) % 2 == 0, 3, 9)
    return Structure(2 * SPACING * np.eye(3), SPACING * grid, numbers)


def moving_frames(
    n_frames: int, amplitude: float = 0.12, timestep: float = 1.0, seed: int = 3
) -> TrajectorySlice:
    """Atoms that swing about their sites at 8 to 20 THz."""
    structure = rock_salt()
    rng = np.random.default_rng(seed)
    shape = structure.positions.shape
    frequency, phase = rng.uniform(0.008, 0.02, shape), rng.uniform(0, 2 * np.pi, shape)
    t = timestep * np.arange(n_frames)[:, None, None]
    positions = structure.positions + amplitude * np.sin(2 * np.pi * frequency * t + phase)
    return TrajectorySlice(0, timestep, structure, positions)


def in_shards(frames: TrajectorySlice, count: int) -> list[TrajectorySlice]:
    """The whole trajectory, cut into so many shards as the workflow does."""
    total = len(frames.positions)
    parts = parts_of_trajectory(total, -(-total // count))
    return [cut(frames, max(first - 1, 0), last) for first, last in parts]


def cut(frames: TrajectorySlice, start: int, stop: int) -> TrajectorySlice:
    """Frames start..stop, both included, as one shard holds them."""
    return TrajectorySlice(
        start,
        frames.timestep_fs,
        frames.structure,
        frames.positions[start : stop + 1],
        frames.positions[0],
        n_frames=len(frames.positions),
        beside=dict(enumerate(frames.positions)),
    )
