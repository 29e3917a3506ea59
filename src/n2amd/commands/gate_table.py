"""The figures of the ingestion gate as tables: their ranges, a row a frame, and its warnings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

#: Width of tables that go to a file.
LOG_WIDTH = 150
#: Sets up to this size get a row a frame.
FEW_FRAMES = 60
#: Figures in the row of a frame.
COLUMNS = (
    "bond_ratio",
    "hermiticity_error",
    "overlap_growth",
    "two_centre_residual",
    "overlap_error",
    "uncovered_pairs",
    "overlap_min_eigenvalue",
    "overlap_condition",
    "eigenvalue_error",
)


def print_gate(
    names: Sequence[str], figures: Mapping[str, NDArray[np.float64]], per_frame: bool | None
) -> None:
    """Print the ranges of the figures and, if asked for or the set is small, those of every frame.

    Parameters
    ----------
    names
        Names of the frames.
    figures
        Values (n_frames,) by check name, NaN where a frame has none.
    per_frame
        Whether to print a row a frame; None: if there are few.
    """
    from rich.console import Console
    from rich.table import Table

    from n2amd.frames.checks import BY_NAME, CHECKS

    console = Console()
    if not console.is_terminal:
        console = Console(width=LOG_WIDTH)
    if per_frame or (per_frame is None and len(names) <= FEW_FRAMES):
        columns = [name for name in COLUMNS if name in figures]
        units = [f" ({BY_NAME[name].unit})" if BY_NAME[name].unit else "" for name in columns]
        headings = [name.replace("_", " ") + unit for name, unit in zip(columns, units)]
        table = Table("frame", *headings, title="ingestion gate, frame by frame")
        for row, name in enumerate(names):
            values = [figures[column][row] for column in columns]
            table.add_row(name, *("" if np.isnan(value) else f"{value:.3g}" for value in values))
        console.print(table)
    table = Table("check", "smallest", "largest", "frame", "must be", "unit", title="ingestion gate")
    for check in CHECKS:
        found = figures.get(check.name)
        if found is None or np.isnan(found).all():
            continue
        # the frame nearest to the limit
        worst = np.nanargmin(found) if check.high == np.inf else np.nanargmax(found)
        table.add_row(
            check.name,
            f"{np.nanmin(found):.3g}",
            f"{np.nanmax(found):.3g}",
            names[int(worst)],
            check.bounds,
            check.unit,
        )
    console.print(table)


def print_warnings(warnings: Sequence[tuple[str, Mapping[str, str]]]) -> None:
    """Print one line a check on standard error: how many frames it concerns, and what it says of the first.

    Parameters
    ----------
    warnings
        Names of frames, and what is unusual about each or could not be checked, by check name.
    """
    import typer

    grouped: dict[str, list[tuple[str, str]]] = {}
    for name, sentences in warnings:
        for check, sentence in sentences.items():
            grouped.setdefault(check, []).append((name, sentence))
    for (first, sentence), *others in grouped.values():
        more = f" (and {len(others)} frames more)" if others else ""
        typer.echo(f"warning: frame {first}{more}: {sentence}", err=True)


def write_gate(
    json: Path,
    path: Path,
    names: Sequence[str],
    figures: Mapping[str, NDArray[np.float64]],
    refused: Sequence[tuple[str, str]],
    warnings: Sequence[tuple[str, Mapping[str, str]]],
) -> None:
    """Write the figures of every frame, the frames that were dropped and the warnings as JSON."""
    from math import isnan

    from ase.data import chemical_symbols

    from n2amd.dataset.store import read_basis
    from n2amd.storage import write_json

    columns = {name: values.tolist() for name, values in figures.items()}
    frames = [
        {"name": name} | {check: found[row] for check, found in columns.items() if not isnan(found[row])}
        for row, name in enumerate(names)
    ]
    reasons = [{"name": name, "reason": reason} for name, reason in refused]
    doubts = [{"name": name, **sentences} for name, sentences in warnings]
    basis = read_basis(path)
    orbitals = {chemical_symbols[z]: basis[z].n_orbitals for z in basis.numbers}
    document = {
        "dataset": str(path),
        "orbitals": orbitals,
        "frames": frames,
        "refused": reasons,
        "warnings": doubts,
    }
    write_json(json, document, inputs=[path])
