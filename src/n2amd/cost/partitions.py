"""Partitions of a cluster, and whether a job fits one of them.

The file is that of Snakemake's option `slurm-partition-config`: the partition of each job is chosen from it.
`n2amd cluster partitions` writes it. Beside `partitions:`, which the executor reads, it may say in `gpus:`
what GPUs a partition has (`memory_mb` of one) and into how many shards SLURM shares each (`shards`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, inf
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
    device_MB: int = 0

    def __str__(self) -> str:
        gpu = f", {self.gpus} GPU" if self.gpus else ""
        if self.gpus and self.device_MB:
            gpu += f" with {self.device_MB} MB"
        return f"{self.memory_MB} MB, {self.minutes} min, {self.threads} threads{gpu}"


@dataclass(frozen=True)
class Partition:
    """Limits of one partition; infinite where its entry names none.

    `device_MB` is the memory of one of its GPUs, `shards` the number of parts that SLURM shares each into.
    """

    name: str
    minutes: float = inf
    memory_MB: float = inf
    threads: float = inf
    gpus: float = 0
    device_MB: float = inf
    shards: int = 1

    def holds(self, need: Need) -> bool:
        """Whether a job fits."""
        return (
            need.minutes <= self.minutes
            and need.memory_MB <= self.memory_MB
            and need.threads <= self.threads
            and need.gpus <= self.gpus
            and (not need.gpus or need.device_MB <= self.device_MB)
        )

    def __str__(self) -> str:
        limits = [(self.memory_MB, "MB"), (self.minutes, "min"), (self.threads, "threads")]
        known = [f"{value:g} {unit}" for value, unit in limits if value < inf]
        if self.gpus:
            each = f" of {self.device_MB:g} MB" if self.device_MB < inf else ""
            known.append(f"{self.gpus:g} GPU{each}")
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
        YAML, `partitions:` by name, of whose entries only time, memory, threads and GPUs are looked at; and
        `gpus:` by the names of partitions.

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
    gpus = _mapping(file, "gpus", document.get("gpus") or {})
    found = {str(name): _partition(file, str(name), entry or {}) for name, entry in entries.items()}
    for name, entry in gpus.items():
        field = f"gpus.{name}"
        if name not in found or not found[name].gpus:
            raise InputError(
                "is of no partition with GPUs",
                file=file,
                field=field,
                remedy="correct its name, or delete it",
            )
        found[name] = replace(found[name], **_shared_gpus(file, field, _mapping(file, field, entry)))
    return tuple(found.values())


def _mapping(file: Path, field: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"is {value!r}, not a mapping", file=file, field=field, remedy="correct it")
    return value


def _shared_gpus(file: Path, field: str, entry: dict[str, Any]) -> dict[str, Any]:
    """Memory of a GPU and its shards."""
    if unknown := sorted(set(entry) - {"memory_mb", "shards"}):
        raise InputError(
            f"has {unknown[0]}, which is unknown", file=file, field=field, remedy="give memory_mb and shards"
        )
    for key, value in entry.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise InputError(
                f"is {value!r}, not a whole number from 1 on",
                file=file,
                field=f"{field}.{key}",
                remedy="correct it",
            )
    if "memory_mb" not in entry:
        raise InputError(
            "names no memory_mb",
            file=file,
            field=field,
            remedy="give the memory of one GPU, as nvidia-smi shows it, e.g. 81000",
        )
    return {"device_MB": entry["memory_mb"], "shards": entry.get("shards", 1)}


def _partition(file: Path, name: str, entry: Any) -> Partition:
    entry = _mapping(file, f"partitions.{name}", entry)
    limits: dict[str, Any] = {}
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


@dataclass(frozen=True)
class Share:
    """Part of a GPU of a partition, for one job.

    Attributes
    ----------
    partition
        Its name.
    shards
        How many of the GPU's.
    """

    partition: str
    shards: int


def share_of_gpu(partitions: Sequence[Partition], need: Need, attempt: int = 1) -> Share | None:
    """Return the smallest part of a GPU that holds a job; None where it gets a GPU of its own, or needs none.

    Parameters
    ----------
    partitions
        Those of the cluster.
    need
        What this attempt asks for, the memory of the GPU apart.
    attempt
        From 1: a later one gets as many times more of the GPU, up to all of it.
    """
    if need.gpus != 1 or not need.device_MB:
        return None
    possible = []
    for partition in partitions:
        if partition.shards > 1 and partition.holds(need):
            each = partition.device_MB / partition.shards
            shards = min(ceil(attempt * need.device_MB / each), partition.shards)
            possible.append((shards / partition.shards, Share(partition.name, shards)))
    return min(possible, key=lambda one: one[0], default=(1.0, None))[1]


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
    remedy = (
        "make the job smaller (smaller states.frames_per_shard, a smaller supercell, fewer threads) "
        "or list a larger partition"
    )
    if any(partition.holds(replace(need, device_MB=0)) for partition in partitions):
        # everything else fits
        remedy = "set states.device to cpu, or list a partition whose GPUs have more memory"
    raise InputError(
        f"{job} asks for {need}, which no partition has ({'; '.join(map(str, partitions))})",
        file=file,
        remedy=remedy,
    )
