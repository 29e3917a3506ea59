"""`lifetime.json`: all lifetimes of one case, and which of them is the headline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from n2amd.analysis.decay import EXTRAPOLATED_BELOW
from n2amd.analysis.dephasing_error import DephasingError, dephasing_error
from n2amd.analysis.edges import (
    EdgeSeries,
    band_edge_weights,
    edge_series,
    read_window,
    tracked_edges,
    within_window,
)
from n2amd.analysis.intervals import Interval, sample
from n2amd.analysis.length import ROUGHLY, Length, judge
from n2amd.analysis.lifetime import (
    TWO_STATE_RANGE,
    RenewalLifetime,
    Resampling,
    at_definitions,
    estimate,
    hop_probabilities,
    renewal_document,
    renewal_lifetime,
    scan_length,
)
from n2amd.analysis.model_doubt import ModelDoubt, model_doubt
from n2amd.analysis.populations import Run, analyse_run
from n2amd.analysis.verdict_checks import ESTIMATE_FACTOR, FEWEST_HOPS
from n2amd.config.scissor import Scissor
from n2amd.couplings.doubt import read_doubt_of_edges
from n2amd.errors import ComputationError, InputError
from n2amd.hopping.checks import check_dephasing
from n2amd.hopping.path import Carrier, ClassicalPath, apply_scissor
from n2amd.hopping.propagators import Scheme, build

#: Coupling below which it is rounding of identical frames, eV.
NO_COUPLING = 1e-12
#: Fluctuation of a gap below which it is rounding, eV.
STILL = 1e-12


def lifetime_report(
    couplings: Path,
    tau_fs: float,
    runs: list[Run],
    resampling: Resampling,
    scissor: Scissor | None = None,
    definitions_fs: dict[str, float | None] | None = None,
    scheme: Scheme = "local_diabatic",
    substeps: int = 10,
    with_doubt: bool = True,
) -> dict[str, Any]:
    """Gather every lifetime of one case.

    Parameters
    ----------
    couplings
        `couplings.h5`.
    tau_fs
        Gaussian pure-dephasing time of the edge pair; that of a DISH run (`dephasing_time_fs`) goes first.
    runs
        Of the dynamics stage on the same couplings; they fix carrier and temperature (without any: an
        electron at the band edge).
    resampling
        How error bars are made.
    scissor
        Shift of the conduction bands, the one the runs had.
    definitions_fs
        Dephasing times by other definitions, whose lifetimes are listed beside.
    scheme, substeps
        Of the propagators, those of the runs (`dynamics.scheme`, `dynamics.substeps`).
    with_doubt
        Whether the interval of the headline holds the doubt of the model, where the couplings tell it.

    Returns
    -------
    dict
        Content of `lifetime.json` (`docs/file-formats.md`, `docs/results.md`).

    Raises
    ------
    InputError
        If the trajectory is too short, or the runs do not belong together or to this scissor.
    ComputationError
        If the edges do not couple at all.
    """
    _same_conditions(runs)
    carrier: Carrier = runs[0].carrier if runs else "electron"
    # a pair recombines as an electron above the gap does: thermal edges put electron and hole into theirs
    window = read_window(couplings, "hole" if carrier == "hole" else "electron")
    shift = 0.0
    if scissor is not None:
        window, shift = apply_scissor(window, scissor)
    if runs and abs(runs[0].scissor_eV - shift) > 1e-6:
        raise InputError(
            f"the runs have the conduction bands shifted by {runs[0].scissor_eV:g} eV, not by {shift:g} eV",
            field="scissor",
            remedy="pass the scissor the dynamics had",
        )
    _same_propagation(runs, scheme, substeps)
    edges = edge_series(window, couplings)
    if edges.nac_rms < NO_COUPLING:
        raise ComputationError(
            f"{couplings}: the couplings of the band edges are zero (rms {1000 * edges.nac_rms:.1g} meV), so "
            "that nothing recombines; check that the frames differ"
        )
    temperature = runs[0].temperature_K if runs else None
    tau_fs = _dephasing_of(runs, tau_fs)
    if not np.isfinite(tau_fs):
        raise InputError(
            f"a dephasing time of {tau_fs:g} fs",
            file=couplings,
            field="dephasing time",
            remedy="run the dynamics with a finite one: states that never dephase have no DISH lifetime",
        )
    check_dephasing(tau_fs * (1 - np.eye(2)), window.timestep_fs, couplings, "dephasing time")
    steps = scan_length(tau_fs, window.timestep_fs, len(window.energies), couplings)
    error = _error_of_tau(window, resampling.confidence, couplings)
    propagators = build(window.whole, scheme, substeps)
    exact, thermal = (
        renewal_lifetime(
            hop_probabilities(propagators, within_window(window, start), within_window(window, final), steps),
            tau_fs,
            window.timestep_fs,
            resampling,
            error,
        )
        for start, final in (tracked_edges(window), band_edge_weights(window, temperature))
    )
    ratio = thermal.exponential_waiting / exact.exponential_waiting
    fits = {
        # FSSH knows no dephasing time
        run.label: analyse_run(run, resampling, thermal.lifetime if run.method == "dish" else thermal.at_tau)
        for run in runs
    }
    gap, nac = float(edges.gap.mean()), edges.nac_rms
    headline = _headline(exact, thermal, ratio, fits, through_levels=window.level is not None)
    length = _length(headline, exact if _two_state(ratio) else thermal, error, len(window.energies))
    known = read_doubt_of_edges(couplings)
    doubt = None if known is None else model_doubt(known, shift)
    if doubt is not None and with_doubt:
        headline = _doubted(headline, doubt, resampling.confidence)
    # the two states alone, or the mixture of states where they are not alone: the one that the headline is of
    quoted = renewal_document(exact if _two_state(ratio) else thermal)
    guess = 1e-6 * estimate(tau_fs, gap, nac)
    return {
        "lifetime_ns": headline,
        "exact": {
            **renewal_document(exact),
            "states": "band edges",
            "two_state_ratio": ratio,
            "by_definition": at_definitions(exact, definitions_fs or {}),
            "thermal_edges": {
                key: value
                for key, value in renewal_document(thermal).items()
                if key
                in ("lifetime_ns", "at_tau_ns", "band_ns", "exponential_waiting_ns", "independent_samples")
            },
        },
        **{key: value for key, value in quoted.items() if key in ("band_ns", "tau_band", "tau_scan")},
        "estimate_ns": guess,
        "estimate_ratio": headline["value"] / guess,
        "fits": fits,
        "length": length.document(),
        "model_doubt": None
        if doubt is None
        else {**doubt.document(resampling.confidence), "in_interval": with_doubt},
        "verdict": _verdict(headline, length, ratio, fits, guess, _said(doubt, resampling.confidence)),
        "gap": {"mean_eV": gap, "std_eV": float(edges.gap.std())},
        "nac": _coupling(edges, resampling),
        "carrier": carrier,
        "scheme": scheme,
        "scissor_eV": shift,
        "confidence": resampling.confidence,
        "seed": resampling.seed,
    }


def _doubted(headline: dict[str, Any], doubt: ModelDoubt, confidence: float) -> dict[str, Any]:
    """Return the headline with the doubt of the model in its interval."""
    factor = doubt.factor(confidence)
    if factor is None or factor <= 1:
        return headline
    interval = Interval(*(headline[key] for key in ("value", "low", "high")))
    return {**headline, **interval.widened(Interval(1.0, 1 / factor, factor)).document()}


def _said(doubt: ModelDoubt | None, confidence: float) -> str | None:
    return None if doubt is None else doubt.sentence(confidence)


def _coupling(edges: EdgeSeries, resampling: Resampling) -> dict[str, float]:
    """Size of the coupling between the edges, meV, with the interval of its rms."""
    square = sample(
        np.abs(edges.coupling) ** 2, resampling.confidence, resampling.block_fs / edges.timestep_fs
    ).interval(resampling.confidence)
    assert square.low is not None
    assert square.high is not None
    return {
        "rms_meV": 1000 * edges.nac_rms,
        "rms_low_meV": 1000 * float(np.sqrt(square.low)),
        "rms_high_meV": 1000 * float(np.sqrt(square.high)),
        "mean_abs_meV": 1000 * edges.nac_mean,
    }


def _same_conditions(runs: list[Run]) -> None:
    for key in ("carrier", "scheme", "temperature_K", "scissor_eV"):
        found = {getattr(run, key) for run in runs}
        if len(found) > 1:
            raise InputError(
                f"the runs differ: {sorted(map(str, found))}",
                field=key,
                remedy="analyse runs of one case at a time",
            )
    labels = [run.label for run in runs]
    if twice := [label for label in labels if labels.count(label) > 1]:
        raise InputError(f"{twice[0]} is given twice", field="dynamics", remedy="pass each run once")


def _same_propagation(runs: list[Run], scheme: Scheme, substeps: int) -> None:
    for run in runs:
        if run.scheme != scheme or (scheme == "hst" and run.substeps != substeps):
            raise InputError(
                f"{run.label} was propagated by {run.scheme} with {run.substeps} sub-steps, not by {scheme} "
                f"with {substeps}",
                field="scheme, substeps",
                remedy="pass the settings that the dynamics had",
            )


def _dephasing_of(runs: list[Run], tau_fs: float) -> float:
    """Dephasing time of the edge pair in the DISH runs: exact and sampled lifetimes can then be compared."""
    return next((run.dephasing_fs for run in runs if run.method == "dish"), tau_fs)


def _error_of_tau(window: ClassicalPath, confidence: float, couplings: Path) -> DephasingError:
    """Error of the dephasing time of the edge pair; a time that was set is taken to be as uncertain."""
    gap = window.energies[:, window.start] - window.energies[:, window.final]
    if gap.std() <= STILL:
        raise InputError(
            "the gap does not fluctuate, so nothing dephases",
            file=couplings,
            field="energies",
            remedy="check that the frames differ",
        )
    return dephasing_error(gap, window.timestep_fs, confidence)


def _two_state(ratio: float) -> bool:
    return TWO_STATE_RANGE[0] <= ratio <= TWO_STATE_RANGE[1]


def _headline(
    exact: RenewalLifetime,
    thermal: RenewalLifetime,
    ratio: float,
    fits: dict[str, dict[str, Any]],
    *,
    through_levels: bool,
) -> dict[str, Any]:
    """Choose the lifetime to quote (`docs/results.md`); only trajectories go through levels of a defect."""
    without = ", levels of the defect left out" if through_levels else ""
    if _two_state(ratio) and not through_levels:
        return {**_quoted(exact), "method": "exact two-state DISH renewal"}
    for fit in fits.values():
        counted = fit["arrivals"]
        # without decoherence (FSSH) the rate across the gap is no lifetime to quote
        long_enough = counted["hops"] >= FEWEST_HOPS and fit["decayed"] >= EXTRAPOLATED_BELOW
        if fit["method"] == "dish" and long_enough:
            return {**counted["lifetime_ns"], "method": f"first arrivals of {fit['method']}"}
    return {**_quoted(thermal), "method": f"DISH renewal, thermal band edges{without}"}


def _quoted(result: RenewalLifetime) -> dict[str, float | None]:
    return result.lifetime.document(1e-6)


def _length(headline: dict[str, Any], renewal: RenewalLifetime, error: DephasingError, frames: int) -> Length:
    """Judge the trajectory by the headline; hops of the same kind of states tell of its samples."""
    interval = Interval(*(headline[key] for key in ("value", "low", "high")))
    ripple = renewal.band[1] / renewal.band[0]
    return judge(interval, ripple, frames, renewal.sample.freedom, error.freedom)


def _verdict(
    headline: dict[str, Any],
    length: Length,
    ratio: float,
    fits: dict[str, dict[str, Any]],
    guess: float,
    doubt: str | None,
) -> str:
    spread = headline["high"] / headline["low"]
    wide = f", known within a factor of {spread:.2g} only" if spread > ROUGHLY else ""
    narrow = "the two-state picture holds" if _two_state(ratio) else "the two-state picture does not hold"
    value, low, high = (f"{headline[key]:.3g}" for key in ("value", "low", "high"))
    parts = [
        f"{headline['method']}: {value} ns ({low} to {high}){wide}",
        length.sentence(),
        f"rate of the edge pair over that of the thermal band edges {ratio:.2f}",
        narrow,
        *([doubt] if doubt else []),
        _against_estimate(headline["value"] / guess, guess),
        *(f"{label}: {fit['verdict']} ({fit['arrivals']['statistics']})" for label, fit in fits.items()),
    ]
    return "; ".join(parts) + "."


def _against_estimate(ratio: float, guess: float) -> str:
    compared = f"{ratio:.2f} times the estimate tau (gap/NAC)^2 / 2 = {guess:.3g} ns"
    if 1 / ESTIMATE_FACTOR <= ratio <= ESTIMATE_FACTOR:
        return compared
    return (
        f"{compared}: beyond a factor of {ESTIMATE_FACTOR:g}; look at the ripple in tau, at states that "
        "share the carrier, and at couplings that oscillate as fast as the gap"
    )
