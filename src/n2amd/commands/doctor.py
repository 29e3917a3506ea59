"""`n2amd doctor`: what this machine has, what is broken, and what each stage will use."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

MARKS = {"ok": "ok", "absent": "--", "suspect": "??", "broken": "!!"}


def doctor(
    configs: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Configuration file of a job, and files laid over it: tell what that job will use."
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Load nothing: leave out torch, HDF5, numba, MPI, the workflow.")
    ] = False,
    json_out: Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")] = False,
) -> None:
    """Look at this machine: one line per item, and what each stage will use.

    ok: fine; --: optional and not here; ??: here, but something optional will not work; !!: needed and
    broken.
    Exit code 1 if anything is !!.
    """
    from n2amd.config.job import load
    from n2amd.machine.examination import examine, machine_of
    from n2amd.machine.stages import describe_stages

    job = load(*configs) if configs else None
    findings = examine(Path.cwd(), quick=quick)
    stages = describe_stages(machine_of(findings), job)
    if json_out:
        import json

        document = {"machine": [vars(finding) for finding in findings], "stages": dict(stages)}
        typer.echo(json.dumps(document, indent=2))
    else:
        for finding in findings:
            remedy = f" -> {finding.remedy}" if finding.remedy else ""
            typer.echo(f"{MARKS[finding.state]}  {finding.item:<10} {finding.text}{remedy}")
        whose = "" if job else " (default settings; name a configuration for those of a job)"
        typer.echo(f"\nWhat each stage will use{whose}:")
        for stage, text in stages:
            typer.echo(f"    {stage:<12} {text}")
    broken = [finding.item for finding in findings if finding.state == "broken"]
    if broken:
        typer.echo(f"error: broken: {', '.join(broken)}; the lines marked !! say what to do", err=True)
        raise typer.Exit(1)
