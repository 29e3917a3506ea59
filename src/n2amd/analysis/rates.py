"""`rates.json`: capture and recombination of a carrier with levels of a defect between its bands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from n2amd.analysis.documents import without_nan
from n2amd.analysis.intervals import Interval
from n2amd.analysis.kinetics import Rates, rates_of_path, rates_of_run, recombination
from n2amd.analysis.lifetime import Resampling
from n2amd.analysis.populations import read_run, state_names
from n2amd.analysis.tables import time_text
from n2amd.config.scissor import Scissor
from n2amd.couplings.defect import localisation, state_labels
from n2amd.couplings.projection import participation
from n2amd.couplings.store import Couplings, read_couplings
from n2amd.errors import InputError
from n2amd.hopping import kinetics
from n2amd.hopping.checks import check_dephasing, check_gap
from n2amd.hopping.dephasing import matrix, same_for_all
from n2amd.hopping.path import Carrier, ClassicalPath, apply_scissor, path_of
from n2amd.hopping.propagators import Scheme

#: ns in a fs.
NS = 1e-6
#: Populations are shown for so many lifetimes, at so many times.
LIFETIMES, TIMES = 3.0, 121
#: A time that nothing here waits for.
LONGEST_NS = 1e9
REFERENCE = "VBM of each cell, mean over its frames"


@dataclass(frozen=True)
class Conditions:
    """What rates are for.

    Attributes
    ----------
    carrier, temperature
        Electron or hole; K.
    resampling
        Of the intervals.
    dephasing_fs
        One dephasing time for all pairs; None: those of the gaps.
    scissor
        Shift of the conduction states.
    scheme, substeps
        Of the propagators.
    """

    carrier: Carrier
    temperature: float
    resampling: Resampling
    dephasing_fs: float | None = None
    scissor: Scissor | None = None
    scheme: Scheme = "local_diabatic"
    substeps: int = 10


def rates_report(
    couplings: Path, conditions: Conditions, runs: Sequence[Path] = (), pristine: Path | None = None
) -> dict[str, Any]:
    """Return the content of `rates.json`.

    Parameters
    ----------
    couplings
        `couplings.h5` with levels of a defect (`states.defect`).
    conditions
        Carrier, temperature and so on.
    runs
        Populations of the same couplings, whose hops are counted.
    pristine
        `couplings.h5` of the cell without the defect.

    Raises
    ------
    InputError
        If there are no levels, a run is of another carrier or has other states, or dephasing times make no
        sense.
    """
    states = read_couplings(couplings)
    if states.defect is None:
        raise InputError(
            "no levels of a defect are told from the bands",
            file=couplings,
            field="states.defect",
            remedy="name the atoms around it in states.defect, and make states and couplings again",
        )
    path, tau, moved = _path(states, conditions, couplings)
    names = state_names(path.carrier, path.open_states, path.final, path.defect)
    exact = _rates(path, tau, conditions)
    sources = [{"source": "couplings", **_document(exact, path, names, conditions)}]
    for file in runs:
        run = read_run(file)
        if run.names != names:
            raise InputError(
                f"populations of {', '.join(run.names)}, the couplings have {', '.join(names)}",
                file=file,
                remedy="pass runs of these couplings and this carrier",
            )
        found = rates_of_run(file, conditions.resampling.seed)
        sources.append({"source": run.label, **_document(found, path, names, conditions)})
    whole = None if pristine is None else _pristine(pristine, conditions)
    report: dict[str, Any] = {
        "carrier": path.carrier,
        "spin": states.spin,
        "temperature_K": conditions.temperature,
        "scissor_eV": moved,
        "confidence": conditions.resampling.confidence,
        "n_frames": states.n_frames,
        "reference": REFERENCE,
        "states": list(names),
        "dephasing_fs": tau,
        "levels": _levels(states, moved),
        "sources": sources,
        "pristine": whole,
        "populations": _populations(exact, path, whole),
    }
    return {**without_nan(report), "verdict": verdict(report)}


def _path(
    states: Couplings, conditions: Conditions, file: Path
) -> tuple[ClassicalPath, NDArray[np.float64], float]:
    """Path of the carrier, dephasing times of its pairs, shift of the scissor (eV)."""
    path, moved = path_of(states, conditions.carrier), 0.0
    if conditions.scissor is not None:
        path, moved = apply_scissor(path, conditions.scissor)
    check_gap(path, file)
    if conditions.dephasing_fs is not None:
        tau = same_for_all(path, conditions.dephasing_fs)
    else:
        tau = matrix(path.energies, path.timestep_fs)
    return path, check_dephasing(tau, path.timestep_fs, file, "energies"), moved


def _rates(path: ClassicalPath, tau: NDArray[np.float64], conditions: Conditions) -> Rates:
    return rates_of_path(
        path, tau, conditions.temperature, conditions.resampling, conditions.scheme, conditions.substeps
    )


def process(carrier: str, first: str, second: str) -> str:
    """What a hop of a carrier between two named states is.

    Examples
    --------
    >>> process("electron", "CBM", "defect"), process("electron", "defect", "VBM")
    ('electron capture', 'hole capture')
    >>> process("hole", "VBM-1", "defect"), process("hole", "defect", "CBM")
    ('hole capture', 'electron capture')
    >>> process("electron", "CBM+1", "VBM"), process("electron", "CBM+1", "CBM")
    ('direct recombination', 'relaxation')
    """
    kinds = [name[:3] if name[:3] in ("VBM", "CBM") else "level" for name in (first, second)]
    filled, empty = ("VBM", "CBM") if carrier == "electron" else ("CBM", "VBM")
    known = {
        (empty, "level"): "electron capture" if carrier == "electron" else "hole capture",
        ("level", filled): "hole capture" if carrier == "electron" else "electron capture",
        (empty, filled): "direct recombination",
        ("level", empty): "release",
    }
    return known.get((kinds[0], kinds[1]), "relaxation")


def _document(
    rates: Rates, path: ClassicalPath, names: Sequence[str], conditions: Conditions
) -> dict[str, Any]:
    """Rates and lifetimes as JSON, ns."""
    confidence, n = conditions.resampling.confidence, path.open_states
    levels = list(range(n - path.defect, n))
    start, final = path.start, path.final

    def one(i: int, j: int) -> Interval:
        return rates.interval(lambda found: found[..., i, j], confidence)

    def through(found: NDArray[np.float64]) -> NDArray[np.float64]:
        return kinetics.share_by_last(found, start, final)[..., levels].sum(axis=-1)

    return {
        "looped": rates.looped,
        "rates": [
            {
                "from": names[i],
                "to": names[j],
                "process": process(path.carrier, names[i], names[j]),
                "per_ns": one(i, j).document(1 / NS),
                "time_ns": one(i, j).inverse(1.0).document(NS),
            }
            for i in range(n)
            for j in range(n)
            if i != j and i != final
        ],
        "lifetime_ns": recombination(rates, start, final, confidence).document(NS),
        "direct_ns": recombination(rates.without(levels), start, final, confidence).document(NS),
        "share_through_level": rates.interval(through, confidence).document(),
    }


def _levels(states: Couplings, moved: float) -> list[dict[str, Any]]:
    """The states of the window for an energy diagram: distance from the VBM, and how it fluctuates."""
    held = () if states.defect is None else states.defect.columns
    names = state_labels(len(states.band_index), states.vbm, held)
    energies = states.energies - states.energies[:, [states.edges[0]]]
    weights = states.projection
    spread = None if weights is None else participation(weights).mean(axis=0)
    local = None
    if weights is not None and states.defect is not None:
        local = localisation(weights, states.defect.atoms).mean(axis=0)
    return [
        {
            "name": name,
            "band": int(states.band_index[k]),
            "filled": k <= states.vbm,
            "defect": k in held,
            "energy_eV": float(energies[:, k].mean()) + moved * name.startswith("CBM"),
            "std_eV": float(energies[:, k].std()),
            "participation": None if spread is None else float(spread[k]),
            "localisation": None if local is None else float(local[k]),
        }
        for k, name in enumerate(names)
    ]


def _pristine(file: Path, conditions: Conditions) -> dict[str, Any]:
    """Levels and lifetime of the cell without the defect, by the same rates."""
    states = read_couplings(file)
    if states.defect is not None:
        raise InputError(
            "levels of a defect in what is to be the pristine cell",
            file=file,
            field="states.defect",
            remedy="pass couplings of the cell without the defect",
        )
    path, tau, moved = _path(states, conditions, file)
    rates = _rates(path, tau, conditions)
    life = recombination(rates, path.start, path.final, conditions.resampling.confidence)
    return {"looped": rates.looped, "levels": _levels(states, moved), "lifetime_ns": life.document(NS)}


def _populations(rates: Rates, path: ClassicalPath, pristine: dict[str, Any] | None) -> dict[str, Any] | None:
    """Populations over a few lifetimes, the recombined share without the level and that of the pristine cell.

    None where nothing recombines.
    """
    life = float(kinetics.lifetime(rates.value, path.start, path.final))
    if not np.isfinite(life):
        return None
    time = np.linspace(0, LIFETIMES * life, TIMES)
    n = path.open_states
    without = rates.without(list(range(n - path.defect, n)))
    slow = None if pristine is None else pristine["lifetime_ns"]["value"]
    return {
        "time_ns": NS * time,
        "values": kinetics.populations(rates.value, path.start, path.final, time),
        "direct": kinetics.populations(without.value, path.start, path.final, time)[:, path.final],
        "pristine": None if slow is None else -np.expm1(-NS * time / slow),
    }


def verdict(report: dict[str, Any]) -> str:
    """Say the rates between the band edges and the levels, and the lifetime."""
    first, names = report["sources"][0], report["states"]
    wanted = {names[0], names[1], *(name for name in names if name.startswith("defect"))}
    parts = [
        f"{row['process']} ({row['from']} to {row['to']}) {time_in_words(row['time_ns'])}"
        for row in first["rates"]
        if {row["from"], row["to"]} <= wanted and row["process"] != "relaxation"
    ]
    share = first["share_through_level"]["value"]
    parts.append(
        f"recombination {time_in_words(first['lifetime_ns'])}, {100 * share:.1f} % through the level; "
        f"without it {time_in_words(first['direct_ns'])}"
    )
    if report["pristine"] is not None:
        parts.append(f"pristine cell {time_in_words(report['pristine']['lifetime_ns'])}")
    if first["looped"]:
        parts.append(
            f"the {report['n_frames']} frames are fewer than twice the dephasing time and were gone around: "
            "no intervals"
        )
    return "; ".join(parts) + "."


def time_in_words(found: dict[str, float | None]) -> str:
    """Say a time (ns) with its interval."""
    if found["value"] is None:
        return "never"
    if found["value"] > LONGEST_NS:
        return "longer than 1 s"
    if found["low"] is None or found["high"] is None:
        return time_text(found["value"])
    return f"{time_text(found['value'])} ({time_text(found['low'])} to {time_text(found['high'])})"
