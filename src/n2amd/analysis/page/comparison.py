"""Several cases beside each other: lifetimes on one scale, functionals, supercells, and their verdicts."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

from n2amd.analysis.page.answer import badge, checks_table, verdict_box
from n2amd.analysis.page.captions import SCALING
from n2amd.analysis.page.gallery import Figure, figure_html
from n2amd.analysis.page.intervals import axis_of, interval_row
from n2amd.analysis.spoken import label
from n2amd.analysis.tables import functionals_table, number, scaling_table, time_text, with_interval

Case = dict[str, Any]

_HEADINGS = (
    *("Material", "Functional", "Supercell", "Atoms", "Gap (eV)", "Dephasing (fs)", "NAC rms (meV)"),
    "Lifetime (ns)",
)


def comparison_section(results: Path, summary: dict[str, Any]) -> str:
    """Return the section that compares the cases, or nothing where there is one only.

    Parameters
    ----------
    results
        Folder of the results, for the figure of the scaling.
    summary
        Content of `summary.json`.
    """
    cases = summary["cases"]
    if len(cases) < 2:
        return ""
    parts = [_all_cases(cases)]
    scaling = results / "figures" / "scaling.svg"
    if scaling.is_file():
        figure = Figure("", SCALING, f"{len(cases)} cases", scaling)
        parts.append(f'<div class="figures">{figure_html(figure, 1)}</div>')
    tables = [functionals_table(cases)] if len({case["functional"] for case in cases}) > 1 else []
    tables += [scaling_table(summary["scaling"])] if summary["scaling"] else []
    parts += [f'<div class="scroll">{table.html()}</div>' for table in tables]
    parts.append(_reasons(cases[1:]))
    return f'<section id="comparison"><h2>Comparison of {len(cases)} cases</h2>{"".join(parts)}</section>'


def _all_cases(cases: list[Case]) -> str:
    axis = axis_of(cases)
    ends = [time_text(10.0**power) for power in (axis.first, axis.last)]
    head = "".join(f"<th>{heading}</th>" for heading in _HEADINGS)
    rows = "".join(
        f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in _cells(case))}"
        f"<td>{interval_row(case, axis)}</td><td>{badge(case)}</td></tr>"
        for case in cases
    )
    return (
        '<div class="scroll"><table class="cases"><caption>All cases: averaged gap, pure-dephasing time, rms '
        f"coupling, lifetime with its interval</caption><tr>{head}<th class='scale'><span>{ends[0]}</span>"
        f"<span>{ends[1]}</span></th><th>Verdict</th></tr>{rows}</table></div>"
    )


def _cells(case: Case) -> tuple[str, ...]:
    return (
        *(case[key] for key in ("material", "functional", "supercell")),
        str(case["n_atoms"]),
        f"{case['gap_mean_eV']:.2f}",
        number(case["dephasing_time_fs"]),
        number(case["nac_rms_meV"]),
        with_interval(case["lifetime_ns"]),
    )


def _reasons(cases: list[Case]) -> str:
    """Return the verdicts of all cases but the first, whose verdict the page opens on."""
    parts = [
        f"<details><summary>{html.escape(label(case))} {badge(case)}</summary>"
        f"{verdict_box(case)}{checks_table(case)}</details>"
        for case in cases
    ]
    return f"<h3>Why to believe the other cases, or not</h3>{''.join(parts)}"
