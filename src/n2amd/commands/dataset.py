"""`n2amd dataset`: DFT output to a checked data set; look at it, split it, export it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from n2amd.commands.dataset_rebuild import rebuild
from n2amd.commands.mesh_option import GridCellSamplingOption

app = typer.Typer(
    help="Ingest DFT frames into a checked data set; check, describe, split, merge, export it.",
    no_args_is_help=True,
)
app.command()(rebuild)


class DftCode(StrEnum):
    """Codes with a reader."""

    honpas = "honpas"
    siesta = "siesta"
    openmx = "openmx"
    cp2k = "cp2k"
    abacus = "abacus"
    deeph = "deeph"
    pyscf = "pyscf"


class NearDuplicates(StrEnum):
    """What to do with copies of frames."""

    refuse = "refuse"
    skip = "skip"


class ExportFormat(StrEnum):
    """What a data set can be written as."""

    extxyz = "extxyz"
    deeph = "deeph"


class SplitSection(StrEnum):
    """Sections of the configuration that hold out frames; equal fractions and seeds give equal splits."""

    hamiltonian = "hamiltonian"
    forcefield = "forcefield"


Dataset = Annotated[Path, typer.Argument(help="Data set file (dataset.h5).")]
GateJson = Annotated[Path | None, typer.Option(help="Write the gate's figures of every frame here (JSON).")]
PerFrame = Annotated[
    bool | None,
    typer.Option("--per-frame/--summary", help="One row per frame, or ranges only; default: by size."),
]


@app.command()
def ingest(
    paths: Annotated[
        list[str], typer.Argument(help="Frame folders, folders of them, archives, or patterns ('set_*').")
    ],
    code: Annotated[DftCode, typer.Option(help="DFT code that wrote the files.")],
    out: Annotated[Path, typer.Option(help="Data set file to write.")],
    consecutive: Annotated[bool, typer.Option(help="The frames follow each other in time.")] = False,
    timestep_fs: Annotated[
        float, typer.Option(min=1e-3, max=10, help="Time between consecutive frames, fs.")
    ] = 1.0,
    functional: Annotated[
        str | None, typer.Option(help="Label of the functional; default: the input files'.")
    ] = None,
    expect: Annotated[
        Path | None,
        typer.Option(help="Structures that were to be computed (extended XYZ); say which are missing."),
    ] = None,
    json: GateJson = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            help="Leave out frames of this name or pattern (frame_0012, 'md_*_1?'); may be repeated."
        ),
    ] = None,
    near_duplicates: Annotated[
        NearDuplicates, typer.Option(help="Refuse a geometry that is there twice, or skip near-copies.")
    ] = NearDuplicates.refuse,
    skip_bad: Annotated[
        bool, typer.Option(help="Drop frames that fail instead of refusing the whole.")
    ] = False,
    without_bands: Annotated[
        bool, typer.Option("--without-bands", help="Accept frames whose code left no eigenvalues.")
    ] = False,
    electrons: Annotated[
        float | None,
        typer.Option(min=0, help="Electrons in the cell, where the files do not say (DeepH folders)."),
    ] = None,
    grid_cell_sampling: GridCellSamplingOption = 1,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Worker processes; default: one for each free core.")
    ] = None,
    per_frame: PerFrame = None,
) -> None:
    """Read DFT frames, pass each through the gate, and write them as one data set.

    The same command goes on where a killed one stopped.
    """
    from n2amd.commands.progress import frame_progress
    from n2amd.dataset.expected import require_all, require_results
    from n2amd.ingestion.ingest import ingest as run
    from n2amd.interop.extxyz import read_structures
    from n2amd.storage import single_writer

    places = _expanded(paths)
    wanted = read_structures(expect) if expect else []
    if expect:
        require_results(places, len(wanted), expect, code.value)
    with single_writer(out), frame_progress("ingesting", target=out) as progress:
        result = run(
            places,
            out,
            code=code.value,
            functional=functional,
            timestep_fs=timestep_fs if consecutive else None,
            exclude=exclude or (),
            near_duplicates=near_duplicates.value,
            skip_bad=skip_bad,
            without_bands=without_bands,
            n_electrons=electrons,
            grid_cell_sampling=grid_cell_sampling,
            jobs=jobs or available_cores(),
            progress=progress,
        )
        if expect:
            require_all(out, wanted, expect, places)
    for _, reason in result.refused:
        typer.echo(f"warning: dropped: {reason}", err=True)
    _report_gate(out, json, result.refused, result.warnings, per_frame)
    typer.echo(f"{out}: {result.n_frames} frames")


@app.command()
def check(path: Dataset, json: GateJson = None, per_frame: PerFrame = None) -> None:
    """Pass the frames of a data set through the gate again, from what the file holds."""
    from n2amd.commands.gate_table import print_gate, print_warnings, write_gate
    from n2amd.commands.progress import frame_progress
    from n2amd.dataset.check import check_dataset

    with frame_progress("checking") as progress:
        names, figures, warnings = check_dataset(path, progress=progress)
    print_gate(names, figures, per_frame)
    print_warnings(warnings)
    if json is not None:
        write_gate(json, path, names, figures, [], warnings)
    typer.echo(f"{path}: ok ({len(names)} frames)")


@app.command()
def suits(
    path: Dataset,
    structure: Annotated[Path, typer.Option(help="Unit cell that supercells are built of.")],
    out: Annotated[Path, typer.Option(help="Mark to write (JSON).")],
    supercells: Annotated[str, typer.Option(help="Supercells, e.g. 1x1x1,2x2x2.")] = "1x1x1",
    states_settings: Annotated[
        str | None, typer.Option(help="Settings of `states`: inline JSON or a YAML file.")
    ] = None,
    hamiltonian_settings: Annotated[
        str | None, typer.Option(help="Settings of `hamiltonian`: inline JSON or a YAML file.")
    ] = None,
    forcefield_settings: Annotated[
        str | None, typer.Option(help="Settings of `forcefield`, where it is trained on these data.")
    ] = None,
    fits_overlap: Annotated[
        bool, typer.Option("--fits-overlap", help="Radial functions are recovered from overlaps.")
    ] = False,
    band_path: Annotated[str | None, typer.Option("--path", help="Special points, e.g. G-X-M-G.")] = None,
) -> None:
    """Refuse a data set that some stage of a job would refuse, before anything is trained on it."""
    from n2amd.config.section import parse_supercell
    from n2amd.config.sections import load_section
    from n2amd.dataset.store import read_structures
    from n2amd.ingestion.offer import offer_of_dataset
    from n2amd.interop.structures import read_structure
    from n2amd.network.target_cells import judge_target, training_cells
    from n2amd.preflight.suitability import Demands, check_suits
    from n2amd.storage import write_json

    demands = Demands(
        read_structure(structure),
        supercells.split(","),
        load_section("states", states_settings),
        load_section("hamiltonian", hamiltonian_settings),
        load_section("forcefield", forcefield_settings) if forcefield_settings else None,
        fits_overlap,
        band_path.split("-") if band_path else (),
    )
    check_suits(offer_of_dataset(path), demands)
    cells = training_cells(read_structures(path), demands.hamiltonian)
    for name in demands.supercells:
        target = demands.structure.supercell(parse_supercell(name))
        for finding in judge_target(name, target, cells, demands.structure.n_atoms):
            typer.echo(f"warning: {path}: {finding}", err=True)
    write_json(out, {"dataset": str(path), "suits": True}, inputs=[path, structure])
    typer.echo(f"{path}: suits the job")


@app.command()
def info(
    path: Dataset,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Describe a data set: frames, basis, energies, gaps, ranges of H and S."""
    from json import dumps

    from rich.console import Console
    from rich.table import Table

    from n2amd.dataset.statistics import describe

    entries = describe(path)
    if json:
        typer.echo(dumps(entries, indent=2))
        return
    table = Table(title=str(path), show_header=False)
    for name, value in entries.items():
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

    from n2amd.config.sections import load_section
    from n2amd.dataset.split import split_frames
    from n2amd.dataset.store import read_structures
    from n2amd.storage import write_json

    chosen = load_section(section.value, settings)
    parts = split_frames(read_structures(path), chosen.validation_fraction, chosen.test_fraction, chosen.seed)
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
def merge(
    paths: Annotated[list[Path], typer.Argument(help="Data sets of one code, functional and basis.")],
    out: Annotated[Path, typer.Option(help="Data set file to write.")],
) -> None:
    """Write the frames of several data sets into one; refuse what does not belong together."""
    from n2amd.commands.progress import frame_progress
    from n2amd.dataset.merge import merge as run

    with frame_progress("merging", target=out) as progress:
        count = run(paths, out, progress=progress)
    typer.echo(f"{out}: {count} frames")


