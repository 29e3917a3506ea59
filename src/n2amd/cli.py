"""`n2amd STAGE VERB`: the one door. Every workflow rule calls it, and so can a person.

Nothing heavy is imported here: each command imports its science when it runs, so that `--help` is instant.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import NoReturn

import typer

from n2amd import __version__
from n2amd.commands.log import show_log
from n2amd.errors import N2amdError, StoppedElsewhereError

#: Exit code after Ctrl-C.
INTERRUPTED = 130

app = typer.Typer(
    name="n2amd",
    help="Neural-network non-adiabatic molecular dynamics for solids: from DFT to carrier lifetimes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _version(requested: bool) -> None:
    if requested:
        typer.echo(f"n2amd {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Stages run in the order listed; `n2amd STAGE --help` lists a stage's verbs."""


def _register() -> None:
    from importlib import import_module

    for stage in (
        "config",
        "structures",
        "dft",
        "dataset",
        "overlap",
        "forcefield",
        "hamiltonian",
        "trajectory",
        "states",
        "couplings",
        "dynamics",
        "analysis",
        "cluster",
    ):
        app.add_typer(import_module(f"n2amd.commands.{stage}").app, name=stage)
    app.command()(import_module("n2amd.commands.doctor").doctor)


def main() -> None:
    """Run the command line; bad input exits with 2 and one sentence, a failed computation with 1."""
    # one thread a process unless asked: work is spread over processes, and results stay the same to the bit
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    show_log()
    try:
        _register()
        app()
    except KeyboardInterrupt:
        _interrupted()
    except SystemExit as stop:
        if stop.code == INTERRUPTED:  # typer's own end
            _interrupted()
        raise
    except StoppedElsewhereError as error:
        sys.exit(error.exit_code)
    except N2amdError as error:
        for sentence in error.sentences:
            print(f"error: {sentence}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        print(f"error: {_of_the_system(error)}", file=sys.stderr)
        sys.exit(1)


def _interrupted() -> NoReturn:
    """End as a shell expects it after Ctrl-C."""
    print(
        "interrupted: what was finished is kept, nothing is half-written; the same command goes on from "
        "its last restart point, where it has one",
        file=sys.stderr,
    )
    sys.exit(INTERRUPTED)


def _of_the_system(error: OSError) -> str:
    """A sentence about a disk or folder that no stage expects to fail; other errors are raised again."""
    if error.filename is None and error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS):
        raise error
    what = error.filename or "a file"
    return (
        f"{what}: cannot be used ({error.strerror}); see to the disk or folder and run the same command "
        "again, what was finished is kept"
    )


if __name__ == "__main__":
    main()
