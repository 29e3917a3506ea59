"""The answer of a job for the terminal: each lifetime with its interval, and the verdict with its reasons."""

from __future__ import annotations

import textwrap
from typing import Any

from n2amd.analysis.tables import number, time_text, time_unit
from n2amd.analysis.verdict import OPENINGS
from n2amd.analysis.withheld import sentences

#: Columns of text.
WIDTH = 100


def label(case: dict[str, Any]) -> str:
    """Name a case."""
    return " ".join(case[key] for key in ("material", "functional", "supercell"))


def lifetime(case: dict[str, Any]) -> tuple[str, str]:
    """Return the lifetime, and its interval without a unit of its own; ? where it is open."""
    quoted = case["lifetime_ns"]
    factor, _ = time_unit(quoted["value"])
    low, high = ("?" if quoted[side] is None else number(quoted[side] * factor) for side in ("low", "high"))
    return time_text(quoted["value"]), f"{low} to {high}"


def answer(summary: dict[str, Any], most: int) -> str:
    """Say every case, those that are not finished last.

    Parameters
    ----------
    summary
        Content of `summary.json`.
    most
        Cases whose reasons are told; of those that follow only lifetime and level.

    Returns
    -------
    str
        Lines, without a newline at the end.
    """
    cases = summary["cases"]
    lines = [line for case in cases[:most] for line in _told(case)]
    lines += [f"{_headline(case)}: {case['trust']['level']}" for case in cases[most:]]
    return "\n".join([*lines, *sentences(summary)])


def _headline(case: dict[str, Any]) -> str:
    value, interval = lifetime(case)
    return f"{label(case)}: lifetime {value} ({100 * case['confidence']:g} % interval {interval})"


def _told(case: dict[str, Any]) -> list[str]:
    """One case with its reasons, the worst first."""
    lines = [
        _headline(case),
        f"  gap {case['gap_mean_eV']:.2f} eV, dephasing {case['dephasing_time_fs']:.3g} fs, "
        f"coupling {number(case['nac_rms_meV'])} meV, {case['temperature_K']['mean']:.0f} K",
    ]
    found = case["trust"]["checks"]
    for outcome, opening in OPENINGS[case["trust"]["level"]].items():
        reasons = [check["found"] for check in found if check["outcome"] == outcome]
        if reasons:
            lines.append(f"  {opening}")
            for reason in reasons:
                lines += textwrap.wrap(reason, WIDTH, initial_indent="  - ", subsequent_indent="    ")
    if case["trust"]["level"] == "believe":
        lines += textwrap.wrap(
            case["trust"]["reasons"][0], WIDTH, initial_indent="  ", subsequent_indent="  "
        )
    return lines
