"""Radial functions of a CP2K run, from the basis files that its input names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from n2amd.dft.cp2k.inputs import Section
from n2amd.errors import InputError
from n2amd.orbitals.basis import AtomBasis, Basis
from n2amd.orbitals.gaussian_sets import read_cp2k_basis
from n2amd.orbitals.gaussians import gaussian_atom

#: Where CP2K keeps its basis files, after CP2K_DATA_DIR: Debian, and installations from source.
DATA_FOLDERS = ("/usr/share/cp2k", "/usr/share/cp2k/data", "/opt/cp2k/data", "/usr/local/share/cp2k/data")


def add_radial_functions(folder: Path, root: Section, basis: Basis) -> tuple[Basis, str]:
    """Give the shells of a run their radial functions.

    Parameters
    ----------
    folder
        Frame folder; a basis file is looked for there, in the folders above, in CP2K_DATA_DIR and in
        CP2K's own folders.
    root
        The run's input.
    basis
        Shells as the log has them.

    Returns
    -------
    basis, missing
        The basis; and, where the input names no basis set or the file is nowhere, why its radial functions
        stay unknown (else empty).

    Raises
    ------
    InputError
        If the basis set of the file has other shells than the log.
    """
    from ase.data import chemical_symbols

    names, files = _basis_sets(root), _basis_files(root)
    atoms: dict[int, AtomBasis] = {}
    for number, atom in basis.atoms.items():
        symbol = chemical_symbols[number]
        if (name := names.get(symbol)) is None:
            return basis, f"unknown: the input names no basis set of {symbol}"
        if (found := _find_set(folder, files, symbol, name)) is None:
            return basis, f"unknown: no file {' or '.join(files)} with {name} of {symbol}; set CP2K_DATA_DIR"
        path, given = found
        ours, theirs = ([s.l for s in a.shells] for a in (given, atom))
        if ours != theirs:
            raise InputError(
                f"{name} of {symbol} has shells of l = {ours}, the log of l = {theirs}",
                file=path,
                field="BASIS_SET",
                remedy="put the basis file of the run beside it",
            )
        shells = tuple(replace(s, radial=g.radial) for s, g in zip(atom.shells, given.shells))
        atoms[number] = replace(atom, shells=shells)
    return Basis(atoms), ""


def _basis_sets(root: Section) -> dict[str, str]:
    """Orbital basis set of each element, by &KIND."""
    subsystem = root.find("FORCE_EVAL", "SUBSYS")
    sets = {}
    for kind in subsystem.sections.get("KIND", []) if subsystem else []:
        element = (kind.value("ELEMENT") or kind.parameter).capitalize()
        for words in (value.split() for keyword, value in kind.keywords if keyword == "BASIS_SET"):
            # "BASIS_SET NAME" or "BASIS_SET ORB NAME"; other types are auxiliary
            if len(words) == 1 or words[0].upper() == "ORB":
                sets[element] = words[-1]
    return sets


def _basis_files(root: Section) -> list[str]:
    dft = root.find("FORCE_EVAL", "DFT")
    named = [value for keyword, value in dft.keywords if keyword == "BASIS_SET_FILE_NAME"] if dft else []
    return named or ["BASIS_SET"]


def _find_set(folder: Path, files: list[str], symbol: str, name: str) -> tuple[Path, AtomBasis] | None:
    """Return the first file that has the basis set, and the set; None where there is none."""
    for path in candidates(folder, files):
        if path.is_file() and (atom := _read_set(path, symbol, name)) is not None:
            return path, atom
    return None


def candidates(folder: Path, files: list[str]) -> Iterator[Path]:
    """Places where a data file of a run may be: the frame's folder, those above it, CP2K's own."""
    environment = os.environ.get("CP2K_DATA_DIR")
    for name in files:
        yield from (place / name for place in (folder, *folder.resolve().parents))
        yield from (Path(place) / Path(name).name for place in (*filter(None, [environment]), *DATA_FOLDERS))


@lru_cache(maxsize=64)
def _read_set(path: Path, symbol: str, name: str) -> AtomBasis | None:
    from ase.data import atomic_numbers

    try:
        found = read_cp2k_basis(path, symbol, name)
    except InputError:  # another file of the run may have it
        return None
    return gaussian_atom(atomic_numbers[symbol], found.shells)
