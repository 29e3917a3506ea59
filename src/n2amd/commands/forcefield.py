"""`n2amd forcefield`: train Allegro on a data set, judge it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(help="Train and judge the Allegro force field.", no_args_is_help=True)

Dataset = Annotated[Path, typer.Option("--dataset", help="Data set (dataset.h5).")]
FurtherFrames = Annotated[
    list[Path] | None,
    typer.Option(help="Extended XYZ file of further frames with energy and forces; may be repeated."),
]

Trust = Annotated[
    bool, typer.Option("--trust", help="Load the force field though it was not made here; its code runs.")
]


@app.command()
def train(
    dataset: Dataset,
    out: Annotated[Path, typer.Option(help="Force field to write (forcefield.model).")],
    report: Annotated[Path, typer.Option(help="Report of the held-out frames (forcefield.json).")],
    workdir: Annotated[Path, typer.Option(help="Folder of checkpoints; a killed run resumes from it.")],
    settings: Annotated[
        str | None, typer.Option(help="Section `forcefield`: inline JSON or a YAML file.")
    ] = None,
    frames: FurtherFrames = None,
    judge_on: Annotated[
        list[Path] | None,
        typer.Option(help="Extended XYZ file of frames that only the report uses; may be repeated."),
    ] = None,
) -> None:
    """Train through nequip's own command line, package or compile, and evaluate on the held-out frames."""
    from n2amd.config.sections import load_section
    from n2amd.forcefield.evaluation import evaluate as judge
    from n2amd.forcefield.evaluation import evaluate_files
    from n2amd.forcefield.training import train as train_forcefield
    from n2amd.progress import told_to_workflow
    from n2amd.storage import single_writer, write_json
    from n2amd.versions import versions

    chosen = load_section("forcefield", settings)
    with single_writer(out):
        with told_to_workflow("training the force field", "epochs", out) as tell:
            facts, parts = train_forcefield(dataset, chosen, out, workdir, frames or [], tell)
        errors = judge(out, parts.test, facts["device"])
        further = evaluate_files(out, judge_on or [], facts["device"])
    document = {
        "model": out.name,
        **facts,
        **errors,
        "further_test": further,
        "settings": chosen.model_dump(mode="json"),
        "seed": chosen.seed,
        "versions": versions(),
    }
    write_json(report, document, config=chosen, inputs=[dataset, *(frames or []), *(judge_on or [])])
    _show("held-out", errors["test"])
    for found in further:
        _show(found["file"], found)


@app.command()
def evaluate(
    forcefield: Annotated[Path, typer.Option(help="Force field (forcefield.model).")],
    out: Annotated[Path, typer.Option(help="Report to write (JSON).")],
    dataset: Annotated[Path | None, typer.Option(help="Data set (dataset.h5), every frame of it.")] = None,
    frames: FurtherFrames = None,
    trust: Trust = False,
) -> None:
    """Compare a force field with DFT frames: of a data set, of extended XYZ files, or of both."""
    from n2amd.dataset.store import n_frames
    from n2amd.errors import InputError
    from n2amd.forcefield.evaluation import evaluate as judge
    from n2amd.forcefield.evaluation import evaluate_files
    from n2amd.forcefield.frames import read_labelled
    from n2amd.interop.extxyz import Labelled, read_labelled_frames
    from n2amd.storage import write_json

    known: list[Labelled] = [*read_labelled(dataset, range(n_frames(dataset)))] if dataset else []
    known += [frame for file in frames or [] for frame in read_labelled_frames(file)]
    if not known:
        raise InputError("no frames to judge on", field="frames", remedy="pass --dataset or --frames")
    _accept(forcefield, trust)
    errors = judge(forcefield, known)
    files = evaluate_files(forcefield, frames or [])
    inputs = [forcefield, *([dataset] if dataset else []), *(frames or [])]
    write_json(out, {**errors, "files": files}, inputs=inputs)
    _show("all", errors["test"])
    for found in files:
        _show(found["file"], found)


