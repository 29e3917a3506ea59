"""Extended XYZ through ASE: geometries with energies and forces for force fields, structures for DFT."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import iread, write
from numpy.typing import NDArray

from n2amd.errors import InputError
from n2amd.storage import atomic_path
from n2amd.structure import Structure


class Labelled(Protocol):
    """A structure and what DFT gave for it; the frames of a data set are one kind."""

    @property
    def name(self) -> str:
        """Where it came from."""

    @property
    def structure(self) -> Structure:
        """Atoms and cell."""

    @property
    def energy(self) -> float | None:
        """Total energy, eV."""

    @property
    def forces(self) -> NDArray[np.float64] | None:
        """Forces, eV/A, (n_atoms, 3)."""

    @property
    def stress(self) -> NDArray[np.float64] | None:
        """Stress, eV/A^3, (3, 3)."""


@dataclass(frozen=True)
class LabelledFrame:
    """A DFT frame without matrices: enough for a force field.

    Attributes
    ----------
    name
        File and number of the frame, or the name that the file gives it.
    structure
        Atoms and cell.
    energy, forces
        eV and eV/A, (n_atoms, 3).
    stress
        eV/A^3, (3, 3), or None.
    """

    name: str
    structure: Structure
    energy: float
    forces: NDArray[np.float64]
    stress: NDArray[np.float64] | None = None


def frame_to_atoms(frame: Labelled) -> Atoms:
    """Return a frame as `ase.Atoms` with the energy (eV), forces (eV/A) and stress (eV/A^3) it has."""
    atoms = frame.structure.to_ase()
    known = {"energy": frame.energy, "forces": frame.forces, "stress": frame.stress}
    atoms.calc = SinglePointCalculator(
        atoms, **{name: value for name, value in known.items() if value is not None}
    )
    atoms.info["name"] = frame.name
    return atoms


def write_extxyz(path: str | Path, frames: Iterable[Labelled]) -> int:
    """Write frames to an extended XYZ file; return how many.

    The file appears under its name only when it is whole.
    """
    count = 0
    with atomic_path(path) as part, open(part, "w") as stream:
        for frame in frames:
            write(stream, frame_to_atoms(frame), format="extxyz")
            count += 1
    return count


def write_structures(path: str | Path, structures: Iterable[tuple[Structure, Mapping[str, object]]]) -> int:
    """Write structures, each with its record as the comment line's entries; return how many."""
    count = 0
    with atomic_path(path) as part, open(part, "w") as stream:
        for structure, record in structures:
            atoms = structure.to_ase()
            atoms.info.update(record)
            write(stream, atoms, format="extxyz")
            count += 1
    return count


def read_structures(path: str | Path) -> list[Structure]:
    """Read every structure of an extended XYZ file.

    Raises
    ------
    InputError
        If the file is missing, damaged or empty, or a structure has no cell, no atoms, or a value that is not
        finite.
    """
    return [Structure.from_ase(atoms) for atoms in _read(Path(path))]


def read_labelled_frames(path: str | Path) -> list[LabelledFrame]:
    """Read the frames of an extended XYZ file with their energies and forces.

    Parameters
    ----------
    path
        File of `n2amd dataset export`, or of ASE: `energy` and `forces` (and `stress`) in eV and Angstrom.

    Raises
    ------
    InputError
        As of `read_structures`, or if a frame has no energy or no forces, or one that is not finite.
    """
    path = Path(path)
    frames = []
    for index, atoms in enumerate(_read(path)):
        found = atoms.calc.results if atoms.calc is not None else {}
        for field in ("energy", "forces"):
            if not np.isfinite(found.get(field, np.nan)).all():
                raise InputError(
                    f"the frame has no {field}" if field not in found else f"its {field} are not finite",
                    file=path,
                    frame=index,
                    field=field,
                    remedy="write energy= and forces of DFT (n2amd dataset export), or leave the frame out",
                )
        stress = atoms.get_stress(voigt=False) if "stress" in found else None
        name = str(atoms.info.get("name", f"{path.name}:{index}"))
        frames.append(
            LabelledFrame(name, Structure.from_ase(atoms), float(found["energy"]), found["forces"], stress)
        )
    return frames


def _read(path: Path) -> list[Atoms]:
    if not path.is_file():
        raise InputError("the structure file does not exist", file=path, remedy="check the path")
    remedy = "write the file again (n2amd structures, n2amd dataset export, n2amd trajectory export)"
    images: list[Atoms] = []
    try:
        for atoms in iread(path, index=":", format="extxyz"):
            images.append(atoms)
    except Exception as error:  # ASE's reader raises whatever its parsing meets
        raise InputError(
            f"cannot be read as extended XYZ after {len(images)} structures "
            f"({type(error).__name__}: {error})",
            file=path,
            frame=len(images),
            remedy=remedy,
        ) from None
    if not images:
        raise InputError("holds no structure", file=path, remedy=remedy)
    for frame, atoms in enumerate(images):
        problem = _flaw(Structure.from_ase(atoms))
        if problem:
            raise InputError(problem, file=path, frame=frame, remedy=remedy)
    return images


def _flaw(structure: Structure) -> str | None:
    if not structure.n_atoms:
        return "the structure has no atoms"
    if not (np.isfinite(structure.positions).all() and np.isfinite(structure.cell).all()):
        return "a position or lattice vector is not a finite number"
    if structure.volume < 1e-6:
        return "the structure has no three lattice vectors (Lattice=)"
    if not structure.numbers.all():
        return "an atom is of no element (symbol X)"
    return None
