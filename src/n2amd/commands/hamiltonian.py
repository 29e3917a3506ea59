"""`n2amd hamiltonian`: train the network, evaluate it on held-out frames, use it on any structure."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from n2amd.commands import model_bands, model_dos

if TYPE_CHECKING:
    from n2amd.structure import Structure

app = typer.Typer(
    help="Train and judge the Hamiltonian network, and use it: H, bands, densities of states.",
    no_args_is_help=True,
)

Dataset = Annotated[Path, typer.Option("--dataset", help="Data set (dataset.h5).")]
Model = Annotated[Path, typer.Option("--model", help="Trained network (hamiltonian.pt).")]


@app.command()
def train(
    dataset: Dataset,
    out: Annotated[Path, typer.Option(help="Model file to write.")],
    workdir: Annotated[Path, typer.Option(help="Folder of checkpoints; a killed run resumes from it.")],
    settings: Annotated[
        str | None, typer.Option(help="Section `hamiltonian`: inline JSON or a YAML file.")
    ] = None,
    overlap: Annotated[
        Path | None,
        typer.Option(help="Fit of the overlaps (overlap.json), where the data have no radial functions."),
    ] = None,
    densities: Annotated[
        Path | None,
        typer.Option(help="Further training frames of which only the densities are kept (densities.h5)."),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
) -> None:
    """Train the model: a density that H0 is made of, a network of atom pairs, or both.

    By several processes: `torchrun --nproc-per-node N -m n2amd.cli hamiltonian train ...`.
    """
    import time
    from contextlib import nullcontext

    import torch

    from n2amd.config.sections import load_section
    from n2amd.network.loop import History
    from n2amd.network.ranks import started_ranks
    from n2amd.network.training import train as train_network
    from n2amd.progress import told_to_workflow
    from n2amd.storage import single_writer

    torch.set_num_threads(threads)
    started = time.monotonic()

    def report(stage: str, history: History, total: int) -> None:
        scores = ", ".join(f"{name} {values[-1]:.4g}" for name, values in history.scores.items())
        print(
            f"{stage}: step {history.step[-1]}/{total}, loss {history.loss[-1]:.4g}, validation: {scores}, "
            f"{time.monotonic() - started:.0f} s",
            file=sys.stderr,
            flush=True,
        )
        tell(history.step[-1], total)

    with (
        started_ranks() as ranks,
        single_writer(out) if ranks.first else nullcontext(),
        told_to_workflow("training the Hamiltonian", "steps", out) as tell,
    ):
        chosen = load_section("hamiltonian", settings)
        told = report if ranks.first else lambda stage, history, total: None
        model = train_network(dataset, chosen, out, workdir, told, overlap, densities, ranks)
    if ranks.first:
        typer.echo(f"{out}: {model.kind}, {model.n_parameters} parameters")


@app.command()
def densities(
    dataset: Dataset,
    out: Annotated[Path, typer.Option(help="File to write (densities.h5).")],
    functions_of: Annotated[
        Path | None,
        typer.Option(help="Write densities in the functions of this file; default: chosen on the frames."),
    ] = None,
    without: Annotated[
        Path | None, typer.Option(help="Leave out the frames of this data set, which it holds already.")
    ] = None,
) -> None:
    """Keep frames as coefficients of their densities, 200 times smaller than H and S, to train on."""
    from n2amd.commands.progress import frame_progress
    from n2amd.network.density_files import densities_of
    from n2amd.storage import single_writer

    with single_writer(out), frame_progress("densities", target=out) as report:
        count = densities_of(dataset, out, functions_of, without, report)
    typer.echo(f"{out}: {count} frames")


@app.command()
def evaluate(
    dataset: Dataset,
    model: Model,
    out: Annotated[Path, typer.Option(help="Report to write (hamiltonian.json).")],
    on: Annotated[
        list[Path] | None,
        typer.Option(
            help="Data set to judge it on instead, e.g. of a larger cell; may be given several times. Frames "
            "that it was trained on are left out, wherever they are."
        ),
    ] = None,
    all_frames: Annotated[
        bool,
        typer.Option("--all-frames", help="Judge every frame of the data set, not only the held-out ones."),
    ] = False,
    figure: Annotated[
        Path | None,
        typer.Option(help="Draw errors of the edges against the model's doubt (.svg, .png or .pdf)."),
    ] = None,
) -> None:
    """Compare with DFT on frames held out of training: elements, band edges, states, cells, what is wrong."""
    import torch

    from n2amd.analysis.figures.draw import draw
    from n2amd.commands.accuracy_table import print_accuracy
    from n2amd.dataset.store import n_frames, read_frames
    from n2amd.errors import InputError
    from n2amd.network.cells import TrainingCells
    from n2amd.network.evaluation import report, unseen
    from n2amd.network.predict import load_predictor
    from n2amd.storage import write_json
    from n2amd.versions import versions

    torch.set_num_threads(1)
    if on and all_frames:
        raise InputError("--on and --all-frames", field="all-frames", remedy="give one of them")
    predictor = load_predictor(model)
    training = predictor.training
    if (stored := training.get("cells")) is not None:
        cells = TrainingCells.from_document(stored)
    else:
        split = (read_frames(dataset, training["split"][name]) for name in ("train", "validation"))
        cells = TrainingCells.of_structures(*([frame.structure for frame in frames] for frames in split))
    if on:
        frames = unseen((frame for path in on for frame in read_frames(path)), cells)
    else:
        chosen = range(n_frames(dataset)) if all_frames else training["split"]["test"]
        frames = read_frames(dataset, list(chosen))
    document = report(predictor, frames, cells=cells)
    document["judged_on"] = [str(path) for path in on or [dataset]]
    document["training_cells"] = cells.to_document()["groups"]
    document["history"] = training["history"]
    document["settings"] = training["settings"]
    document["seed"] = training["seed"]
    document["n_parameters"] = training["n_parameters"]
    document["training_cpu_seconds"] = training["cpu_seconds"]
    document["versions"] = versions()
    inputs = [*dict.fromkeys([dataset, *(on or [])]), model]
    write_json(out, document, config=training["settings"], inputs=inputs)
    print_accuracy(document)
    if figure is not None:
        draw("doubt", [out], figure)


@app.command()
def select(
    model: Model,
    structures: Annotated[Path, typer.Option(help="Frames to choose from: trajectory.h5 or extended XYZ.")],
    out: Annotated[Path, typer.Option(help="Chosen frames, for DFT (extended XYZ).")],
    count: Annotated[int, typer.Option(min=1, help="How many frames to choose.")] = 10,
    candidates: Annotated[
        int, typer.Option(min=1, help="Frames looked at, evenly spaced over the file, at most.")
    ] = 200,
    known: Annotated[
        list[Path] | None,
        typer.Option(help="Data set of labelled frames, whose near-copies are left out; may be given again."),
    ] = None,
    random: Annotated[bool, typer.Option(help="Choose at random instead, to compare.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the random choice.")] = 1,
) -> None:
    """Choose the frames to label next: those that the network knows least, each unlike the others."""
    import torch

    from n2amd.commands.progress import frame_progress
    from n2amd.commands.structure_files import frames_of
    from n2amd.interop.extxyz import write_structures
    from n2amd.network.predict import load_predictor
    from n2amd.network.selection import choose_frames, doubt_of_frames, random_frames

    torch.set_num_threads(1)
    frames = frames_of(structures)
    places = _places_to_look_at(frames, candidates, known or [], structures)
    looked_at = [frames[k] for k in places]
    if random:
        chosen, doubt = random_frames(len(places), count, seed), None
    else:
        with frame_progress("doubt", target=out) as report:
            grams = doubt_of_frames(load_predictor(model), looked_at, structures, report)
        chosen, doubt = choose_frames(grams, [s.n_atoms for s in looked_at], count, looked_at)
    records = [
        {"frame": places[k], **({} if doubt is None else {"doubt": round(doubt[rank], 4)})}
        for rank, k in enumerate(chosen)
    ]
    written = write_structures(out, [(looked_at[k], record) for k, record in zip(chosen, records)])
    told = "at random" if doubt is None else f"doubt {doubt[0]:.2f} to {doubt[-1]:.2f} of an average frame's"
    typer.echo(f"{out}: {written} of {len(frames)} frames, {[r['frame'] for r in records]}, {told}")


def _places_to_look_at(
    frames: Sequence[Structure], candidates: int, known: Sequence[Path], source: Path
) -> list[int]:
    """Places of frames evenly spaced over the file that are no near-copies of labelled ones."""
    import numpy as np

    from n2amd.dataset.store import read_structures
    from n2amd.errors import InputError
    from n2amd.network.selection import unlike

    even = np.rint(np.linspace(0, len(frames) - 1, min(candidates, len(frames)))).astype(int).tolist()
    labelled = [structure for path in known for structure in read_structures(path)]
    places = [even[k] for k in unlike([frames[k] for k in even], labelled)]
    if not places:
        raise InputError(
            "every frame looked at is a near-copy of one that is labelled",
            file=source,
            field="known",
            remedy="look at more frames (--candidates), or at another trajectory",
        )
    return places


# a trained model on any structure
app.command()(model_bands.predict)
app.command()(model_bands.bands)
app.command()(model_dos.dos)
