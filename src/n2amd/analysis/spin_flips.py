"""`spin_flips.json`: rates at which spin-orbit coupling flips the spin of a carrier, and its lifetimes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from n2amd.analysis.documents import at, read_report, without_nan
from n2amd.analysis.kinetics import Rates, rates_of_path, recombination
from n2amd.analysis.populations import state_names
from n2amd.analysis.rates import NS, Conditions, time_in_words
from n2amd.couplings.store import read_couplings
from n2amd.errors import InputError
from n2amd.hopping import kinetics
from n2amd.hopping.checks import check_dephasing, check_gap
from n2amd.hopping.dephasing import matrix, same_for_all
from n2amd.hopping.path import ClassicalPath, apply_scissor, path_of


def spin_flips_report(couplings: Path, conditions: Conditions) -> dict[str, Any]:
    """Return the content of `spin_flips.json`.

    Parameters
    ----------
    couplings
        `couplings.h5` of spin states (`states.spin_orbit`).
    conditions
        Carrier, temperature and so on.

    Raises
    ------
    InputError
        If the states have no spin, or dephasing times make no sense.
    """
    path, moved = path_of(read_couplings(couplings), conditions.carrier), 0.0
    if path.spin is None:
        raise InputError(
            "the states have no spin that could flip",
            file=couplings,
            field="states.spin_orbit",
            remedy="set it to spin_states, and make states and couplings again",
        )
    if conditions.scissor is not None:
        path, moved = apply_scissor(path, conditions.scissor)
    check_gap(path, couplings)
    tau = matrix(path.energies, path.timestep_fs)
    if conditions.dephasing_fs is not None:
        tau = same_for_all(path, conditions.dephasing_fs)
    check_dephasing(tau, path.timestep_fs, couplings, "energies")
    rates = rates_of_path(
        path, tau, conditions.temperature, conditions.resampling, conditions.scheme, conditions.substeps
    )
    names, confidence = (
        state_names(path.carrier, path.states, path.final, spins=True),
        conditions.resampling.confidence,
    )
    report = {
        "carrier": path.carrier,
        "temperature_K": conditions.temperature,
        "scissor_eV": moved,
        "confidence": confidence,
        "n_frames": len(path.energies),
        "states": list(names),
        "energies_eV": (path.energies - path.energies[:, [path.final]]).mean(axis=0),
        "spin_orbit_rms_meV": _coupling(path),
        "dephasing_fs": tau,
        "looped": rates.looped,
        "rates": _rows(rates, path, names, confidence),
        "spin_lifetime_ns": rates.interval(lambda found: _until_flip(found, path), confidence).document(NS),
        "recombination_ns": recombination(rates, path.start, path.final, confidence).document(NS),
    }
    return without_nan({**report, "verdict": verdict(report)})


def _coupling(path: ClassicalPath) -> NDArray[np.float64]:
    """Root mean square of the coupling between the states over time, (n, n), meV."""
    assert path.source is not None
    mixing = path.source.window.mixing
    assert mixing is not None
    columns = path.source.columns
    chosen = mixing[:, columns[:, None], columns[None, :]]
    return 1000 * np.sqrt((np.abs(chosen) ** 2).mean(axis=0))


def _rows(
    rates: Rates, path: ClassicalPath, names: tuple[str, ...], confidence: float
) -> list[dict[str, Any]]:
    """Rates between all states but from the one that is recombined to."""
    assert path.spin is not None
    rows = []
    for i, j in np.argwhere(rates.value > 0).tolist():
        if i == path.final:
            continue
        flips = path.spin[i] != path.spin[j]
        found = rates.interval(lambda each, i=i, j=j: each[..., i, j], confidence)  # type: ignore[misc]
        rows.append(
            {
                "from": names[i],
                "to": names[j],
                "process": "recombination" if j == path.final else "relaxation",
                "flips": bool(flips),
                "per_ns": found.document(1 / NS),
                "time_ns": found.inverse(1.0).document(NS),
            }
        )
    return rows


def _until_flip(rates: NDArray[np.float64], path: ClassicalPath) -> NDArray[np.float64]:
    """Mean time until a carrier that starts at its edge with spin up is anywhere with spin down, (...), fs.

    What recombines is left out: it is no flip.
    """
    assert path.spin is not None
    own = [k for k in range(path.states) if path.spin[k] == 0 and k != path.final]
    flipped = [k for k in range(path.states) if path.spin[k] == 1]
    # all states of the other spin as one, the last
    merged = np.zeros((*rates.shape[:-2], len(own) + 1, len(own) + 1))
    merged[..., :-1, :-1] = rates[..., own, :][..., own]
    merged[..., :-1, -1] = rates[..., own, :][..., flipped].sum(axis=-1)
    return kinetics.lifetime(merged, own.index(path.start), len(own))


def verdict(report: dict[str, Any]) -> str:
    """Say how long the spin lives against how long the carrier does."""
    said = (
        f"spin of the {report['carrier']} {time_in_words(report['spin_lifetime_ns'])}; recombination "
        f"{time_in_words(report['recombination_ns'])}"
    )
    looped = "; the trajectory was gone around: no intervals" if report["looped"] else ""
    return f"{said}{looped}."


def flips_of_case(file: Path) -> dict[str, Any]:
    """Return what a case keeps of `spin_flips.json`.

    Raises
    ------
    InputError
        If the file or a field of it is missing.
    """
    report = read_report(file)
    kept = ("carrier", "spin_lifetime_ns", "recombination_ns", "verdict")
    rows = [
        {key: row[key] for key in ("from", "to", "process", "flips", "time_ns")}
        for row in at(report, "rates")
    ]
    return {**{key: at(report, key) for key in kept}, "processes": rows}
