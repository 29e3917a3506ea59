"""Decoherence-induced surface hopping (Jaeger, Fischer, Prezhdo, J. Chem. Phys. 137, 22A545 (2012)), Hefei-NAMD's rules.

Every step: the amplitudes c are propagated; 1/tau_i = sum_{j != i} |c_j|^2 / tau_ij; of the states whose clock
has passed tau_i one, chosen at random, decoheres and its clock restarts; with probability
|c_i|^2 exp(-max(0, cost) / kT), cost from mid-step energies, the wave function collapses on it and it becomes the
active state, else it is projected out and the active state stays.

How it is fast. Amplitudes are c(t) = W(t) x with W the cumulative propagator, shared by everything, and x
constant between events: nothing is propagated. One amplitude is a dot product, an event one row update. And
nothing is looked at while nothing can happen: from the population outside the state the wave function was last
collapsed on, and from how much can leak out of that state within a few steps (tabulated once), follows an
upper bound of every 1/tau_i, hence a step before which no clock can run out. Populations of all states are
computed only where these bounds leave a decision open. The result is that of the plain rules.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from n2amd.hopping.outcome import Outcome
from n2amd.hopping.path import ClassicalPath
from n2amd.hopping.philox import draw, uniform
from n2amd.hopping.propagators import cumulative
from n2amd.units import BOLTZMANN_EV_K

#: Purposes of random numbers (the last word of Philox' counter).
_EVENT, _WAITING = 0, 1
#: Bounds are compared with this slack, far above rounding and far below anything physical.
_SLACK = 1e-9
#: Look-ahead of the leak table is 2^0 .. 2^(levels - 1) steps.
_LEVELS = 7


@dataclass(frozen=True)
class DishTables:
    """What all trajectories share.

    Attributes
    ----------
    real, imag
        Cumulative propagators W(f), (frames, n, n).
    leak
        Largest amplitude outside state a within 2^level steps of being wholly in a at frame f, (levels, frames, n).
    rate
        dt / tau_ij, diagonal 0, (n, n).
    cost
        Mid-step energies in units of kT, sign by carrier, (frames - 1, n).
    exponential
        Whether waiting times are drawn (one exponential an interval between decoherences) or are tau_i itself.
    final
        Absorbing state, or -1.
    """

    real: NDArray[np.float64]
    imag: NDArray[np.float64]
    leak: NDArray[np.float64]
    rate: NDArray[np.float64]
    cost: NDArray[np.float64]
    exponential: bool
    final: int


def prepare(
    path: ClassicalPath,
    propagators: NDArray[np.complex128],
    dephasing_time: NDArray[np.float64],
    temperature: float,
    *,
    waiting: str = "deterministic",
    absorbing: bool = True,
) -> DishTables:
    """Tabulate what all trajectories share.

    Parameters
    ----------
    path
        Energies and carrier.
    propagators
        U of every interval, (frames - 1, n, n).
    dephasing_time
        (n, n), fs; zeros and infinities mean no dephasing.
    temperature
        K; infinity switches the Boltzmann factor off.
    waiting
        `deterministic` (a state decoheres when its clock passes tau_i) or `exponential`.
    absorbing
        Whether a trajectory ends when it reaches the final state, as recombination does.
    """
    total = cumulative(propagators)
    tau = np.asarray(dephasing_time, dtype=np.float64)
    rate = np.divide(path.timestep_fs, tau, out=np.zeros_like(tau), where=tau > 0)
    np.fill_diagonal(rate, 0.0)
    real, imag = np.ascontiguousarray(total.real), np.ascontiguousarray(total.imag)
    return DishTables(
        real=real,
        imag=imag,
        leak=_leak(real, imag, _LEVELS),
        rate=rate,
        cost=path.midstep_energies * (path.sign / (BOLTZMANN_EV_K * temperature)),
        exponential=waiting == "exponential",
        final=path.final if absorbing else -1,
    )


def run_block(
    tables: DishTables,
    *,
    seed: int,
    sample: int,
    start_frame: int,
    start_state: int,
    steps: int,
    stride: int,
    trajectories: range,
) -> Outcome:
    """Run some trajectories of one sample; the outcome of each depends only on (seed, sample, its number)."""
    n = len(tables.rate)
    changes = np.zeros((steps // stride + 1, n), dtype=np.int64)
    hops = np.zeros((n, n), dtype=np.int64)
    arrival_step = np.full(len(trajectories), -1, dtype=np.int64)
    arrival_source = np.full(len(trajectories), -1, dtype=np.int64)
    changes[0, start_state] = len(trajectories)
    _trajectories(
        tables.real,
        tables.imag,
        tables.leak,
        tables.rate,
        tables.cost,
        tables.exponential,
        tables.final,
        seed,
        sample,
        start_frame,
        start_state,
        steps,
        stride,
        trajectories.start,
        changes,
        hops,
        arrival_step,
        arrival_source,
    )
    return Outcome(np.cumsum(changes, axis=0), hops, arrival_step, arrival_source)


@njit(cache=True, fastmath={"reassoc", "contract", "nsz"})
def _leak(real, imag, levels):  # type: ignore[no-untyped-def]
    frames, n = real.shape[:2]
    leak = np.zeros((levels, frames, n))
    for frame in range(frames):
        for a in range(n):
            largest = 0.0
            level = 0
            for ahead in range(1, 2 ** (levels - 1) + 1):
                if frame + ahead < frames:
                    c_re, c_im = 0.0, 0.0
                    for k in range(n):
                        p, q = real[frame + ahead, a, k], imag[frame + ahead, a, k]
                        u, v = real[frame, a, k], imag[frame, a, k]
                        c_re += p * u + q * v
                        c_im += q * u - p * v
                    largest = max(largest, 1.0 - (c_re * c_re + c_im * c_im))
                if ahead == 2**level:
                    leak[level, frame, a] = np.sqrt(largest) + 1e-7
                    level += 1
    return leak


@njit(cache=True, fastmath={"reassoc", "contract", "nsz"}, inline="always")
def _amplitude(row_re, row_im, x_re, x_im):  # type: ignore[no-untyped-def]
    c_re, c_im = 0.0, 0.0
    for k in range(len(x_re)):
        c_re += row_re[k] * x_re[k] - row_im[k] * x_im[k]
        c_im += row_re[k] * x_im[k] + row_im[k] * x_re[k]
    return c_re, c_im


@njit(cache=True, fastmath={"reassoc", "contract", "nsz"}, inline="always")
def _project_out(row_re, row_im, c_re, c_im, x_re, x_im):  # type: ignore[no-untyped-def]
    """Remove the amplitude c of one state from x; return the norm left."""
    norm = 0.0
    for k in range(len(x_re)):
        x_re[k] -= row_re[k] * c_re + row_im[k] * c_im
        x_im[k] -= row_re[k] * c_im - row_im[k] * c_re
        norm += x_re[k] * x_re[k] + x_im[k] * x_im[k]
    return norm


@njit(cache=True, inline="always")
def _steps_until(outside, reference, step, since, wait, rate, highest):  # type: ignore[no-untyped-def]
    """Lower bound of the steps until a clock can run out while at most `outside` is outside the reference state."""
    first = np.inf
    for i in range(len(since)):
        bound = rate[reference, i] + outside * (highest[i] - rate[reference, i])
        first = min(first, wait[i] / (bound + 1e-300) - (step - since[i]))
    return first


@njit(cache=True)
def _trajectories(  # type: ignore[no-untyped-def]
    real,
    imag,
    leak,
    rate,
    cost,
    exponential,
    final,
    seed,
    sample,
    start_frame,
    start_state,
    steps,
    stride,
    first_trajectory,
    changes,
    hops,
    arrival_step,
    arrival_source,
):
    n = len(rate)
    lap = len(real) - 1
    levels = len(leak)
    highest = np.zeros(n)
    for i in range(n):
        highest[i] = rate[i].max()
    x_re, x_im, y_re, y_im = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    population = np.empty(n)
    since = np.empty(n)
    wait = np.ones(n)
    due = np.empty(n, dtype=np.int64)
    for index in range(len(arrival_step)):
        trajectory = first_trajectory + index
        active = reference = start_state
        frame, step = start_frame, 0
        for k in range(n):
            x_re[k], x_im[k] = real[frame, active, k], -imag[frame, active, k]
            since[k] = 0.0
            if exponential:
                u, v, _, _ = draw(seed, sample, trajectory, 0, _WAITING + k)
                wait[k] = -np.log(1.0 - uniform(u, v))
        norm, outside = 1.0, 0.0
        while True:
            # how far ahead nothing can happen
            limit = min(lap - frame, steps - step)
            if limit == 0:
                if step == steps:
                    break
                # head to tail: the same amplitudes, seen from frame 0
                norm = 0.0
                for j in range(n):
                    y_re[j], y_im[j] = _amplitude(real[lap, j], imag[lap, j], x_re, x_im)
                for j in range(n):
                    x_re[j], x_im[j] = y_re[j], y_im[j]
                    norm += x_re[j] ** 2 + x_im[j] ** 2
                frame = 0
                continue
            ahead = min(
                _steps_until(outside, reference, step, since, wait, rate, highest), limit, 2.0 ** (levels - 1)
            )
            jump = 1
            if ahead > 1.0:
                level = 0
                while 2.0**level < ahead:
                    level += 1
                most = min(1.0, (np.sqrt(outside) + leak[level, frame, reference]) ** 2)
                ahead = min(ahead, _steps_until(most, reference, step, since, wait, rate, highest))
                jump = max(1, int(np.ceil(ahead - _SLACK)))
            step += jump
            frame += jump

            # which clocks have run out
            c_re, c_im = _amplitude(real[frame, reference], imag[frame, reference], x_re, x_im)
            inside = (c_re * c_re + c_im * c_im) / norm
            outside = max(0.0, 1.0 - inside)
            count = 0
            decided = True
            for i in range(n):
                elapsed = step - since[i]
                base = rate[reference, i]
                if elapsed * (base + outside * (highest[i] - base)) >= wait[i] * (1.0 - _SLACK):
                    due[count] = i
                    count += 1
                    decided &= elapsed * base * inside >= wait[i] * (1.0 + _SLACK)
            if count == 0:
                continue
            if not decided:
                total = 0.0
                for j in range(n):
                    c_re, c_im = _amplitude(real[frame, j], imag[frame, j], x_re, x_im)
                    population[j] = c_re * c_re + c_im * c_im
                    total += population[j]
                candidates, count = count, 0
                for m in range(candidates):
                    i = due[m]
                    exact = 0.0
                    for j in range(n):
                        exact += population[j] * rate[i, j]
                    if (step - since[i]) * exact >= wait[i] * total:
                        due[count] = i
                        count += 1
                if count == 0:
                    continue

            # one of them decoheres
            u, v, w, _ = draw(seed, sample, trajectory, step, _EVENT)
            i = due[(w * np.uint64(count)) >> np.uint64(32)]
            since[i] = step
            if exponential:
                p, q, _, _ = draw(seed, sample, trajectory, step, _WAITING + i)
                wait[i] = -np.log(1.0 - uniform(p, q))
            c_re, c_im = _amplitude(real[frame, i], imag[frame, i], x_re, x_im)
            probability = (c_re * c_re + c_im * c_im) / norm
            chance = uniform(u, v)
            if chance <= probability and i != active:
                chance *= np.exp(max(0.0, cost[frame - 1, i] - cost[frame - 1, active]))
            if chance <= probability:
                for k in range(n):
                    x_re[k], x_im[k] = real[frame, i, k], -imag[frame, i, k]
                norm, outside, reference = 1.0, 0.0, i
                if i != active:
                    hops[active, i] += 1
                    stored = (step + stride - 1) // stride
                    if stored < len(changes):
                        changes[stored, active] -= 1
                        changes[stored, i] += 1
                    if i == final:
                        arrival_step[index], arrival_source[index] = step, active
                        break
                    active = i
                continue
            norm_before = norm
            norm = _project_out(real[frame, i], imag[frame, i], c_re, c_im, x_re, x_im)
            if i != reference:
                outside = max(0.0, 1.0 - inside * norm_before / norm)
            if i == reference or norm < 0.5:
                # another state dominates now; and a small rest is brought back to norm 1
                scale = 1.0 / np.sqrt(norm)
                largest = -1.0
                for j in range(n):
                    x_re[j] *= scale
                    x_im[j] *= scale
                for j in range(n):
                    c_re, c_im = _amplitude(real[frame, j], imag[frame, j], x_re, x_im)
                    if c_re * c_re + c_im * c_im > largest:
                        largest = c_re * c_re + c_im * c_im
                        reference = j
                norm, outside = 1.0, max(0.0, 1.0 - largest)
