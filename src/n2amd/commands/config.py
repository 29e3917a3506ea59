"""`n2amd config`: check and show a configuration, print its schema and its page of documentation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from n2amd.config import Config

app = typer.Typer(
    help="Check and show a configuration; print its schema and documentation.", no_args_is_help=True
)

Files = Annotated[
    list[Path], typer.Argument(help="Configuration file (YAML), and files whose keys are laid over it.")
]
Out = Annotated[Path | None, typer.Option(help="Write here instead of standard output.")]


@app.command()
def check(
    files: Files,
    frames: Annotated[
        bool, typer.Option("--frames/--no-frames", help="Read a DFT frame of each functional, too.")
    ] = True,
) -> None:
    """Check a configuration, every input file it names, and whether the DFT data suit the whole job."""
    from n2amd.config import load
    from n2amd.errors import InputError

    config = load(*files)
    for name, material in config.materials.items():
        named = [("structure", material.structure)]
        for label, source in material.functionals.items():
            named += [(f"functionals.{label}.paths", p) for p in source.paths]
            for field in ("trajectory_paths", "density_paths", "forcefield_paths", "forcefield_test_paths"):
                named += [(f"functionals.{label}.{field}", p) for p in getattr(source, field)]
            if source.engine is not None and source.structures.file is not None:
                named.append((f"functionals.{label}.structures.file", source.structures.file))
        for field, file in named:
            if not file.exists():
                raise InputError(
                    f"{file} does not exist",
                    file=files[-1],
                    field=f"materials.{name}.{field}",
                    remedy="give a path relative to the folder the workflow is started in",
                )
        for label, source in material.functionals.items():
            _check_rounds(config, name, label)
            if frames and source.engine is None:
                try:
                    _check_data(config, name, label)
                except InputError as error:
                    error.args = (f"materials.{name}.functionals.{label}: {error}",)
                    raise
            if frames:
                for said in _cell_warnings(config, name, label):
                    typer.echo(f"warning: materials.{name}.functionals.{label}: {said}", err=True)
    count = [
        f"{n} {noun}" + "s" * (n > 1)
        for n, noun in ((len(config.materials), "material"), (len(config.supercells), "supercell"))
    ]
    typer.echo(f"{', '.join(map(str, files))}: ok ({', '.join(count)})")


def _check_data(config: Config, name: str, label: str) -> None:
    """Hold the DFT frames of one functional against all that the job will ask of them."""
    from n2amd.dataset.offer import offer_of_frames
    from n2amd.errors import InputError
    from n2amd.interop.structures import read_structure
    from n2amd.states.suitability import Demands, check_suits

    material = config.materials[name]
    source = material.functionals[label]
    structure = read_structure(material.structure)
    elements = {int(z) for z in structure.numbers}
    offer = offer_of_frames(source.paths, source.written_by, source.electrons, elements)
    trains = label == material.trajectory_functional
    demands = Demands(
        structure,
        config.supercells,
        config.section("states", name),
        config.section("hamiltonian", name),
        config.section("forcefield", name) if trains else None,
        source.fits_overlap,
        source.band_path,
    )
    check_suits(offer, demands)
    if source.trajectory_paths:
        consecutive = offer_of_frames(source.trajectory_paths, source.written_by, source.electrons, ())
        if consecutive.n_frames < 2:
            raise InputError(
                "one frame holds no interval, so there are no couplings to compare",
                field="trajectory_paths",
                remedy="give at least two consecutive frames, or leave it out",
            )


def _check_rounds(config: Config, name: str, label: str) -> None:
    """Refuse rounds of active learning that a hybrid functional leaves without doubt or without labels."""
    from n2amd.baseline.schemes import HYBRIDS
    from n2amd.errors import InputError

    source = config.materials[name].functionals[label]
    if not source.active_learning.rounds or label.lower() not in HYBRIDS:
        return
    place = f"materials.{name}.functionals.{label}.active_learning"
    if config.section("hamiltonian", name).model == "auto":
        raise InputError(
            f"{label} is learned by a network of atom pairs, which has no doubt to choose frames by",
            field=place,
            remedy="set hamiltonian.model to density+pair for this material, or rounds to 0",
        )
    if source.labelled_by == "scf":
        raise InputError(
            f"the self-consistent cycle has no exact exchange, which {label} needs",
            field=f"{place}.label_by",
            remedy="set it to folder and compute the frames with the code itself",
        )


def _cell_warnings(config: Config, name: str, label: str) -> list[str]:
    """Say which supercells of the job lie beyond what the model of one functional will be trained on."""
    from n2amd.config import parse_supercell
    from n2amd.dataset.offer import structures_of_frames
    from n2amd.interop.extxyz import read_structures
    from n2amd.interop.structures import read_structure
    from n2amd.network.stored_densities import read_density_structures
    from n2amd.network.target_cells import (
        cells_to_come,
        judge_target,
        training_cells,
        with_frames_to_come,
    )

    material = config.materials[name]
    source, settings = material.functionals[label], config.section("hamiltonian", name)
    unit = read_structure(material.structure)
    if source.engine is None:
        further = [s for path in source.density_paths for s in read_density_structures(path)]
        frames = structures_of_frames(source.paths, source.written_by, source.electrons)
        cells = training_cells(frames, settings, further)
    elif source.structures.file is not None:
        cells = training_cells(read_structures(source.structures.file), settings)
    else:
        made = unit.supercell(parse_supercell(source.structures.supercell))
        cells = cells_to_come(made, source.structures.frames, settings)
    loop = source.active_learning
    if loop.rounds:
        chosen_from = unit.supercell(parse_supercell(loop.supercell or config.supercells[0]))
        cells = with_frames_to_come(cells, chosen_from, loop.rounds * loop.frames, settings)
    targets = {text: unit.supercell(parse_supercell(text)) for text in config.supercells}
    return [
        str(finding)
        for text, target in targets.items()
        for finding in judge_target(text, target, cells, unit.n_atoms)
    ]


@app.command()
def show(
    files: Files,
    field: Annotated[str | None, typer.Option(help="One entry, e.g. results or dynamics.seeds.")] = None,
) -> None:
    """Print the whole configuration, defaults filled in, or one entry of it."""
    import yaml

    from n2amd.config import load
    from n2amd.errors import InputError

    value = load(*files).model_dump(mode="json")
    for key in field.split(".") if field else []:
        if not isinstance(value, dict) or key not in value:
            raise InputError(
                "there is no such entry", field=field, remedy="see `n2amd config show` without --field"
            )
        value = value[key]
    typer.echo(value if isinstance(value, str) else yaml.safe_dump(value, sort_keys=False).rstrip())


@app.command()
def schema(out: Out = None) -> None:
    """Print the JSON schema of the configuration, generated from the models."""
    from n2amd.config import Config

    _write(json.dumps(Config.model_json_schema(), indent=2, sort_keys=True) + "\n", out)


@app.command()
def docs(out: Out = None) -> None:
    """Print docs/configuration.md: every option with its default and meaning, generated from the models."""
    from n2amd.config_reference import render

    _write(render(), out)


def _write(text: str, out: Path | None) -> None:
    if out is None:
        typer.echo(text, nl=False)
    else:
        out.write_text(text)
