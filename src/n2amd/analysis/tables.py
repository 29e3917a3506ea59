"""The tables of a paper: functionals side by side, supercells one below the other; CSV, Markdown and HTML."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from n2amd.storage import atomic_path

Case = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes
    ----------
    name
        File name without ending.
    title
        What it shows.
    header, rows
        Cells.
    """

    name: str
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def csv(self) -> str:
        """Return it as comma-separated values."""
        stream = io.StringIO()
        csv.writer(stream, lineterminator="\n").writerows([self.header, *self.rows])
        return stream.getvalue()

    def markdown(self) -> str:
        """Return it as Markdown, numbers to the right."""
        cells = [self.header, *self.rows]
        widths = [max(len(row[column]) for row in cells) for column in range(len(self.header))]
        lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths)) + " |" for row in cells]
        lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
        return "\n".join([f"**{self.title}**", "", *lines, ""])

    def html(self) -> str:
        """Return it as an HTML table."""
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in self.header)
        body = "\n".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in self.rows
        )
        title = html.escape(self.title)
        return f"<table>\n<caption>{title}</caption>\n<tr>{head}</tr>\n{body}\n</table>\n"


def number(value: float | None, digits: int = 3) -> str:
    """Write a number to so many significant digits, without an exponent up to a million; - if unknown."""
    if value is None:
        return "-"
    text = f"{value:.{digits}g}"
    return f"{float(text):.0f}" if "e" in text and 1 <= abs(value) < 1e6 else text


def time_unit(time_ns: float) -> tuple[float, str]:
    """Choose the unit that suits a time, with its number to the ns: (1e-3, "µs"), (1, "ns"), .."""
    for factor, unit in ((1e-9, "s"), (1e-6, "ms"), (1e-3, "µs"), (1.0, "ns"), (1e3, "ps")):
        if time_ns * factor >= 1:
            return factor, unit
    return 1e6, "fs"


def time_text(time_ns: float) -> str:
    """Write a time in the unit that suits it."""
    factor, unit = time_unit(time_ns)
    return f"{number(time_ns * factor)} {unit}"