@app.command()
def phonons(
    forcefield: Annotated[Path, typer.Option(help="Force field (forcefield.model).")],
    structure: Annotated[Path, typer.Option(help="Ideal unit cell, any format ASE reads.")],
    supercell: Annotated[str, typer.Option(help="Repeats of the cell that the frames have, e.g. 2x2x2.")],
    out: Annotated[Path, typer.Option(help="Report to write (JSON).")],
    frames: Annotated[
        list[Path] | None,
        typer.Option(help="Extended XYZ file of DFT frames; those of the supercell count. May be repeated."),
    ] = None,
    trajectory: Annotated[
        Path | None, typer.Option(help="Trajectory (trajectory.h5) whose density of states is compared.")
    ] = None,
    trust: Trust = False,
) -> None:
    """Compare phonons: harmonic fits to DFT's forces and to the force field's, on the same frames."""
    from n2amd.config.section import parse_supercell
    from n2amd.errors import InputError
    from n2amd.forcefield.phonons import compare_phonons, frames_of
    from n2amd.interop.extxyz import read_labelled_frames
    from n2amd.interop.structures import read_structure
    from n2amd.storage import write_json

    _accept(forcefield, trust)
    ideal = read_structure(structure).supercell(parse_supercell(supercell))
    known = frames_of(ideal, [frame for file in frames or [] for frame in read_labelled_frames(file)])
    if not known and trajectory is None:
        raise InputError(
            "nothing to compare", field="frames", remedy=f"pass DFT frames of {supercell}, or a trajectory"
        )
    found: dict[str, Any] = {"n_frames": 0, "dft_cm": [], "model_cm": []}
    try:
        if known:
            found = compare_phonons(forcefield, known, ideal)
        else:
            typer.echo(f"no DFT frame of {supercell}: the trajectory alone")
    except InputError as error:
        # frames were too few for a fit: what the trajectory says stands by itself
        if error.field != "frames" or trajectory is None:
            raise
        typer.echo(f"not compared with DFT: {error.problem}; {error.remedy}")
        known, found["not_compared"] = [], error.problem
    if known:
        typer.echo(
            f"{found['n_frames']} frames, {len(found['dft_cm'])} modes: rms difference from DFT "
            f"{found['rms_difference_cm']:.1f} cm^-1, mean {found['mean_difference_cm']:+.1f}, largest "
            f"{found['largest_difference_cm']:.1f}"
        )
    if trajectory is not None:
        found["trajectory"] = _densities(trajectory, found)
        if known:
            typer.echo(
                f"trajectory: {100 * found['trajectory']['overlap']:.1f} % of its density of states is DFT's "
                f"harmonic one (resolution {found['trajectory']['resolution_cm']:.0f} cm^-1)"
            )
    inputs = [forcefield, structure, *(frames or []), *([trajectory] if trajectory else [])]
    write_json(out, found, inputs=inputs)


@app.command()
def trust(
    forcefield: Annotated[Path, typer.Argument(help="Force field (forcefield.model) from elsewhere.")],
) -> None:
    """Let a force field from elsewhere be loaded from now on: it holds code, so know whom it is from."""
    from n2amd.forcefield.calculator import file_kind
    from n2amd.trust import remember

    kind = file_kind(forcefield)
    remember(forcefield)
    typer.echo(f"{forcefield}: {kind} model, trusted as it is now")


def _accept(forcefield: Path, trusted: bool) -> None:
    from n2amd.trust import accept

    if trusted:
        accept(forcefield)


def _densities(trajectory: Path, modes: Mapping[str, Any]) -> dict[str, Any]:
    """Density of states of a trajectory and, at its resolution, those of DFT's and the model's modes."""
    from n2amd.analysis.phonon_spectrum import density_of_modes, overlap_of_densities, vibrational_density
    from n2amd.trajectory.file import read_trajectory

    read = read_trajectory(trajectory)
    masses = read.structure.to_ase().get_masses()
    grid, density, resolution = vibrational_density(read.frames.velocities, masses, read.timestep_fs)
    found = {"wave_number_cm": grid, "density": density, "resolution_cm": resolution}
    if not len(modes["dft_cm"]):
        return found
    harmonic = {name: density_of_modes(modes[f"{name}_cm"], grid, resolution) for name in ("dft", "model")}
    return {
        **found,
        "harmonic_dft_density": harmonic["dft"],
        "harmonic_model_density": harmonic["model"],
        "overlap": overlap_of_densities(density, harmonic["dft"], grid),
    }


def _show(what: str, test: dict[str, Any]) -> None:
    typer.echo(
        f"{what}: {test['n_frames']} frames: energy MAE {test['energy_mae_meV_per_atom']:.2f} meV/atom, "
        f"force MAE {test['force_mae_meV_per_A']:.1f} meV/A (rms force {test['force_rms_dft_meV_per_A']:.0f})"
    )
