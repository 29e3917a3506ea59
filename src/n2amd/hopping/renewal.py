"""Exact populations and lifetime of two-state DISH: a renewal process, no trajectories and no noise.

With two states the idle one decoheres every m = ceil(tau / dt) steps; each time the carrier recombines with
the probability of the transition that built up coherently over those m steps, and else everything starts
anew. Hence lifetime = m dt / <P(t, m)>_t. Neglected is the decoherence of the active state, fourth order in
the coupling (`renewal_bias`); and the lifetime must be long against the m laps after which every beginning
was met once (else the decay is not one exponential, and depends on where it started).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numba import njit
from numpy.typing import NDArray

from n2amd.errors import InputError
from n2amd.hopping.outcome import Outcome
from n2amd.hopping.path import ClassicalPath
from n2amd.hopping.philox import draw, uniform
from n2amd.hopping.propagators import cumulative
from n2amd.units import BOLTZMANN_EV_K

#: Exponential waiting times are summed until this share of intervals is left out.
_TAIL = 1e-9
#: Boltzmann weight, relative to the band edge's, up to which other states do not matter.
_OTHERS = 0.05
#: Purpose of the random numbers (the last word of Philox' counter).
_STREAM = 3


@dataclass(frozen=True)
class RenewalBand:
    """Lifetimes over a range of dephasing times, because the lifetime ripples with period h / gap in tau.

    Attributes
    ----------
    tau_fs, lifetime_fs
        Dephasing times and lifetimes, (k,), fs.
    value, low, high
        Lifetime at the nominal tau and the extremes over the band, fs.
    """

    tau_fs: NDArray[np.float64]
    lifetime_fs: NDArray[np.float64]
    value: float
    low: float
    high: float


def waiting_steps(tau: float, timestep: float) -> int:
    """Steps until the idle state decoheres: the first whose time exceeds tau.

    For tau an exact multiple of the time step this is one more than ceil(tau / dt): the active state's
    population is a little below one, so the decoherence time a little above tau.
    """
    return int(np.floor(tau / timestep * (1 + 1e-12))) + 1


def check_two_states(path: ClassicalPath, temperature: float, start_states: NDArray[np.int64]) -> None:
    """Refuse a path of which more states matter than start and final state.

    Others do if their mean Boltzmann weight relative to the start state adds up to more than 5 %.

    Raises
    ------
    InputError
        If other states matter, or a sample starts in one.
    """
    others = [state for state in range(path.open_states) if state not in (path.start, path.final)]
    cost = path.sign * (path.energies[:, others] - path.energies[:, path.start, None])
    weight = np.exp(-np.maximum(0.0, cost) / (BOLTZMANN_EV_K * temperature)).mean(axis=0)
    remedy = "use dish, or keep only the band edges in the states stage"
    if (start_states != path.start).any():
        raise InputError("a sample starts away from the band edge", field="dish_renewal", remedy=remedy)
    if weight.sum() > _OTHERS:
        raise InputError(
            f"more than two states matter: {weight.sum():.2f} of the band edge's Boltzmann weight at "
            f"{temperature:g} K lies in {len(others)} other(s), most ({weight.max():.2f}) in "
            f"{path.label(others[int(weight.argmax())])}; the limit is {_OTHERS:g}",
            field="dish_renewal",
            remedy=remedy,
        )


def hop_probabilities(
    path: ClassicalPath, propagators: NDArray[np.complex128], steps: NDArray[np.int64], temperature: float
) -> NDArray[np.float64]:
    """Probability of hopping at the end of coherent intervals, by the frame where they begin.

    A carrier hops from the start to the final state, but amplitudes go through all states of the path: where
    edge states swap with neighbours, the two alone would not do (docs/decisions/local-diabatic-step.md). Of
    Kramers pairs: from either state of the one, the mean of both, to both of the other.

    Parameters
    ----------
    path
        With its start and final state.
    propagators
        (frames - 1, n, n).
    steps
        Lengths of the intervals, (k,).
    temperature
        K; enters where the final state is the costlier one.

    Returns
    -------
    (k, frames - 1)
    """
    lap = len(propagators)
    total = cumulative(propagators)
    whole = total[-1]
    cost = path.midstep_energies * (path.sign / (BOLTZMANN_EV_K * temperature))
    factor = np.exp(-np.maximum(0.0, cost[:, path.final] - cost[:, path.start]))
    begin = np.arange(lap)
    starts, finals = path.amplitudes_of(path.start), path.amplitudes_of(path.final)
    probability = np.empty((len(steps), lap))
    for index, m in enumerate(steps):
        end = begin + int(m)
        laps = (end - 1) // lap
        for k in np.unique(laps):
            here = laps == k
            through = np.linalg.matrix_power(whole, int(k))
            frame = end[here] - k * lap
            arrived = np.zeros(len(frame))
            for first, last in product(starts, finals):
                back = total[begin].conj()[:, first]
                amplitude = np.einsum("fj,jk,fk->f", total[frame][:, last], through, back[here])
                arrived += np.abs(amplitude) ** 2
            probability[index, here] = arrived / len(starts) * factor[frame - 1]
    return probability


def _waiting(tau: float, timestep: float, waiting: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Lengths of the intervals between decoherences, steps, and how often each occurs, (k,)."""
    if waiting == "deterministic":
        return np.array([waiting_steps(tau, timestep)]), np.ones(1)
    survival = np.exp(-timestep / tau)
    steps = np.arange(1, max(2, int(np.ceil(np.log(_TAIL) / np.log(survival)))) + 1)
    return steps, survival ** (steps - 1) * (1 - survival)


