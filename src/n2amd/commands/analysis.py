"""`n2amd analysis`: dephasing, lifetimes, figures, and the summary of all cases."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from n2amd.commands import rates, spectra

app = typer.Typer(help="Dephasing, lifetimes with error bars, figures, summary.", no_args_is_help=True)

Settings = Annotated[
    str | None, typer.Option("--settings", help='Section "analysis": inline "{...}" or a YAML file.')
]
Couplings = Annotated[Path, typer.Option("--couplings", help="couplings.h5.")]


class What(StrEnum):
    """Figures, each from the file of one stage."""

    forcefield_energy = "forcefield-energy"
    forcefield_force = "forcefield-force"
    hamiltonian = "hamiltonian"
    doubt = "doubt"
    bands = "bands"
    dos = "dos"
    nac_parity = "nac-parity"
    population_parity = "population-parity"
    gap_and_coupling = "gap-and-coupling"
    dephasing = "dephasing"
    spectral_density = "spectral-density"
    phonons = "phonons"
    character = "character"
    defect = "defect"
    populations = "populations"
    lifetime_tau = "lifetime-tau"
    scaling = "scaling"


@app.command()
def dephasing(
    couplings: Couplings,
    out: Annotated[Path, typer.Option(help="dephasing.json to write.")],
    settings: Settings = None,
) -> None:
    """Pure-dephasing time of the band edges by every definition, and of every pair of states."""
    from n2amd.analysis.dephasing import dephasing_report
    from n2amd.config.sections import load_section
    from n2amd.storage import write_json

    section = load_section("analysis", settings)
    report = dephasing_report(couplings, section.confidence)
    write_json(out, report, config=section, inputs=[couplings])
    typer.echo(f"pure dephasing (the gap fluctuates by {1000 * report['gap_std_eV']:.0f} meV):")
    for row in report["definitions"]:
        found = "      none" if row["time_fs"] is None else f"{row['time_fs']:7.1f} fs"
        typer.echo(f"{found}  {row['meaning']}{' (used)' if row['used'] else ''}")
    typer.echo(report["verdict"])


@app.command()
def lifetime(
    couplings: Couplings,
    dephasing: Annotated[Path, typer.Option(help="dephasing.json.")],
    out: Annotated[Path, typer.Option(help="lifetime.json to write.")],
    dynamics: Annotated[
        list[Path] | None, typer.Option(help="Populations; more may follow without the flag.")
    ] = None,
    more: Annotated[list[Path] | None, typer.Argument(metavar="[FILE]...", help="More populations.")] = None,
    settings: Settings = None,
    scissor: Annotated[
        str | None, typer.Option(help="Scissor of the dynamics, as JSON or a YAML file.")
    ] = None,
    scheme: Annotated[
        str | None, typer.Option(help="local_diabatic or hst; default: that of the populations.")
    ] = None,
    substeps: Annotated[
        int | None, typer.Option(min=1, help="Electronic steps of hst; default: those of the populations.")
    ] = None,
) -> None:
    """Exact DISH lifetime with error bars, fits of the populations, and whether they are long enough."""
    from n2amd.analysis.dephasing import read_times
    from n2amd.analysis.documents import without_nan
    from n2amd.analysis.lifetime import Resampling
    from n2amd.analysis.populations import read_run
    from n2amd.analysis.report import lifetime_report
    from n2amd.config.dynamics import DynamicsSettings
    from n2amd.config.sections import load_section
    from n2amd.errors import InputError
    from n2amd.seals import require_made_from
    from n2amd.storage import write_json

    section = load_section("analysis", settings)
    files = [*(dynamics or []), *(more or [])]
    for path in (dephasing, *files):
        require_made_from(path, couplings)
    tau, definitions = read_times(dephasing)
    runs = [read_run(path) for path in files]
    defaults = DynamicsSettings()
    if scheme not in (None, "local_diabatic", "hst"):
        raise InputError(
            f"unknown scheme {scheme!r}", field="--scheme", remedy="choose local_diabatic or hst"
        )
    document = lifetime_report(
        couplings,
        tau,
        runs,
        Resampling(section.block_fs, section.bootstrap, section.confidence, section.seed),
        load_section("scissor", scissor) if scissor else None,
        definitions,
        scheme or (runs[0].scheme if runs else defaults.scheme),  # type: ignore[arg-type]
        substeps or (runs[0].substeps if runs else defaults.substeps),
        section.model_doubt,
    )
    write_json(out, without_nan(document), config=section, inputs=[couplings, dephasing, *files])
    typer.echo(document["verdict"])


@app.command()
def decay(
    files: Annotated[list[Path], typer.Argument(help="Populations (.h5), or SHPROP.* of Hefei-NAMD.")],
    trajectories: Annotated[
        int | None, typer.Option(min=1, help="Trajectories behind each SHPROP, to judge its statistics.")
    ] = None,
    carrier: Annotated[
        str, typer.Option(help="SHPROP: electron (decays to the first band) or hole.")
    ] = "electron",
    settings: Settings = None,
) -> None:
    """Say how much of a population has decayed, its lifetime by two fits, and whether the run was enough."""
    from n2amd.analysis.lifetime import Resampling
    from n2amd.analysis.populations import Survival, analyse_decay, read_run
    from n2amd.config.sections import load_section
    from n2amd.errors import InputError
    from n2amd.interop.hefei import read_shprop

    section = load_section("analysis", settings)
    resampling = Resampling(section.block_fs, section.bootstrap, section.confidence, section.seed)
    if carrier not in ("electron", "hole"):
        raise InputError(f"unknown carrier {carrier!r}", field="--carrier", remedy="choose electron or hole")
    own = [file for file in files if file.suffix in (".h5", ".hdf5")]
    for file in own:
        run = read_run(file)
        survival = Survival(run.time, run.survival, run.trajectories)
        typer.echo(f"{file}: {analyse_decay(survival, resampling)}")
    if others := [file for file in files if file not in own]:
        final = 0 if carrier == "electron" else -1
        tables = [read_shprop(file) for file in others]
        survival = Survival.joined([(time, 1 - p[:, final]) for time, _, p in tables], others, trajectories)
        typer.echo(f"{len(others)} SHPROP files: {analyse_decay(survival, resampling)}")


@app.command()
def populations(
    file: Annotated[Path, typer.Argument(help="Populations (.h5).")],
    out: Annotated[Path, typer.Option(help="CSV to write.")],
    project: Annotated[
        spectra.Project | None, typer.Option(help="Sum up by this instead of by state; needs --couplings.")
    ] = None,
    couplings: Annotated[
        Path | None, typer.Option(help="couplings.h5 the run was made from, with weights.")
    ] = None,
    settings: Settings = None,
) -> None:
    """Write the populations of a run by state, or of a pair by the bands of its electron and its hole."""
    from n2amd.analysis.populations import read_run, table
    from n2amd.storage import atomic_path

    run = read_run(file) if project is None else spectra.projected(file, project, couplings, settings)
    with atomic_path(out) as part:
        part.write_text(table(run), encoding="utf-8")
    typer.echo(f"{out}: {len(run.time)} times of {', '.join(run.names)}")


@app.command()
def figures(
    inputs: Annotated[list[Path], typer.Argument(help="Input files of this figure.")],
    what: Annotated[What, typer.Option(help="Which figure.")],
    out: Annotated[Path, typer.Option(help="Figure to write: .svg, .png or .pdf.")],
) -> None:
    """Draw one figure.

    Inputs: forcefield-*: forcefield.json; hamiltonian, doubt (one or more): hamiltonian.json;
    bands: bands.json; dos: dos.json; nac-parity, population-parity: nac_parity.json;
    gap-and-coupling: couplings.h5; dephasing: dephasing.json; spectral-density: spectrum.json;
    phonons: phonons.json; character: character.json; defect: rates.json; populations: populations (.h5) and
    optionally lifetime.json; lifetime-tau: lifetime.json; scaling: summary.json.
    """
    from n2amd.analysis.figures.draw import draw

    draw(what.value, inputs, out)
    typer.echo(str(out))


@app.command()
def case(
    couplings: Couplings,
    trajectory: Annotated[Path, typer.Option(help="trajectory.h5.")],
    dephasing: Annotated[Path, typer.Option(help="dephasing.json.")],
    lifetime: Annotated[Path, typer.Option(help="lifetime.json.")],
    functional: Annotated[str, typer.Option(help='Label, e.g. "pbe" or "pbe+scissor".')],
    out: Annotated[Path, typer.Option(help="case.json to write.")],
    material: Annotated[str | None, typer.Option(help="Label; default: the trajectory's.")] = None,
    supercell: Annotated[str | None, typer.Option(help="Label; default: the trajectory's.")] = None,
    forcefield: Annotated[Path | None, typer.Option(help="forcefield.json.")] = None,
    hamiltonian: Annotated[Path | None, typer.Option(help="hamiltonian.json.")] = None,
    nac_parity: Annotated[Path | None, typer.Option(help="nac_parity.json.")] = None,
    rates: Annotated[Path | None, typer.Option(help="rates.json of levels of a defect.")] = None,
    spin_flips: Annotated[Path | None, typer.Option(help="spin_flips.json of spin states.")] = None,
    dataset: Annotated[list[Path] | None, typer.Option(help="dataset.h5; may be repeated.")] = None,
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE]...", help="More HDF5 files of the case: states shards, populations, data sets."
        ),
    ] = None,
) -> None:
    """Gather one case: a material, functional and supercell with errors, results, seeds and CPU time."""
    from n2amd.analysis.case import CaseFiles, build_case
    from n2amd.storage import write_json

    gathered = CaseFiles(
        hdf5=(trajectory, couplings, *(dataset or []), *(files or [])),
        dephasing=dephasing,
        lifetime=lifetime,
        forcefield=forcefield,
        hamiltonian=hamiltonian,
        nac_parity=nac_parity,
        rates=rates,
        spin_flips=spin_flips,
    )
    document = build_case(gathered, functional=functional, material=material, supercell=supercell)
    document["warnings"] = _cell_warnings(hamiltonian, trajectory)
    document["states"] = _soundness(gathered.by_stage.get("states", []))
    write_json(out, document)
    label = " ".join(document[key] for key in ("material", "functional", "supercell"))
    life = document["lifetime_ns"]
    typer.echo(
        f"{label}: gap {document['gap_mean_eV']:.3f} eV, dephasing {document['dephasing_time_fs']:.1f} fs, "
        f"NAC {document['nac_rms_meV']:.3g} meV, "
        f"lifetime {life['value']:.3g} ns"
    )


def _cell_warnings(hamiltonian: Path | None, trajectory: Path) -> list[str]:
    """Say how far the cell lies beyond the training cells of the model, where its report tells them."""
    from n2amd.analysis.documents import read_report
    from n2amd.network.cells import TrainingCells
    from n2amd.network.target_cells import judge_trajectory
    from n2amd.trajectory.slice import read_cell

    stored = None if hamiltonian is None else read_report(hamiltonian).get("training_cells")
    if stored is None:
        return []
    cells = TrainingCells.from_document({"groups": stored, "geometries": []})
    return [str(finding) for finding in judge_trajectory(*read_cell(trajectory), cells)]


def _soundness(shards: list[Path]) -> dict[str, int] | None:
    """Count the frames with false states and those beyond the training data, where there are shards."""
    from n2amd.states.soundness import soundness
    from n2amd.states.store import read_shard

    return soundness(map(read_shard, shards)) if shards else None


@app.command()
def summary(
    case: Annotated[list[Path], typer.Option(help="case.json; the first is the headline; more may follow.")],
    out: Annotated[Path, typer.Option(help="summary.json to write.")],
    more: Annotated[list[Path] | None, typer.Argument(metavar="[CASE]...", help="More cases.")] = None,
    table: Annotated[Path | None, typer.Option(help="CSV to write; a Parquet file goes beside it.")] = None,
    tables: Annotated[
        Path | None, typer.Option(help="Folder for the tables by functional and by supercell.")
    ] = None,
    withheld: Annotated[
        Path | None, typer.Option(help="Cases that failed, as the workflow names them (JSON).")
    ] = None,
) -> None:
    """Gather all cases, print them as a table and write it."""
    from rich.console import Console

    from n2amd.analysis.documents import read_report
    from n2amd.analysis.summary import build_summary, printed_table, write_flat_table
    from n2amd.analysis.tables import write_tables
    from n2amd.analysis.withheld import read_withheld
    from n2amd.storage import write_json

    missing = read_withheld(withheld) if withheld is not None else []
    document = build_summary([read_report(path) for path in [*case, *(more or [])]], missing)
    write_json(out, document)
    if table is not None:
        write_flat_table(document["cases"], table)
    if tables is not None:
        write_tables(tables, document)
    for one in document["cases"]:
        for said in one.get("warnings", []):
            typer.echo(f"warning: {one['material']} {one['functional']}: {said}", err=True)
    console = Console()
    # a log file has no width of its own
    wide = console if console.is_terminal else Console(width=200)
    wide.print(printed_table(document["cases"]))


@app.command()
def verdict(
    summary: Annotated[Path, typer.Argument(help="summary.json.")],
    most: Annotated[int, typer.Option(min=1, help="Cases whose reasons are told; the others by level.")] = 4,
) -> None:
    """Say the lifetime of each case, whether to believe it, and why not."""
    from n2amd.analysis.documents import read_report
    from n2amd.analysis.shapes import SUMMARY, conforming
    from n2amd.analysis.spoken import answer

    typer.echo(answer(conforming(read_report(summary), SUMMARY), most))


@app.command()
def report(
    results: Annotated[Path, typer.Argument(help="Folder of results, with summary.json and the figures.")],
    out: Annotated[
        Path | None, typer.Option(help="Page to write; default: report.html in the folder.")
    ] = None,
    graph: Annotated[
        Path | None, typer.Option(help="Rules as `snakemake --rulegraph dot` writes them, to be drawn last.")
    ] = None,
) -> None:
    """Write one page with the answer, every figure and how it was made; it needs no network."""
    from n2amd.analysis.page.document import write_page

    page = out or results / "report.html"
    left_out = write_page(results, page, graph)
    typer.echo(f"report: {page}")
    if left_out:
        typer.echo(f"note: {left_out} figures were left out to keep the page small; they are in {results}")


app.command()(rates.rates)
app.command()(rates.spin_flips)
# where the states live and what moves them
app.command()(spectra.spectrum)
app.command()(spectra.character)
