"""nequip's command line as child processes that die with us."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from n2amd.errors import ComputationError
from n2amd.storage import make_folder

_PR_SET_PDEATHSIG = 1
#: Lines of the log shown when a command fails.
_TAIL_LINES = 15
_POLL_SECONDS = 0.5


def _die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent ends, however it ends (Linux)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def run_tool(
    name: str,
    arguments: Sequence[str],
    log: Path,
    environment: dict[str, str],
    watch: Callable[[], None] | None = None,
) -> None:
    """Run one of nequip's commands from the environment that runs us; its output goes to a log.

    Parameters
    ----------
    name
        `nequip-train`, `nequip-compile` or `nequip-package`.
    arguments
        Its arguments.
    log
        File for its output (appended to).
    environment
        Variables added to ours.
    watch
        Called twice a second while it runs.

    Raises
    ------
    ComputationError
        If the command is missing or fails; with the end of its log.
    """
    program = Path(sys.executable).parent / name
    if not program.exists():
        raise ComputationError(
            f"{program} does not exist; install nequip and nequip-allegro in this environment"
        )
    make_folder(log.parent)
    with open(log, "a") as stream:
        child = subprocess.Popen(
            [str(program), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )
        try:
            while child.poll() is None:
                if watch is not None:
                    watch()
                time.sleep(_POLL_SECONDS)
        finally:
            child.kill()  # where an interrupt ends the loop; nothing happens to one that has ended
    if watch is not None:
        watch()
    if child.returncode != 0:
        tail = " | ".join(line for line in log.read_text().splitlines()[-_TAIL_LINES:] if line.strip())
        raise ComputationError(f"{name} failed with exit code {child.returncode} (log: {log}): {tail}")