def with_interval(interval: dict[str, float | None]) -> str:
    """Write a value and what it lies between."""
    value, low, high = (number(interval[key]) for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def between(interval: dict[str, float | None]) -> str:
    """Write two bounds."""
    return f"{number(interval['low'])} to {number(interval['high'])}"


#: Rows of the functionals' table and columns of the supercells': heading, and how it is read from a case.
QUANTITIES: tuple[tuple[str, Callable[[Case], str]], ...] = (
    ("Gap (eV)", lambda case: f"{case['gap_mean_eV']:.2f}"),
    (
        "Dephasing (fs)",
        lambda case: with_interval({"value": case["dephasing_time_fs"], **case["dephasing_interval_fs"]}),
    ),
    ("NAC rms (meV)", lambda case: number(case["nac_rms_meV"])),
    ("Lifetime (ns)", lambda case: with_interval(case["lifetime_ns"])),
    ("Lifetime over τ ± 1 fs (ns)", lambda case: between(case["tau_band_ns"])),
    ("Trajectory", lambda case: case["length"]["judgement"]),
    ("Estimate τ(gap/NAC)²/2 (ns)", lambda case: number(case["estimate_ns"])),
    ("Verdict", lambda case: case["trust"]["level"]),
)


def functionals_table(cases: list[Case]) -> Table:
    """Return the layout of the paper's Table 1: a column a functional, for every material and supercell.

    Parameters
    ----------
    cases
        Cases of the summary.
    """
    functionals = tuple(dict.fromkeys(case["functional"] for case in cases))
    places = dict.fromkeys((case["material"], case["supercell"]) for case in cases)
    found = {(case["material"], case["supercell"], case["functional"]): case for case in cases}
    rows = []
    for material, supercell in places:
        for heading, show in QUANTITIES:
            here = [found.get((material, supercell, functional)) for functional in functionals]
            rows.append(
                (material, supercell, heading, *("-" if case is None else show(case) for case in here))
            )
    return Table(
        "functionals",
        "Functionals: gap, pure-dephasing time, coupling and lifetime",
        ("Material", "Supercell", "Quantity", *functionals),
        tuple(rows),
    )


def supercells_table(cases: list[Case]) -> Table:
    """Return the layout of the paper's Table 2: a row a supercell, for every material and functional.

    Parameters
    ----------
    cases
        Cases of the summary.
    """
    groups = dict.fromkeys((case["material"], case["functional"]) for case in cases)
    rows = [
        (
            *(case[key] for key in ("material", "functional", "supercell")),
            str(case["n_atoms"]),
            *(show(case) for _, show in QUANTITIES),
        )
        for group in groups
        for case in sorted(cases, key=lambda case: case["n_atoms"])
        if (case["material"], case["functional"]) == group
    ]
    return Table(
        "supercells",
        "Supercells: averaged gap, pure-dephasing time, coupling and lifetime",
        ("Material", "Functional", "Supercell", "Atoms", *(heading for heading, _ in QUANTITIES)),
        tuple(rows),
    )


def scaling_table(laws: list[dict[str, Any]]) -> Table:
    """Return the exponents of coupling and lifetime in the number of atoms.

    Parameters
    ----------
    laws
        Of `n2amd.analysis.scaling.scaling_laws`.
    """
    return Table(
        "scaling",
        "Finite-size scaling: value = prefactor × atoms ^ exponent",
        ("Material", "Functional", "Atoms", "Quantity", "Exponent", "Error", "Prefactor", "Weighted", "χ²/ν"),
        tuple(
            (
                *(law["material"], law["functional"], ", ".join(map(str, law["n_atoms"])), heading),
                *(f"{law[key]['exponent']:.2f}", f"{law[key]['error']:.2f}", number(law[key]["prefactor"])),
                *("yes" if law[key]["weighted"] else "no", number(law[key]["chi2_reduced"], 2)),
            )
            for law in laws
            for heading, key in (("NAC rms (meV)", "nac_rms_meV"), ("Lifetime (ns)", "lifetime_ns"))
        ),
    )


_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>n2amd: tables</title><style>
body {{ font-family: sans-serif; font-size: 14px; color: #222; margin: 1.5em; }}
table {{ border-collapse: collapse; margin-bottom: 2em; }}
caption {{ text-align: left; font-weight: bold; padding-bottom: 0.5em; }}
th, td {{ border-bottom: 1px solid #ccc; padding: 0.3em 0.9em; text-align: left; white-space: nowrap; }}
th {{ border-bottom: 2px solid #222; }}
</style></head><body>
{tables}</body></html>
"""


def write_tables(folder: Path, summary: dict[str, Any]) -> list[Path]:
    """Write all tables as CSV and Markdown, and together as tables.html; return the files.

    Parameters
    ----------
    folder
        To write into.
    summary
        Content of `summary.json`.
    """
    cases = summary["cases"]
    tables = [functionals_table(cases), supercells_table(cases), scaling_table(summary["scaling"])]
    texts = {f"{table.name}.csv": table.csv() for table in tables}
    texts |= {f"{table.name}.md": table.markdown() for table in tables}
    told = [
        (case["material"], case["functional"], case["supercell"], said)
        for case in cases
        for said in case.get("warnings", [])
    ]
    header = ("Material", "Functional", "Supercell", "Warning")
    tables.append(Table("warnings", "What the model was not trained for", header, tuple(told)))
    missing = summary.get("withheld", [])
    keys = ("material", "functional", "supercell", "stage", "reason")
    columns = ("Material", "Functional", "Supercell", "Failed at", "Reason")
    rows = tuple(tuple(str(case[key]) for key in keys) for case in missing)
    tables.append(Table("withheld", "Cases that are not finished", columns, rows))
    # an empty table says nothing on a page
    texts["tables.html"] = _PAGE.format(tables="".join(table.html() for table in tables if table.rows))
    for name, text in texts.items():
        with atomic_path(folder / name) as part:
            part.write_text(text, encoding="utf-8")
    return [folder / name for name in texts]