@app.command()
def export(
    path: Dataset,
    out: Annotated[Path, typer.Option(help="Extended XYZ file, or folder of DeepH folders, to write.")],
    format: Annotated[ExportFormat, typer.Option(help="What to write.")] = ExportFormat.extxyz,
) -> None:
    """Write geometries, energies, forces and stresses as extended XYZ, or matrices as DeepH folders."""
    from n2amd.dataset.store import read_basis, read_frames

    if format is ExportFormat.deeph:
        from n2amd.interop.deeph import write_deeph

        count = write_deeph(out, read_frames(path), read_basis(path))
    else:
        from n2amd.interop.extxyz import write_extxyz

        count = write_extxyz(out, read_frames(path))
    typer.echo(f"{out}: {count} frames")


@app.command()
def rotations(
    path: Dataset,
    tolerance_ev: Annotated[
        float, typer.Option(min=0, help="Largest element of H(Rx) - D H D^T that passes, eV.")
    ] = 5e-4,
) -> None:
    """Check that frames which are rotations of the first have rotated matrices: orbital order and signs."""
    from rich.console import Console
    from rich.table import Table

    from n2amd.dataset.rotations import compare
    from n2amd.dataset.store import read_basis, read_frames
    from n2amd.errors import InputError

    basis, frames = read_basis(path), read_frames(path)
    first = next(iter(frames))
    results = [compare(first, frame, basis) for frame in read_frames(path)][1:]
    if not results:
        raise InputError(
            "one frame only",
            file=path,
            field="frames",
            remedy="ingest several runs of one geometry, turned",
        )
    table = Table(title=f"frames of {path} against the rotated {first.name}")
    for column in ("frame", "rotation (degrees)", "H (eV)", "S", "blocks", "not in both"):
        table.add_column(column)
    for found in results:
        table.add_row(
            found.name,
            f"{found.angle:.1f}",
            f"{found.hamiltonian_error:.2e}",
            f"{found.overlap_error:.2e}",
            str(found.compared),
            str(found.alone),
        )
    Console().print(table)
    worst = max(results, key=lambda found: found.hamiltonian_error)
    if worst.hamiltonian_error > tolerance_ev:
        raise InputError(
            f"H is {worst.hamiltonian_error:.3g} eV from the rotated one, must be at most {tolerance_ev:g}",
            file=path,
            frame=worst.name,
            field="hamiltonian",
            remedy="look for orbital order and signs in the converter; a real-space grid alone leaves meV",
        )
    typer.echo(f"{path}: ok ({len(results) + 1} orientations)")


