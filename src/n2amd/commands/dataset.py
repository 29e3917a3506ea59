"""`n2amd dataset`: DFT output to a checked data set; look at it, split it, export it."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Ingest DFT frames into a checked data set; check, describe, split, export it.", no_args_is_help=True
)


class DftCode(StrEnum):
    """Codes with a reader."""

    honpas = "honpas"
    siesta = "siesta"
    openmx = "openmx"
    cp2k = "cp2k"
    abacus = "abacus"
    deeph = "deeph"
    pyscf = "pyscf"


class SplitSection(StrEnum):
    """Sections of the configuration that hold out frames; equal fractions and seeds give equal splits."""

    hamiltonian = "hamiltonian"
    forcefield = "forcefield"


Dataset = Annotated[Path, typer.Argument(help="Data set file (dataset.h5).")]


@app.command()
def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Frame folders, or folders of frame folders.")],
    code: Annotated[DftCode, typer.Option(help="DFT code that wrote the files.")],
    out: Annotated[Path, typer.Option(help="Data set file to write.")],
    consecutive: Annotated[bool, typer.Option(help="The frames follow each other in time.")] = False,
    timestep_fs: Annotated[
        float, typer.Option(min=1e-3, max=10, help="Time between consecutive frames, fs.")
    ] = 1.0,
    functional: Annotated[
        str | None, typer.Option(help="Label of the functional; default: the input files'.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the gate's figures here (JSON).")] = None,
    skip_bad: Annotated[
        bool, typer.Option(help="Drop frames that fail instead of refusing the whole.")
    ] = False,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Worker processes; default: one for each free core.")
    ] = None,
) -> None:
    """Read DFT frames, pass each through the gate, and write them as one data set."""
    from n2amd.commands.progress import frame_progress
    from n2amd.dataset.ingest import ingest as run
    from n2amd.storage import single_writer, write_json

    with single_writer(out), frame_progress("ingesting") as progress:
        result = run(
            paths,
            out,
            code=code.value,
            functional=functional,
            timestep_fs=timestep_fs if consecutive else None,
            skip_bad=skip_bad,
            jobs=jobs or available_cores(),
            progress=progress,
        )
    for _, reason in result.refused:
        typer.echo(f"warning: dropped: {reason}", err=True)
    _print_figures(_ranges(result.figures))
    if json is not None:
        frames = [{"name": name, **figures} for name, figures in zip(result.frames, result.figures)]
        refused = [{"name": name, "reason": reason} for name, reason in result.refused]
        write_json(json, {"dataset": str(out), "frames": frames, "refused": refused}, inputs=[out])
    typer.echo(f"{out}: {len(result.frames)} frames")


@app.command()
def check(path: Dataset) -> None:
    """Pass the frames of a data set through the gate again, from what the file holds."""
    from n2amd.commands.progress import frame_progress
    from n2amd.dataset.gate import measure, verdict
    from n2amd.dataset.store import n_frames, read_basis, read_frames

    basis, total = read_basis(path), n_frames(path)
    figures = []
    with frame_progress("checking") as progress:
        for done, frame in enumerate(read_frames(path), 1):
            measured = measure(frame, basis)
            verdict(frame, measured)
            figures.append(measured)
            progress(done, total)
    _print_figures(_ranges(figures))
    typer.echo(f"{path}: ok ({total} frames)")


@app.command()
def info(path: Dataset) -> None:
    """Describe a data set: frames, basis, energies, gaps, ranges of H and S."""
    from rich.console import Console
    from rich.table import Table

    from n2amd.dataset.statistics import describe

    table = Table(title=str(path), show_header=False)
    for name, value in describe(path).items():
        table.add_row(name, value)
    Console().print(table)


@app.command()
def split(
    path: Dataset,
    settings: Annotated[
        str | None, typer.Option(help="Section settings: inline JSON or a YAML file.")
    ] = None,
    section: Annotated[
        SplitSection, typer.Option(help="Which section the settings are of.")
    ] = SplitSection.hamiltonian,
    out: Annotated[Path | None, typer.Option(help="JSON file; default: standard output.")] = None,
) -> None:
    """Write the frame indices for training, validation and test."""
    import json

    from n2amd.config import load_section
    from n2amd.dataset.split import split_indices
    from n2amd.dataset.store import n_frames
    from n2amd.storage import write_json

    chosen = load_section(section.value, settings)
    parts = split_indices(n_frames(path), chosen.validation_fraction, chosen.test_fraction, chosen.seed)
    document = {
        "train": parts.train.tolist(),
        "validation": parts.validation.tolist(),
        "test": parts.test.tolist(),
        "seed": chosen.seed,
    }
    if out is None:
        typer.echo(json.dumps(document))
    else:
        write_json(out, document, config=chosen, inputs=[path])


@app.command()
def export(path: Dataset, out: Annotated[Path, typer.Option(help="Extended XYZ file to write.")]) -> None:
    """Write geometries, energies, forces and stresses as extended XYZ."""
    from n2amd.dataset.store import read_frames
    from n2amd.interop.extxyz import write_extxyz

    typer.echo(f"{out}: {write_extxyz(out, read_frames(path))} frames")


def available_cores() -> int:
    """Cores this process may use, divided by the threads that OMP_NUM_THREADS already claims for each."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    claimed = os.environ.get("OMP_NUM_THREADS", "1").split(",")[0]
    return max(1, cores // int(claimed)) if claimed.isdigit() and int(claimed) else cores


def _ranges(figures: list[dict[str, float]]) -> dict[str, tuple[float, float]]:
    """Smallest and largest value of every figure."""
    names = {name: None for row in figures for name in row}
    values = {name: [row[name] for row in figures if name in row] for name in names}
    return {name: (min(found), max(found)) for name, found in values.items()}


def _print_figures(ranges: dict[str, tuple[float, float]]) -> None:
    from rich.console import Console
    from rich.table import Table

    from n2amd.dataset.gate import CHECKS

    table = Table("check", "smallest", "largest", "must be", "unit", title="ingestion gate")
    for entry in CHECKS:
        if entry.name in ranges:
            low, high = ranges[entry.name]
            table.add_row(entry.name, f"{low:.3g}", f"{high:.3g}", entry.bounds, entry.unit)
    Console().print(table)
