"""Finding and opening the files of a run; every file may be NAME or NAME.xz."""

from __future__ import annotations

import lzma
from pathlib import Path

from n2amd.errors import InputError


def locate(folder: Path, pattern: str, *, beside: bool = False) -> Path | None:
    """Return the one file that matches NAME or NAME.xz in a folder, None where there is none.

    Parameters
    ----------
    folder
        Where to look.
    pattern
        File name, or a glob pattern such as "*.HSX".
    beside
        Look in the parent folder too: files that a set of frames shares.

    Raises
    ------
    InputError
        If several files match.
    """
    for place in (folder, folder.parent) if beside else (folder,):
        found = sorted({*place.glob(pattern), *place.glob(f"{pattern}.xz")})
        if len(found) > 1:
            raise InputError(
                f"{len(found)} files match {pattern}: {', '.join(p.name for p in found)}",
                file=place,
                remedy="keep the output of one run in a folder",
            )
        if found:
            return found[0]
    return None


def require(folder: Path, pattern: str, *, remedy: str, beside: bool = False) -> Path:
    """Return what `locate` finds; raise `InputError` where there is nothing."""
    found = locate(folder, pattern, beside=beside)
    if found is None:
        where = " (nor in the folder above)" if beside else ""
        raise InputError(f"no file {pattern} or {pattern}.xz{where}", file=folder, remedy=remedy)
    return found


def read_bytes(path: Path) -> bytes:
    """Read a file, decompressed where its name ends in .xz.

    Raises
    ------
    InputError
        If the compressed stream is broken or cut.
    """
    if path.suffix != ".xz":
        return path.read_bytes()
    try:
        with lzma.open(path) as stream:
            return stream.read()
    except (EOFError, lzma.LZMAError) as error:
        raise InputError(
            f"the compressed file is cut or damaged ({error})", file=path, remedy="copy it again from the run"
        ) from None


def read_text(path: Path) -> str:
    """Read a text file, decompressed where its name ends in .xz."""
    return read_bytes(path).decode("utf-8", errors="replace")
