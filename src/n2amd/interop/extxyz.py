"""Extended XYZ through ASE: geometries with energies and forces for force fields, structures for DFT."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import iread, write

from n2amd.dataset.frame import Frame
from n2amd.errors import InputError
from n2amd.storage import atomic_path
from n2amd.structure import Structure


def frame_to_atoms(frame: Frame) -> Atoms:
    """Return a frame as `ase.Atoms` with the energy (eV), forces (eV/A) and stress (eV/A^3) it has."""
    atoms = frame.structure.to_ase()
    known = {"energy": frame.energy, "forces": frame.forces, "stress": frame.stress}
    atoms.calc = SinglePointCalculator(
        atoms, **{name: value for name, value in known.items() if value is not None}
    )
    atoms.info["name"] = frame.name
    return atoms


def write_extxyz(path: str | Path, frames: Iterable[Frame]) -> int:
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
    path = Path(path)
    if not path.is_file():
        raise InputError("the structure file does not exist", file=path, remedy="check the path")
    remedy = "write the file again (n2amd structures, n2amd dataset export, n2amd trajectory export)"
    structures: list[Structure] = []
    try:
        for atoms in iread(path, index=":", format="extxyz"):
            structures.append(Structure.from_ase(atoms))
    except Exception as error:  # ASE's reader raises whatever its parsing meets
        raise InputError(
            f"cannot be read as extended XYZ after {len(structures)} structures "
            f"({type(error).__name__}: {error})",
            file=path,
            frame=len(structures),
            remedy=remedy,
        ) from None
    if not structures:
        raise InputError("holds no structure", file=path, remedy=remedy)
    for frame, structure in enumerate(structures):
        problem = _flaw(structure)
        if problem:
            raise InputError(problem, file=path, frame=frame, remedy=remedy)
    return structures


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
