"""Structure and basis of a DeepH folder, present (POSCAR, info.json) and legacy (*.dat, info.json)."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from n2amd.dft.files import locate, read_text, require
from n2amd.errors import InputError
from n2amd.orbitals.basis import AtomBasis, Basis, Shell
from n2amd.poscar import parse_poscar
from n2amd.structure import Structure

_L = "spdfghi"
ONE_RUN = "keep the files of one run together in a folder"
#: Keys of info.json for the valence electrons in the cell, both spins together: that of DeepH-pack and
#: DeepH-dock (`dock compute eigen find-fermi`), and what n2amd wrote before it knew of that.
ELECTRONS = ("occupation", "electrons_quantity")
COPY = "copy the whole DeepH folder again"


@dataclass(frozen=True)
class Description:
    """Everything in a folder but the matrices.

    Attributes
    ----------
    structure, basis
        Atoms and shells (no radial functions, no valence charges).
    spinful
        The Hamiltonian has two spins.
    fermi_level, n_electrons
        eV and number; None where info.json does not say.
    """

    structure: Structure
    basis: Basis
    spinful: bool
    fermi_level: float | None
    n_electrons: float | None

    @property
    def n_orbitals(self) -> int:
        """Orbitals of the cell, spin left out."""
        return int(self.basis.orbital_counts(self.structure.numbers).sum())


def read_present(folder: Path) -> Description:
    """Read POSCAR and info.json.

    Raises
    ------
    InputError
        If a file is missing or damaged, they contradict each other, or the folder holds a Hamiltonian that is
        split into parts or in an orthogonal basis.
    """
    from ase.data import atomic_numbers

    path = require(folder, "POSCAR", remedy=COPY)
    structure = parse_poscar(read_text(path), path)
    info_path, info = _read_info(folder)
    shells = _entry(info_path, info, "elements_orbital_map", dict)
    if unknown := sorted(set(shells) - set(atomic_numbers)):
        raise _info_error(info_path, "elements_orbital_map", f"{unknown[0]!r} is no element", COPY)
    atoms_of = {}
    for symbol, ls in shells.items():
        try:
            atoms_of[atomic_numbers[symbol]] = _atom(atomic_numbers[symbol], ls)
        except (ValueError, TypeError):
            problem = f"{ls!r} of {symbol} is no list of angular momenta from 0 to {len(_L) - 1}"
            raise _info_error(info_path, "elements_orbital_map", problem, COPY) from None
    basis = Basis(atoms_of)
    if missing := sorted({int(z) for z in structure.numbers} - set(atoms_of)):
        raise _info_error(
            info_path, "elements_orbital_map", f"no element {missing[0]}, which POSCAR has", ONE_RUN
        )
    if _entry(info_path, info, "orthogonal_basis", bool) or info.get("split_hkb"):
        raise _info_error(
            info_path, "orthogonal_basis" if info["orthogonal_basis"] else "split_hkb", "is not supported",
            "convert the run with the full Hamiltonian and its overlap",
        )  # fmt: skip
    _check_counts(
        info_path, info, structure, basis, {"atoms": "atoms_quantity", "orbitals": "orbits_quantity"}
    )
    return Description(
        structure,
        _restrict(basis, structure),
        bool(_entry(info_path, info, "spinful", bool)),
        _optional(info_path, info, "fermi_energy_eV"),
        _electrons(info_path, info),
    )


def read_legacy(folder: Path) -> Description:
    """Read lat.dat, site_positions.dat (both by columns), element.dat, orbital_types.dat and info.json."""
    lattice = require(folder, "lat.dat", remedy=COPY)
    numbers = _table(require(folder, "element.dat", remedy=COPY), -1).astype(np.int64).ravel()
    positions = _table(require(folder, "site_positions.dat", remedy=COPY), 3).T
    path = require(folder, "orbital_types.dat", remedy=COPY)
    types = [line.split() for line in read_text(path).splitlines() if line.strip()]
    if not len(types) == len(numbers) == len(positions):
        raise InputError(
            f"{len(numbers)} atoms in element.dat, {len(positions)} in site_positions.dat, {len(types)} in "
            "orbital_types.dat",
            file=folder,
            field="atoms",
            remedy=ONE_RUN,
        )
    atoms: dict[int, AtomBasis] = {}
    for number, words in zip(numbers, types):
        try:
            atom = _atom(int(number), [int(word) for word in words])
        except (ValueError, TypeError):
            raise InputError(
                f"{' '.join(words)!r} are not angular momenta", file=path, field="l", remedy=COPY
            ) from None
        if atoms.setdefault(atom.number, atom) != atom:
            raise InputError(
                f"two atoms of element {number} have other shells", file=path, field="l",
                remedy="use one basis for each element",
            )  # fmt: skip
    structure, basis = Structure(_table(lattice, 3).T, positions, numbers), Basis(atoms)
    info_path, info = _read_info(folder)
    if info.get("isorthogonal"):
        raise _info_error(info_path, "isorthogonal", "is not supported", "convert the run with its overlap")
    _check_counts(info_path, info, structure, basis, {"atoms": "nsites", "orbitals": "norbits"})
    return Description(
        structure,
        basis,
        bool(_entry(info_path, info, "isspinful", bool)),
        _optional(info_path, info, "fermi_level"),
        _electrons(info_path, info),
    )


def _atom(number: int, ls: Sequence[int]) -> AtomBasis:
    seen: dict[int, int] = {}
    shells = []
    for l in ls:
        if not isinstance(l, int) or isinstance(l, bool) or not 0 <= l < len(_L):
            raise ValueError(l)
        seen[l] = seen.get(l, 0) + 1
        shells.append(Shell(l, f"{_L[l]} z{seen[l]}"))
    return AtomBasis(number, tuple(shells))


def _restrict(basis: Basis, structure: Structure) -> Basis:
    return Basis({z: basis[z] for z in sorted({int(z) for z in structure.numbers})})


def _read_info(folder: Path) -> tuple[Path, Mapping[str, Any]]:
    path = require(folder, "info.json", remedy=COPY)
    try:
        info = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise _info_error(path, "info.json", f"not JSON ({error})", COPY) from None
    if not isinstance(info, dict):
        raise _info_error(path, "info.json", "not a JSON object", COPY)
    return path, info


def _entry(path: Path, info: Mapping[str, Any], key: str, kind: type) -> Any:
    if not isinstance(info.get(key), kind):
        found = f"is {info[key]!r}" if key in info else "is missing"
        raise _info_error(path, key, f"{found}, a {kind.__name__} is needed", COPY)
    return info[key]


def _optional(path: Path, info: Mapping[str, Any], key: str) -> float | None:
    value = info.get(key)
    if value is not None and (not isinstance(value, int | float) or isinstance(value, bool)):
        raise _info_error(path, key, f"{value!r} is no number", COPY)
    return None if value is None else float(value)


def _electrons(path: Path, info: Mapping[str, Any]) -> float | None:
    """Electrons that info.json gives, under whichever name; None where it gives none."""
    given = {key: n for key in ELECTRONS if (n := _optional(path, info, key)) is not None}
    if len(set(given.values())) > 1:
        both = " and ".join(f"{key} = {n:g}" for key, n in given.items())
        raise _info_error(path, ELECTRONS[0], f"two numbers of electrons: {both}", "leave the right one")
    return next(iter(given.values()), None)


def _check_counts(
    path: Path, info: Mapping[str, Any], structure: Structure, basis: Basis, keys: Mapping[str, str]
) -> None:
    found = {
        "atoms": structure.n_atoms,
        "orbitals": int(basis.orbital_counts(structure.numbers).sum()),
    }
    for what, key in keys.items():
        if key in info and info[key] != found[what]:
            raise _info_error(
                path, key, f"{info[key]!r} {what}, the structure with its basis has {found[what]}", ONE_RUN
            )


def _table(path: Path, rows: int) -> NDArray[np.float64]:
    try:
        table = np.loadtxt(io.StringIO(read_text(path)), ndmin=2)
    except ValueError as error:
        raise InputError(
            f"not a table of numbers ({error})", file=path, field=path.name, remedy=COPY
        ) from None
    if rows > 0 and len(table) != rows:
        raise InputError(f"{len(table)} rows instead of {rows}", file=path, field=path.name, remedy=COPY)
    return table


def _info_error(path: Path, key: str, problem: str, remedy: str) -> InputError:
    return InputError(problem, file=path, field=key, remedy=remedy)


def is_present(folder: Path) -> bool:
    """Tell a present folder from a legacy one, by its Hamiltonian or, without one, its POSCAR."""
    if locate(folder, "hamiltonian.h5") or locate(folder, "overlap.h5"):
        return True
    return locate(folder, "hamiltonians.h5") is None and locate(folder, "POSCAR") is not None
