"""Runs of the dynamics stage as the analysis sees them: survival, populations, first arrivals."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import h5py
import numpy as np
from numpy.typing import NDArray

from n2amd.analysis.decay import DecayFit, first_arrivals, fit_exponential, statistics, verdict
from n2amd.analysis.intervals import Interval
from n2amd.analysis.lifetime import Resampling
from n2amd.config.states import CHANNELS
from n2amd.errors import InputError
from n2amd.fields import array, number, whole, word
from n2amd.hopping.pairs import by_band
from n2amd.hopping.path import Carrier
from n2amd.hopping.propagators import Scheme
from n2amd.storage import open_hdf5

_AGAIN = "run `n2amd dynamics run` again"
#: Populations may leave 0..1 by this.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Run:
    """One run: a method with a seed.

    Attributes
    ----------
    method, seed, carrier, scheme, substeps
        As run.
    temperature_K, scissor_eV
        Temperature; shift of the conduction bands.
    dephasing_fs
        Dephasing time of the band edges (DISH).
    trajectories
        Trajectories per initial condition.
    time
        (T,), fs.
    survival
        Probability not to have recombined, (samples, T).
    populations, errors
        Mean over samples and its standard error (NaN of one sample), (T, m): of the carrier's states; of a
        pair, of the ground state, the bands of its electron and the bands of its hole.
    names
        Names of these columns, (m,).
    arrivals
        First-arrival times of the trajectories that recombined, fs.
    """

    method: str
    seed: int
    carrier: Carrier
    scheme: Scheme
    substeps: int
    temperature_K: float
    scissor_eV: float
    dephasing_fs: float
    trajectories: int
    time: NDArray[np.float64]
    survival: NDArray[np.float64]
    populations: NDArray[np.float64]
    errors: NDArray[np.float64]
    names: tuple[str, ...]
    arrivals: NDArray[np.float64]

    @property
    def label(self) -> str:
        """Name in tables and legends."""
        return f"{self.method}, seed {self.seed}"


def state_names(carrier: str, n: int, final: int, defect: int = 0, *, spins: bool = False) -> tuple[str, ...]:
    """Names of the columns: where the carrier recombines to, its band edge, and the states behind it.

    The final state is the first column, or (files of other programs) the last. The last `defect` states are
    levels of a defect. With `spins` all but the final one come up and down.

    Examples
    --------
    >>> state_names("electron", 3, 0, spins=True)
    ('VBM up', 'CBM up', 'CBM down')
    """
    if spins:
        first, *others = state_names(carrier, 1 + (n - 1) // 2, final)
        return (f"{first} up", *(f"{name} {spin}" for name in others for spin in CHANNELS))
    edges, far = (("VBM", "CBM"), "CBM+") if carrier == "electron" else (("CBM", "VBM"), "VBM-")
    levels = [f"defect {k}" for k in range(1, defect + 1)] if defect > 1 else ["defect"] * defect
    names = (*edges, *(f"{far}{k}" for k in range(1, n - defect - 1)), *levels)[:n]
    return names if final == 0 else names[::-1]


def columns(
    source: h5py.File, carrier: Carrier, population: NDArray[np.float64], final: int
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Names and populations of what is shown of a run: states, or the bands of electron and hole of a pair.

    Parameters
    ----------
    source
        Populations file.
    population
        (samples, T, n).
    final
        Column that is recombined to.
    """
    if carrier != "pair":
        defect = whole(source, "defect_states", 1) if "defect_states" in source.attrs else 0
        spins = "spins" in source.attrs
        return state_names(carrier, population.shape[2], final, defect, spins=spins), population
    names, parts = ["ground state"], [population[:, :, [final]]]
    for particle, edge, sign in (("electron", "CBM", 1), ("hole", "VBM", -1)):
        bands = array(source, f"{particle}_band", (population.shape[2],), "whole")
        found, share = by_band(population, bands)
        # from the edge, where the pair starts, outwards
        distance = sign * (found - bands[1])
        order = np.argsort(distance)
        names += [f"{particle} {edge}" + (f"{sign * k:+d}" if k else "") for k in distance[order]]
        parts.append(share[:, :, order])
    return tuple(names), np.concatenate(parts, axis=2)


