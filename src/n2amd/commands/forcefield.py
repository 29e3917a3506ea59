"""`n2amd forcefield`: train Allegro on a data set, judge it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Train and judge the Allegro force field.", no_args_is_help=True)

Dataset = Annotated[Path, typer.Option("--dataset", help="Data set (dataset.h5).")]


@app.command()
def train(
    dataset: Dataset,
    out: Annotated[Path, typer.Option(help="Force field to write (forcefield.model).")],
    report: Annotated[Path, typer.Option(help="Report of the held-out frames (forcefield.json).")],
    workdir: Annotated[Path, typer.Option(help="Folder of checkpoints; a killed run resumes from it.")],
    settings: Annotated[
        str | None, typer.Option(help="Section `forcefield`: inline JSON or a YAML file.")
    ] = None,
) -> None:
    """Train through nequip's own command line, package or compile, and evaluate on the held-out frames."""
    from n2amd.config import load_section
    from n2amd.forcefield.evaluation import evaluate as judge
    from n2amd.forcefield.training import read_labelled
    from n2amd.forcefield.training import train as train_forcefield
    from n2amd.storage import single_writer, write_json
    from n2amd.versions import versions

    chosen = load_section("forcefield", settings)
    with single_writer(out):
        facts = train_forcefield(dataset, chosen, out, workdir)
        errors = judge(out, read_labelled(dataset, facts["split"]["test"]), facts["device"])
    document = {
        "model": out.name,
        **facts,
        **errors,
        "settings": chosen.model_dump(mode="json"),
        "seed": chosen.seed,
        "versions": versions(),
    }
    write_json(report, document, config=chosen, inputs=[dataset])
    _show(errors["test"])


@app.command()
def evaluate(
    dataset: Dataset,
    forcefield: Annotated[Path, typer.Option(help="Force field (forcefield.model).")],
    out: Annotated[Path, typer.Option(help="Report to write (JSON).")],
) -> None:
    """Compare a force field with every frame of a data set."""
    from n2amd.dataset.store import n_frames
    from n2amd.forcefield.evaluation import evaluate as judge
    from n2amd.forcefield.training import read_labelled
    from n2amd.storage import write_json

    errors = judge(forcefield, read_labelled(dataset, range(n_frames(dataset))))
    write_json(out, errors, inputs=[dataset, forcefield])
    _show(errors["test"])


def _show(test: dict[str, float]) -> None:
    typer.echo(
        f"{test['n_frames']} frames: energy MAE {test['energy_mae_meV_per_atom']:.2f} meV/atom, "
        f"force MAE {test['force_mae_meV_per_A']:.1f} meV/A (rms force {test['force_rms_dft_meV_per_A']:.0f})"
    )
