"""The page as a whole: the answer, the comparison, figures in the order of the stages, how it was made."""

from __future__ import annotations

import html
from importlib import resources
from pathlib import Path
from typing import Any

from n2amd.analysis.documents import read_report
from n2amd.analysis.page.answer import answer_section
from n2amd.analysis.page.comparison import comparison_section
from n2amd.analysis.page.defect import defect_section
from n2amd.analysis.page.gallery import anchor, figures_of, stage_sections, within_limit
from n2amd.analysis.page.rule_graph import draw_graph, read_graph
from n2amd.analysis.page.spins import spins_section
from n2amd.analysis.shapes import SUMMARY, conforming
from n2amd.analysis.spoken import label
from n2amd.analysis.tables import number
from n2amd.analysis.withheld import sentences
from n2amd.storage import atomic_path

#: The browser itself refuses whatever is not in the file.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}</style></head><body>
<nav>{links}</nav>
<main>
{sections}
</main></body></html>
"""


def write_page(results: Path, out: Path, graph: Path | None = None) -> int:
    """Write the page.

    Parameters
    ----------
    results
        Folder of the results, with `summary.json` and the figures.
    out
        Page to write.
    graph
        Rules as `snakemake --rulegraph dot` writes them.

    Returns
    -------
    int
        How many figures were left out, because the page would have become too large.

    Raises
    ------
    InputError
        If the summary, a figure or the graph is missing or of another kind.
    """
    summary = conforming(read_report(results / "summary.json"), SUMMARY)
    drawn = None if graph is None else draw_graph(read_graph(graph))
    found = figures_of(results, summary["cases"])
    kept = within_limit(found)
    text = page(summary, results, drawn, kept, len(found) - len(kept))
    with atomic_path(out) as part:
        part.write_text(text, encoding="utf-8")
    return len(found) - len(kept)


def page(summary: dict[str, Any], results: Path, graph: str | None, figures: list[Any], left_out: int) -> str:
    """Return the page.

    Parameters
    ----------
    summary
        Content of `summary.json`.
    results
        Folder of the results.
    graph
        Drawing of the rules.
    figures
        Of `figures_of`.
    left_out
        How many figures there are besides.
    """
    case = summary["cases"][0]
    scaling = (results / "figures" / "scaling.svg").is_file() and len(summary["cases"]) > 1
    sections = [
        answer_section(case),
        defect_section(summary["cases"]),
        spins_section(summary["cases"]),
        comparison_section(results, summary),
        _withheld(summary),
        stage_sections(figures, 2 if scaling else 1),
        f'<p class="note">{left_out} more figures are in {html.escape(str(results))}.</p>'
        if left_out
        else "",
        _making(summary),
        ""
        if graph is None
        else f'<section id="rules"><h2>What was computed from what</h2><div class="scroll">{graph}</div>'
        "<p>Rules of the workflow from top to bottom; those that draw figures are left out.</p></section>",
    ]
    stages = dict.fromkeys(figure.stage for figure in figures)
    links = [("answer", "Answer")]
    links += [("defect", "Through the defect")] if sections[1] else []
    links += [("spins", "Spins that flip")] if sections[2] else []
    links += [("comparison", "Comparison")] if sections[3] else []
    links += [("withheld", "Not finished")] if sections[4] else []
    links += [(anchor(stage), stage) for stage in stages]
    links += [("making", "How it was made")] + ([("rules", "Rules")] if graph else [])
    return _PAGE.format(
        policy=_POLICY,
        title=html.escape(f"{label(case)}: carrier lifetime"),
        style=resources.files("n2amd.analysis.page").joinpath("page.css").read_text(encoding="utf-8"),
        links="".join(f'<a href="#{name}">{html.escape(text)}</a>' for name, text in links),
        sections="\n".join(filter(None, sections)),
    )


def _withheld(summary: dict[str, Any]) -> str:
    """Cases of the job that are not among the results, with what stopped them."""
    told = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences(summary))
    return f'<section id="withheld"><h2>Not finished</h2><ul>{told}</ul></section>' if told else ""


def _making(summary: dict[str, Any]) -> str:
    """CPU time of each stage, seeds, versions, and how the first lifetime was computed."""
    case = summary["cases"][0]
    seconds = case.get("cpu_seconds") or {}
    rows = "".join(
        f"<tr><th>{html.escape(stage)}</th><td>{number(value)}</td></tr>"
        for stage, value in seconds.items()
        if isinstance(value, int | float)
    )
    seeds = ", ".join(f"{stage} {seed}" for stage, seed in (case.get("seeds") or {}).items())
    seeds = seeds.replace("[", "").replace("]", "")
    versions = ", ".join(f"{name} {version}" for name, version in (summary.get("versions") or {}).items())
    made = summary.get("provenance") or {}
    lines = [
        ("Lifetime", case["verdict"]),
        ("Method", case["lifetime_ns"]["method"]),
        ("Seeds", seeds),
        ("Versions", versions),
        ("Made", " ".join(str(made[key]) for key in ("created_by", "created_at") if key in made)),
        ("Hash of all cases", str(summary.get("cases_sha256", ""))),
    ]
    told = "".join(f"<tr><th>{name}</th><td>{html.escape(text)}</td></tr>" for name, text in lines if text)
    return (
        '<section id="making"><h2>How it was made</h2><div class="columns">'
        f'<div class="scroll"><table class="made">{told}</table></div>'
        f'<div class="scroll"><table class="cpu"><caption>CPU seconds of {html.escape(label(case))}</caption>'
        f"{rows}</table></div></div></section>"
    )
