"""Structures from any file that ASE reads."""

from __future__ import annotations

from pathlib import Path

from n2amd.errors import InputError
from n2amd.structure import Structure


def read_structure(path: str | Path) -> Structure:
    """Read one periodic structure.

    Raises
    ------
    InputError
        If the file is missing, not understood, or has no cell.
    """
    from ase import Atoms
    from ase.io import read

    path = Path(path)
    if not path.exists():
        raise InputError("the structure file does not exist", file=path, remedy="check the path")
    try:
        atoms = read(path, index=-1)
    except Exception as error:  # ASE's readers raise whatever their parsing meets
        raise InputError(
            f"ASE cannot read a structure from it ({type(error).__name__}: {error})",
            file=path,
            remedy="use a format that ASE knows (POSCAR, CIF, extxyz, ...) with its usual file name",
        ) from None
    assert isinstance(atoms, Atoms)  # one index, one structure
    if atoms.cell.rank < 3:
        raise InputError("the structure has no three lattice vectors", file=path, remedy="add the cell")
    return Structure.from_ase(atoms)
