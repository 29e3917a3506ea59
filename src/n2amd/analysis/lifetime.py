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

from n2amd.analysis.bootstrap import Interval, mean_of_positive
from n2amd.errors import ComputationError, InputError
from n2amd.hopping.renewal import waiting_steps

#: Lifetimes are reported over tau +- this, fs: the deterministic waiting time makes them ripple.
TAU_BAND_FS = 1.0
#: Rate of the edge pair over that of all channels for which the two-state picture is used.
TWO_STATE_RANGE = (0.8, 1.25)


@dataclass(frozen=True)
class Resampling:
    """How error bars are made.

    Attributes
    ----------
    block_fs
        Shortest block, fs.
    resamples, confidence, seed
        Of the bootstrap.
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
        With the bootstrap interval at this tau.
    band
        Smallest and largest value over tau +- 1 fs.
    envelope
        Lowest bound and highest bound of all intervals over tau +- 1 fs.
    exponential_waiting
        Lifetime with exponentially distributed waiting times: smooth in tau.
    scan
        (waiting time, lifetime, low, high, exponential_waiting) for every number of steps.
    in_band
        Rows of the scan over tau +- 1 fs.
    start_frames
        Start frames averaged over.
    block
        Block length of the bootstrap.
    blocks
        How many of them the trajectory has: the independent samples behind the interval.
    """

    tau: float
    steps: int
    lifetime: Interval
    band: tuple[float, float]
    envelope: Interval
    exponential_waiting: float
    scan: NDArray[np.float64]
    in_band: NDArray[np.float64]
    start_frames: int
    block: float
    blocks: float


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
    probability: NDArray[np.float64], tau_fs: float, timestep_fs: float, resampling: Resampling
) -> RenewalLifetime:
    """Return m dt / <P(t, m)> at the waiting time of tau, its error, and how it changes with tau.

    Parameters
    ----------
    probability
        From `hop_probabilities`, (steps, starts).
    tau_fs, timestep_fs
        Dephasing time and time step.
    resampling
        Blocks of start frames are resampled (blocks at least two waiting times long: intervals overlap).

    Raises
    ------
    ComputationError
        If no start frame hops at all.
    """
    steps = waiting_steps(tau_fs, timestep_fs)
    first = max(1, waiting_steps(tau_fs - TAU_BAND_FS, timestep_fs))
    last = waiting_steps(tau_fs + TAU_BAND_FS, timestep_fs)
    shown = max(last, min(waiting_steps(2.5 * tau_fs, timestep_fs), len(probability)))
    mean = np.array([np.nanmean(row) for row in probability])
    scan = np.array(
        [
            (
                m * timestep_fs,
                *_one_waiting_time(probability[m - 1], m, timestep_fs, resampling),
                _exponential_waiting(mean, m * timestep_fs, timestep_fs),
            )
            for m in range(1, shown + 1)
        ]
    )
    in_band = scan[first - 1 : last]
    value, low, high = map(float, scan[steps - 1, 1:4])
    starts = int(np.isfinite(probability[steps - 1]).sum())
    block = min(_block(steps, timestep_fs, resampling), starts // 2)
    return RenewalLifetime(
        tau=tau_fs,
        steps=steps,
        lifetime=Interval(value, low, high),
        band=(float(in_band[:, 1].min()), float(in_band[:, 1].max())),
        envelope=Interval(value, float(in_band[:, 2].min()), float(in_band[:, 3].max())),
        exponential_waiting=_exponential_waiting(mean, tau_fs, timestep_fs),
        scan=scan,
        in_band=in_band,
        start_frames=starts,
        block=block * timestep_fs,
        blocks=starts / block,
    )


def _block(steps: int, timestep: float, resampling: Resampling) -> int:
    return max(int(np.ceil(resampling.block_fs / timestep)), 2 * steps)


def _one_waiting_time(
    probability: NDArray[np.float64], steps: int, timestep: float, resampling: Resampling
) -> tuple[float, float, float]:
    series = probability[np.isfinite(probability)]
    if not series.any():
        raise ComputationError(
            f"no start frame hops across the gap within {steps * timestep:g} fs: the couplings are zero"
        )
    mean = mean_of_positive(
        series,
        _block(steps, timestep, resampling),
        resamples=resampling.resamples,
        confidence=resampling.confidence,
        seed=resampling.seed,
    )
    lifetime = mean.inverse(steps * timestep)
    return lifetime.value, lifetime.low, lifetime.high  # type: ignore[return-value]


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
        "band_ns": {"low": ns * result.band[0], "high": ns * result.band[1]},
        "envelope_ns": {
            "low": result.envelope.document(ns)["low"],
            "high": result.envelope.document(ns)["high"],
        },
        "exponential_waiting_ns": ns * result.exponential_waiting,
        "start_frames": result.start_frames,
        "block_fs": result.block,
        "blocks": result.blocks,
        "tau_band": table(result.in_band),
        "tau_scan": table(result.scan),
    }
