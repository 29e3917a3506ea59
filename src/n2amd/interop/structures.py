"""Structures from POSCAR files, by n2amd's own reader, and from any other that ASE reads."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from n2amd.errors import InputError
from n2amd.poscar import parse_poscar
from n2amd.structure import Structure

#: Names of VASP's structure files, which may be compressed.
POSCAR = re.compile(r"(POSCAR|CONTCAR|CENTCAR)|\.(vasp|poscar)(\.gz|\.bz2|\.xz)?$", re.IGNORECASE)
_COMPRESSED: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}


def read_structure(path: str | Path, frame: int | None = None) -> Structure:
    """Read one periodic structure.

    Parameters
    ----------
    path
        POSCAR, any file that ASE reads, or the folder of a DFT frame.
    frame
        Which of several, from 0; default: the last.

    Raises
    ------
    InputError
        If the file is missing, not understood, has no such frame, or no cell.
    """
    path = Path(path)
    if not path.exists():
        raise InputError("the structure file does not exist", file=path, remedy="check the path")
    if path.is_dir():
        return _of_dft_frame(path)
    if path.is_file() and POSCAR.search(path.name):
        if frame:
            raise InputError(f"a POSCAR has no frame {frame}", file=path, remedy="leave it out")
        return parse_poscar(_text(path), path)
    return _read_by_ase(path, frame)


def _read_by_ase(path: Path, frame: int | None) -> Structure:
    # slow to import, and the workflow reads a POSCAR in every job of a cluster
    from ase import Atoms
    from ase.io import read

    try:
        atoms = read(path, index=-1 if frame is None else frame)
    except IndexError:
        raise InputError(f"there is no frame {frame}", file=path, remedy="count from 0") from None
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


def _of_dft_frame(folder: Path) -> Structure:
    """Structure of a DFT frame, of whichever code."""
    # by name, as readers are everywhere: a stage that reads a unit cell does not depend on their code
    readers = import_module("n2amd.dft.readers")
    for code in readers.MODULES:
        reader = readers.reader_for(code)
        try:
            found = reader.find([folder])
        except InputError:
            continue
        if found != [folder]:
            raise InputError(
                f"holds {len(found)} frames of {code}", file=folder, remedy="name the folder of one of them"
            )
        structure: Structure = (
            reader.geometry(folder) if reader.geometry is not None else reader.read(folder, code)[0].structure
        )
        return structure
    raise InputError(
        "is a folder without a DFT frame", file=folder, remedy="name a file with a structure, or a DFT frame"
    )


def _text(path: Path) -> str:
    opened = _COMPRESSED.get(path.suffix.lower(), open)
    try:
        with opened(path, "rt") as file:
            return str(file.read())
    except (OSError, EOFError, ValueError, lzma.LZMAError) as error:  # damaged, or no text
        raise InputError(f"cannot be read ({error})", file=path, remedy="copy the file again") from None