@dataclass(frozen=True)
class RenewalTables:
    """What all samples share: interval lengths, how often each occurs, and what each makes hop.

    Attributes
    ----------
    steps, share
        (k,).
    probability
        By length and frame where the interval begins, (k, frames - 1).
    """

    steps: NDArray[np.int64]
    share: NDArray[np.float64]
    probability: NDArray[np.float64]


def prepare(
    path: ClassicalPath,
    propagators: NDArray[np.complex128],
    tau: float,
    temperature: float,
    *,
    waiting: str = "deterministic",
) -> RenewalTables:
    """Tabulate what all samples of `run_sample` share; `tau` is in fs."""
    steps, share = _waiting(tau, path.timestep_fs, waiting)
    return RenewalTables(steps, share, hop_probabilities(path, propagators, steps, temperature))


def run_sample(
    tables: RenewalTables,
    *,
    seed: int,
    sample: int,
    start_frame: int,
    start_state: int,
    steps: int,
    stride: int,
    trajectories: range,
    columns: tuple[int, int] = (0, 1),
    states: int = 2,
) -> Outcome:
    """Exact populations of one sample, absorbed where they arrive, and arrivals drawn from them.

    Parameters
    ----------
    columns, states
        Columns of the final and the start state in the output, and their number.
    """
    arrived = np.zeros(steps // stride + 1)
    fate = np.empty(len(trajectories))
    _draw_fates(seed, sample, trajectories.start, fate)
    arrival_step = np.full(len(trajectories), -1, dtype=np.int64)
    order = np.argsort(fate)
    _renew(
        tables.steps,
        tables.share,
        tables.probability,
        (start_frame, steps, stride),
        fate,
        order,
        arrived,
        arrival_step,
    )
    final, start = columns
    population, hops = np.zeros((len(arrived), states)), np.zeros((states, states), dtype=np.int64)
    population[:, final], population[:, start] = arrived, 1.0 - arrived
    hops[start, final] = np.count_nonzero(arrival_step >= 0)
    return Outcome(population, hops, arrival_step, np.where(arrival_step >= 0, start, -1))


@njit(cache=True)
def _draw_fates(seed, sample, first, fate):  # type: ignore[no-untyped-def]
    for index in range(len(fate)):
        u, v, _, _ = draw(seed, sample, first + index, 0, _STREAM)
        fate[index] = uniform(u, v)


@njit(cache=True)
def _renew(lengths, share, probability, place, fate, order, arrived, arrival_step):  # type: ignore[no-untyped-def]
    """Fill the last two: an interval that begins at t ends at t + m with a hop, or another begins there."""
    start, steps, stride = place
    lap, ring = probability.shape[1], lengths.max() + 1
    begins, ends = np.zeros(ring), np.zeros(ring)
    begins[0] = 1.0
    total, reached = 0.0, 0
    for step in range(steps + 1):
        slot, frame = step % ring, (start + step) % lap
        total += ends[slot]
        while reached < len(order) and fate[order[reached]] < total:
            arrival_step[order[reached]] = step
            reached += 1
        here = begins[slot]
        begins[slot] = ends[slot] = 0.0
        if here > 0.0:
            for k in range(len(lengths)):
                later = (step + lengths[k]) % ring
                weight = here * share[k]
                ends[later] += weight * probability[k, frame]
                begins[later] += weight * (1.0 - probability[k, frame])
        if step % stride == 0:
            arrived[step // stride] = total


def lifetime(
    path: ClassicalPath,
    propagators: NDArray[np.complex128],
    tau: float,
    temperature: float,
    *,
    waiting: str = "deterministic",
) -> float:
    """Exact two-state lifetime at dephasing time tau, fs; infinite where there is no coupling.

    `exponential` waiting: one exponential draw of mean tau an interval, rounded up to whole steps.
    """
    steps, share = _waiting(tau, path.timestep_fs, waiting)
    probability = float(share @ hop_probabilities(path, propagators, steps, temperature).mean(axis=1))
    return float(share @ steps) * path.timestep_fs / probability if probability > 0 else float("inf")


def band(
    path: ClassicalPath,
    propagators: NDArray[np.complex128],
    tau: float,
    temperature: float,
    *,
    waiting: str = "deterministic",
    width: float = 1.0,
    points: int = 9,
) -> RenewalBand:
    """Lifetimes over tau +- width (fs)."""
    taus = np.linspace(max(tau - width, 1e-3), tau + width, points)
    lifetimes = np.array([lifetime(path, propagators, t, temperature, waiting=waiting) for t in taus])
    value = lifetime(path, propagators, tau, temperature, waiting=waiting)
    return RenewalBand(taus, lifetimes, value, float(lifetimes.min()), float(lifetimes.max()))
