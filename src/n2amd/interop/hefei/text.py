"""Tables of numbers as Fortran programs write and read them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.errors import InputError
from n2amd.storage import atomic_path

_OPEN: dict[str, Callable] = {".xz": lzma.open, ".gz": gzip.open, ".bz2": bz2.open}
# exponents may be written with D, complex numbers as (re,im)
_PLAIN = str.maketrans({"D": "e", "d": "e", "(": " ", ")": " ", ",": " "})


def find(folder: Path, name: str) -> Path | None:
    """Return the file of that name in a folder, plain or compressed, or None."""
    candidates = (folder / name, *(folder / f"{name}{suffix}" for suffix in _OPEN))
    return next((file for file in candidates if file.exists()), None)


def read_text(file: Path) -> str:
    """Read a text file, plain or compressed.

    Raises
    ------
    InputError
        If it is missing, damaged or no text.
    """
    try:
        with _OPEN.get(file.suffix, open)(file, "rt", encoding="utf-8") as stream:
            return stream.read()
    except FileNotFoundError:
        raise InputError("the file does not exist", file=file, remedy="check the path") from None
    except (OSError, EOFError, lzma.LZMAError, UnicodeDecodeError) as error:
        raise InputError(f"it cannot be read as text ({error})", file=file, remedy="copy it again") from None


def read_table(file: Path) -> NDArray[np.float64]:
    """Read the rows of a file, plain or compressed; see `parse_table`."""
    return parse_table(read_text(file), file)


def parse_table(text: str, file: Path) -> NDArray[np.float64]:
    """Read rows of finite numbers; what follows # is a comment, a complex number is two columns.

    Parameters
    ----------
    text
        Content of the file.
    file
        Named in errors.

    Raises
    ------
    InputError
        If it is empty, a row has another number of columns, or something is not a finite number.
    """
    text = text.translate(_PLAIN)
    try:
        rows = np.loadtxt(io.StringIO(text), ndmin=2) if text.strip() else np.zeros((0, 0))
    except ValueError:
        raise _misfit(file, text) from None
    if not rows.size:
        raise InputError("the file is empty", file=file, remedy="write it again")
    if not np.isfinite(rows).all():
        row = int(np.argwhere(~np.isfinite(rows))[0][0])
        raise InputError("not a finite number", file=file, frame=row + 1, remedy="make this frame again")
    return rows


def _misfit(file: Path, text: str) -> InputError:
    """Say which line is not like the first, or what is not a number."""
    width = 0
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.partition("#")[0].split()
        for word in words:
            try:
                float(word)
            except ValueError:
                return InputError(
                    f"{word[:40]!r} in line {number} is not a number",
                    file=file,
                    remedy="a row of * is a number too wide for its format: write it with more digits"
                    if "*" in word
                    else "give a table of numbers",
                )
        if words and not width:
            width = len(words)
        elif words and len(words) != width:
            return InputError(
                f"line {number} has {len(words)} numbers, the lines before have {width}",
                file=file,
                remedy="the file was cut short or edited: copy it again",
            )
    return InputError("not a table of numbers", file=file, remedy="check the file")


def write_table(file: Path, rows: NDArray, form: str, header: str = "") -> None:
    """Write rows of numbers atomically; a form with one % is repeated for every column."""
    with atomic_path(file) as part, open(part, "w") as stream:
        stream.write(header)
        np.savetxt(stream, rows, fmt=form)


def write_text(file: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_path(file) as part:
        part.write_text(text)
