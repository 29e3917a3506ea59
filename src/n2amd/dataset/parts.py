"""What an ingestion has done so far, kept beside its output until the output is whole.

The folder NAME.work holds unpacked archives and, for every frame that passed the gate, one file under a key
made of all that decides its content: the settings, this program's sources, and name, size and time of the
frame's files. A run that was killed, or refused a frame, goes on from there.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import zstandard

import n2amd
from n2amd.dataset.frame import Frame
from n2amd.dft.archives import archive_suffix, unpack
from n2amd.orbitals.basis import Basis


@dataclass(frozen=True)
class Part:
    """One frame that passed the gate.

    Attributes
    ----------
    frame, basis
        As read.
    figures
        Figures of the gate.
    sha256
        Hash of the frame's files.
    warnings
        What is unusual or could not be checked, by the name of the check.
    """

    frame: Frame
    basis: Basis
    figures: dict[str, float]
    sha256: str
    warnings: dict[str, str] = field(default_factory=dict)


def write_part(path: Path, part: Part) -> None:
    """Write a part; it appears under its name only when it is whole."""
    content = pickle.dumps(part, protocol=5)
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f"{path.name}.{os.getpid()}")
    half.write_bytes(zstandard.ZstdCompressor(level=1, write_checksum=True).compress(content))
    os.replace(half, path)


def read_part(path: Path) -> Part | None:
    """Read a part; None where there is none, or a damaged one."""
    try:
        part = pickle.loads(zstandard.ZstdDecompressor().decompress(path.read_bytes()))
    except (FileNotFoundError, zstandard.ZstdError):
        return None
    return part if isinstance(part, Part) else None


@dataclass
class WorkFolder:
    """The folder NAME.work of an output NAME."""

    path: Path
    _stamps: dict[Path, str] = field(default_factory=dict)

    def folder_of(self, path: Path) -> Path:
        """Return a path itself, or the folder that an archive is unpacked to (once)."""
        if archive_suffix(path) is None or not path.is_file():
            return path
        suffix = str(archive_suffix(path))
        key = _digest(str(path.resolve()), _stamp(path))
        folder = self.path / "archives" / key / path.name[: -len(suffix)]
        if not folder.is_dir():
            unpack(path, folder)
        return folder

    def part_of(self, frame: Path, settings: str) -> Path:
        """Return where the part of a frame is kept: another path once one of its files has changed."""
        shared = [frame.parent, *(place / "pao" for place in (frame, frame.parent, frame.parent.parent))]
        stamps = (self._shared_stamp(place) for place in shared)
        key = _digest(settings, str(frame.resolve()), _stamp(frame), *stamps, self._program_stamp())
        return self.path / "frames" / key[:2] / key

    def _shared_stamp(self, folder: Path) -> str:
        """Stamp of files that the frames of a set share, our own output apart; looked at once."""
        if folder not in self._stamps:
            own = self.path.name.removesuffix(".work")
            self._stamps[folder] = _stamp(folder, lambda name: not name.startswith((".", own)))
        return self._stamps[folder]

    def _program_stamp(self) -> str:
        package = Path(n2amd.__file__).parent
        if package not in self._stamps:
            self._stamps[package] = _digest(*(_stamp(file) for file in sorted(package.rglob("*.py"))))
        return self._stamps[package]


@contextmanager
def work_folder(out: Path) -> Iterator[WorkFolder]:
    """Yield the work folder of an output; it is removed when the block ends without an error."""
    folder = out.with_name(out.name + ".work")
    (folder / "frames").mkdir(parents=True, exist_ok=True)
    try:
        yield WorkFolder(folder)
    except BaseException:
        _remove_empty(folder)
        raise
    shutil.rmtree(folder)


def _remove_empty(folder: Path) -> None:
    """Remove a work folder that holds nothing worth keeping."""
    if not any(path.is_file() for path in folder.rglob("*")):
        shutil.rmtree(folder, ignore_errors=True)


def _stamp(path: Path, counts: Callable[[str], bool] = lambda name: True) -> str:
    """Name, size and time of a file, or of the files of a folder; the same for every folder without files."""
    found = sorted(path.iterdir()) if path.is_dir() else [path]
    stats = [(file.name, file.stat()) for file in found if counts(file.name) and file.is_file()]
    return _digest(*(f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats))


def _digest(*words: str) -> str:
    return hashlib.sha256("\n".join(words).encode()).hexdigest()
