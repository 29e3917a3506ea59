"""Exact lifetime of two-state DISH: a renewal process, no trajectories and no noise.

With two states the idle one decoheres every m = ceil(tau / dt) steps; each time the carrier recombines with
the probability of the transition that built up coherently over those m steps, and else everything starts
anew. Hence lifetime = m dt / <P(t, m)>_t. Neglected is the decoherence of the active state, fourth order in
the coupling; and the lifetime must be long against the m laps after which every beginning was met once (else
the decay is not one exponential, and depends on where it started).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from n2amd.errors import InputError
from n2amd.hopping.path import ClassicalPath
from n2amd.hopping.propagators import cumulative
from n2amd.units import BOLTZMANN_EV_K

#: Exponential waiting times are summed until this share of intervals is left out.
_TAIL = 1e-9


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


def mean_hop_probability(
    path: ClassicalPath, propagators: NDArray[np.complex128], steps: NDArray[np.int64], temperature: float
) -> NDArray[np.float64]:
    """Probability of hopping at the end of a coherent interval of m steps, averaged over where it begins.

    Parameters
    ----------
    path
        Path of two states.
    propagators
        (frames - 1, 2, 2).
    steps
        Values of m, (k,).
    temperature
        K; enters where the final state is the costlier one.

    Returns
    -------
    (k,)

    Raises
    ------
    InputError
        If the path has more than two states.
    """
    if path.states != 2:
        raise InputError(
            f"the renewal formula is for two states, found {path.states}",
            field="states",
            remedy="keep one valence and one conduction state",
        )
    lap = len(propagators)
    total = cumulative(propagators)
    whole = total[-1]
    cost = path.midstep_energies * (path.sign / (BOLTZMANN_EV_K * temperature))
    factor = np.exp(-np.maximum(0.0, cost[:, path.final] - cost[:, path.start]))
    begin = np.arange(lap)
    back = total[begin].conj()[:, path.start]
    means = np.empty(len(steps))
    for index, m in enumerate(steps):
        end = begin + int(m)
        laps = (end - 1) // lap
        mean = 0.0
        for k in np.unique(laps):
            here = laps == k
            through = np.linalg.matrix_power(whole, int(k))
            frame = end[here] - k * lap
            amplitude = np.einsum("fj,jk,fk->f", total[frame][:, path.final], through, back[here])
            mean += float(np.sum(np.abs(amplitude) ** 2 * factor[frame - 1]))
        means[index] = mean / lap
    return means


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
    timestep = path.timestep_fs
    if waiting == "deterministic":
        steps = np.array([waiting_steps(tau, timestep)])
        share = np.ones(1)
    else:
        survival = np.exp(-timestep / tau)
        steps = np.arange(1, max(2, int(np.ceil(np.log(_TAIL) / np.log(survival)))) + 1)
        share = survival ** (steps - 1) * (1 - survival)
    probability = float(share @ mean_hop_probability(path, propagators, steps, temperature))
    return float(share @ steps) * timestep / probability if probability > 0 else float("inf")


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
