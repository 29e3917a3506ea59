"""DISH among Kramers pairs: every state of the path is two spinors of the same energy.

The rules are those of `n2amd.hopping.dish`, with the projector on a pair in the place of that on a state: a
pair decoheres as a whole, a collapse on it keeps the spinor that the amplitudes have within it, and hops
inside it are none. So nothing depends on which two spinors span a pair. Trajectories start in either spinor
of the pair in turn: the carrier is not polarised. With one spinor a pair the rules, and the random numbers,
are those of `n2amd.hopping.dish_plain`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from n2amd.hopping.dish import rates
from n2amd.hopping.dish_kernel import STREAM
from n2amd.hopping.outcome import Outcome
from n2amd.hopping.path import ClassicalPath
from n2amd.hopping.philox import draw, uniform


@dataclass(frozen=True)
class PairTables:
    """What all trajectories share.

    Attributes
    ----------
    propagators
        U of every interval between all spinors, those of a pair side by side, (frames - 1, g n, g n).
    members
        Spinors of a pair, g.
    rate
        dt / tau_ij of the pairs, diagonal 0, (n, n).
    cost
        Mid-step energies of the pairs in units of kT, sign by carrier, (frames - 1, n).
    exponential, final, absorbing
        As of `n2amd.hopping.dish.DishTables`.
    """

    propagators: NDArray[np.complex128]
    members: int
    rate: NDArray[np.float64]
    cost: NDArray[np.float64]
    exponential: bool
    final: int
    absorbing: bool


def prepare(
    path: ClassicalPath,
    propagators: NDArray[np.complex128],
    dephasing_time: NDArray[np.float64],
    temperature: float,
    *,
    waiting: str = "deterministic",
    absorbing: bool = True,
) -> PairTables:
    """Tabulate what all trajectories share; parameters as of `n2amd.hopping.dish.prepare`."""
    return PairTables(
        propagators=np.ascontiguousarray(propagators),
        members=path.members,
        rate=rates(dephasing_time, path.timestep_fs),
        cost=path.hop_costs(temperature),
        exponential=waiting == "exponential",
        final=path.final,
        absorbing=absorbing,
    )


def run_block(
    tables: PairTables,
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
    population = np.zeros((steps // stride + 1, n), dtype=np.int64)
    hops = np.zeros((n, n), dtype=np.int64)
    arrival_step = np.full(len(trajectories), -1, dtype=np.int64)
    arrival_source = np.full(len(trajectories), -1, dtype=np.int64)
    for index, trajectory in enumerate(trajectories):
        arrival_step[index], arrival_source[index] = _run(
            tables.propagators,
            tables.members,
            tables.rate,
            tables.cost,
            tables.exponential,
            tables.final,
            tables.absorbing,
            (seed, sample, trajectory),
            (start_frame, start_state, steps, stride),
            population,
            hops,
        )
    return Outcome(population, hops, arrival_step, arrival_source)


@njit(cache=True)
def _word(key, used):  # type: ignore[no-untyped-def]
    """The random word of a trajectory at a place of its stream."""
    words = draw(key[0], key[1], key[2], used // 4, STREAM)
    return words[used % 4]


@njit(cache=True)
def _number(key, used):  # type: ignore[no-untyped-def]
    """A number in [0, 1) from two words of the stream."""
    return uniform(_word(key, used), _word(key, used + 1))


@njit(cache=True)
def _weights(c, members, weight):  # type: ignore[no-untyped-def]
    """Populations of the pairs."""
    for i in range(len(weight)):
        total = 0.0
        for k in range(i * members, (i + 1) * members):
            total += c[k].real ** 2 + c[k].imag ** 2
        weight[i] = total


@njit(cache=True)
def _propagate(u, c, new):  # type: ignore[no-untyped-def]
    """Amplitudes a step later, normalised."""
    norm = 0.0
    for j in range(len(c)):
        total = 0.0 + 0.0j
        for k in range(len(c)):
            total += u[j, k] * c[k]
        new[j] = total
        norm += total.real**2 + total.imag**2
    c[:] = new / np.sqrt(norm)


@njit(cache=True)
def _keep(c, members, pair, within):  # type: ignore[no-untyped-def]
    """Leave the amplitudes of a pair alone, normalised; or, not `within`, all others as they are."""
    norm = 0.0
    for k in range(len(c)):
        if (k // members == pair) != within:
            c[k] = 0.0
        norm += c[k].real ** 2 + c[k].imag ** 2
    if within:
        c[:] = c / np.sqrt(norm)


@njit(cache=True)
def _due(clock, limit, rate, weight, due):  # type: ignore[no-untyped-def]
    """List the pairs whose clock has run out; their number."""
    count = 0
    for i in range(len(clock)):
        decay = 0.0
        for j in range(len(clock)):
            decay += rate[i, j] * weight[j]
        if clock[i] * decay >= limit[i]:
            due[count] = i
            count += 1
    return count


@njit(cache=True)
def _run(  # type: ignore[no-untyped-def]
    propagators, members, rate, cost, exponential, final, absorbing, key, place, population, hops
):
    """Run one trajectory: its populations and hops are added, step and source of its arrival returned."""
    start_frame, start, steps, stride = place
    n, lap = len(rate), len(propagators)
    c, new = np.zeros(members * n, dtype=np.complex128), np.empty(members * n, dtype=np.complex128)
    c[start * members + key[2] % members] = 1.0
    weight, clock, limit = np.empty(n), np.zeros(n), np.ones(n)
    due = np.empty(n, dtype=np.int64)
    active, survival, threshold, used = start, 1.0, _number(key, 0), 2
    arrival, source = -1, -1
    if exponential:
        for i in range(n):
            limit[i] = -np.log(1.0 - _number(key, used))
            used += 2
    population[0, active] += 1
    for step in range(1, steps + 1):
        frame = (start_frame + step - 1) % lap
        if arrival < 0 or not absorbing:
            _propagate(propagators[frame], c, new)
            _weights(c, members, weight)
            clock += 1.0
            count = _due(clock, limit, rate, weight, due)
            if count > 0:
                i = due[0]
                if count > 1:
                    i = due[np.int64(_word(key, used)) * count >> 32]
                    used += 1
                clock[i] = 0.0
                if exponential:
                    limit[i] = -np.log(1.0 - _number(key, used))
                    used += 2
                survival *= 1.0 - weight[i]
                accepted = False
                if survival <= threshold:
                    chance, survival, threshold = _number(key, used), 1.0, _number(key, used + 2)
                    used += 4
                    accepted = chance < np.exp(-max(0.0, cost[frame, i] - cost[frame, active]))
                _keep(c, members, i, accepted)
                if accepted and i != active:
                    hops[active, i] += 1
                    if i == final and arrival < 0:
                        arrival, source = step, active
                    active = i
        if step % stride == 0:
            population[step // stride, active] += 1
    return arrival, source
