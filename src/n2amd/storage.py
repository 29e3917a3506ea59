"""Files that are either whole or absent: atomic writing, checked reading, one writer a file.

Everything is written to NAME.part, flushed to disk and renamed. Readers refuse a file of another format or
major version, one without `complete`, or one in other units.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import h5py

from n2amd import checksums, leftovers, provenance, seals
from n2amd.errors import ComputationError, InputError
from n2amd.part_stream import PartStream, interrupted_between_calls
from n2amd.units import UNITS

log = logging.getLogger(__name__)

_DISK_FAILURES = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}


@contextmanager
def single_writer(path: str | Path) -> Iterator[None]:
    """Hold .NAME.lock while writing NAME; wait for another process that holds it.

    The lock dies with its process, so `kill -9` leaves nothing behind that blocks the next run.

    Raises
    ------
    InputError
        If the folder cannot be made or written.
    """
    path = Path(path)
    lock = path.with_name(f".{path.name}.lock")
    with ExitStack() as held:
        with told_plainly(path, lock):
            held.enter_context(_locked(path, lock))
        yield


def make_folder(folder: str | Path) -> None:
    """Make a folder and those above it.

    Raises
    ------
    InputError
        If that cannot be done.
    """
    folder = Path(folder)
    with told_plainly(folder, folder):
        folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield NAME.part to write to; on success flush it to disk and rename it to NAME, else remove it.

    Two processes that write the same NAME do it one after the other.

    Raises
    ------
    InputError
        If the folder cannot be made or written, or NAME is a folder.
    ComputationError
        If the disk is full or broken.
    """
    path = Path(path)
    if os.path.isdir(path):  # unlike Path.is_dir silent where the folder may not be entered
        raise InputError("is a folder", file=path, remedy="name a file")
    part = path.with_name(path.name + ".part")
    lock = path.with_name(f".{part.name}.lock")
    with told_plainly(path, part, lock), _locked(path, lock):
        part.unlink(missing_ok=True)
        try:
            yield part
            with open(part, "rb") as stream:
                os.fsync(stream.fileno())
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def _locked(path: Path, lock: Path) -> Iterator[None]:
    """Hold the lock file of `path`, making its folder if need be, and remove it at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    leftovers.clean(path.parent)
    held = False
    while not held:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _wait_for_lock(descriptor, path)
            # a holder that was done has removed the file: then this lock guards nothing, and we try again
            held = _is_named(descriptor, lock)
            if held:
                yield
        finally:
            if held:
                lock.unlink(missing_ok=True)
            os.close(descriptor)


def _is_named(descriptor: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(file))
    except FileNotFoundError:
        return False


def _wait_for_lock(descriptor: int, path: Path) -> None:
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.warning("waiting: another process is writing %s", path)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        log.warning("no file locks here, let no other process write %s", path)


@contextmanager
def told_plainly(path: Path, *beside: Path) -> Iterator[None]:
    """Turn the operating system's errors about the files `beside` path and its folders into a sentence."""
    try:
        yield
    except OSError as error:
        # mkdir says "File exists" where a folder of the path is a file
        code = errno.ENOTDIR if isinstance(error, FileExistsError) else error.errno
        reason = os.strerror(code) if code else str(error)
        if error.errno in _DISK_FAILURES:
            raise ComputationError(
                f"{path}: could not be written to its end ({reason}); make room on the disk and run the same "
                "command again, nothing half-written was left"
            ) from error
        if isinstance(error.filename, str) and Path(error.filename) in {*beside, *path.parents}:
            raise InputError(
                f"cannot be written ({reason})", file=path, remedy="choose a place that you may write to"
            ) from error
        raise


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
    with atomic_path(path) as part, PartStream(part, "w+") as stream, interrupted_between_calls():
        try:
            with checksums.File(stream, "w", libver=checksums.LIBVER) as file:
                file.attrs["format"] = format if format.startswith("n2amd/") else f"n2amd/{format}"
                file.attrs["format_version"] = version
                file.attrs["created_by"] = provenance.created_by()
                file.attrs["created_at"] = provenance.timestamp()
                file.attrs["config_sha256"] = provenance.sha256_of_config(config)
                inputs = [*inputs]
                file.attrs["inputs_sha256"] = provenance.sha256_of_files(inputs)
                file.attrs["inputs"] = json.dumps(provenance.list_of_files(inputs))
                file.attrs["units"] = UNITS
                yield file
                # a stage is one process; a writer that gathers several (MPI) may have set the total itself
                if "cpu_seconds" not in file.attrs:
                    file.attrs["cpu_seconds"] = provenance.cpu_seconds()
                checksums.seal(file)
                file.attrs["complete"] = 1
        finally:
            if stream.error is not None:
                raise stream.error