def read_run(file: str | Path) -> Run:
    """Read a populations file.

    Raises
    ------
    InputError
        If it is not one, holds fewer than two times, or a field is missing, of another kind or shape, or no
        population.
    """
    with open_hdf5(file, "n2amd/populations") as source:
        time = array(source, "time", (None,))
        if len(time) < 2:
            raise InputError(
                f"{len(time)} stored time",
                file=file,
                field="time",
                remedy="run longer or store more often (dynamics.duration_fs, dynamics.output_stride)",
            )
        by_sample = array(source, "population", (None, len(time), None))
        samples, _, n = by_sample.shape
        final = whole(source, "final_state", 0)
        _check_populations(by_sample, time, final, file)
        carrier: Carrier = word(source, "carrier", get_args(Carrier))  # type: ignore[assignment]
        scheme: Scheme = word(source, "scheme", get_args(Scheme))  # type: ignore[assignment]
        names, shown = columns(source, carrier, by_sample, final)
        spread = shown.std(axis=0, ddof=1) if samples > 1 else np.full(shown.shape[1:], np.nan)
        # a gap that does not fluctuate never dephases
        times = array(source, "dephasing_time", (n, n), finite=False)
        dephasing = float(times[final, 1 if final == 0 else final - 1])
        if not dephasing > 0:
            raise InputError(
                f"{dephasing:g} fs is not positive", file=file, field="dephasing_time", remedy=_AGAIN
            )
        timestep = number(source, "timestep_fs", positive=True)
        return Run(
            method=word(source, "method"),
            seed=whole(source, "seed"),
            carrier=carrier,
            scheme=scheme,
            substeps=whole(source, "substeps", 1),
            temperature_K=number(source, "temperature_K", positive=True),
            scissor_eV=number(source, "scissor_eV"),
            dephasing_fs=dephasing,
            trajectories=whole(source, "trajectories", 1),
            time=time,
            survival=1 - by_sample[:, :, final],
            populations=shown.mean(axis=0),
            errors=spread / np.sqrt(samples),
            names=names,
            arrivals=np.sort(array(source, "hops/step", (None,), "whole") * timestep),
        )


def _check_populations(
    by_sample: NDArray[np.float64], time: NDArray[np.float64], final: int, file: str | Path
) -> None:
    """Raise `InputError` unless times ascend and populations are of samples of at least two states."""
    samples, _, n = by_sample.shape
    if (np.diff(time) <= 0).any():
        raise InputError("times do not ascend", file=file, field="time", remedy=_AGAIN)
    if samples < 1 or n < 2 or final not in (0, n - 1):
        raise InputError(
            f"{samples} samples of {n} states that recombine to state {final}",
            file=file,
            field="population, final_state",
            remedy=_AGAIN,
        )
    sample, row, state = np.unravel_index(np.abs(by_sample - 0.5).argmax(), by_sample.shape)
    if abs(by_sample[sample, row, state] - 0.5) > 0.5 + _ROUNDING:
        raise InputError(
            f"sample {sample}, state {state}: {by_sample[sample, row, state]:g} at {time[row]:g} fs is no "
            "probability",
            file=file,
            field="population",
            remedy=_AGAIN,
        )


#: What the intervals of runs hold.
COMPLETE = "Monte Carlo noise and the MD window"
MONTE_CARLO_ONLY = "Monte Carlo noise only"


def analyse_run(run: Run, resampling: Resampling, window: Interval | None = None) -> dict[str, Any]:
    """Return the lifetimes of one run in ns with a verdict on its length and on its hops.

    Trajectories on one MD window share its error, which no number of them makes smaller. It is that of the
    renewal lifetime of the same path, and independent of the Monte Carlo noise.

    Parameters
    ----------
    run
        Of the dynamics stage.
    resampling
        Bootstrap over initial conditions, and the level of the intervals.
    window
        Renewal lifetime (fs) on the same MD window with its interval; its value is expected of runs without
        hops. None: intervals hold Monte Carlo noise only, and say so.
    """
    options = {
        "resamples": resampling.resamples,
        "confidence": resampling.confidence,
        "seed": resampling.seed,
    }
    fit = fit_exponential(run.time, run.survival, **options)  # type: ignore[arg-type]
    duration = float(run.time[-1])
    hops, watched = len(run.arrivals), len(run.survival) * run.trajectories
    counted = first_arrivals(run.arrivals, watched, duration, resampling.confidence)
    exposure = float(run.arrivals.sum() + (watched - hops) * duration)
    expected_fs = None if window is None else window.value

    def complete(found: Interval) -> dict[str, float | None]:
        return (found if window is None else found.widened(window)).document(1e-6)

    return {
        "method": run.method,
        "seed": run.seed,
        "duration_fs": duration,
        **fit_document(fit),
        "lifetime_ns": complete(fit.lifetime_fs),
        "monte_carlo_ns": _bounds(fit.lifetime_fs),
        "interval": MONTE_CARLO_ONLY if window is None else COMPLETE,
        "arrivals": {
            "hops": hops,
            "trajectories": watched,
            "exposure_ns": 1e-6 * exposure,
            "lifetime_ns": complete(counted),
            "monte_carlo_ns": _bounds(counted),
            "statistics": statistics(hops, exposure, expected_fs),
        },
        "verdict": verdict(fit, duration, hops),
    }


