"""Rates through the level of a defect beside the pristine cell's."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from n2amd.analysis.tables import time_text

#: A time that nothing here waits for, ns.
LONGEST_NS = 1e9


def defect_section(cases: Sequence[dict[str, Any]]) -> str:
    """Return the section of the cases with levels of a defect; nothing where there is none."""
    tables = "".join(_table(case, case["defect"]) for case in cases if "defect" in case)
    return f'<section id="defect"><h2>Through the defect</h2>{tables}</section>' if tables else ""


def _table(case: dict[str, Any], defect: dict[str, Any]) -> str:
    """Rates of one case."""
    rows = [
        (f"{row['process']}, {row['from']} to {row['to']}", row["time_ns"]) for row in defect["processes"]
    ]
    rows += [("recombination, all ways", defect["lifetime_ns"]), ("the level left out", defect["direct_ns"])]
    if defect["pristine_ns"] is not None:
        rows.append(("pristine cell", defect["pristine_ns"]))
    body = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{time_or_never(found['value'])}</td><td>{interval_text(found)}</td></tr>"
        for name, found in rows
    )
    channel = f", spin {defect['spin']}" if defect["spin"] else ""
    share = defect["share_through_level"]["value"]
    through = "" if share is None else f"; {100 * share:.1f} % recombine through the level"
    return (
        f'<div class="scroll"><table class="errors"><caption>{html.escape(case["material"])}: '
        f"{html.escape(defect['carrier'])} with the level of a defect{channel}, mean times "
        f"by the rates of pairs{through}</caption>{body}</table></div>\n"
    )


def time_or_never(value: float | None) -> str:
    """Say a mean time, ns."""
    if value is None:
        return "never"
    return "longer than 1 s" if value > LONGEST_NS else time_text(value)


def interval_text(found: dict[str, float | None]) -> str:
    """Say the interval of a mean time, ns."""
    low, high = found["low"], found["high"]
    return "no interval" if low is None or high is None else f"{time_or_never(low)} to {time_or_never(high)}"