@contextmanager
def open_any_hdf5(path: str | Path, absent: str = "run the stage that makes it") -> Iterator[h5py.File]:
    """Open an HDF5 file for reading, whatever it holds.

    Parameters
    ----------
    path
        The file.
    absent
        What to do where there is none.

    Raises
    ------
    InputError
        If it is missing, unreadable, or not HDF5; within the block, if what is asked for is missing or
        damaged.
    """
    path = Path(path)
    try:
        file = checksums.File(path, "r")
    except FileNotFoundError:
        raise InputError("the file does not exist", file=path, remedy=absent) from None
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EISDIR):
            raise InputError(
                f"cannot be read ({os.strerror(error.errno)})",
                file=path,
                remedy="pass a file that you may read",
            ) from error
        reason = " ".join(str(error).split())
        raise InputError(
            f"not a readable HDF5 file ({reason})",
            file=path,
            remedy="delete it and run again, or pass the right file",
        ) from error
    with file, _fields_told_plainly(path):
        yield file


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
    with open_any_hdf5(path, f"make it first ({format})") as file:
        found = str(file.attrs.get("format", "no format attribute"))
        if found != format:
            remedy = "pass the right file"
            if not found.startswith("n2amd/"):
                remedy += ", or delete it and run the stage again if it is damaged"
            raise InputError(f"format is {found!r}, expected {format!r}", file=path, remedy=remedy)
        found_version = str(file.attrs.get("format_version", "0"))
        if found_version.split(".")[0] != str(major):
            raise InputError(
                f"format version {found_version} cannot be read by this program (major {major})",
                file=path,
                remedy="make the file again with this version of n2amd",
            )
        # as text: a damaged mark may be an array, which is neither true nor false
        if str(file.attrs.get("complete", 0)) not in ("1", "True"):
            raise InputError(
                "the file was not written to its end (no `complete` mark)",
                file=path,
                remedy="delete it and run the stage again",
            )
        if str(file.attrs.get("units")) != UNITS:
            raise InputError(
                f"units are {file.attrs.get('units')!r}, expected {UNITS!r}",
                file=path,
                field="units",
                remedy="convert the file or make it again",
            )
        checksums.require_sound_text(file)
        yield file


#: How h5py names what is not there.
_MISSING = re.compile(r"(?:object|attribute:|component) '([^']*)'")
#: How the HDF5 library says that bytes are not what was written: what it cannot do, and why in brackets.
_DAMAGED = re.compile(r"(?:Can't|Unable to|visitation failed).*\(.*\)")


@contextmanager
def _fields_told_plainly(path: Path) -> Iterator[None]:
    """Turn errors about fields that are missing or damaged into a sentence."""
    try:
        yield
    except (KeyError, OSError, RuntimeError, ValueError, TypeError) as error:
        # the system's own errors have a number, those of the HDF5 library do not
        if getattr(error, "errno", None):
            raise
        text = " ".join(str(error).split())
        missing = _MISSING.search(text) if isinstance(error, KeyError) else None
        if missing is not None and "checksum" not in text:
            raise InputError(
                "the file does not have it",
                file=path,
                field=missing.group(1),
                remedy="run the stage that makes it again",
            ) from error
        # what went wrong need not be said by HDF5: a damaged length is a ValueError of numpy
        field = checksums.first_damaged(path)
        if field is None and not _DAMAGED.search(text):
            raise
        raise InputError(
            f"damaged ({text})",
            file=path,
            field=field,
            remedy="delete it and run the stage that makes it again",
        ) from error


def write_json(
    path: str | Path, document: dict[str, Any], *, config: Any = None, inputs: Iterable[str | Path] = ()
) -> None:
    """Write a JSON document atomically, with a `provenance` entry that holds its hash."""
    inputs = [*inputs]
    record = {
        "created_by": provenance.created_by(),
        "created_at": provenance.timestamp(),
        "config_sha256": provenance.sha256_of_config(config),
        "inputs_sha256": provenance.sha256_of_files(inputs),
        "inputs": provenance.list_of_files(inputs),
        "cpu_seconds": document.get("provenance", {}).get("cpu_seconds", provenance.cpu_seconds()),
    }
    # as it will be read: keys of text, lists for arrays
    plain = json.loads(json.dumps({**document, "provenance": record}, default=_plain))
    with atomic_path(path) as part, open(part, "w") as stream:
        json.dump(seals.sealed_document(plain), stream, indent=2)
        stream.write("\n")


def _plain(value: Any) -> Any:
    """Numpy scalars and arrays as JSON."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def read_json(path: str | Path) -> dict[str, Any]:
    """Read a JSON document, with a plain error where it is missing, broken or no longer what was written."""
    path = Path(path)
    try:
        document = json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError("the file does not exist", file=path, remedy="run the stage that makes it") from None
    except OSError as error:
        raise InputError(
            f"cannot be read ({error.strerror})", file=path, remedy="pass a file that you may read"
        ) from error
    except ValueError as error:  # broken JSON, or bytes that are no text
        raise InputError(
            f"not valid JSON ({error})",
            file=path,
            remedy="delete it and run again, or pass the right file",
        ) from error
    if not isinstance(document, dict):
        raise InputError(
            f"holds a JSON {type(document).__name__}, expected an object",
            file=path,
            remedy="pass the right file",
        )
    seals.require_sound_document(document, path)
    return document
