"""Finding frames and opening their files; a file NAME may be compressed: NAME.xz, .zst, .gz or .bz2."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import zstandard

from n2amd.errors import InputError
from n2amd.paths import natural


def _decompress_zstd(data: bytes) -> bytes:
    stream = zstandard.ZstdDecompressor().decompressobj()
    content = stream.decompress(data)
    if not stream.eof:
        raise EOFError("the stream ends early")
    return content


#: How a compressed file is read, by the end of its name.
DECOMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    ".xz": lzma.decompress,
    ".zst": _decompress_zstd,
    ".gz": gzip.decompress,
    ".bz2": bz2.decompress,
}
_DAMAGE = (EOFError, ValueError, OSError, lzma.LZMAError, zlib.error, zstandard.ZstdError)


def find_frame_folders(paths: Sequence[str | Path], marks: Sequence[str], what: str) -> list[Path]:
    """List the frame folders under the paths, in the order of the paths and of the numbers in their names.

    Parameters
    ----------
    paths
        Frame folders, or folders of frame folders at any depth.
    marks
        Patterns such as "*.HSX": a folder with a file that matches one is a frame. Folders inside it are not
        searched.
    what
        The marks in words, for messages.

    Raises
    ------
    InputError
        If a path does not exist or there is no frame in it.
    """
    frames: list[Path] = []
    for path in map(Path, paths):
        if not path.is_dir():
            raise InputError(
                "is a file, but no archive (.tar, .tar.xz, .tar.zst, .tar.gz, .tar.bz2, .zip)"
                if path.exists()
                else "there is no such folder",
                file=path,
                remedy="pass frame folders, folders of frames, or archives of them",
            )
        found = list(_frames_under(path, marks))
        if not found:
            raise InputError(
                f"no frame found: no folder in it holds {what}",
                file=path,
                remedy="pass frame folders or folders of frames",
            )
        frames += found
    return frames


def _frames_under(path: Path, marks: Sequence[str]) -> Iterator[Path]:
    if any(next(path.glob(mark + end), None) for mark in marks for end in ("", *DECOMPRESSORS)):
        yield path
        return
    for folder in sorted((p for p in path.iterdir() if p.is_dir()), key=lambda p: natural(p.name)):
        yield from _frames_under(folder, marks)


def locate(folder: Path, pattern: str, *, beside: bool = False) -> Path | None:
    """Return the one file that matches NAME, plain or compressed, in a folder; None where there is none.

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
        found = sorted({match for end in ("", *DECOMPRESSORS) for match in place.glob(pattern + end)})
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
        raise InputError(f"no file {pattern} (plain or compressed){where}", file=folder, remedy=remedy)
    return found


def frame_name(folder: Path) -> str:
    """Name of a frame in messages: its folder and the one above."""
    return f"{folder.parent.name}/{folder.name}" if folder.parent.name else folder.name


def read_bytes(path: Path) -> bytes:
    """Read a file, decompressed where its name says so.

    Raises
    ------
    InputError
        If the compressed stream is broken or cut.
    """
    content = path.read_bytes()
    if path.suffix not in DECOMPRESSORS:
        return content
    try:
        return DECOMPRESSORS[path.suffix](content)
    except _DAMAGE as error:
        raise InputError(
            f"the compressed file is cut or damaged ({error})", file=path, remedy="copy it again from the run"
        ) from None


def read_text(path: Path) -> str:
    """Read a text file, decompressed where its name says so, as if it had not been edited on Windows.

    Line ends become plain ones, and the mark that says UTF-8 is not part of the first line.
    """
    return read_bytes(path).decode("utf-8-sig", errors="replace").replace("\r\n", "\n")
