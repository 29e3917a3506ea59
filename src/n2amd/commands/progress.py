"""Progress of long commands: a bar on a terminal, lines in a log, a file for the workflow's terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from n2amd.progress import told_to_workflow

#: Seconds between plain lines.
_QUIET_SECONDS = 30.0


@contextmanager
def frame_progress(
    title: str, unit: str = "frames", *, target: Path | None = None, part_of: int = 1
) -> Iterator[Callable[[int, int], None]]:
    """Yield a function to call with (frames done, frames in all), or whatever else is counted.

    Parameters
    ----------
    title, unit
        What is done, what is counted.
    target
        File that is made; with it a workflow's terminal shows this command, too.
    part_of
        In how many jobs of this kind, such as shards, the work is cut.
    """
    if target is None:
        with _shown(title, unit) as show:
            yield show
        return
    with _shown(title, unit) as show, told_to_workflow(title, unit, target, part_of) as tell:

        def report(done: int, total: int) -> None:
            show(done, total)
            tell(done, total)

        yield report


@contextmanager
def _shown(title: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

        columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(title, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    last = time.monotonic()

    def line(done: int, total: int) -> None:
        nonlocal last
        if done == total or time.monotonic() - last >= _QUIET_SECONDS:
            last = time.monotonic()
            print(f"{title}: {done} of {total} {unit}", file=sys.stderr, flush=True)

    yield line
