"""Decoherence-induced surface hopping (DISH) by the rules of Hefei-NAMD.

Jaeger, Fischer, Prezhdo, J. Chem. Phys. 137, 22A545 (2012). Every step: the amplitudes c are propagated;
1/tau_i = sum_{j != i} |c_j|^2 / tau_ij; of the states whose clock has passed tau_i one, chosen at random,
decoheres and its clock restarts; with probability |c_i|^2 exp(-max(0, cost) / kT), cost from mid-step
energies, the wave function collapses on it and it becomes the active state, else it is projected out and the
active state stays.

How it is fast. Amplitudes are c(t) = W(t) x with W the cumulative propagator, shared by everything, and x
constant between events: nothing is propagated. One amplitude is a dot product, an event one row update. And
nothing is looked at while nothing can happen: from the population outside the state the wave function was
last collapsed on, and from how much can leak out of that state within a few steps (tabulated once), follows
an upper bound of every 1/tau_i, hence a step before which no clock can run out. Populations of all states are
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
#: Stands for an infinite decoherence time, in steps.
_NEVER = 1e30


@dataclass(frozen=True)
class DishTables:
    """What all trajectories share.

    Attributes
    ----------
    rows
        Cumulative propagators W(f), real and imaginary parts, (frames, n, 2, width); rows are padded with
        zeros to `width`, so that they fill vector registers.
    leak
        Largest amplitude outside state a within 2^level steps of being wholly in it at frame f, (levels,
        frames, n).
    rate
        dt / tau_ij, diagonal 0, (n, n).
    cost
        Mid-step energies in units of kT, sign by carrier, (frames - 1, n).
    exponential
        Whether waiting times are drawn (one exponential an interval between decoherences) or are tau_i
        itself.
    final
        Absorbing state, or -1.
    """

    rows: NDArray[np.float64]
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
    n = path.states
    rows = np.zeros((len(total), n, 2, _width(n)))
    rows[:, :, 0, :n], rows[:, :, 1, :n] = total.real, total.imag
    return DishTables(
        rows=rows,
        leak=_leak(rows, _LEVELS, (0,) * rows.shape[3]),
        rate=rate,
        cost=path.midstep_energies * (path.sign / (BOLTZMANN_EV_K * temperature)),
        exponential=waiting == "exponential",
        final=path.final if absorbing else -1,
    )


def _width(n: int) -> int:
    return n if n < 4 else -(-n // 4) * 4


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
    longest = np.divide(1.0, tables.rate, out=np.full((n, n), _NEVER), where=tables.rate > 0)
    _trajectories(
        tables.rows,
        tables.leak,
        tables.rate,
        longest,
        tables.cost,
        tables.exponential,
        tables.final,
        (seed, sample, trajectories.start),
        (start_frame, start_state, steps, stride),
        (0,) * tables.rows.shape[3],
        changes,
        hops,
        arrival_step,
        arrival_source,
    )
    return Outcome(np.cumsum(changes, axis=0), hops, arrival_step, arrival_source)


# The kernels below get the padded row length as the length of a tuple, `lanes`: a compile-time constant, so
# that loops over rows become a few vector instructions. _FAST lets sums be reordered and multiply-adds be
# fused.
_FAST = {"reassoc", "contract", "nsz"}


@njit(cache=True, fastmath=_FAST, inline="always")
def _amplitude(rows, frame, state, x, lanes):  # type: ignore[no-untyped-def]
    """One amplitude: the dot product of a row of W with x."""
    c_re, c_im = 0.0, 0.0
    for k in range(len(lanes)):
        c_re += rows[frame, state, 0, k] * x[0, k] - rows[frame, state, 1, k] * x[1, k]
        c_im += rows[frame, state, 0, k] * x[1, k] + rows[frame, state, 1, k] * x[0, k]
    return c_re, c_im


@njit(cache=True, fastmath=_FAST, inline="always")
def _project_out(rows, frame, state, c_re, c_im, x, lanes):  # type: ignore[no-untyped-def]
    """Remove the amplitude c of one state from x; return the norm left."""
    norm = 0.0
    for k in range(len(lanes)):
        x[0, k] -= rows[frame, state, 0, k] * c_re + rows[frame, state, 1, k] * c_im
        x[1, k] -= rows[frame, state, 0, k] * c_im - rows[frame, state, 1, k] * c_re
        norm += x[0, k] * x[0, k] + x[1, k] * x[1, k]
    return norm


@njit(cache=True, inline="always")
def _collapse(rows, frame, state, x, lanes):  # type: ignore[no-untyped-def]
    """Make x the wave function that is wholly in one state."""
    for k in range(len(lanes)):
        x[0, k] = rows[frame, state, 0, k]
        x[1, k] = -rows[frame, state, 1, k]


@njit(cache=True, fastmath=_FAST)
def _leak(rows, levels, lanes):  # type: ignore[no-untyped-def]
    frames, n = rows.shape[:2]
    leak = np.zeros((levels, frames, n))
    start = np.empty((2, len(lanes)))
    for frame in range(frames):
        for a in range(n):
            _collapse(rows, frame, a, start, lanes)
            largest = 0.0
            level = 0
            for ahead in range(1, 2 ** (levels - 1) + 1):
                if frame + ahead < frames:
                    c_re, c_im = _amplitude(rows, frame + ahead, a, start, lanes)
                    largest = max(largest, 1.0 - (c_re * c_re + c_im * c_im))
                if ahead == 2**level:
                    # the square root of rounding errors is added
                    leak[level, frame, a] = np.sqrt(largest) + 1e-7
                    level += 1
    return leak


@njit(cache=True, fastmath=_FAST, inline="always")
def _quiet_steps(outside, step, since, wait, longest, excess, highest, reference):  # type: ignore[no-untyped-def]
    """Steps in which surely no clock runs out while at most `outside` is outside the reference state.

    A rate is at most r + outside (highest - r), r that towards the reference; from 1 / (1 + x) >= 1 - x
    follows a bound without divisions, except for the reference state itself, whose r is zero.
    """
    first = wait[reference] / (outside * highest[reference] + 1e-300) - (step - since[reference])
    for i in range(len(since)):
        first = min(
            first,
            wait[i] * longest[reference, i] * (1.0 - outside * excess[reference, i]) - (step - since[i]),
        )
    return first


@njit(cache=True)
def _trajectories(  # type: ignore[no-untyped-def]
    rows,
    leak,
    rate,
    longest,
    cost,
    exponential,
    final,
    key,
    begin,
    lanes,
    changes,
    hops,
    arrival_step,
    arrival_source,
):
    n = len(rate)
    lap = len(rows) - 1
    levels = len(leak)
    seed, sample, first_trajectory = key
    start_frame, start_state, steps, stride = begin
    highest = np.zeros(n)
    for i in range(n):
        highest[i] = rate[i].max()
    # what the bounds need for each reference state: 1 / r and (highest - r) / r; never for the reference
    # itself
    excess = np.zeros((n, n))
    for a in range(n):
        for i in range(n):
            if i != a:
                excess[a, i] = highest[i] * longest[a, i] - 1.0
    x, y = np.zeros((2, len(lanes))), np.zeros((2, len(lanes)))
    population = np.empty(n)
    since = np.empty(n)
    wait = np.ones(n)
    due = np.empty(n + 1, dtype=np.int64)
    for index in range(len(arrival_step)):
        trajectory = first_trajectory + index
        active = reference = start_state
        frame, step = start_frame, 0
        _collapse(rows, frame, active, x, lanes)
        for i in range(n):
            since[i] = 0.0
            if exponential:
                u, v, _, _ = draw(seed, sample, trajectory, 0, _WAITING + i)
                wait[i] = -np.log(1.0 - uniform(u, v))
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
                    c_re, c_im = _amplitude(rows, lap, j, x, lanes)
                    y[0, j], y[1, j] = c_re, c_im
                    norm += c_re * c_re + c_im * c_im
                x[:] = y
                frame = 0
                continue
            ahead = _quiet_steps(outside, step, since, wait, longest, excess, highest, reference)
            ahead = min(ahead, limit, 2.0 ** (levels - 1))
            jump = 1
            if ahead > 1.0:
                level = 0
                while 2.0**level < ahead:
                    level += 1
                most = min(1.0, (np.sqrt(outside) + leak[level, frame, reference]) ** 2)
                ahead = min(ahead, _quiet_steps(most, step, since, wait, longest, excess, highest, reference))
                jump = max(1, int(np.ceil(ahead - _SLACK)))
            step += jump
            frame += jump

            # which clocks have run out
            c_re, c_im = _amplitude(rows, frame, reference, x, lanes)
            inside = (c_re * c_re + c_im * c_im) / norm
            outside = max(0.0, 1.0 - inside)
            count = 0
            open_questions = 0
            for i in range(n):
                elapsed = step - since[i]
                base = rate[reference, i]
                maybe = elapsed * (base + outside * (highest[i] - base)) >= wait[i] * (1.0 - _SLACK)
                surely = elapsed * base * inside >= wait[i] * (1.0 + _SLACK)
                # written always and counted if true: no branch to mispredict
                due[count] = i
                count += maybe
                open_questions += maybe ^ surely
            if open_questions > 0:
                total = 0.0
                for j in range(n):
                    c_re, c_im = _amplitude(rows, frame, j, x, lanes)
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
            c_re, c_im = _amplitude(rows, frame, i, x, lanes)
            probability = (c_re * c_re + c_im * c_im) / norm
            chance = uniform(u, v)
            if chance <= probability and i != active:
                chance *= np.exp(max(0.0, cost[frame - 1, i] - cost[frame - 1, active]))
            if chance <= probability:
                _collapse(rows, frame, i, x, lanes)
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
            norm = _project_out(rows, frame, i, c_re, c_im, x, lanes)
            if i != reference:
                outside = max(0.0, 1.0 - inside * norm_before / norm)
            if i == reference or norm < 0.5:
                # another state dominates now; and a small rest is brought back to norm 1
                scale = 1.0 / np.sqrt(norm)
                for k in range(len(lanes)):
                    x[0, k] *= scale
                    x[1, k] *= scale
                largest = -1.0
                for j in range(n):
                    c_re, c_im = _amplitude(rows, frame, j, x, lanes)
                    if c_re * c_re + c_im * c_im > largest:
                        largest = c_re * c_re + c_im * c_im
                        reference = j
                norm, outside = 1.0, max(0.0, 1.0 - largest)
