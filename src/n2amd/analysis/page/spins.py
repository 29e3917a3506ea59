"""Rates at which spins flip, on the report's page."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from n2amd.analysis.page.defect import interval_text, time_or_never


def spins_section(cases: Sequence[dict[str, Any]]) -> str:
    """Return the section of the cases with spin states; nothing where there is none."""
    tables = "".join(_table(case, case["spin_flips"]) for case in cases if "spin_flips" in case)
    return f'<section id="spins"><h2>Spins that flip</h2>{tables}</section>' if tables else ""


def _table(case: dict[str, Any], flips: dict[str, Any]) -> str:
    rows = [
        (
            f"{row['process']}{', spin flip' if row['flips'] else ''}, {row['from']} to {row['to']}",
            row["time_ns"],
        )
        for row in flips["processes"]
    ]
    rows += [("spin lifetime", flips["spin_lifetime_ns"]), ("recombination", flips["recombination_ns"])]
    body = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{time_or_never(found['value'])}</td>"
        f"<td>{interval_text(found)}</td></tr>"
        for name, found in rows
    )
    return (
        f'<div class="scroll"><table class="errors"><caption>{html.escape(case["material"])}: '
        f"{html.escape(flips['carrier'])} among spin states, mean times by the rates of pairs</caption>{body}"
        "</table></div>\n"
    )
