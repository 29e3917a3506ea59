"""Lifetimes without trajectories: DISH as a renewal process with error bars, and the perturbative estimate.

While one dephasing interval of m steps lasts, the carrier propagates coherently; at its end it has hopped
with probability P(t, m), or starts again. So lifetime = m dt / <P(t, m)>, the mean over start frames t: no
trajectories, no fit, no noise but that of the finite MD window.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from n2amd.analysis.dephasing_error import DephasingError
from n2amd.analysis.intervals import Interval, Sample, sample, true_over_found
from n2amd.errors import ComputationError, InputError
from n2amd.hopping.renewal import waiting_steps

#: Lifetimes are reported over tau +- this, fs: the deterministic waiting time makes them ripple.
TAU_BAND_FS = 1.0
#: Rate of the edge pair over that of all channels for which the two-state picture is used.
TWO_STATE_RANGE = (0.8, 1.25)
#: Equally likely values of tau, and of <P>, from which the interval is made.
_NODES = 64


@dataclass(frozen=True)
class Resampling:
    """How error bars are made.

    Attributes
    ----------
    block_fs
        Shortest memory that a trajectory is taken to have, fs.
    resamples, seed
        Of the bootstrap over initial conditions.
    confidence
        Level of all intervals.
    """

    block_fs: float
    resamples: int
    confidence: float
    seed: int


@dataclass(frozen=True)
class RenewalLifetime:
    """Exact lifetime at one dephasing time, and around it; times in fs.

    Attributes
    ----------
    tau
        Dephasing time.
    steps
        Waiting time in steps, `n2amd.hopping.renewal.waiting_steps`.
    lifetime
        With the interval that holds the errors of the MD window and of tau, and the ripple over tau +- 1 fs.
    at_tau
        With the interval of the MD window alone, as if tau were known.
    band
        Smallest and largest value over tau +- 1 fs.
    exponential_waiting
        Lifetime with exponentially distributed waiting times: smooth in tau.
    scan
        (waiting time, lifetime, low, high, exponential_waiting) for every number of steps; bounds as of
        `at_tau`.
    in_band
        Rows of the scan over tau +- 1 fs.
    start_frames
        Start frames averaged over.
    sample
        Mean of P(t, m) over them, degrees of freedom and memory.
    """

    tau: float
    steps: int
    lifetime: Interval
    at_tau: Interval
    band: tuple[float, float]
    exponential_waiting: float
    scan: NDArray[np.float64]
    in_band: NDArray[np.float64]
    start_frames: int
    sample: Sample


def hop_probabilities(
    propagators: NDArray[np.complex128],
    start_weights: NDArray[np.float64],
    final_weights: NDArray[np.float64],
    steps: int,
) -> NDArray[np.float64]:
    """Return the probability to recombine after 1..steps coherent steps, from every start frame.

    No path runs over the end of the trajectory: a join is no property of the material (`hopping.renewal`
    takes the paths over it, as the dynamics do).

    Parameters
    ----------
    propagators
        U(t) with c(t + dt) = U(t) c(t), (F - 1, n, n).
    start_weights
        Probability of each start state in each frame, (F, n).
    final_weights
        Probability that each state across the gap is empty on arrival, (F, n); zero on the start states.
    steps
        Largest number of steps, < F.

    Returns
    -------
    NDArray
        (steps, F - 1); row k - 1 holds P(t, k), NaN where t + k would leave the trajectory.
    """
    intervals, n = propagators.shape[:2]
    probability = np.full((steps, intervals), np.nan)
    sources = np.flatnonzero(start_weights.any(axis=0))
    finals = np.flatnonzero(final_weights.any(axis=0))
    amplitude = np.zeros((intervals, n, len(sources)), complex)
    amplitude[:, sources, np.arange(len(sources))] = 1.0
    for step in range(1, steps + 1):
        starts = intervals - step + 1
        amplitude = propagators[step - 1 :] @ amplitude[:starts]
        arrived = np.abs(amplitude[:, finals]) ** 2
        probability[step - 1, :starts] = np.einsum(
            "tfs,tf,ts->t", arrived, final_weights[step:, finals], start_weights[:starts, sources]
        )
    return probability


def scan_length(tau_fs: float, timestep_fs: float, n_frames: int, file: Path | None = None) -> int:
    """Return how many steps to look ahead: 8 tau for exponential waiting, at most half the trajectory.

    Raises
    ------
    InputError
        If the trajectory is shorter than twice the longest waiting time of the band.
    """
    needed = waiting_steps(tau_fs + TAU_BAND_FS, timestep_fs)
    longest = (n_frames - 1) // 2
    if longest < needed:
        raise InputError(
            f"{n_frames} frames of {timestep_fs:g} fs are too few for a dephasing time of {tau_fs:.1f} fs",
            file=file,
            field="n_frames",
            remedy=f"run at least {2 * needed + 1} frames (trajectory.frames), better several hundred",
        )
    return min(max(waiting_steps(8 * tau_fs, timestep_fs), needed), longest)


def renewal_lifetime(
    probability: NDArray[np.float64],
    tau_fs: float,
    timestep_fs: float,
    resampling: Resampling,
    error: DephasingError | None = None,
) -> RenewalLifetime:
    """Return m dt / <P(t, m)> at the waiting time of tau, its error, and how it changes with tau.

    Parameters
    ----------
    probability
        From `hop_probabilities`, (steps, starts).
    tau_fs, timestep_fs
        Dephasing time and time step.
    resampling
        Level of the intervals, and shortest memory.
    error
        Of the dephasing time, of which the relative error is taken; None: tau is known.

    Raises
    ------
    ComputationError
        If no start frame hops at all.
    """
    steps = waiting_steps(tau_fs, timestep_fs)
    first, last = _band(tau_fs, timestep_fs)
    shown = max(last, min(waiting_steps(2.5 * tau_fs, timestep_fs), len(probability)))
    memory = max(resampling.block_fs / timestep_fs, 0 if error is None else error.memory)
    mean = np.array([np.nanmean(row) for row in probability])
    samples = [
        _sample(probability[m - 1], m * timestep_fs, resampling.confidence, memory)
        for m in range(1, shown + 1)
    ]
    scan = np.array(
        [
            (
                m * timestep_fs,
                *_bounds(found.interval(resampling.confidence).inverse(m * timestep_fs)),
                _exponential_waiting(mean, m * timestep_fs, timestep_fs),
            )
            for m, found in enumerate(samples, 1)
        ]
    )
    in_band = scan[first - 1 : last]
    value, low, high = map(float, scan[steps - 1, 1:4])
    return RenewalLifetime(
        tau=tau_fs,
        steps=steps,
        lifetime=_complete(mean, tau_fs, timestep_fs, samples[steps - 1], error, resampling.confidence),
        at_tau=Interval(value, low, high),
        band=(float(in_band[:, 1].min()), float(in_band[:, 1].max())),
        exponential_waiting=_exponential_waiting(mean, tau_fs, timestep_fs),
        scan=scan,
        in_band=in_band,
        start_frames=int(np.isfinite(probability[steps - 1]).sum()),
        sample=samples[steps - 1],
    )


def _band(tau: float, timestep: float) -> tuple[int, int]:
    """Waiting times in steps over tau +- 1 fs."""
    first = max(1, waiting_steps(tau - TAU_BAND_FS, timestep))
    return first, waiting_steps(tau + TAU_BAND_FS, timestep)


def _sample(row: NDArray[np.float64], waiting: float, confidence: float, memory: float) -> Sample:
    series = row[np.isfinite(row)]
    if not series.any():
        raise ComputationError(
            f"no start frame hops across the gap within {waiting:g} fs: the couplings are zero"
        )
    return sample(series, confidence, memory)


def _bounds(interval: Interval) -> tuple[float, float, float]:
    return interval.value, interval.low, interval.high  # type: ignore[return-value]


def _complete(
    mean: NDArray[np.float64],
    tau: float,
    timestep: float,
    found: Sample,
    error: DephasingError | None,
    confidence: float,
) -> Interval:
    """Interval of the lifetime over what tau and <P> may truly be.

    Both are taken from their quantiles independently of each other, and the lifetime is looked up at each
    tau, its smallest (for the lower bound) and largest value within +- 1 fs: the ripple is no noise that
    would average out.
    """
    shares = (np.arange(_NODES) + 0.5) / _NODES
    times = np.full(1, tau) if error is None else tau / error.tau_fs * error.times(shares)
    lives = timestep * np.arange(1, len(mean) + 1) / mean
    nominal = float(lives[waiting_steps(tau, timestep) - 1])
    # beyond what is looked ahead nothing is known but that it is longer
    times = np.minimum(times, timestep * (len(mean) - 0.5))
    ranges = [_band(float(time), timestep) for time in times]
    slower = true_over_found(found.freedom, 1 - shares)
    tail = (1 - confidence) / 2
    bounds = [
        float(np.quantile(np.outer([pick(lives[a - 1 : b]) for a, b in ranges], 1 / slower), at))
        for pick, at in ((np.min, tail), (np.max, 1 - tail))
    ]
    return Interval(nominal, *bounds)


def _exponential_waiting(mean: NDArray[np.float64], tau: float, timestep: float) -> float:
    """Renewal lifetime for waiting times drawn from exp(-t/tau), rounded up to whole steps.

    The tail beyond the last step is left out of numerator and denominator alike.
    """
    steps = np.arange(1, len(mean) + 1)
    decay = np.exp(-timestep / tau)
    weights = (1 - decay) * decay ** (steps - 1)
    return float(timestep * (weights @ steps) / (weights @ mean))


def estimate(tau_fs: float, gap_eV: float, nac_rms_eV: float) -> float:
    """Return the perturbative estimate tau (gap / NAC)^2 / 2 in the unit of tau.

    With a constant coupling d the hop rate of Poisson dephasing is 2 d^2 tau / (1 + w^2 tau^2); this is its
    inverse for w tau >> 1. Within a factor of 2.5 of published tables (`docs/results.md`).

    Raises
    ------
    InputError
        If the coupling is zero.

    Examples
    --------
    >>> round(estimate(tau_fs=13.6, gap_eV=1.91, nac_rms_eV=1.03e-3) / 1e6, 1)  # rutile, ns
    23.4
    """
    if nac_rms_eV <= 0:
        raise InputError(
            "the rms coupling is zero",
            field="nac",
            remedy="check that the frames differ and the states are tracked",
        )
    return 0.5 * tau_fs * (gap_eV / nac_rms_eV) ** 2


def at_definitions(result: RenewalLifetime, times_fs: dict[str, float | None]) -> list[dict[str, Any]]:
    """Return the lifetimes (ns) that other definitions of the dephasing time would give.

    Parameters
    ----------
    result
        Its scan is looked up; a time beyond it, or none, gives None.
    times_fs
        Dephasing times by definition.
    """
    timestep = float(result.scan[0, 0])
    rows = []
    for name, tau in times_fs.items():
        row: dict[str, Any] = {"definition": name, "tau_fs": tau, "lifetime_ns": None}
        row["exponential_waiting_ns"] = None
        if tau is not None and waiting_steps(tau, timestep) <= len(result.scan):
            row["lifetime_ns"] = 1e-6 * float(result.scan[waiting_steps(tau, timestep) - 1, 1])
            row["exponential_waiting_ns"] = 1e-6 * float(np.interp(tau, result.scan[:, 0], result.scan[:, 4]))
        rows.append(row)
    return rows


def renewal_document(result: RenewalLifetime) -> dict[str, Any]:
    """Return the result as JSON, lifetimes in ns."""
    ns = 1e-6
    names = ("tau_fs", "lifetime_ns", "low_ns", "high_ns", "exponential_waiting_ns")
    factors = np.array([1, ns, ns, ns, ns])

    def table(rows: NDArray[np.float64]) -> list[dict[str, float]]:
        return [dict(zip(names, map(float, row * factors))) for row in rows]

    return {
        "tau_fs": result.tau,
        "waiting_steps": result.steps,
        "lifetime_ns": result.lifetime.document(ns),
        "at_tau_ns": result.at_tau.document(ns),
        "band_ns": {"low": ns * result.band[0], "high": ns * result.band[1]},
        "exponential_waiting_ns": ns * result.exponential_waiting,
        "start_frames": result.start_frames,
        "independent_samples": result.sample.freedom,
        "memory_fs": result.sample.memory * float(result.scan[0, 0]),
        "tau_band": table(result.in_band),
        "tau_scan": table(result.scan),
    }
