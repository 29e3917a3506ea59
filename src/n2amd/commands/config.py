"""`n2amd config`: check and show a configuration, print its schema and its page of documentation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

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
    """Check a configuration, open everything it names, and tell whether the DFT data suit the whole job.

    All faults are told at once.
    """
    from n2amd.config.job import load
    from n2amd.errors import raise_all
    from n2amd.preflight.job import check_job

    config = load(*files)
    found = check_job(config, files[-1], frames=frames)
    for warning in found.warnings:
        typer.echo(f"warning: {warning}", err=True)
    raise_all(found.errors)
    count = [
        f"{n} {noun}" + "s" * (n > 1)
        for n, noun in ((len(config.materials), "material"), (len(config.supercells), "supercell"))
    ]
    typer.echo(f"{', '.join(map(str, files))}: ok ({', '.join(count)})")


@app.command()
def show(
    files: Files,
    field: Annotated[str | None, typer.Option(help="One entry, e.g. results or dynamics.seeds.")] = None,
) -> None:
    """Print the whole configuration, defaults filled in, or one entry of it."""
    import yaml

    from n2amd.config.job import load
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
    from n2amd.config.job import Config

    _write(json.dumps(Config.model_json_schema(), indent=2, sort_keys=True) + "\n", out)


@app.command()
def docs(out: Out = None) -> None:
    """Print docs/configuration.md: every option with its default and meaning, generated from the models."""
    from n2amd.config.reference import render

    _write(render(), out)


def _write(text: str, out: Path | None) -> None:
    if out is None:
        typer.echo(text, nl=False)
    else:
        out.write_text(text)
