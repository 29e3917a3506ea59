"""Fewest-switches surface hopping under the classical path: an exact Markov chain.

Amplitudes do not depend on the active state, so the hop probabilities of a sample are numbers known in
advance: populations follow from multiplying them up, p(t + dt) = p(t) P(t), which is the limit of infinitely
many trajectories. Trajectories are drawn only for hop records, one random number a hop instead of one a step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from n2amd.hopping import propagators
from n2amd.hopping.outcome import Outcome
from n2amd.hopping.path import ClassicalPath
from n2amd.hopping.philox import draw, uniform
from n2amd.hopping.propagators import Scheme, rotations, substep_angles
from n2amd.units import BOLTZMANN_EV_K, HBAR_EV_FS

#: Steps worked on at a time, which bounds the memory of long runs.
_CHUNK = 4096
#: Stands for certain hopping in one step, as an exponent.
_CERTAIN = 700.0
#: Purposes of random numbers (the last word of Philox' counter).
_WHEN, _WHERE = 0, 1


@dataclass(frozen=True)
class FsshTables:
    """What all samples share.

    Attributes
    ----------
    path
        Energies.
    coupling
        d_ij of every interval, (frames - 1, n, n), 1/fs.
    interpolate
        Whether couplings belong to mid-steps, with linear interpolation between, or are constant over a step.
    boltzmann
        Factor of hops i -> j in every interval, (frames - 1, n, n).
    substeps
        Electronic steps an interval.
    """

    path: ClassicalPath
    coupling: NDArray
    interpolate: bool
    boltzmann: NDArray[np.float64]
    substeps: int


def prepare(path: ClassicalPath, temperature: float, *, scheme: Scheme, substeps: int = 10) -> FsshTables:
    """Tabulate what all samples share.

    Parameters
    ----------
    path
        Energies, and couplings (`hst`) or overlaps (`local_diabatic`, whose rotations are spread over the
        step).
    temperature
        K; infinity switches the Boltzmann factor off.
    scheme, substeps
        As for `propagators.build`.

    Raises
    ------
    InputError
        If the path lacks what the scheme needs.
    """
    source = propagators.source(path, scheme)
    nac = source if scheme == "hst" else propagators.coupling_of_overlap(source, path.timestep_fs)
    energy = path.midstep_energies * (path.sign / (BOLTZMANN_EV_K * temperature))
    boltzmann = np.exp(-np.maximum(0.0, energy[:, None, :] - energy[:, :, None]))
    return FsshTables(path, np.ascontiguousarray(nac) / HBAR_EV_FS, scheme == "hst", boltzmann, substeps)


def hop_probabilities(
    tables: FsshTables, start_frame: int, start_state: int, steps: int
) -> Iterator[NDArray[np.float64]]:
    """Probabilities P_ij of going from i to j (rows sum to one) of every step, in chunks of (m, n, n).

    The sum over sub-steps of (g(begin) + g(end)) dt/2, g_ij = 2 Re(c_i* c_j d_ij) / |c_i|^2 (Tully, J. Chem.
    Phys. 93, 1061 (1990)), then the Boltzmann factor, then negative ones are zero: the order of Hefei-NAMD.
    """
    path = tables.path
    amplitudes = np.zeros(path.states, dtype=np.complex128)
    amplitudes[start_state] = 1.0
    frame = start_frame
    for begin in range(0, steps, _CHUNK):
        size = min(_CHUNK, steps - begin)
        hop = np.zeros((size, path.states, path.states))
        frame = _add_fluxes(
            path.energies,
            tables.coupling,
            tables.interpolate,
            path.timestep_fs,
            tables.substeps,
            amplitudes,
            frame,
            hop,
        )
        intervals = (frame - size + np.arange(size)) % path.intervals
        _to_probabilities(hop, tables.boltzmann, intervals)
        yield hop


def run_sample(
    tables: FsshTables,
    *,
    seed: int,
    sample: int,
    start_frame: int,
    start_state: int,
    steps: int,
    stride: int,
    trajectories: range,
) -> Outcome:
    """Exact populations of one sample, and hop records of trajectories, which go on past the final state."""
    n = tables.path.states
    stored = np.zeros((steps // stride + 1, n))
    stored[0, start_state] = 1.0
    population = stored[0].copy()
    walkers = _start(seed, sample, trajectories, start_state)
    hops = np.zeros((n, n), dtype=np.int64)
    arrival_step = np.full(len(trajectories), -1, dtype=np.int64)
    arrival_source = np.full(len(trajectories), -1, dtype=np.int64)
    step = 0
    for hop in hop_probabilities(tables, start_frame, start_state, steps):
        _chain(hop, population, step, stride, stored)
        _walk(
            hop,
            seed,
            sample,
            trajectories.start,
            step,
            tables.path.final,
            *walkers,
            hops,
            arrival_step,
            arrival_source,
        )
        step += len(hop)
    return Outcome(stored, hops, arrival_step, arrival_source)


def monte_carlo(
    tables: FsshTables,
    *,
    seed: int,
    sample: int,
    start_frame: int,
    start_state: int,
    steps: int,
    trajectories: int,
) -> NDArray[np.float64]:
    """Populations by drawing trajectories, (steps + 1, n): what `run_sample` gives without noise."""
    n = tables.path.states
    counts = np.zeros((steps + 1, n))
    counts[0, start_state] = trajectories
    active = np.full(trajectories, start_state)
    generator = np.random.Generator(np.random.Philox(key=[seed, sample]))
    step = 0
    for hop in hop_probabilities(tables, start_frame, start_state, steps):
        for matrix in hop:
            step += 1
            ladder = np.cumsum(matrix, axis=1)[active]
            active = np.minimum((generator.random(trajectories)[:, None] >= ladder).sum(axis=1), n - 1)
            counts[step] = np.bincount(active, minlength=n)
    return counts / trajectories


@njit(cache=True, fastmath=True)
def _add_fluxes(energies, coupling, interpolate, timestep, substeps, c, frame, flux):  # type: ignore[no-untyped-def]
    """Fill flux (steps, n, n) with unscaled hop probabilities, propagating c; return the frame reached."""
    n = energies.shape[1]
    duration = timestep / substeps
    angles = np.zeros((n, n), dtype=coupling.dtype)
    sine = np.zeros((n, n), dtype=coupling.dtype)
    cosine = np.ones((n, n))
    inverse = np.zeros(n)
    for step in range(len(flux)):
        if frame == len(coupling):
            frame = 0
        for part in range(substeps + 1):
            # inner borders end one sub-step and begin the next
            weight = 1.0 if part in (0, substeps) else 2.0
            substep_angles(coupling, frame, part / substeps, weight * duration, angles, interpolate)
            for i in range(n):
                population = c[i].real ** 2 + c[i].imag ** 2
                # a state without population has no trajectories to hop from it
                inverse[i] = 1.0 / population if population > 0.0 else 0.0
            for i in range(n):
                for j in range(i + 1, n):
                    term = (np.conj(c[i]) * c[j] * angles[i, j]).real
                    flux[step, i, j] += term * inverse[i]
                    flux[step, j, i] -= term * inverse[j]
            if part == substeps:
                break
            x = (part + 0.5) / substeps
            substep_angles(coupling, frame, x, 0.5 * duration, angles, interpolate)
            rotations(angles, sine, cosine)
            for j in range(n):
                for k in range(j + 1, n):
                    a, b = c[j], c[k]
                    c[j] = cosine[j, k] * a - sine[j, k] * b
                    c[k] = np.conj(sine[j, k]) * a + cosine[j, k] * b
            for j in range(n):
                energy = (1.0 - x) * energies[frame, j] + x * energies[frame + 1, j]
                c[j] *= np.exp(-1j * energy * duration / HBAR_EV_FS)
            for j in range(n - 1, -1, -1):
                for k in range(n - 1, j, -1):
                    a, b = c[j], c[k]
                    c[j] = cosine[j, k] * a - sine[j, k] * b
                    c[k] = np.conj(sine[j, k]) * a + cosine[j, k] * b
        frame += 1
    return frame


@njit(cache=True)
def _to_probabilities(flux, boltzmann, intervals):  # type: ignore[no-untyped-def]
    """Apply Boltzmann factors, clip, and put the probability of staying on the diagonal, in place."""
    n = flux.shape[1]
    for step in range(len(flux)):
        for i in range(n):
            total = 0.0
            for j in range(n):
                if j != i:
                    # never more than what is left of certainty, in the order of selection
                    value = min(max(0.0, flux[step, i, j] * boltzmann[intervals[step], i, j]), 1.0 - total)
                    flux[step, i, j] = value
                    total += value
            flux[step, i, i] = 1.0 - total


@njit(cache=True)
def _chain(hop, population, step, stride, stored):  # type: ignore[no-untyped-def]
    for m in range(len(hop)):
        population[:] = population @ hop[m]
        if (step + m + 1) % stride == 0:
            stored[(step + m + 1) // stride] = population


def _start(seed: int, sample: int, trajectories: range, state: int) -> tuple[NDArray, NDArray]:
    """Active states, and exponents at which the next hops fall due."""
    patience = np.empty(len(trajectories))
    _first_patience(seed, sample, trajectories.start, patience)
    return np.full(len(trajectories), state), patience


@njit(cache=True)
def _first_patience(seed, sample, first, patience):  # type: ignore[no-untyped-def]
    for index in range(len(patience)):
        u, v, _, _ = draw(seed, sample, first + index, 0, _WHEN)
        patience[index] = -np.log(1.0 - uniform(u, v))


@njit(cache=True)
def _walk(  # type: ignore[no-untyped-def]
    hop, seed, sample, first, begin, final, active, patience, hops, arrival_step, arrival_source
):
    """Advance trajectories through a chunk of steps from hop to hop."""
    size, n = hop.shape[:2]
    hazard = np.zeros((n, size + 1))
    for i in range(n):
        for m in range(size):
            stay = hop[m, i, i]
            hazard[i, m + 1] = hazard[i, m] + (min(-np.log(stay), _CERTAIN) if stay > 0.0 else _CERTAIN)
    for index in range(len(active)):
        now = 0
        while True:
            state = active[index]
            reached = np.searchsorted(hazard[state], hazard[state, now] + patience[index])
            if reached > size:
                patience[index] -= hazard[state, size] - hazard[state, now]
                break
            now = max(reached, now + 1)
            step = begin + now
            u, v, _, _ = draw(seed, sample, first + index, step, _WHERE)
            pick = uniform(u, v) * (1.0 - hop[now - 1, state, state])
            target = state
            for j in range(n):
                if j != state and hop[now - 1, state, j] > 0.0:
                    target = j
                    pick -= hop[now - 1, state, j]
                    if pick < 0.0:
                        break
            hops[state, target] += 1
            if target == final and arrival_step[index] < 0:
                arrival_step[index], arrival_source[index] = step, state
            active[index] = target
            u, v, _, _ = draw(seed, sample, first + index, step, _WHEN)
            patience[index] = -np.log(1.0 - uniform(u, v))
            if now == size:
                break
