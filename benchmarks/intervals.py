"""Do nominal 95 % intervals cover the truth in 95 % of cases?

python benchmarks/intervals.py [--repetitions 120] [--frames 400 600 2000]
    [--out benchmarks/results/intervals.csv]

Two-state trajectories with gap and coupling drawn as independent Gaussian series whose autocorrelation is
exp(-t^2 / 2 T^2) ("Gauss"), exp(-t / T) ("OU": Ornstein-Uhlenbeck), or that of phonons of 100 to 800 cm^-1.
The gap fluctuates such that the true dephasing time is the one named; the truth is the renewal lifetime at it
on 60,000 frames. Every repetition is a trajectory of its own, analysed as `n2amd analysis` does: dephasing
time and renewal lifetime with their intervals, and a Monte Carlo run (20 initial conditions, 200
trajectories, coupling such that 40 % decay) by its fit and its first arrivals. Prints and writes the share of
intervals that hold the truth, lie above and below it, the median of upper over lower bound, and the share
that is called too short.
"""

# ruff: noqa: E402 - threads are set before numerical libraries are loaded
from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import csv
import datetime
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from record import processor

from n2amd.analysis.decay import first_arrivals, fit_exponential
from n2amd.analysis.dephasing_error import dephasing_error
from n2amd.analysis.intervals import Interval
from n2amd.analysis.length import judge
from n2amd.analysis.lifetime import (
    Resampling,
    hop_probabilities,
    renewal_lifetime,
    scan_length,
)
from n2amd.hopping import renewal
from n2amd.hopping.dephasing import dephasing_function, gaussian_time, times
from n2amd.hopping.path import ClassicalPath
from n2amd.hopping.propagators import build
from n2amd.units import HBAR_EV_FS

TRUTH_FRAMES = 60_000
RESAMPLING = Resampling(block_fs=50.0, resamples=60, confidence=0.95, seed=1)
SAMPLES, TRAJECTORIES = 20, 200
#: Share of the Monte Carlo runs that decays.
DECAYED = 0.4
#: Length of the Monte Carlo runs, in laps of the trajectory.
LAPS = 2
#: Steps between points of the fitted curves.
STRIDE = 20
#: A value that has no error of its own: its median is shown.
WITHOUT_ERROR = "dephasing time of Hefei-NAMD"
#: 2 pi c in rad cm / fs: from wave numbers to angular frequencies.
RAD_CM_PER_FS = 2 * np.pi * 2.99792458e-5

Autocorrelation = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True)
class Cell:
    """A kind of trajectory: autocorrelation with memory (fs), gap (eV), true dephasing time (fs)."""

    kind: str
    memory: float
    gap: float
    tau: float

    @property
    def autocorrelation(self) -> Autocorrelation:
        """Of gap and coupling, 1 at time 0."""
        if self.kind == "Gauss":
            return lambda t: np.exp(-(t**2) / (2 * self.memory**2))
        if self.kind == "OU":
            return lambda t: np.exp(-t / self.memory)
        low, high = 100 * RAD_CM_PER_FS, 800 * RAD_CM_PER_FS
        # flat spectrum; lines of 4 ps, or it would not end
        return lambda t: (
            np.exp(-0.5 * (t / 4000) ** 2)
            * (np.sinc(high * t / np.pi) * high - np.sinc(low * t / np.pi) * low)
            / (high - low)
        )

    @cached_property
    def sigma(self) -> float:
        """Standard deviation of the gap that dephases within tau, eV."""
        from scipy.optimize import brentq

        correlation = self.autocorrelation(np.arange(200.0))

        def ratio(log_sigma: float) -> float:
            sigma = np.exp(log_sigma)
            function = dephasing_function(sigma**2 * correlation, 1.0)
            return float(np.log(gaussian_time(function, 1.0, sigma) / self.tau))

        slow = np.log(HBAR_EV_FS / self.tau)
        return float(np.exp(brentq(ratio, slow - 0.1, slow + 2.5)))


