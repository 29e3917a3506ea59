"""Who made a file, from what: the root attributes that every output carries."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import time
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from n2amd import __version__
from n2amd.errors import InputError


@lru_cache(maxsize=1)
def created_by() -> str:
    """Package version and, in a checkout, the git commit (with `+dirty` where the package was edited)."""
    source = Path(__file__).resolve().parent
    # an installed copy may lie inside a repository of something else, whose commit says nothing here
    if not (source.parents[1] / ".git").exists():
        return f"n2amd {__version__}"
    try:
        commit = _git(source, "rev-parse", "--short", "HEAD")
        edited = _git(source, "status", "--porcelain", "--", ".")
    except (OSError, subprocess.SubprocessError):
        return f"n2amd {__version__}"
    return f"n2amd {__version__} ({commit}{'+dirty' if edited else ''})"


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()


def sha256_of_files(paths: Iterable[str | Path]) -> str:
    """Hash the contents of the files, in the order given.

    Of a file that tells the hash of its content that counts: it may be made again. Of a folder, such as that
    of a DFT run, names and contents of all its files count.

    Raises
    ------
    InputError
        If one cannot be read.
    """
    digest = hashlib.sha256()
    for path in paths:
        _add(digest, path)
    return digest.hexdigest()


def sha256_of_file(path: str | Path) -> str:
    """Hash one file as `sha256_of_files` does."""
    return sha256_of_files([path])


def list_of_files(paths: Iterable[str | Path]) -> list[dict[str, str]]:
    """Name and hash of each file, as every output keeps them of its inputs."""
    return [{"name": Path(path).name, "sha256": sha256_of_file(path)} for path in paths]


def _add(digest: Any, path: str | Path) -> None:
    from n2amd import seals

    if (folder := Path(path)).is_dir():
        for inner in sorted(folder.rglob("*")):
            if inner.is_file():
                digest.update(inner.relative_to(folder).as_posix().encode())
                _add(digest, inner)
        return
    try:
        if (content := seals.content_sha256(path)) is not None:
            digest.update(content.encode())
            return
        with open(path, "rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        raise InputError(
            f"cannot be read ({error.strerror})", file=path, remedy="pass a file that exists and may be read"
        ) from error


def sha256_of_config(config: Any) -> str:
    """Hash a configuration section (a pydantic model or anything JSON can hold)."""
    plain = config.model_dump(mode="json") if hasattr(config, "model_dump") else config
    return hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode()).hexdigest()


def cpu_seconds() -> float:
    """CPU seconds (user and system) of this process and its finished children so far."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


def timestamp() -> str:
    """Return UTC time, or the reproducible-build time where SOURCE_DATE_EPOCH is set."""
    seconds = int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
