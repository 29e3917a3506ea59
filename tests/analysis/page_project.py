"""A folder of results with figures, as a job leaves it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from n2amd.analysis.summary import build_summary
from n2amd.storage import write_json

DEFAULT_JOB = Path(__file__).resolve().parents[1] / "data" / "default-job"
Case = dict[str, Any]
FIGURES = {
    "TiO2/pbe": (
        *("forcefield-energy", "forcefield-force", "hamiltonian", "bands", "nac-parity", "population-parity"),
    ),
    "TiO2/2x2x2": ("phonons",),
    "TiO2/2x2x2/pbe": (
        *("gap-and-coupling", "spectral-density", "character", "dephasing", "populations", "lifetime-tau"),
    ),
    "TiO2/2x2x2/pbe+experiment": ("populations", "lifetime-tau"),
}
#: As `snakemake --rulegraph dot` writes it.
DOT = """digraph snakemake_dag {
    graph[bgcolor=white, margin=0];
    node[shape=box, style=rounded, fontname=sans, fontsize=10, penwidth=2];
	0[label = "all", color = "0.02 0.6 0.85", style="rounded"];
	1[label = "summary", color = "0.61 0.6 0.85", style="rounded"];
	2[label = "case", color = "0.06 0.6 0.85", style="rounded"];
	3[label = "ingest_dataset", color = "0.41 0.6 0.85", style="rounded"];
	4[label = "solve_states", color = "0.62 0.6 0.85", style="rounded"];
	5[label = "draw_bands", color = "0.36 0.6 0.85", style="rounded"];
	1 -> 0
	5 -> 0
	2 -> 1
	3 -> 5
	3 -> 2
	4 -> 2
	3 -> 4
}
"""


def default_cases() -> list[Case]:
    names = ("pbe", "pbe+experiment")
    return [json.loads((DEFAULT_JOB / f"case-{name}.json").read_text()) for name in names]


def sizes_of(case: Case) -> list[Case]:
    """The same case in three sizes, its coupling falling with them."""
    made = []
    for supercell, atoms in (("2x2x2", 48), ("3x3x4", 216), ("4x4x6", 576)):
        one = copy.deepcopy(case)
        factor = 48 / atoms
        one |= {"supercell": supercell, "n_atoms": atoms, "nac_rms_meV": factor * case["nac_rms_meV"]}
        for key in ("value", "low", "high"):
            one["lifetime_ns"][key] /= factor
        made.append(one)
    return made


def svg(width: float, text: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} 200">'
        f'<rect width="{width:g}" height="200" fill="#eef"/><text x="20" y="100">{text}</text></svg>'
    )


def write_results(folder: Path, cases: list[Case], figures: dict[str, tuple[str, ...]] = FIGURES) -> Path:
    """Write summary.json, and a figure under each name."""
    write_json(folder / "summary.json", build_summary(cases))
    for place, names in figures.items():
        for name in names:
            file = folder / place / "figures" / f"{name}.svg"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(svg(475 if name not in ("bands", "lifetime-tau") else 250, f"{place} {name}"))
    return folder
