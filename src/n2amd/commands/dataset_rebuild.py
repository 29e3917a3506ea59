"""`n2amd dataset rebuild`: frames that were kept as densities as a data set again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def rebuild(
    densities: Annotated[Path, typer.Argument(help="Frames kept as densities (`hamiltonian densities`).")],
    like: Annotated[
        Path, typer.Option(help="Data set of the same basis and pseudopotentials; its k spacing is taken.")
    ],
    out: Annotated[Path, typer.Option(help="Data set file to write.")],
    functional: Annotated[
        str | None, typer.Option(help="Label of the functional; default: that of --like.")
    ] = None,
    json: Annotated[
        Path | None, typer.Option(help="Write the gate's figures of every frame here (JSON).")
    ] = None,
) -> None:
    """Make frames kept as densities a data set again: H is H0 of the density; no energies, no forces."""
    from n2amd.commands.gate_table import print_gate, write_gate
    from n2amd.commands.progress import frame_progress
    from n2amd.dataset.store import read_gate, read_names
    from n2amd.ingestion.kpoints_like import kpoints_like
    from n2amd.network.rebuilt_frames import rebuild as run
    from n2amd.storage import single_writer

    with single_writer(out), frame_progress("rebuilding", target=out) as progress:
        count = run(densities, like, out, kpoints_like(like), functional, progress)
    names, figures = read_names(out), read_gate(out)
    print_gate(names, figures, None)
    if json is not None:
        write_gate(json, out, names, figures, [], [])
    typer.echo(f"{out}: {count} frames")
