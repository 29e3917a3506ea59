"""A diabatic H(t) whose band-edge states swap with their neighbours, and its exact dynamics.

Valence and conduction states move with smooth phonon-like modes; eigenstates on frames are what a code sees,
fine steps of the time-dependent Schroedinger equation are the truth.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.linalg

from n2amd.couplings.assemble import Joined, couple, keep_states
from n2amd.couplings.store import Couplings, write_couplings
from n2amd.states.store import ShardInfo
from n2amd.units import HBAR_EV_FS

#: Phonon modes, cm^-1, and 2 pi c in rad cm / fs.
MODES = np.array([120, 180, 260, 340, 430, 520.0])
RAD_CM_PER_FS = 2 * np.pi * 2.998e-5


class CrossingModel:
    """Levels `spacing` apart that fluctuate by `sigma` and mix `within` bands and `across` the gap, eV."""

    def __init__(
        self,
        seed: int,
        *,
        valence: int = 3,
        conduction: int = 3,
        gap: float = 1.5,
        spacing: float = 0.03,
        sigma: float = 0.03,
        across: float = 0.02,
        within: float = 0.001,
        is_complex: bool = False,
    ) -> None:
        generator = np.random.default_rng(seed)
        self.valence, self.states = valence, valence + conduction

        def wave(amplitude: float) -> Callable[[np.ndarray], np.ndarray]:
            frequency = RAD_CM_PER_FS * MODES * (1 + 0.03 * generator.normal(size=6))
            phase, weight = generator.uniform(0, 2 * np.pi, 6), generator.normal(size=6)
            weight *= amplitude / np.sqrt((weight**2).sum() / 2)
            return lambda t: (weight * np.cos(np.multiply.outer(t, frequency) + phase)).sum(-1)

        self.base = np.r_[-spacing * np.arange(valence)[::-1], gap + spacing * np.arange(conduction)]
        self.levels = [wave(sigma) for _ in self.base]
        self.mixing = {
            (i, j): wave(across if i < valence <= j else within)
            for i in range(self.states)
            for j in range(i + 1, self.states)
        }
        self.turn = dict.fromkeys(self.mixing, 1.0)
        if is_complex:
            self.turn = {pair: np.exp(2j * np.pi * generator.random()) for pair in self.mixing}

    def hamiltonian(self, time: np.ndarray) -> np.ndarray:
        """H, (T, n, n), eV."""
        is_complex = any(np.iscomplexobj(z) for z in self.turn.values())
        h = np.zeros((len(time), self.states, self.states), complex if is_complex else float)
        for i, level in enumerate(self.levels):
            h[:, i, i] = self.base[i] + level(time)
        for (i, j), mixing in self.mixing.items():
            h[:, i, j] = self.turn[i, j] * mixing(time)
            h[:, j, i] = h[:, i, j].conj()
        return h

    def frames(self, count: int, timestep: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
        """Energies (F, n) and eigenvectors (F, n, n)."""
        return np.linalg.eigh(self.hamiltonian(timestep * np.arange(count)))

    def exact(self, count: int, timestep: float = 1.0, substeps: int = 60) -> np.ndarray:
        """Propagators between the eigenvectors of `frames`, (F - 1, n, n)."""
        _, vectors = self.frames(count, timestep)
        starts = timestep * np.arange(count - 1)
        result = np.broadcast_to(np.eye(self.states, dtype=complex), (count - 1, self.states, self.states))
        for k in range(substeps):
            energies, states = np.linalg.eigh(self.hamiltonian(starts + timestep * (k + 0.5) / substeps))
            phase = np.exp(-1j * energies * timestep / substeps / HBAR_EV_FS)
            result = (states * phase[:, None, :]) @ states.conj().swapaxes(1, 2) @ result
        return vectors[1:].conj().swapaxes(1, 2) @ result @ vectors[:-1]

    def overlaps(
        self, count: int, timestep: float = 1.0, gauge_seed: int | None = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Energies (F, n), and overlaps of eigenvectors with signs (phases) drawn anew in every frame."""
        energies, vectors = self.frames(count, timestep)
        generator = np.random.default_rng(gauge_seed)
        phase = np.exp(2j * np.pi * generator.random((count, self.states)))
        if not np.iscomplexobj(vectors):
            phase = np.sign(phase.real)
        vectors = vectors * phase[:, None, :]
        return energies, vectors[:-1].conj().swapaxes(1, 2) @ vectors[1:]


