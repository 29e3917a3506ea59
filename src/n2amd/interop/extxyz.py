"""Extended XYZ through ASE: geometries with energies and forces, for force fields."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from n2amd.dataset.frame import Frame
from n2amd.storage import atomic_path


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
