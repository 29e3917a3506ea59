"""`dephasing.json`: pure dephasing of the band edges by every definition, and of all pairs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from n2amd.analysis.dephasing_error import DephasingError, dephasing_error
from n2amd.analysis.documents import read_report, without_nan
from n2amd.analysis.edges import read_window
from n2amd.analysis.length import FEWEST_SAMPLES, count, rounded_up
from n2amd.analysis.shapes import DEPHASING, conforming
from n2amd.errors import InputError
from n2amd.hopping.checks import check_dephasing
from n2amd.hopping.dephasing import CUT, Dephasing, matrix, of_gap

#: Times for which the functions are kept, in Gaussian dephasing times.
KEPT = 10
#: The definition that DISH uses, and every other result with it.
USED = "gaussian"
#: Definitions by the key of their time without `_fs`, in words.
DEFINITIONS = {
    "gaussian": "Gaussian fit of the dephasing function up to twice its width",
    "hefei": "Hefei-NAMD: Gaussian fit of 200 fs, deviations from the mean of the series",
    "exponential": "exponential fit of the dephasing function",
    "one_over_e": "fall of the dephasing function to 1/e",
    "inverse_sigma": "hbar / sigma of the gap",
    "libra": "Libra: sqrt(12/5) hbar / sigma of the gap",
}


def dephasing_report(couplings: Path, confidence: float = 0.95) -> dict[str, Any]:
    """Return the content of `dephasing.json`.

    Parameters
    ----------
    couplings
        `couplings.h5`; the tracked edge states, as in the dynamics.
    confidence
        Level of the interval.

    Raises
    ------
    InputError
        If there are too few frames, the gap does not fluctuate, or it loses its phase within a time step.
    """
    path = read_window(couplings)
    vbm, cbm = path.final, path.start
    mean = float(np.mean(path.energies[:, cbm] - path.energies[:, vbm]))
    # a gap that closes in some frames may be opened by a scissor, which dephasing does not see
    if mean <= 0:
        raise InputError(
            f"the mean gap is {mean:.4f} eV",
            file=couplings,
            field="energies",
            remedy="the edges are the wrong way round: check the states and the electron count",
        )
    try:
        edge = of_gap(path.energies[:, cbm] - path.energies[:, vbm], path.timestep_fs)
    except InputError as error:
        raise InputError(error.problem, file=couplings, field=error.field, remedy=error.remedy) from None
    _require_dephasing(edge, path.timestep_fs, couplings)
    kept = edge.time_fs <= max(KEPT * edge.gaussian_fs, 20 * path.timestep_fs)
    values = {key: value for key, value in asdict(edge).items() if not isinstance(value, np.ndarray)}
    gap = path.energies[:, cbm] - path.energies[:, vbm]
    known = dephasing_error(gap, path.timestep_fs, confidence)
    interval = known.interval(confidence)
    report = {
        "pair": [int(path.band_index[vbm]), int(path.band_index[cbm])],
        **values,
        "used": USED,
        "definitions": definitions(edge),
        "gaussian_interval_fs": {"low": interval.low, "high": interval.high},
        "confidence": confidence,
        "independent_samples": known.freedom,
        "verdict": verdict(edge, known, confidence, len(gap)),
        "time_fs": edge.time_fs[kept],
        "autocorrelation": edge.autocorrelation[kept],
        "dephasing_function": edge.function[kept],
        "band_index": path.band_index,
        "matrix_fs": matrix(path.energies, path.timestep_fs),
    }
    return without_nan(report)


def _require_dephasing(edge: Dephasing, timestep_fs: float, couplings: Path) -> None:
    """Refuse a gap that does not fluctuate, and one that jumps so far that nothing can be fitted."""
    if not np.isfinite(edge.gaussian_fs):
        raise InputError(
            "the gap does not fluctuate, so nothing dephases",
            file=couplings,
            field="energies",
            remedy="check that the frames differ",
        )
    check_dephasing(edge.gaussian_fs * (1 - np.eye(2)), timestep_fs, couplings, "energies")


def read_times(file: Path) -> tuple[float, dict[str, float | None]]:
    """Return the dephasing time that is used, and all by definition (None where there is none), fs.

    Raises
    ------
    InputError
        If the file is no `dephasing.json`, or a time is no positive number.
    """
    report = conforming(read_report(file), DEPHASING)
    times = {row["definition"]: row["time_fs"] for row in report["definitions"]}
    for name, time in {"gaussian_fs": report["gaussian_fs"], **times}.items():
        if time is not None and time <= 0:
            raise InputError(
                f"{time:g} fs is not positive", file=file, field=name, remedy="make the report again"
            )
    return float(report["gaussian_fs"]), times


def definitions(edge: Dephasing) -> list[dict[str, Any]]:
    """Return the table of all definitions: name, meaning, time (fs), ratio to the one that is used."""
    return [
        {
            "definition": name,
            "meaning": meaning,
            "time_fs": getattr(edge, f"{name}_fs"),
            "ratio": getattr(edge, f"{name}_fs") / getattr(edge, f"{USED}_fs"),
            "used": name == USED,
        }
        for name, meaning in DEFINITIONS.items()
    ]


def verdict(edge: Dephasing, error: DephasingError, confidence: float, frames: int) -> str:
    """Say in a sentence whether the trajectory is long enough and the function is what a Gaussian can fit."""
    kept = edge.time_fs <= CUT * edge.gaussian_fs
    fitted = np.exp(-(edge.time_fs**2) / (2 * edge.gaussian_fs**2))
    off = float(np.abs(fitted - edge.function)[kept].max())
    interval = error.interval(confidence)
    high = "?" if interval.high is None else f"{interval.high:.1f}"
    parts = [f"{edge.gaussian_fs:.1f} fs ({interval.low:.1f} to {high})"]
    if error.freedom < FEWEST_SAMPLES:
        needed = rounded_up(frames * FEWEST_SAMPLES / error.freedom)
        parts.append(
            f"too short: {frames} frames hold {count(error.freedom)} independent samples, at least "
            f"{needed} frames are needed"
        )
    if edge.function.min() > np.exp(-1):
        parts.append(
            f"the function falls to {edge.function.min():.2f} only, the time is extrapolated: run longer"
        )
    if off > 0.1:
        parts.append(f"the Gaussian misses the function by up to {off:.2f}: compare the definitions")
    return "; ".join(parts) + "."
