"""What a case and the table of all cases keep of `rates.json`: capture, recombination, lifetimes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from n2amd.analysis.documents import at, read_report


def defect_of_case(file: Path) -> dict[str, Any]:
    """Return the rates between band edges and levels, and the lifetimes that follow from them.

    Raises
    ------
    InputError
        If the file or a field of it is missing.
    """
    report = read_report(file)
    first = at(report, "sources")[0]
    pristine = report["pristine"]
    return {
        "spin": at(report, "spin"),
        "carrier": at(report, "carrier"),
        "lifetime_ns": at(first, "lifetime_ns"),
        "direct_ns": at(first, "direct_ns"),
        "share_through_level": at(first, "share_through_level"),
        "pristine_ns": None if pristine is None else at(pristine, "lifetime_ns"),
        "looped": at(first, "looped"),
        "processes": [
            {key: row[key] for key in ("process", "from", "to", "time_ns")}
            for row in at(first, "rates")
            if row["process"] != "relaxation"
        ],
        "verdict": at(report, "verdict"),
    }


def defect_columns(case: dict[str, Any]) -> dict[str, float | None]:
    """Columns of the flat table; empty of a case without levels."""
    defect = case.get("defect") or {}
    life, share = (defect.get(key) or {} for key in ("lifetime_ns", "share_through_level"))
    return {
        "defect_lifetime_ns": life.get("value"),
        "defect_lifetime_low_ns": life.get("low"),
        "defect_lifetime_high_ns": life.get("high"),
        "share_through_level": share.get("value"),
    }
