"""Tables of numbers as Fortran programs write and read them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
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
    """Read a text file, plain or compressed, in UTF-8 or with comments in any other code.

    Raises
    ------
    InputError
        If it is missing, damaged or no text.
    """
    try:
        with _OPEN.get(file.suffix, open)(file, "rb") as stream:
            data = stream.read()
    except FileNotFoundError:
        raise InputError("the file does not exist", file=file, remedy="check the path") from None
    except IsADirectoryError:
        raise InputError("is a folder", file=file, remedy="give a file of that name") from None
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise InputError(f"it cannot be read ({error})", file=file, remedy="copy it again") from None
    if b"\0" in data:
        raise InputError("it is no text", file=file, remedy="copy it again")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_table(
    file: Path, width: int | None = None, *, first: int | None = None, only: int | None = None
) -> NDArray[np.float64]:
    """Read the rows of a file, plain or compressed; see `parse_table`."""
    return parse_table(read_text(file), file, width, first=first, only=only)


def without_comments(text: str) -> str:
    """Text without what follows ! or # on a line."""
    return re.sub(r"[!#][^\n]*", "", text) if "!" in text or "#" in text else text


def parse_table(
    text: str,
    file: Path,
    width: int | None = None,
    *,
    first: int | None = None,
    only: int | None = None,
) -> NDArray[np.float64]:
    """Read rows of finite numbers as Fortran's list-directed reading does; a complex number is two columns.

    What follows ! or # is a comment. Exponents may be written with D or without a letter (1.0-101), equal
    numbers as 3*0.0.

    Parameters
    ----------
    text
        Content of the file.
    file
        Named in errors.
    width
        Numbers of a row where that is known: a row may then go on over several lines.
    first
        Read that many numbers of each line only, whatever follows them.
    only
        Read that many rows only.

    Raises
    ------
    InputError
        If it is empty, a row has another number of columns, or something is not a finite number.
    """
    text = without_comments(text).translate(_PLAIN)
    if first is not None:
        text = "\n".join(" ".join(line.split()[:first]) for line in text.splitlines())
    if not text.strip():
        raise InputError("the file is empty", file=file, remedy="write it again")
    try:
        rows = np.loadtxt(io.StringIO(text), ndmin=2)
    except ValueError:
        text = re.sub(r"(?<![\w.])(\d+)\*(\S+)", lambda m: f" {m[2]}" * min(int(m[1]), 10**6), text)
        # three digits of an exponent leave no room for its letter
        text = re.sub(r"(\d\.?)([-+]\d{3})(?![\w.])", r"\1e\2", text)
        rows = _rows(text, file, width)
    if width is not None and rows.shape[1] < width and width % rows.shape[1] == 0:
        if len(rows) % (width // rows.shape[1]):
            raise InputError(
                f"{rows.size} numbers are no whole rows of {width}",
                file=file,
                remedy="the file was cut short or edited: copy it again",
            )
        rows = rows.reshape(-1, width)
    rows = rows[:only]
    if not np.isfinite(rows).all():
        row = int(np.argwhere(~np.isfinite(rows))[0][0])
        raise InputError("not a finite number", file=file, frame=row + 1, remedy="make this frame again")
    return rows


def _rows(text: str, file: Path, width: int | None) -> NDArray[np.float64]:
    """Rows of lines that are not all alike: one a line, or of `width` numbers over several lines each."""
    rows: list[list[float]] = []
    numbers: list[float] = []
    longest = width or 0
    for number, line in enumerate(text.splitlines(), start=1):
        for word in line.split():
            try:
                numbers.append(float(word))
            except ValueError:
                raise InputError(
                    f"{word[:40]!r} in line {number} is not a number",
                    file=file,
                    remedy="a row of * is a number too wide for its format: write it with more digits"
                    if word.startswith("**")
                    else "give a table of numbers",
                ) from None
        if not numbers or (width is not None and len(numbers) < width):
            continue
        longest = longest or len(numbers)
        if len(numbers) != longest:
            raise InputError(
                f"line {number} has {len(numbers)} numbers, the lines before have {longest}"
                if width is None
                else f"the row that ends in line {number} has {len(numbers)} numbers, not {width}",
                file=file,
                remedy="the file was cut short or edited: copy it again",
            )
        rows.append(numbers)
        numbers = []
    if numbers:
        raise InputError(
            f"the last row has {len(numbers)} numbers, not {width}",
            file=file,
            remedy="the file was cut short: copy it again",
        )
    return np.array(rows)


def write_table(file: Path, rows: NDArray, form: str, header: str = "") -> None:
    """Write rows of numbers atomically; a form with one % is repeated for every column."""
    with atomic_path(file) as part, open(part, "w") as stream:
        stream.write(header)
        np.savetxt(stream, rows, fmt=form)


def write_text(file: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_path(file) as part:
        part.write_text(text)
