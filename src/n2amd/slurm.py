"""Jobs of this folder in SLURM's queue, and what its partitions offer.

Snakemake's executor names every job of a run by the run's UUID, starts it in the folder of the workflow and
writes the rule into its comment. A run that was killed leaves such jobs behind; they go on and write files
that a new run would submit again.
"""

from __future__ import annotations

import getpass
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from n2amd.errors import ComputationError

#: Seconds after which a command of SLURM counts as not answering.
PATIENCE_S = 60
#: Queries in a row that may fail while jobs are waited for: controllers are restarted now and then.
FAILURES = 30

_RUN = re.compile(r"(?:[\w-]+_)?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_RULE = re.compile(r"(?:rule|group)_")


@dataclass(frozen=True)
class QueuedJob:
    """A job of a workflow that SLURM still has to run or is running.

    Attributes
    ----------
    number
        SLURM's job ID.
    state
        Long name, e.g. `PENDING`.
    task
        Rule and wildcards.
    """

    number: str
    state: str
    task: str


def ask(*command: str) -> str:
    """Return what a command of SLURM prints.

    Raises
    ------
    ComputationError
        If it is missing, fails or does not answer within a minute.
    """
    if shutil.which(command[0]) is None:
        raise ComputationError(f"{command[0]} is not on the PATH; this is no machine of a SLURM cluster")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    except subprocess.TimeoutExpired:
        raise ComputationError(
            f"{command[0]} did not answer within {PATIENCE_S} s; try again when SLURM is back"
        ) from None
    if done.returncode:
        reason = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise ComputationError(f"{command[0]} failed ({reason}); try again when SLURM is back")
    return done.stdout


def queued_jobs(folder: Path) -> list[QueuedJob]:
    """Return the user's jobs that a Snakemake run of a folder submitted and that have not ended.

    Raises
    ------
    ComputationError
        If SLURM does not answer.

    Examples
    --------
    >>> queued_jobs(Path("."))  # doctest: +SKIP
    [QueuedJob(number='4711', state='PENDING', task='solve_states_wildcards_TiO2_2x2x2_pbe_0003')]
    """
    listed = ask("squeue", "--noheader", "--user", getpass.getuser(), "--format", "%i|%T|%j|%k|%Z")
    return parse_queue(listed, folder)


def parse_queue(listed: str, folder: Path) -> list[QueuedJob]:
    """Return the jobs of a folder among lines `number|state|name|comment|folder`."""
    place = os.path.realpath(folder)
    jobs = []
    for line in listed.splitlines():
        fields = line.strip().split("|", 4)
        if len(fields) != 5:
            continue
        number, state, name, comment, where = fields
        if _RUN.fullmatch(name) and _RULE.match(comment) and os.path.realpath(where) == place:
            jobs.append(QueuedJob(number, state, _RULE.sub("", comment, count=1)))
    return jobs


def describe(jobs: Sequence[QueuedJob], most: int = 3) -> str:
    """Return jobs in words: how many, and the first of them."""
    first = ", ".join(f"{job.number} ({job.task}, {job.state.lower()})" for job in jobs[:most])
    rest = f" and {len(jobs) - most} more" if len(jobs) > most else ""
    return f"{len(jobs)} job{'s' if len(jobs) > 1 else ''} of an earlier run of this folder: {first}{rest}"


def wait_for_jobs(folder: Path, tell: Callable[[str], None], every_s: float = 30.0) -> None:
    """Return when no job of an earlier run of a folder is left; a few queries may fail in between.

    Parameters
    ----------
    folder
        Of the workflow.
    tell
        Called with a line whenever the number of jobs has changed.
    every_s
        Seconds between queries.

    Raises
    ------
    ComputationError
        If SLURM does not answer the first query, or thirty later ones in a row.
    """
    jobs = queued_jobs(folder)
    failures, told = 0, 0
    while jobs:
        if len(jobs) != told:
            tell(f"waiting for {describe(jobs)}")
            told = len(jobs)
        time.sleep(every_s)
        try:
            jobs, failures = queued_jobs(folder), 0
        except ComputationError:
            failures += 1
            if failures == FAILURES:
                raise


def cancel_jobs(folder: Path, tell: Callable[[str], None]) -> None:
    """Cancel the jobs of earlier runs of a folder and wait until they have ended.

    Raises
    ------
    ComputationError
        If SLURM does not answer.
    """
    jobs = queued_jobs(folder)
    if jobs:
        tell(f"cancelling {describe(jobs)}")
        ask("scancel", *(job.number for job in jobs))
        wait_for_jobs(folder, tell, every_s=2.0)


def cluster_partitions() -> dict[str, dict[str, int]]:
    """Return what each partition of this cluster offers, in the words of `slurm-partition-config`.

    Returns
    -------
    dict
        By name: `max_runtime` (minutes), `max_threads`, `max_mem_mb` and `max_gpu` of its largest nodes.

    Raises
    ------
    ComputationError
        If SLURM does not answer.
    """
    return parse_nodes(ask("sinfo", "--noheader", "--Node", "--format", "%P|%l|%c|%m|%G"))


def shards_of_gpus(listed: str) -> dict[str, int]:
    """Return into how many shards each GPU of a partition is shared, of those that are.

    Parameters
    ----------
    listed
        Lines `partition|gres`, one a node.
    """
    found: dict[str, int] = {}
    for line in listed.splitlines():
        name, _, gres = line.strip().partition("|")
        gpus, shards = (_count(kind, gres) for kind in ("gpu", "shard"))
        if gpus and shards >= 2 * gpus:
            found[name.rstrip("*")] = min(shards // gpus, found.get(name.rstrip("*"), shards))
    return found


def gpu_shards() -> dict[str, int]:
    """Return into how many shards GPUs of this cluster's partitions are shared (`shards_of_gpus`).

    Raises
    ------
    ComputationError
        If SLURM does not answer.
    """
    return shards_of_gpus(ask("sinfo", "--noheader", "--Node", "--format", "%P|%G"))


def _count(kind: str, gres: str) -> int:
    return sum(int(n) for n in re.findall(rf"\b{kind}(?::[^:,(]+)?:(\d+)", gres))


def parse_nodes(listed: str) -> dict[str, dict[str, int]]:
    """Return the limits of partitions from lines `partition|time limit|CPUs|MB|gres`, one a node."""
    found: dict[str, dict[str, int]] = {}
    for line in listed.splitlines():
        fields = line.strip().split("|", 4)
        if len(fields) != 5:
            continue
        name, limit, cpus, memory, gres = fields
        here = {
            "max_threads": int(cpus.rstrip("+")),
            "max_mem_mb": int(memory.rstrip("+")),
            "max_gpu": _count("gpu", gres),
        }
        if (minutes := _minutes(limit)) is not None:
            here["max_runtime"] = minutes
        known = found.setdefault(name.rstrip("*"), {})
        for key, value in here.items():
            known[key] = max(value, known.get(key, 0))
    return found


def _minutes(limit: str) -> int | None:
    """Return a time limit `[days-]hours:minutes:seconds` or `minutes:seconds`; None where there is none."""
    parts = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", limit)
    if parts is None:
        return None
    days, hours, minutes, _ = (int(part or 0) for part in parts.groups())
    return (24 * days + hours) * 60 + minutes


def leave_cancelled_jobs(executor: Any) -> None:
    """Make Snakemake's SLURM executor not try a cancelled job again: somebody did not want it to run.

    The executor tells a cancelled job like a failed one, and Snakemake then uses up the tries of the profile.

    Parameters
    ----------
    executor
        The class `snakemake_executor_plugin_slurm.Executor`.
    """
    report = executor.report_job_error

    def report_job_error(self: Any, job_info: Any, msg: str | None = None, **details: Any) -> None:
        if msg and re.search(r"status is: 'CANCELLED", msg):
            job_info.job.attempt = job_info.job.restart_times + 1
            msg = f"{msg} It was cancelled, so it is not tried again; start the workflow again to run it."
        report(self, job_info, msg=msg, **details)

    executor.report_job_error = report_job_error