def _bounds(interval: Interval) -> dict[str, float | None]:
    found = interval.document(1e-6)
    return {"low": found["low"], "high": found["high"]}


def fit_document(fit: DecayFit) -> dict[str, Any]:
    """Return both fits of a decay as JSON, lifetimes in ns."""
    return {
        "decayed": fit.decayed,
        "lifetime_ns": fit.lifetime_fs.document(1e-6),
        "r_squared": fit.r_squared,
        "linear": {
            "lifetime_ns": None if fit.linear_fs is None else 1e-6 * fit.linear_fs,
            "window_fs": fit.linear_window_fs,
            "r_squared": fit.linear_r_squared,
        },
    }


@dataclass(frozen=True)
class Survival:
    """What is needed to judge a decay, whichever program it comes from.

    Attributes
    ----------
    time
        (T,), fs, from the start.
    survival
        Probability not to have recombined, (samples, T).
    trajectories
        Trajectories per initial condition; None if unknown.
    """

    time: NDArray[np.float64]
    survival: NDArray[np.float64]
    trajectories: int | None

    @staticmethod
    def joined(
        curves: list[tuple[NDArray[np.float64], NDArray[np.float64]]],
        files: list[Path],
        trajectories: int | None,
    ) -> Survival:
        """Join (time, survival) of several initial conditions, with time counted from the first row.

        Raises
        ------
        InputError
            If they do not have the same times, or fewer than two.
        """
        time = curves[0][0]
        for (other, _), file in zip(curves, files):
            if len(other) != len(time) or not np.allclose(other, time):
                raise InputError(
                    f"{len(other)} times up to {other[-1]:g} fs, {files[0].name} has {len(time)} up to "
                    f"{time[-1]:g} fs",
                    file=file,
                    remedy="pass files of one run",
                )
        if len(time) < 2:
            raise InputError("one time", file=files[0], remedy="run longer")
        for (_, curve), file in zip(curves, files):
            # the files hold four digits at least
            if (np.diff(time) <= 0).any() or (np.abs(curve - 0.5) > 0.5 + 1e-3).any():
                raise InputError(
                    "times that do not ascend, or populations outside of 0 to 1",
                    file=file,
                    remedy="give the SHPROP of a whole run",
                )
        # rows are labelled by the end of their step, but the first is the start
        return Survival(time - time[0], np.stack([curve for _, curve in curves]), trajectories)


def analyse_decay(decay: Survival, resampling: Resampling) -> str:
    """Say in a sentence how much has decayed, how long it lives, and whether the run was long enough.

    Parameters
    ----------
    decay
        Survival of every initial condition. Hops are counted as what has decayed times the trajectories.
    resampling
        Bootstrap over initial conditions.
    """
    fit = fit_exponential(
        decay.time,
        decay.survival,
        resamples=resampling.resamples,
        confidence=resampling.confidence,
        seed=resampling.seed,
    )
    duration = float(decay.time[-1])
    parts = [verdict(fit, duration, None)]
    life = fit.lifetime_fs
    if life.value is not None:
        bounds = (
            ""
            if life.low is None or life.high is None
            else f" ({life.low * 1e-6:.3g} to {life.high * 1e-6:.3g}, {MONTE_CARLO_ONLY})"
        )
        quality = "" if fit.r_squared is None else f", R^2 {fit.r_squared:.3f}"
        parts.append(f"exponential fit {life.value * 1e-6:.3g} ns{bounds}{quality}")
    if fit.linear_fs is not None:
        parts.append(f"straight line over {fit.linear_window_fs:g} fs {fit.linear_fs * 1e-6:.3g} ns")
    if decay.trajectories is not None:
        watched = decay.trajectories * len(decay.survival)
        exposure = float(np.trapezoid(decay.survival.mean(axis=0), decay.time)) * watched
        parts.append(statistics(max(round(fit.decayed * watched), 0), exposure, None))
    return "; ".join(parts) + "."


def table(run: Run) -> str:
    """Write the populations of a run, and their standard errors where known, as comma-separated values."""
    known = bool(np.isfinite(run.errors).all())
    head = ["time_fs", *run.names, *(f"{name} error" for name in run.names if known)]
    body = np.c_[run.time, run.populations, *([run.errors] if known else [])]
    return "".join(",".join(row) + "\n" for row in [head, *([f"{x:.10g}" for x in row] for row in body)])
