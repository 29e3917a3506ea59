"""How large DFT data are: exactly once they are ingested, before that from the sizes of their files."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

#: Bytes of a frame's folder an atom where matrices are stored packed (.xz, .gz) and as they are, measured on
#: rutile with double zeta and polarisation: fewer orbitals or shorter radii make smaller files.
PACKED_BYTES, PLAIN_BYTES = 50e3, 260e3
#: Bytes of a line of an extended XYZ file with positions and forces.
LINE_BYTES = 110.0


@dataclass(frozen=True)
class DataSize:
    """Frames of one data set.

    Attributes
    ----------
    frames
        How many.
    atoms
        Of all frames together.
    largest
        Atoms of the largest frame.
    """

    frames: int
    atoms: int
    largest: int

    def __add__(self, other: DataSize) -> DataSize:
        return DataSize(
            self.frames + other.frames, self.atoms + other.atoms, max(self.largest, other.largest)
        )


NOTHING = DataSize(0, 0, 0)


def size_of_folders(folders: Iterable[Path]) -> DataSize:
    """Return the size of DFT output that nobody has read yet; what does not exist counts nothing.

    Parameters
    ----------
    folders
        Each holds frames as folders or files, or is a frame itself.
    """
    total = NOTHING
    for folder in folders:
        frames = _frames(folder)
        atoms = [max(1, math.ceil(count)) for count in frames]
        total += DataSize(len(atoms), sum(atoms), max(atoms, default=0))
    return total


def _frames(folder: Path) -> list[float]:
    """Return the atoms of each frame below a folder."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        below = [entry.path for entry in entries if entry.is_dir()]
    return [_atoms(Path(path)) for path in below] if below else [_atoms(folder)]


def _atoms(frame: Path) -> float:
    with os.scandir(frame) as entries:
        return sum(
            entry.stat().st_size / (PACKED_BYTES if entry.name.endswith((".xz", ".gz")) else PLAIN_BYTES)
            for entry in entries
            if entry.is_file()
        )


def size_of_frames_files(files: Iterable[Path]) -> DataSize:
    """Return the size of extended XYZ files; frames of a file count as equally large."""
    total = NOTHING
    for file in files:
        if not file.is_file():
            continue
        with file.open("rb") as opened:
            first = opened.readline().strip()
        each = int(first) if first.isdigit() else 1
        atoms = math.ceil(file.stat().st_size / LINE_BYTES)
        total += DataSize(max(1, atoms // max(each, 1)), atoms, each)
    return total


def size_of_dataset(file: Path) -> DataSize | None:
    """Return the size of an ingested data set, None where it is not there or cannot be read."""
    return _size_by_offsets(file, "frames/atom_offset")


def size_of_densities(file: Path) -> DataSize | None:
    """Return the size of a file of frames kept as densities, None where it is not there or cannot be read."""
    return _size_by_offsets(file, "atom_offset")


def _size_by_offsets(file: Path, where: str) -> DataSize | None:
    if not file.exists():
        return None
    import h5py

    try:
        with h5py.File(file) as opened:
            offsets = opened[where][()]
    except (OSError, KeyError, ValueError):
        # it is the ingestion's and the training's to complain; sizes of the raw files do for a request
        return None
    counts = offsets[1:] - offsets[:-1]
    return DataSize(len(counts), int(counts.sum()), int(counts.max(initial=0)))
