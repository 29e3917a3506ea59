"""`n2amd config`: check a configuration, print its schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Check a configuration; print its JSON schema.", no_args_is_help=True)


@app.command()
def check(path: Annotated[Path, typer.Argument(help="Configuration file (YAML).")] = Path("config/config.yaml")) -> None:
    """Check a configuration file and every input file it names."""
    from n2amd.config import load
    from n2amd.errors import InputError

    config = load(path)
    for name, material in config.materials.items():
        named = [("structure", material.structure)]
        for label, source in material.functionals.items():
            named += [(f"functionals.{label}.paths", p) for p in source.paths]
            named += [(f"functionals.{label}.trajectory_paths", p) for p in source.trajectory_paths]
        for field, file in named:
            if not file.exists():
                raise InputError(
                    f"{file} does not exist",
                    file=path,
                    field=f"materials.{name}.{field}",
                    remedy="give a path relative to the folder the workflow is started in",
                )
    typer.echo(f"{path}: ok ({len(config.materials)} materials, {len(config.supercells)} supercells)")


@app.command()
def schema(out: Annotated[Path | None, typer.Option(help="Write here instead of standard output.")] = None) -> None:
    """Print the JSON schema of the configuration, generated from the models."""
    from n2amd.config import Config

    text = json.dumps(Config.model_json_schema(), indent=2, sort_keys=True) + "\n"
    if out is None:
        typer.echo(text, nl=False)
    else:
        out.write_text(text)
