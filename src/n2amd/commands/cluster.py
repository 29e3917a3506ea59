"""`n2amd cluster`: jobs that a stopped run left in SLURM, and what the partitions of the cluster offer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="SLURM: jobs that a stopped run left behind, and the partitions there are.", no_args_is_help=True
)


@app.command()
def jobs() -> None:
    """List the jobs of this folder that SLURM still has to run or is running."""
    from n2amd.slurm import queued_jobs

    for job in queued_jobs(Path.cwd()):
        typer.echo(f"{job.number}  {job.state:<10} {job.task}")


@app.command()
def wait(
    every: Annotated[float, typer.Option(min=1, help="Seconds between looks at the queue.")] = 30.0,
) -> None:
    """Wait until the jobs that a stopped run of this folder left in SLURM have ended; their files are kept.

    Where there is no SLURM, or it does not answer, nothing is waited for, and the command says so.
    """
    import shutil

    from n2amd.errors import ComputationError
    from n2amd.slurm import queued_jobs, wait_for_jobs

    if shutil.which("squeue") is None:
        return
    try:
        queued_jobs(Path.cwd())
    except ComputationError as error:
        typer.echo(f"warning: jobs of an earlier run are not looked for: {error}", err=True)
        return
    wait_for_jobs(Path.cwd(), lambda line: typer.echo(line, err=True), every)


@app.command()
def cancel() -> None:
    """Cancel the jobs that a stopped run of this folder left in SLURM."""
    from n2amd.slurm import cancel_jobs

    cancel_jobs(Path.cwd(), lambda line: typer.echo(line, err=True))


@app.command()
def partitions(
    out: Annotated[Path | None, typer.Option(help="Write here instead of standard output.")] = None,
) -> None:
    """Print the partitions of this cluster with their time, cores, memory and GPUs, for `profiles/`."""
    import yaml

    from n2amd.slurm import cluster_partitions, gpu_shards

    text = yaml.safe_dump({"partitions": cluster_partitions()}, sort_keys=True)
    if out is None:
        typer.echo(text, nl=False)
    else:
        out.write_text(text)
        typer.echo(f"{out}: look through it, and delete the partitions that you may not use")
    for name, shards in gpu_shards().items():
        typer.echo(
            f"note: each GPU of {name} is shared into {shards} shards; for shards of states to share it, add "
            f"its memory: gpus: {{{name}: {{memory_mb: 80000, shards: {shards}}}}}",
            err=True,
        )
