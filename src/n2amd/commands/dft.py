"""`n2amd dft`: run DFT on a list of structures."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from n2amd.commands.mesh_option import GridCellSamplingOption

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from n2amd.structure import Structure

app = typer.Typer(
    help="Compute structures: by CP2K or PySCF, or with what a data set knows of its DFT code.",
    no_args_is_help=True,
)


class EngineName(StrEnum):
    """Programs that can be run."""

    cp2k = "cp2k"
    pyscf = "pyscf"


@app.command()
def run(
    engine: Annotated[EngineName, typer.Option(help="DFT program.")],
    structures: Annotated[Path, typer.Option(help="Structures (extended XYZ).")],
    out: Annotated[Path, typer.Option(help="Folder of the frames, one folder each.")],
    settings: Annotated[
        str | None, typer.Option(help="Options of the engine: inline JSON or a YAML file.")
    ] = None,
    first: Annotated[int, typer.Option(min=0, help="Number of the first structure, from 0.")] = 0,
    last: Annotated[
        int | None, typer.Option(min=0, help="Number of the last structure; default: the last in the file.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Frames at a time, one thread each.")] = 1,
    json: Annotated[Path | None, typer.Option(help="Write what was computed here (JSON).")] = None,
) -> None:
    """Compute every structure that is not finished; a frame that fails does not stop the others."""
    from n2amd.commands.progress import frame_progress
    from n2amd.config.sections import load_section
    from n2amd.dft.engines.campaign import run_frames
    from n2amd.dft.engines.engine import engine_for
    from n2amd.errors import ComputationError, InputError
    from n2amd.interop.extxyz import read_structures
    from n2amd.storage import single_writer, write_json

    chosen = load_section(engine.value, settings)
    listed = read_structures(structures)
    stop = len(listed) if last is None else last + 1
    if not first < stop <= len(listed):
        raise InputError(
            f"frames {first} to {stop - 1} are asked for, the file holds 0 to {len(listed) - 1}",
            file=structures,
            field="first, last",
            remedy="ask for frames that are there",
        )
    wanted = [(number, listed[number]) for number in range(first, stop)]
    with single_writer(out / "frames"), frame_progress("computing", target=out / "frames") as progress:
        campaign = run_frames(engine_for(chosen), chosen, wanted, out, jobs=jobs, progress=progress)
    if campaign.failed:
        listing = "; ".join(f"{name}: {reason}" for name, reason in sorted(campaign.failed.items()))
        raise ComputationError(
            f"{out}: {len(campaign.failed)} of {len(wanted)} frames failed, the others are done: {listing}"
        )
    seconds = sum(campaign.finished.values())
    if json is not None:
        document = {"folder": str(out), "computed": campaign.finished, "reused": campaign.reused}
        write_json(json, document, config=chosen, inputs=[structures])
    typer.echo(
        f"{out}: {len(campaign.finished)} frames computed in {seconds:.0f} CPU s, "
        f"{len(campaign.reused)} were finished before"
    )


@app.command()
def scf(
    dataset: Annotated[
        Path,
        typer.Option(
            help="Data set whose orbitals, pseudopotentials, mesh, smearing and k spacing are taken."
        ),
    ],
    structures: Annotated[Path, typer.Option(help="Structures (extended XYZ).")],
    out: Annotated[Path, typer.Option(help="Data set to write.")],
    model: Annotated[
        Path | None,
        typer.Option(
            help="Network whose density the cycle starts from, a third fewer cycles, and whose fitted "
            "pseudopotentials are taken where the data set has none (hamiltonian.pt)."
        ),
    ] = None,
    k_spacing: Annotated[
        float | None,
        typer.Option(
            min=1e-3, help="Distance of k points, 1/Angstrom; default: that of the data set's frames."
        ),
    ] = None,
    tolerance: Annotated[
        float, typer.Option(min=1e-9, help="Largest change of an element of H in the last cycle, eV.")
    ] = 1e-4,
    grid_cell_sampling: GridCellSamplingOption = 1,
    jobs: Annotated[int, typer.Option(min=1, help="Frames at a time, one thread each.")] = 1,
) -> None:
    """Compute frames self-consistently as the code of a data set would, without the code: H, S and bands."""
    from functools import partial

    from n2amd.commands.progress import frame_progress
    from n2amd.ingestion.scf_frames import ScfCampaign, compute_frames, reference_spacing
    from n2amd.interop.extxyz import read_structures
    from n2amd.storage import single_writer

    spacing = reference_spacing(dataset) if k_spacing is None else k_spacing
    start = None if model is None else partial(_density_of, model)
    fitted = None if model is None else _ingredients_of(model)
    campaign = ScfCampaign(dataset, spacing, tolerance, start, fitted, grid_cell_sampling)
    listed = read_structures(structures)
    with single_writer(out), frame_progress("self-consistent", target=out) as progress:
        reused = compute_frames(campaign, listed, out, jobs=jobs, progress=progress)
    typer.echo(f"{out}: {len(listed)} frames, {reused} of them finished before")


def _density_of(model: Path) -> Callable[[Structure], NDArray[np.float64]]:
    """Density that a trained network adds to neutral atoms, as a function of the structure."""
    from n2amd.network.predict import load_predictor

    return load_predictor(model).density_on_mesh


def _ingredients_of(model: Path) -> str | None:
    """Ingredients of H0 that a model file holds, as JSON; None where it has no H0."""
    from n2amd.network.checkpoint import load_model

    zeroth = load_model(model)[0].zeroth
    return None if zeroth is None else zeroth.ingredients.to_json()