#: The table of `docs/results.md`, one gap with the ripple of another phase, and phonons of real materials.
TABLE = [Cell(kind, memory, 1.5, 25.0) for memory in (10.0, 25.0, 50.0) for kind in ("Gauss", "OU")]
OTHERS = [
    Cell("OU", 50.0, 1.6, 25.0),
    Cell("Gauss", 25.0, 2.0, 12.0),
    Cell("phonons", 0.0, 1.0, 30.0),
    Cell("phonons", 0.0, 1.8, 15.0),
    Cell("phonons", 0.0, 3.2, 5.0),
]


def series(correlation: Autocorrelation, frames: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Gaussian series of unit variance with an autocorrelation, (frames,), by circulant embedding."""
    length = 1 << int(np.ceil(np.log2(frames + 16_000)))
    half = correlation(np.arange(length // 2 + 1, dtype=float))
    spectrum = np.maximum(np.fft.fft(np.concatenate([half, half[-2:0:-1]])).real, 0.0)
    noise = generator.standard_normal(length) + 1j * generator.standard_normal(length)
    return np.fft.fft(np.sqrt(spectrum / length) * noise).real[:frames]


def path_of(cell: Cell, frames: int, nac: float, generator: np.random.Generator) -> ClassicalPath:
    """Draw a trajectory of two states with this coupling (rms, eV)."""
    gap = cell.gap + cell.sigma * series(cell.autocorrelation, frames, generator)
    coupling = np.zeros((frames - 1, 2, 2))
    coupling[:, 0, 1] = nac * series(cell.autocorrelation, frames - 1, generator)
    coupling[:, 1, 0] = -coupling[:, 0, 1]
    energies = np.stack([np.zeros(frames), gap], axis=1)
    return ClassicalPath(energies, 1.0, "electron", np.array([0, 1]), start=1, final=0, nac=coupling)


def edge_weights(frames: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights of start and final state: the upper and the lower one, (frames, 2) each."""
    upper = np.tile([0.0, 1.0], (frames, 1))
    return upper, 1 - upper


def true_lifetime(cell: Cell, nac: float, generator: np.random.Generator) -> float:
    """Renewal lifetime at the true dephasing time on a long trajectory, fs."""
    path = path_of(cell, TRUTH_FRAMES, nac, generator)
    steps = renewal.waiting_steps(cell.tau, 1.0)
    start, final = edge_weights(TRUTH_FRAMES)
    probability = hop_probabilities(build(path, "hst"), start, final, steps)[-1]
    return steps / float(np.nanmean(probability))


def monte_carlo(path: ClassicalPath, tau: float, duration: int, seed: int) -> tuple[Interval, Interval]:
    """Lifetimes (fs) of a DISH run on the path by its fit and by first arrivals, Monte Carlo noise only."""
    tables = renewal.prepare(path, build(path, "hst"), tau, 300.0)
    starts = np.linspace(0, len(path.energies) - 2, SAMPLES).astype(int)
    outcomes = [
        renewal.run_sample(
            tables,
            seed=seed,
            sample=sample,
            start_frame=int(frame),
            start_state=1,
            steps=duration,
            stride=STRIDE,
            trajectories=range(TRAJECTORIES),
        )
        for sample, frame in enumerate(starts)
    ]
    time_fs = float(STRIDE) * np.arange(duration // STRIDE + 1)
    arrival = np.concatenate([outcome.arrival_step for outcome in outcomes]).astype(float)
    survival = np.stack(
        [1 - np.mean((o.arrival_step >= 0) & (o.arrival_step <= time_fs[:, None]), axis=1) for o in outcomes]
    )
    fit = fit_exponential(
        time_fs,
        survival,
        resamples=RESAMPLING.resamples,
        confidence=RESAMPLING.confidence,
        seed=RESAMPLING.seed,
    )
    counted = first_arrivals(arrival[arrival >= 0], len(arrival), float(duration), RESAMPLING.confidence)
    return fit.lifetime_fs, counted


def repetition(
    cell: Cell, frames: int, nac: float, generator: np.random.Generator, seed: int
) -> tuple[dict[str, Interval], bool]:
    """Intervals of one trajectory by method, times in fs; and whether it is called too short."""
    path = path_of(cell, frames, nac, generator)
    error = dephasing_error(path.energies[:, 1] - path.energies[:, 0], 1.0, RESAMPLING.confidence)
    steps = scan_length(error.tau_fs, 1.0, frames)
    start, final = edge_weights(frames)
    probability = hop_probabilities(build(path, "hst"), start, final, steps)
    found = renewal_lifetime(probability, error.tau_fs, 1.0, RESAMPLING, error)
    length = judge(found.lifetime, found.band[1] / found.band[0], frames, found.sample.freedom, error.freedom)
    fit, counted = monte_carlo(path, error.tau_fs, LAPS * frames, seed)
    theirs = float(times(path.energies[None, :, 1] - path.energies[None, :, 0], 1.0, "hefei")[0])
    intervals = {
        WITHOUT_ERROR: Interval(theirs, theirs, theirs),
        "dephasing time": error.interval(RESAMPLING.confidence),
        "renewal lifetime": found.lifetime,
        "at the found tau": found.at_tau,
        "fit": fit.widened(found.lifetime),
        "first arrivals": counted.widened(found.lifetime),
        "first arrivals, Monte Carlo noise only": counted,
    }
    return intervals, length.judgement == "too short"


def measure(cell: Cell, frames: int, repetitions: int, seed: int) -> list[dict[str, object]]:
    """Coverage of all methods on one kind of trajectory."""
    begin = time.process_time()
    generator = np.random.default_rng(seed)
    nac = 1e-3
    truth = true_lifetime(cell, nac, generator)
    # the lifetime goes with the inverse square of the coupling
    wanted = -LAPS * frames / np.log(1 - DECAYED)
    nac, truth = nac * np.sqrt(truth / wanted), wanted
    found = [repetition(cell, frames, nac, generator, seed + k) for k in range(repetitions)]
    too_short = np.array([short for _, short in found])
    rows = []
    for method in found[0][0]:
        true = cell.tau if method.startswith("dephasing time") else truth
        value, low, high = (
            np.array([getattr(intervals[method], side) or limit for intervals, _ in found], float)
            for side, limit in (("value", np.nan), ("low", 0.0), ("high", np.inf))
        )
        held = (low <= true) & (true <= high)
        row = {
            **{"autocorrelation": cell.kind, "memory_fs": cell.memory, "gap_eV": cell.gap},
            **{"tau_fs": cell.tau, "frames": frames, "interval_of": method},
            "median_over_truth": round(float(np.median(value)) / true, 3),
            "coverage": round(float(held.mean()), 3),
            "above_truth": round(float((low > true).mean()), 3),
            "below_truth": round(float((high < true).mean()), 3),
            "high_over_low": float(f"{np.median(high / low):.3g}"),
            "called_too_short": round(float(too_short.mean()), 3),
            "coverage_of_the_rest": "" if too_short.all() else round(float(held[~too_short].mean()), 3),
        }
        if method == WITHOUT_ERROR:
            row |= dict.fromkeys(("coverage", "above_truth", "below_truth", "high_over_low"), "")
            row |= {"coverage_of_the_rest": ""}
        rows.append(row)
    seconds = (time.process_time() - begin) / repetitions
    return [{**row, "repetitions": repetitions, "cpu_s_per_trajectory": round(seconds, 2)} for row in rows]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=120)
    parser.add_argument("--frames", type=int, nargs="+", default=[400, 600, 2000])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/intervals.csv"))
    given = parser.parse_args()
    rows: list[dict[str, object]] = []
    for number, cell in enumerate([*TABLE, *OTHERS]):
        for frames in given.frames:
            if cell in OTHERS and frames != 600:
                continue
            new = measure(cell, frames, given.repetitions, given.seed + 1000 * number)
            label = f"{cell.kind} {cell.memory:g} fs, {cell.gap:g} eV, tau {cell.tau:g} fs, {frames} frames"
            print(label, f"(too short: {new[0]['called_too_short']})", flush=True)
            for row in new:
                print(
                    f"  {row['interval_of']:40s} {row['coverage']:5} x {row['high_over_low']:7} "
                    f"median over truth {row['median_over_truth']}",
                    flush=True,
                )
            rows += new
    stamp = {"processor": processor(), "date": datetime.date.today().isoformat()}
    with given.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], *stamp], lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, **stamp} for row in rows)


if __name__ == "__main__":
    main()