def _expanded(paths: Sequence[str]) -> list[Path]:
    """Replace patterns by what they match."""
    from n2amd.errors import InputError
    from n2amd.paths import expand_patterns

    try:
        return expand_patterns(paths)
    except ValueError as error:
        problem, _, remedy = str(error).partition("; ")
        raise InputError(problem, field="paths", remedy=remedy) from None


def available_cores() -> int:
    """Cores this process may use, divided by the threads that OMP_NUM_THREADS already claims for each."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    claimed = os.environ.get("OMP_NUM_THREADS", "1").split(",")[0]
    return max(1, cores // int(claimed)) if claimed.isdigit() and int(claimed) else cores


def _report_gate(
    path: Path,
    json: Path | None,
    refused: Sequence[tuple[str, str]],
    warnings: Sequence[tuple[str, Mapping[str, str]]],
    per_frame: bool | None,
) -> None:
    """Print the figures stored with a data set and the warnings; write them as JSON where asked for."""
    from n2amd.commands.gate_table import print_gate, print_warnings, write_gate
    from n2amd.dataset.store import read_gate, read_names

    names, figures = read_names(path), read_gate(path)
    print_gate(names, figures, per_frame)
    print_warnings(warnings)
    if json is not None:
        write_gate(json, path, names, figures, refused, warnings)
