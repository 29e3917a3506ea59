"""What a run that was killed goes on from: whole and of this job, or put aside with a word and made anew.

Everything that can be made again is treated alike: a damaged file keeps its content as NAME.damaged, one of
another job (other settings, data or sources) is replaced, and in both cases the user is told.
"""

from __future__ import annotations

import logging
import os
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from n2amd.errors import InputError
from n2amd.storage import atomic_path

log = logging.getLogger(__name__)

T = TypeVar("T")
#: What readers of numpy, zip, JSON and torch files raise where the content is not what was written.
_DAMAGE = (
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    zipfile.BadZipFile,
    zlib.error,
    InputError,
)
_IDENTITY = "identity"


def read_or_set_aside(file: Path, read: Callable[[Path], T]) -> T | None:
    """Return what `read` makes of a file of a run before; None where there is none that can be used.

    Parameters
    ----------
    file
        The file; renamed to NAME.damaged where it is damaged.
    read
        The reader. Any of its usual errors means damage.

    Raises
    ------
    InputError
        If the file may not be read.
    """
    try:
        return read(file)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno is not None:
            raise InputError(
                f"cannot be read ({os.strerror(error.errno)})",
                file=file,
                remedy="make it readable or delete it",
            ) from error
        set_aside(file, str(error))
    except _DAMAGE as error:
        set_aside(file, str(error).splitlines()[0] if str(error) else type(error).__name__)
    return None


def set_aside(file: Path, reason: str) -> None:
    """Rename a damaged file to NAME.damaged and say so."""
    aside = file.with_name(file.name + ".damaged")
    os.replace(file, aside)
    _warn(f"{file} is damaged ({reason}): kept as {aside.name}, its content is computed again")


def same_job(file: Path, found: object, identity: str) -> bool:
    """Whether a file's identity is this job's; if not, the user is told that it is made anew."""
    if found == identity:
        return True
    _warn(f"{file} is of another job (settings, data or program changed): computed again")
    return False


def save_arrays(file: Path, identity: str, arrays: Mapping[str, NDArray], *, compress: bool = False) -> None:
    """Replace a file of arrays, marked with what the result depends on."""
    write = np.savez_compressed if compress else np.savez
    with atomic_path(file) as part, open(part, "wb") as stream:
        write(stream, **{_IDENTITY: np.array(identity), **arrays})  # type: ignore[arg-type]


def load_arrays(file: Path, identity: str, wanted: Iterable[str] = ()) -> dict[str, NDArray] | None:
    """Return the arrays of `save_arrays`; None where there are none, or none of this job.

    Parameters
    ----------
    file
        The file.
    identity
        As given when it was written.
    wanted
        Names without which the file counts as damaged.
    """
    arrays = read_or_set_aside(file, _read_arrays)
    if arrays is None:
        return None
    if not same_job(file, str(arrays.pop(_IDENTITY, "")), identity):
        return None
    missing = [name for name in wanted if name not in arrays]
    if missing:
        set_aside(file, f"{missing[0]} is missing")
        return None
    return arrays


def _read_arrays(file: Path) -> dict[str, NDArray]:
    with open(file, "rb") as stream:
        if not zipfile.is_zipfile(stream):  # numpy would take it for a pickle, and say how to load that
            raise ValueError("no archive of arrays, or only its beginning")
    # every array is read whole, so that the checksums of the archive are looked at
    with np.load(file, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def claim(folder: Path, identity: str, leftovers: Iterable[str]) -> bool:
    """Make a work folder this job's; return whether it was before.

    Parameters
    ----------
    folder
        The folder; made where it is missing.
    identity
        Hash of everything the result depends on.
    leftovers
        Patterns of the files and folders that another job left, which are deleted.
    """
    mark = folder / _IDENTITY
    found = read_or_set_aside(mark, Path.read_text)
    if found == identity:
        return True
    if found is not None:
        _warn(f"{folder} is of another job (settings, data or program changed): started afresh")
    if found is not None or mark.with_name(mark.name + ".damaged").exists():
        for pattern in leftovers:
            for path in folder.glob(pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    with atomic_path(mark) as part:
        part.write_text(identity)
    return False


def _warn(sentence: str) -> None:
    log.warning(sentence)
