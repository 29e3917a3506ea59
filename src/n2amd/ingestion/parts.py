"""What an ingestion has done so far, kept beside its output until the output is whole.

The folder NAME.work holds unpacked archives and, for every frame that passed the gate, one file under a key
made of all that decides its content: the settings, this program's sources, and name, size and time of the
frame's files. A run that was killed, or refused a frame, goes on from there.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import n2amd
from n2amd.blocks.matrix import BlockMatrix, PairIndex, SpeciesPair
from n2amd.dft.archives import archive_suffix, unpack
from n2amd.frames.frame import BandReference, Frame
from n2amd.frames.ingredients import Ingredients
from n2amd.orbitals.basis import Basis
from n2amd.restart import load_arrays, save_arrays
from n2amd.storage import make_folder
from n2amd.structure import Structure

#: Fields of a frame and of what it holds, as they are kept.
_FACTS = (
    *("name", "n_electrons", "energy", "fermi_level", "charge"),
    *("hermiticity_error", "spin", "fixed_moment"),
)
_OF_STRUCTURE = ("cell", "positions", "numbers", "pbc")
_OF_FRAME = ("forces", "stress", "velocities")
_OF_BANDS = ("kpoints", "weights", "energies")
_OF_PAIRS = ("i", "j", "shift")


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
    frame, ingredients = part.frame, part.frame.ingredients
    facts = {
        "frame": {name: getattr(frame, name) for name in _FACTS},
        "origin": dict(frame.origin),
        "basis": part.basis.to_json(),
        "ingredients": ingredients and ingredients.to_json(),
        **{name: getattr(part, name) for name in ("figures", "sha256", "warnings")},
    }
    arrays = {name: getattr(frame.structure, name) for name in _OF_STRUCTURE}
    arrays |= {name: values for name in _OF_FRAME if (values := getattr(frame, name)) is not None}
    if frame.bands is not None:
        arrays |= {f"bands.{name}": getattr(frame.bands, name) for name in _OF_BANDS}
    for (first, second), index in frame.hamiltonian.pairs.items():
        key, pair = f"pair.{first}.{second}", (first, second)
        arrays |= {f"{key}.{name}": getattr(index, name) for name in _OF_PAIRS}
        arrays[f"{key}.hamiltonian"] = frame.hamiltonian.values[pair]
        arrays[f"{key}.overlap"] = frame.overlap.values[pair]
    text = np.frombuffer(json.dumps(facts, default=float).encode(), dtype=np.uint8)
    save_arrays(path, path.name, {"facts": text, **arrays})


def read_part(path: Path) -> Part | None:
    """Read a part; None where there is none, or a damaged one, which is put aside."""
    arrays = load_arrays(path, path.name, ("facts", *_OF_STRUCTURE))
    return None if arrays is None else _part_of(arrays)


def _part_of(arrays: Mapping[str, NDArray]) -> Part:
    facts = json.loads(arrays["facts"].tobytes())
    pairs: dict[SpeciesPair, PairIndex] = {}
    matrices: dict[str, dict[SpeciesPair, NDArray]] = {"hamiltonian": {}, "overlap": {}}
    for name in arrays:
        if name.startswith("pair.") and name.endswith(".i"):
            key = name.removesuffix(".i")
            first, second = (int(z) for z in key.split(".")[1:])
            pairs[first, second] = PairIndex(*(arrays[f"{key}.{part}"] for part in _OF_PAIRS))
            for kind, values in matrices.items():
                values[first, second] = arrays[f"{key}.{kind}"]
    periodic = [bool(along) for along in arrays["pbc"]]
    frame = Frame(
        structure=Structure(
            arrays["cell"], arrays["positions"], arrays["numbers"], (periodic[0], periodic[1], periodic[2])
        ),
        hamiltonian=BlockMatrix(pairs, matrices["hamiltonian"]),
        overlap=BlockMatrix(pairs, matrices["overlap"]),
        bands=BandReference(*(arrays[f"bands.{name}"] for name in _OF_BANDS))
        if "bands.kpoints" in arrays
        else None,
        origin=facts["origin"],
        ingredients=facts["ingredients"] and Ingredients.from_json(facts["ingredients"]),
        forces=arrays.get("forces"),
        stress=arrays.get("stress"),
        velocities=arrays.get("velocities"),
        **facts["frame"],
    )
    basis = Basis.from_json(facts["basis"])
    return Part(frame, basis, facts["figures"], facts["sha256"], facts["warnings"])


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
    make_folder(folder / "frames")
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
