"""How far each job of a workflow is: small files that jobs write and the workflow's terminal reads.

A rule's output goes to its log, so a job cannot tell the terminal anything. Where the variable
N2AMD_PROGRESS names a folder, each long command keeps one file there, written at most once a second, and
removes it at its end. No result depends on these files.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

#: Environment variable that names the folder.
FOLDER = "N2AMD_PROGRESS"
#: Seconds between two writings of a file.
WRITE_EVERY = 1.0
#: A file of another machine that was not written for so long is of a job that was killed, s.
FORGOTTEN_AFTER = 3600.0


@dataclass(frozen=True)
class Work:
    """What one command has done and has to do.

    Attributes
    ----------
    title
        What is done, e.g. "training the pair network".
    unit
        What is counted: steps, frames.
    target
        File that is made.
    done, total
        Counted so far, and in the end.
    first_done, first_time
        Count and time (s since 1970) of this process' first report: a resumed job does not start at zero.
    time
        Of the last report.
    part_of
        In how many jobs of this kind the work is cut, 1 for one.
    pid, host
        Process that does it.
    """

    title: str
    unit: str
    target: str
    done: int
    total: int
    first_done: int
    first_time: float
    time: float
    part_of: int = 1
    pid: int = 0
    host: str = ""

    def rate(self) -> float:
        """Counted per second since the first report; 0 where nothing was counted since."""
        passed = self.time - self.first_time
        return (self.done - self.first_done) / passed if passed > 0 else 0.0


def seconds_left(work: Work, now: float) -> float | None:
    """Seconds until a command has done its work, by its mean rate so far; None before there is one.

    Examples
    --------
    >>> work = Work("solving", "frames", "shard_0000.h5", 30, 100, 10, 0.0, 40.0)
    >>> seconds_left(work, now=50.0)  # half a frame per second, 70 frames left, 10 s ago
    130.0
    """
    rate = work.rate()
    if rate <= 0:
        return None
    return max(0.0, (work.total - work.done) / rate - (now - work.time))


@contextmanager
def told_to_workflow(
    title: str, unit: str, target: Path, part_of: int = 1, clock: Callable[[], float] = time.time
) -> Iterator[Callable[[int, int], None]]:
    """Yield a function to call with (done, total); it writes this job's file, where the workflow wants one.

    Parameters
    ----------
    title, unit, target, part_of
        As of `Work`.
    clock
        Seconds since 1970.
    """
    folder = os.environ.get(FOLDER)
    if not folder:
        yield lambda done, total: None
        return
    host = socket.gethostname()
    file = Path(folder) / f"{host}-{os.getpid()}.json"
    work: Work | None = None
    written = float("-inf")

    def report(done: int, total: int) -> None:
        nonlocal work, written
        now = clock()
        # a new count, such as the next stage of a training
        if work is None or done < work.done or total != work.total:
            work = Work(title, unit, str(target), done, total, done, now, now, part_of, os.getpid(), host)
        work = replace(work, done=done, total=total, time=now)
        if now - written >= WRITE_EVERY:
            written = now
            _write(file, work)

    try:
        yield report
    finally:
        with suppress(OSError):
            file.unlink()


def _write(file: Path, work: Work) -> None:
    """Replace the file; where that cannot be done nobody sees the progress, and the job goes on."""
    part = file.with_suffix(".part")
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(asdict(work)))
        os.replace(part, file)


def read_works(folder: Path, now: float) -> list[Work]:
    """Return what living jobs have told, ordered by what they make; files of dead ones are removed."""
    works = []
    for file in sorted(folder.glob("*.json")):
        try:
            work = Work(**json.loads(file.read_text()))
        except (OSError, ValueError, TypeError):  # just removed, or of another version
            continue
        if _is_alive(work, now):
            works.append(work)
        else:
            with suppress(OSError):
                file.unlink()
    return sorted(works, key=lambda work: work.target)


def _is_alive(work: Work, now: float) -> bool:
    if work.host != socket.gethostname():
        return now - work.time < FORGOTTEN_AFTER
    try:
        os.kill(work.pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # of another user
        return now - work.time < FORGOTTEN_AFTER
    return True


def describe(works: list[Work], results: Path, now: float) -> list[str]:
    """Return one phrase for each command that runs; the parts of one work, such as shards, are one phrase.

    Parameters
    ----------
    works
        What the jobs told.
    results
        Folder of results, left out of names.
    now
        Seconds since 1970.

    Examples
    --------
    >>> work = Work("frames", "frames", "results/Si/2x2x2/trajectory.h5", 30, 100, 10, 0.0, 40.0)
    >>> describe([work], Path("results"), now=40.0)
    ['Si/2x2x2 frames 30/100 frames, 2 min left']
    """
    groups: dict[tuple[str, str], list[Work]] = {}
    for work in works:
        where = Path(work.target).parent
        groups.setdefault((_within(where, results), work.title), []).append(work)
    return [f"{place} {title} {_count(members, now)}" for (place, title), members in groups.items()]


def _within(folder: Path, results: Path) -> str:
    with suppress(ValueError):
        folder = Path(os.path.abspath(folder)).relative_to(os.path.abspath(results))
    return str(folder)


def _count(members: list[Work], now: float) -> str:
    first = members[0]
    if first.part_of == 1:
        done, total, left = first.done, first.total, seconds_left(first, now)
    else:
        done, total, left = _of_parts(members, now)
    if left is None:
        return f"{done}/{total} {first.unit}"
    return f"{done}/{total} {first.unit}, {in_words(left)} left"


def _of_parts(members: list[Work], now: float) -> tuple[int, int, float | None]:
    """Count and time left of a work in equal parts: some are files already, some not yet begun."""
    target = Path(members[0].target)
    stem = target.stem.rstrip("0123456789")
    running = {Path(work.target).name for work in members}
    files = {file.name for file in target.parent.glob(f"{stem}*{target.suffix}")} - running
    size = sum(work.total for work in members) / len(members)
    finished = min(len(files), members[0].part_of - len(members))
    done = sum(work.done for work in members) + round(finished * size)
    total = round(members[0].part_of * size)
    rate = sum(work.rate() for work in members)
    if rate <= 0:
        return done, total, None
    return done, total, max(0.0, (total - done) / rate - (now - max(work.time for work in members)))


def in_words(seconds: float) -> str:
    """Return a time in the largest unit that suits.

    Examples
    --------
    >>> [in_words(s) for s in (4, 130, 5400, 200000)]
    ['4 s', '2 min', '1 h 30 min', '2 d 7 h']
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"