def hop_probability(propagators: np.ndarray, steps: int, start: int, final: int) -> float:
    """Mean over start frames of |<final| U^steps |start>|^2, no path over the end."""
    amplitude = np.zeros(propagators.shape[:2], complex)
    amplitude[:, start] = 1
    for k in range(steps):
        count = len(propagators) - k
        amplitude = np.einsum("tij,tj->ti", propagators[k : k + count], amplitude[:count])
    return float((np.abs(amplitude[:, final]) ** 2).mean())


def assembled(
    energies: np.ndarray,
    overlap: np.ndarray,
    occupied: int,
    *,
    timestep: float = 1.0,
    valence: int | None = None,
    conduction: int | None = None,
    degeneracy: float = 0.005,
    order: str = "energy",
    first_gauge: np.ndarray | None = None,
) -> Couplings:
    """Couplings of a window of states as `n2amd couplings assemble` makes them."""
    w = energies.shape[1]
    valence, conduction = valence or occupied, conduction or w - occupied
    info = ShardInfo(
        start=0,
        stop=len(overlap),
        timestep_fs=timestep,
        kpoint=(0.0, 0.0, 0.0),
        n_occupied=occupied,
        n_orbitals=w,
        valence=valence,
        conduction=conduction,
        overlap_kind="exact",
    )
    gauge = np.eye(w) if first_gauge is None else first_gauge
    joined = Joined(info, energies, np.arange(w), overlap, gauge)
    return keep_states(joined, couple(joined, timestep, degeneracy, order), order)  # type: ignore[arg-type]


def written(file: Path, couplings: Couplings) -> Path:
    """Write couplings, return the file."""
    write_couplings(file, couplings)
    return file


def granucci_persico_toniolo(
    energies: np.ndarray, overlap: np.ndarray, timestep: float, substeps: int
) -> np.ndarray:
    """Local diabatisation as published: c' = T^+ exp(-i Z dt) c, H linear between frames, in sub-steps."""
    left, _, right = np.linalg.svd(overlap)
    carried = left @ right
    own = energies[:-1, :, None] * np.eye(energies.shape[1])
    ahead = carried @ (energies[1:, :, None] * carried.conj().swapaxes(1, 2))
    result = np.broadcast_to(np.eye(energies.shape[1], dtype=complex), carried.shape)
    for k in range(substeps):
        x = (k + 0.5) / substeps
        values, vectors = np.linalg.eigh((1 - x) * own + x * ahead)
        phase = np.exp(-1j * values * timestep / substeps / HBAR_EV_FS)
        result = (vectors * phase[:, None, :]) @ vectors.conj().swapaxes(1, 2) @ result
    return carried.conj().swapaxes(1, 2) @ result


def logarithm_in_order_of_energy(energies: np.ndarray, overlap: np.ndarray, timestep: float) -> np.ndarray:
    """Rotation spread evenly over the step: U = exp(-i (E dt / hbar + K)), exp(-iK) = T^+."""
    left, _, right = np.linalg.svd(overlap)
    mean = 0.5 * (energies[1:] + energies[:-1]) * timestep / HBAR_EV_FS
    result = np.empty(overlap.shape, complex)
    for f, carried in enumerate(left @ right):
        triangular, vectors = scipy.linalg.schur(carried.conj().T, output="complex")
        rotation = (vectors * -np.angle(np.diagonal(triangular))) @ vectors.conj().T
        values, states = np.linalg.eigh(rotation + np.diag(mean[f]))
        result[f] = (states * np.exp(-1j * values)) @ states.conj().T
    return result
