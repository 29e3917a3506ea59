"""Files that are either whole or absent: atomic writing, checked reading, one writer a file.

Everything is written to NAME.part, flushed to disk and renamed. Readers refuse a file of another format or
major version, one without `complete`, or one in other units.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import h5py

from n2amd import provenance
from n2amd.errors import InputError
from n2amd.units import UNITS


@contextmanager
def single_writer(path: str | Path) -> Iterator[None]:
    """Hold .NAME.lock while writing NAME; wait for another process that holds it.

    The lock dies with its process, so `kill -9` leaves nothing behind that blocks the next run.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # the lock file stays: removing it would let a waiting process and a newcomer hold two different files
    with open(path.with_name(f".{path.name}.lock"), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting: another process is writing {path}", file=sys.stderr, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield NAME.part to write to; on success flush it to disk and rename it to NAME, else remove it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    try:
        yield part
        with open(part, "rb") as stream:
            os.fsync(stream.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def create_hdf5(
    path: str | Path,
    format: str,
    *,
    version: str = "1.0",
    config: Any = None,
    inputs: Iterable[str | Path] = (),
) -> Iterator[h5py.File]:
    """Create an HDF5 file that appears under its name only when the block ends without an error.

    Parameters
    ----------
    path
        Final name.
    format
        Kind of file, e.g. "n2amd/dataset"; the `n2amd/` prefix is added where it lacks.
    version
        Format version, "major.minor".
    config
        The configuration section that made it (hashed).
    inputs
        The files it was made from (hashed).
    """
    with atomic_path(path) as part:
        with h5py.File(part, "w") as file:
            file.attrs["format"] = format if format.startswith("n2amd/") else f"n2amd/{format}"
            file.attrs["format_version"] = version
            file.attrs["created_by"] = provenance.created_by()
            file.attrs["created_at"] = provenance.timestamp()
            file.attrs["config_sha256"] = provenance.sha256_of_config(config)
            file.attrs["inputs_sha256"] = provenance.sha256_of_files(inputs)
            file.attrs["units"] = UNITS
            yield file
            # a stage is one process; a writer that gathers several (MPI) may have set the total itself
            if "cpu_seconds" not in file.attrs:
                file.attrs["cpu_seconds"] = provenance.cpu_seconds()
            file.attrs["complete"] = 1


@contextmanager
def open_hdf5(path: str | Path, format: str, *, major: int = 1) -> Iterator[h5py.File]:
    """Open a file written by `create_hdf5` for reading, after checking what it is.

    Raises
    ------
    InputError
        If the file is missing, unreadable, incomplete, of another format, major version or units.
    """
    path = Path(path)
    format = format if format.startswith("n2amd/") else f"n2amd/{format}"
    if not path.exists():
        raise InputError("the file does not exist", file=path, remedy=f"make it first ({format})")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(
            f"not a readable HDF5 file ({error})", file=path, remedy="delete it and run the stage again"
        ) from error
    with file:
        found = file.attrs.get("format", "no format attribute")
        if found != format:
            raise InputError(f"format is {found!r}, expected {format!r}", file=path, remedy="pass the right file")
        found_version = str(file.attrs.get("format_version", "0"))
        if found_version.split(".")[0] != str(major):
            raise InputError(
                f"format version {found_version} cannot be read by this program (major {major})",
                file=path,
                remedy="make the file again with this version of n2amd",
            )
        if not file.attrs.get("complete", 0):
            raise InputError(
                "the file was not written to its end (no `complete` mark)",
                file=path,
                remedy="delete it and run the stage again",
            )
        if file.attrs.get("units") != UNITS:
            raise InputError(
                f"units are {file.attrs.get('units')!r}, expected {UNITS!r}",
                file=path,
                field="units",
                remedy="convert the file or make it again",
            )
        yield file


def write_json(
    path: str | Path, document: dict[str, Any], *, config: Any = None, inputs: Iterable[str | Path] = ()
) -> None:
    """Write a JSON document atomically, with a `provenance` entry."""
    record = {
        "created_by": provenance.created_by(),
        "created_at": provenance.timestamp(),
        "config_sha256": provenance.sha256_of_config(config),
        "inputs_sha256": provenance.sha256_of_files(inputs),
        "cpu_seconds": document.get("provenance", {}).get("cpu_seconds", provenance.cpu_seconds()),
    }
    with atomic_path(path) as part, open(part, "w") as stream:
        _dump({**document, "provenance": record}, stream)


def _dump(document: dict[str, Any], stream: IO[str]) -> None:
    json.dump(document, stream, indent=2, default=_plain)
    stream.write("\n")


def _plain(value: Any) -> Any:
    """Numpy scalars and arrays as JSON."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def read_json(path: str | Path) -> dict[str, Any]:
    """Read a JSON document, with a plain error where it is missing or broken."""
    path = Path(path)
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError("the file does not exist", file=path, remedy="run the stage that makes it") from None
    except json.JSONDecodeError as error:
        raise InputError(
            f"not valid JSON ({error})", file=path, remedy="delete it and run the stage again"
        ) from error
