"""`n2amd hamiltonian`: train the network, evaluate it on held-out frames, draw its bands."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Train and judge the equivariant Hamiltonian network.", no_args_is_help=True)

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
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
) -> None:
    """Train the model: a density that H0 is made of, a network of atom pairs, or both."""
    import time

    import torch

    from n2amd.config import load_section
    from n2amd.network.loop import History
    from n2amd.network.training import train as train_network
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

    with single_writer(out):
        model = train_network(dataset, load_section("hamiltonian", settings), out, workdir, report, overlap)
    typer.echo(f"{out}: {model.kind}, {model.n_parameters} parameters")


@app.command()
def evaluate(
    dataset: Dataset,
    model: Model,
    out: Annotated[Path, typer.Option(help="Report to write (hamiltonian.json).")],
    all_frames: Annotated[
        bool,
        typer.Option("--all-frames", help="Judge every frame of the data set, not only the held-out ones."),
    ] = False,
) -> None:
    """Compare with DFT on the frames held out of training: elements, band edges, gap."""
    import torch
    from rich.console import Console
    from rich.table import Table

    from n2amd.dataset.store import n_frames, read_frames
    from n2amd.network.evaluation import report
    from n2amd.network.predict import load_predictor
    from n2amd.storage import write_json
    from n2amd.versions import versions

    torch.set_num_threads(1)
    predictor = load_predictor(model)
    chosen = range(n_frames(dataset)) if all_frames else predictor.training["split"]["test"]
    document = report(predictor, list(read_frames(dataset, list(chosen))))
    document["history"] = predictor.training["history"]
    document["settings"] = predictor.training["settings"]
    document["seed"] = predictor.training["seed"]
    document["n_parameters"] = predictor.training["n_parameters"]
    document["training_cpu_seconds"] = predictor.training["cpu_seconds"]
    document["versions"] = versions()
    write_json(out, document, config=predictor.training["settings"], inputs=[dataset, model])
    table = Table(title=f"{document['test']['n_frames']} frames against DFT", show_header=False)
    for label, key in (
        ("MAE of H", "mae_meV"),
        ("VBM", "vbm_mae_meV"),
        ("CBM", "cbm_mae_meV"),
        ("gap", "gap_mae_meV"),
        ("gap, median", "gap_median_error_meV"),
    ):
        table.add_row(label, f"{document['test'][key]:.2f} meV")
    Console().print(table)


@app.command()
def bands(
    dataset: Dataset,
    model: Model,
    out: Annotated[Path, typer.Option(help="Band structures to write (bands.json).")],
    path: Annotated[
        str | None, typer.Option(help="Special points, e.g. G-X-M-G; default: the lattice's own.")
    ] = None,
    frame: Annotated[
        int | None, typer.Option(help="Frame of the data set; default: the first held-out one.")
    ] = None,
    points: Annotated[int, typer.Option(min=2, help="k points along the path.")] = 80,
) -> None:
    """Band structure of the network beside DFT's own (H, S), along a path."""
    import torch

    from n2amd.dataset.store import read_frames
    from n2amd.network.evaluation import evaluate_frame
    from n2amd.network.predict import load_predictor
    from n2amd.states.bands import band_path, band_structure
    from n2amd.storage import write_json

    torch.set_num_threads(1)
    predictor = load_predictor(model)
    index = predictor.training["split"]["test"][0] if frame is None else frame
    chosen = next(iter(read_frames(dataset, [index])))
    errors = evaluate_frame(predictor, chosen)
    line = band_path(chosen.structure, path.split("-") if path else None, points)
    offsets = predictor.basis.orbital_offsets(chosen.structure.numbers)
    dft = band_structure(chosen.hamiltonian, chosen.overlap, offsets, line.kpoints)
    network = band_structure(errors.aligned, chosen.overlap, offsets, line.kpoints)
    document = {
        "labels": line.labels,
        "distance": line.distance,
        "dft_eV": dft,
        "model_eV": network,
        "n_occupied": chosen.n_occupied,
        "frame": chosen.name,
    }
    write_json(out, document, config=predictor.training["settings"], inputs=[dataset, model])
    typer.echo(f"{out}: {len(line.kpoints)} k points of frame {chosen.name}")
