"""Archives of frames (.tar, compressed or not, and .zip), unpacked without trusting what is inside."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO, Any

import zstandard

from n2amd.errors import InputError
from n2amd.storage import make_folder, told_plainly

#: How the stream of a tar archive is opened, by the end of its name.
_TAR_STREAMS: dict[str, Callable[[Path], Any]] = {
    ".tar": lambda path: path.open("rb"),
    ".tar.xz": lzma.open,
    ".txz": lzma.open,
    ".tar.gz": gzip.open,
    ".tgz": gzip.open,
    ".tar.bz2": bz2.open,
    ".tbz2": bz2.open,
    ".tar.zst": lambda path: zstandard.open(path, "rb"),
    ".tzst": lambda path: zstandard.open(path, "rb"),
}
_SUFFIXES = (*_TAR_STREAMS, ".zip")
_DAMAGE = (
    EOFError,
    lzma.LZMAError,
    zlib.error,
    gzip.BadGzipFile,
    zstandard.ZstdError,
    tarfile.ReadError,
    zipfile.BadZipFile,
)
#: A tar archive ends with two blocks of zeros.
_END_OF_TAR = bytes(1024)


def archive_suffix(path: Path) -> str | None:
    """Return the end of a name that makes it an archive, e.g. ".tar.xz"; None for anything else."""
    return next((end for end in _SUFFIXES if path.name.lower().endswith(end)), None)


def unpack(path: Path, folder: Path) -> None:
    """Unpack an archive into a folder, which appears under its name only when everything is there.

    Parameters
    ----------
    path
        Archive; see `archive_suffix`.
    folder
        Folder to make.

    Raises
    ------
    InputError
        If the archive is cut or damaged, or a member would be written outside the folder or is neither a file
        nor a folder.
    """
    suffix = archive_suffix(path)
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    make_folder(part)
    try:
        with told_plainly(folder, part):
            if suffix == ".zip":
                _unpack_zip(path, part)
            else:
                _unpack_tar(path, part, _TAR_STREAMS[str(suffix)])
            os.replace(part, folder)
    except _DAMAGE as error:
        raise InputError(
            f"the archive is cut or damaged ({error})",
            file=path,
            remedy="copy it again from where it was made",
        ) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _escape(path: Path, member: str, reason: str) -> InputError:
    return InputError(
        f"the archive's member {member!r} {reason}",
        file=path,
        remedy="unpack it by hand into an empty folder, look at it, and pass that folder",
    )


def _unpack_tar(path: Path, folder: Path, opened: Callable[[Path], IO[bytes]]) -> None:
    with opened(path) as stream:
        reader = _TailReader(stream)
        with tarfile.open(fileobj=reader, mode="r|") as archive:
            archive.extraction_filter = lambda member, _: member  # the check is ours
            for member in archive:
                if PurePosixPath(member.name).is_absolute():
                    raise _escape(path, member.name, "has an absolute path")
                if not _stays_inside(folder, member):
                    raise _escape(path, member.name, "would leave the folder or is no file")
                archive.extract(member, folder, set_attrs=False)
        while reader.read(1 << 20):
            pass
        # tarfile takes the end of the file for the end of the archive, and would lose frames in silence
        if reader.tail != _END_OF_TAR:
            raise EOFError("the mark at its end is missing")


def _stays_inside(folder: Path, member: tarfile.TarInfo) -> bool:
    """Whether a member is a file, a folder or a link, and leads nowhere outside.

    The "data" filter of `tarfile` would do it, but Python has that since 3.11.4 only.
    """
    if not (member.isfile() or member.isdir() or member.issym() or member.islnk()):
        return False
    inside, place = Path(os.path.realpath(folder)), folder / member.name
    led_to = [place]
    if member.issym():
        led_to.append(place.parent / member.linkname)
    elif member.islnk():
        led_to.append(folder / member.linkname)
    return all(Path(os.path.realpath(p)).is_relative_to(inside) for p in led_to)


def _unpack_zip(path: Path, folder: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            name = PurePosixPath(member.filename.replace("\\", "/"))
            if name.is_absolute() or ".." in name.parts or ":" in name.parts[0]:
                raise _escape(path, member.filename, "would leave the folder")
            archive.extract(member, folder)


class _TailReader(io.RawIOBase):
    """Reads a stream and remembers its last bytes."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.tail = b""

    def read(self, size: int = -1) -> bytes:
        """Read up to `size` bytes."""
        content = self._stream.read(size)
        self.tail = (self.tail + content)[-len(_END_OF_TAR) :]
        return content
