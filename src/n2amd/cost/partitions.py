"""Partitions of a cluster, and whether a job fits one of them.

The file is that of Snakemake's option `slurm-partition-config`: the partition of each job is chosen from it.
`n2amd cluster partitions` writes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

import yaml
from snakemake_interface_common.exceptions import WorkflowError

from n2amd.errors import InputError


@dataclass(frozen=True)
class Need:
    """What a job asks for: of one node, or of each rank of an MPI job."""

    minutes: int
    memory_MB: int
    threads: int = 1
    gpus: int = 0

    def __str__(self) -> str:
        gpu = f", {self.gpus} GPU" if self.gpus else ""
        return f"{self.memory_MB} MB, {self.minutes} min, {self.threads} threads{gpu}"


@dataclass(frozen=True)
class Partition:
    """Limits of one partition; infinite where its entry names none."""

    name: str
    minutes: float = inf
    memory_MB: float = inf
    threads: float = inf
    gpus: float = 0

    def holds(self, need: Need) -> bool:
        """Whether a job fits."""
        return (
            need.minutes <= self.minutes
            and need.memory_MB <= self.memory_MB
            and need.threads <= self.threads
            and need.gpus <= self.gpus
        )

    def __str__(self) -> str:
        limits = [(self.memory_MB, "MB"), (self.minutes, "min"), (self.threads, "threads")]
        known = [f"{value:g} {unit}" for value, unit in limits if value < inf]
        if self.gpus:
            known.append(f"{self.gpus:g} GPU")
        return f"{self.name}: {', '.join(known) or 'no limits'}"


_KEYS = {
    "max_runtime": "minutes",
    "max_mem_mb": "memory_MB",
    "max_threads": "threads",
    "max_gpu": "gpus",
}


def read_partitions(file: Path) -> tuple[Partition, ...]:
    """Return the partitions of a file.

    Parameters
    ----------
    file
        YAML, `partitions:` by name; of the entries only time, memory, threads and GPUs are looked at.

    Raises
    ------
    InputError
        If there is no such file, or it holds no partitions.
    """
    try:
        document = yaml.safe_load(file.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"cannot be read as YAML ({reason})",
            file=file,
            remedy="write it with `n2amd cluster partitions`, or leave slurm-partition-config out",
        ) from None
    entries = document.get("partitions") if isinstance(document, dict) else None
    if not isinstance(entries, dict) or not entries:
        raise InputError(
            "lists no partitions",
            file=file,
            field="partitions",
            remedy="write it with `n2amd cluster partitions`, or leave slurm-partition-config out",
        )
    return tuple(_partition(file, str(name), entry or {}) for name, entry in entries.items())


def _partition(file: Path, name: str, entry: Any) -> Partition:
    if not isinstance(entry, dict):
        raise InputError(f"is {entry!r}, not a mapping", file=file, field=f"partitions.{name}")
    limits = {}
    for key, field in _KEYS.items():
        if key not in entry:
            continue
        try:
            limits[field] = _minutes(entry[key]) if field == "minutes" else float(entry[key])
        except (TypeError, ValueError, WorkflowError):
            raise InputError(
                f"is {entry[key]!r}, not a {'time' if field == 'minutes' else 'number'}",
                file=file,
                field=f"partitions.{name}.{key}",
                remedy="correct it",
            ) from None
    return Partition(name, **limits)


def _minutes(value: object) -> float:
    if isinstance(value, str):
        # what the executor itself reads: 90, 2h, 1d, 1-12:00:00
        from snakemake_executor_plugin_slurm.utils import parse_time_to_minutes

        return float(parse_time_to_minutes(value))
    return float(value)  # type: ignore[arg-type]


def offers_gpu(partitions: Sequence[Partition]) -> bool:
    """Whether some partition has GPUs."""
    return any(partition.gpus > 0 for partition in partitions)


def spread_over_tries(partitions: Sequence[Partition], need: Need, tries: int) -> Need:
    """Return a job cut to the longest time there is for it, if it can end within its tries.

    Every stage that may take long goes on where it was ended, so that tries add up.

    Parameters
    ----------
    partitions
        Empty where no limits are known.
    need
        Of the whole job.
    tries
        How often the job is submitted at most.

    Returns
    -------
    Need
        `need` itself where it fits as a whole, or where no number of tries will do.
    """
    longest = max((p.minutes for p in partitions if p.holds(replace(need, minutes=0))), default=inf)
    if longest < need.minutes <= tries * longest:
        return replace(need, minutes=int(longest))
    return need


def grown(partitions: Sequence[Partition], need: Need, attempt: int) -> Need:
    """Return what a later attempt asks for: as many times more, up to the limits of a partition that fits.

    Parameters
    ----------
    partitions
        Empty where no limits are known.
    need
        Of the first attempt.
    attempt
        From 1.

    Returns
    -------
    Need
        `need` itself where no partition holds it.
    """
    minutes, memory = attempt * need.minutes, attempt * need.memory_MB
    if not partitions:
        return replace(need, minutes=minutes, memory_MB=memory)
    possible = [
        replace(need, minutes=int(min(minutes, p.minutes)), memory_MB=int(min(memory, p.memory_MB)))
        for p in partitions
        if p.holds(need)
    ]
    return max(possible, key=lambda more: more.minutes * more.memory_MB, default=need)


def require_fit(partitions: Sequence[Partition], need: Need, job: str, file: Path | None = None) -> None:
    """Refuse a job that no partition holds.

    Raises
    ------
    InputError
        With what the job asks for and what there is.
    """
    if not partitions or any(partition.holds(need) for partition in partitions):
        return
    raise InputError(
        f"{job} asks for {need}, which no partition has ({'; '.join(map(str, partitions))})",
        file=file,
        remedy="make the job smaller (smaller states.frames_per_shard, a smaller supercell, fewer threads) "
        "or list a larger partition",
    )
