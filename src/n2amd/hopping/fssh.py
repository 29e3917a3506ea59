"""Fewest-switches surface hopping under the classical path: an exact Markov chain.

Amplitudes do not depend on the active state, so the hop probabilities of a sample are numbers known in
advance: populations follow from multiplying them up, p(t + dt) = p(t) P(t), which is the limit of infinitely
many trajectories. Trajectories are drawn for hop records, or to be counted, one random number a hop instead
of one a step.

What flows from state i to state j within a step is read off its propagator, c' = U c:

    F_ij = Re(c'_j* U_ji c_i) - Re(c'_i* U_ij c_j).

It is antisymmetric, all that leaves a state adds up to |c_i|^2 - |c'_i|^2, phases of the states do not
matter, and to first order in the coupling it is the integral of Tully's 2 Re(c_i* c_j d_ij) over the step at
any gap, without sub-steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from n2amd.hopping.outcome import Outcome
from n2amd.hopping.path import ClassicalPath
from n2amd.hopping.philox import draw, uniform

#: Steps worked on at a time, which bounds the memory of long runs.
_CHUNK = 4096
#: Population below which a state has none: what rounding leaves where a swap by symmetry empties a state.
_EMPTY = 1e-24
#: Stands for certain hopping in one step, as an exponent.
_CERTAIN = 700.0
#: Purposes of random numbers (the last word of Philox' counter).
_WHEN, _WHERE = 0, 1


@dataclass(frozen=True)
class FsshTables:
    """What all samples share.

    Attributes
    ----------
    propagators
        U of every interval, (frames - 1, n, n).
    boltzmann
        Factor of hops i -> j in every interval, (frames - 1, n, n).
    final
        State whose first arrivals are recorded.
    """

    propagators: NDArray[np.complex128]
    boltzmann: NDArray[np.float64]
    final: int


def prepare(path: ClassicalPath, propagators: NDArray[np.complex128], temperature: float) -> FsshTables:
    """Tabulate what all samples share.

    Parameters
    ----------
    path
        Energies and carrier.
    propagators
        U of every interval, (frames - 1, n, n).
    temperature
        K; infinity switches the Boltzmann factor off.
    """
    energy = path.hop_costs(temperature)
    boltzmann = np.exp(-np.maximum(0.0, energy[:, None, :] - energy[:, :, None]))
    return FsshTables(np.ascontiguousarray(propagators), boltzmann, path.final)


def hop_probabilities(
    tables: FsshTables, start_frame: int, start_state: int, steps: int
) -> Iterator[NDArray[np.float64]]:
    """Probabilities P_ij of going from i to j (rows sum to one) of every step, in chunks of (m, n, n).

    max(0, F_ij) / |c_i|^2 (Tully, J. Chem. Phys. 93, 1061 (1990)) times the Boltzmann factor.
    """
    lap, n = tables.propagators.shape[:2]
    amplitudes = np.zeros(n, dtype=np.complex128)
    amplitudes[start_state] = 1.0
    frame = start_frame
    for begin in range(0, steps, _CHUNK):
        size = min(_CHUNK, steps - begin)
        hop = np.empty((size, n, n))
        _fill(tables.propagators, tables.boltzmann, amplitudes, frame % lap, hop)
        frame = (frame + size) % lap
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
    counted: bool = False,
) -> Outcome:
    """Exact populations of one sample, and hop records of trajectories, which go on past the final state.

    Parameters
    ----------
    counted
        Give the numbers of trajectories in each state instead of the exact populations.
    """
    n = tables.propagators.shape[1]
    stored = np.zeros((steps // stride + 1, n))
    stored[0, start_state] = 1.0
    changes = np.zeros(stored.shape, dtype=np.int64)
    changes[0, start_state] = len(trajectories)
    population = stored[0].copy()
    walkers = _start(seed, sample, trajectories, start_state)
    hops = np.zeros((n, n), dtype=np.int64)
    arrival_step = np.full(len(trajectories), -1, dtype=np.int64)
    arrival_source = np.full(len(trajectories), -1, dtype=np.int64)
    step = 0
    for hop in hop_probabilities(tables, start_frame, start_state, steps):
        if not counted:
            _chain(hop, population, step, stride, stored)
        _walk(
            hop,
            (seed, sample, trajectories.start),
            (step, stride),
            tables.final,
            *walkers,
            changes,
            hops,
            arrival_step,
            arrival_source,
        )
        step += len(hop)
    shown = np.cumsum(changes, axis=0) if counted else stored
    return Outcome(shown, hops, arrival_step, arrival_source)


@njit(cache=True, inline="always")
def propagate(propagator, c, new):  # type: ignore[no-untyped-def]
    """Fill `new` with U c."""
    n = len(c)
    for i in range(n):
        real = imaginary = 0.0
        for j in range(n):
            u, v = propagator[i, j], c[j]
            real += u.real * v.real - u.imag * v.imag
            imaginary += u.real * v.imag + u.imag * v.real
        new[i] = complex(real, imaginary)


@njit(cache=True, inline="always")
def flow(propagator, c, new, i, j):  # type: ignore[no-untyped-def]
    """Population that goes from i to j in a step that takes c to `new`."""
    there = propagator[j, i] * c[i]
    back = propagator[i, j] * c[j]
    forth = new[j].real * there.real + new[j].imag * there.imag
    return forth - (new[i].real * back.real + new[i].imag * back.imag)


@njit(cache=True)
def _fill(propagators, boltzmann, c, frame, hop):  # type: ignore[no-untyped-def]
    """Fill `hop` (steps, n, n) with probabilities from frame `frame`, and take c along."""
    n, lap = len(c), len(propagators)
    new, weight = np.empty(n, dtype=np.complex128), np.empty(n)
    for step in range(len(hop)):
        u, factor = propagators[frame], boltzmann[frame]
        propagate(u, c, new)
        for i in range(n):
            population = c[i].real ** 2 + c[i].imag ** 2
            # hops were refused if trajectories are left here: they stay, as rounding would pick where they go
            weight[i] = 1.0 / population if population > _EMPTY else 0.0
        for i in range(n):
            for j in range(i + 1, n):
                moved = flow(u, c, new, i, j)
                hop[step, i, j] = max(0.0, moved) * weight[i] * factor[i, j]
                hop[step, j, i] = max(0.0, -moved) * weight[j] * factor[j, i]
        for i in range(n):
            total = 0.0
            for j in range(n):
                if j != i:
                    # never more than what is left of certainty, in the order of selection
                    hop[step, i, j] = min(hop[step, i, j], 1.0 - total)
                    total += hop[step, i, j]
            hop[step, i, i] = 1.0 - total
        c[:] = new
        frame = 0 if frame + 1 == lap else frame + 1
    # rounding adds up over long runs
    c /= np.sqrt(np.sum(c.real**2 + c.imag**2))


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
    hop, key, place, final, active, patience, changes, hops, arrival_step, arrival_source
):
    """Advance trajectories through a chunk of steps from hop to hop."""
    seed, sample, first = key
    begin, stride = place
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
            stored = (step + stride - 1) // stride
            if stored < len(changes):
                changes[stored, state] -= 1
                changes[stored, target] += 1
            if target == final and arrival_step[index] < 0:
                arrival_step[index], arrival_source[index] = step, state
            active[index] = target
            u, v, _, _ = draw(seed, sample, first + index, step, _WHEN)
            patience[index] = -np.log(1.0 - uniform(u, v))
            if now == size:
                break
