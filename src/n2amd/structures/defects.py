"""Point defects: an atom taken out of a cell, or replaced by one of another element."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import NDArray

from n2amd.errors import InputError
from n2amd.structure import Structure

#: Atoms up to this many times as far from the site as the nearest one are its neighbours.
NEIGHBOURS = 1.3
#: Farthest that an atom may be from a named position, Angstrom.
REACH_A = 0.8


@dataclass(frozen=True)
class Defect:
    """A cell with a point defect.

    Attributes
    ----------
    structure
        The cell; the other atoms keep their order.
    site
        Where the atom was, (3,), Angstrom.
    removed
        Its number in the whole cell, from 0.
    kind
        In Kroeger and Vink's way without the charge: V_O, N_O.
    neighbours
        Atoms around the site, by their numbers in the cell with the defect.
    distances
        Theirs from the site, Angstrom.
    """

    structure: Structure
    site: NDArray[np.float64]
    removed: int
    kind: str
    neighbours: tuple[int, ...]
    distances: tuple[float, ...]


def element_number(symbol: str) -> int:
    """Return the atomic number of a symbol, however it is capitalised.

    Raises
    ------
    InputError
        If there is no such element.
    """
    number = atomic_numbers.get(symbol.strip().capitalize(), 0)
    if number < 1:
        raise InputError(f"{symbol!r} is no element", field="element", remedy="write its symbol, as in O")
    return number


def choose_atom(
    structure: Structure,
    atom: int | None = None,
    element: str | None = None,
    position: NDArray[np.float64] | None = None,
) -> int:
    """Return the number of the atom that is named.

    Parameters
    ----------
    structure
        The whole cell.
    atom
        Its number, from 0.
    element
        Its element: the first such atom, or the one next to `position`.
    position
        Where it is, (3,), Angstrom; images of the cell are the same place.

    Raises
    ------
    InputError
        If nothing, or an atom that there is not, is named.
    """
    if (atom is None) == (element is None and position is None):
        raise InputError(
            "name the atom by its number, or by element or position",
            field="atom",
            remedy="give --atom, or --element, --position or both",
        )
    if atom is not None:
        if not 0 <= atom < structure.n_atoms:
            raise InputError(
                f"there is no atom {atom}, the cell has {structure.n_atoms} (counted from 0)",
                field="atom",
                remedy="choose one of them",
            )
        return atom
    candidates = np.arange(structure.n_atoms)
    if element is not None:
        candidates = np.flatnonzero(structure.numbers == element_number(element))
        if not len(candidates):
            raise InputError(
                f"there is no {element} in the cell", field="element", remedy="choose one that is there"
            )
    if position is None:
        return int(candidates[0])
    distances = _distances(structure, position)[candidates]
    nearest = int(distances.argmin())
    if distances[nearest] > REACH_A:
        raise InputError(
            f"the nearest such atom, {candidates[nearest]}, is {distances[nearest]:.2f} A away",
            field="position",
            remedy=f"name a position within {REACH_A:g} A of the atom",
        )
    return int(candidates[nearest])


def with_defect(structure: Structure, atom: int, by: str | None = None) -> Defect:
    """Take an atom out, or replace it.

    Parameters
    ----------
    structure
        The whole cell.
    atom
        Number of the atom, from 0.
    by
        Element of the atom that takes its place; None: nothing does.

    Raises
    ------
    InputError
        If it is replaced by its own element, or no other atom is left.
    """
    own = chemical_symbols[structure.numbers[atom]]
    if structure.n_atoms < 2:
        raise InputError("the cell has one atom", field="supercell", remedy="repeat the cell")
    site = structure.positions[atom]
    others = np.delete(np.arange(structure.n_atoms), atom)
    if by is None:
        positions, numbers = structure.positions[others], structure.numbers[others]
        kind, places = f"V_{own}", np.arange(len(others))
    else:
        number = element_number(by)
        if number == structure.numbers[atom]:
            raise InputError(
                f"atom {atom} is {own} already", field="by", remedy="name another element, or leave --by out"
            )
        numbers = structure.numbers.copy()
        numbers[atom] = number
        positions = structure.positions
        kind, places = f"{chemical_symbols[number]}_{own}", others
    distances = _distances(structure, site)[others]
    order = np.argsort(distances, kind="stable")
    near = [k for k in order if distances[k] <= NEIGHBOURS * distances[order[0]]]
    return Defect(
        Structure(structure.cell, positions, numbers, structure.pbc),
        site,
        atom,
        kind,
        tuple(int(places[k]) for k in near),
        tuple(float(distances[k]) for k in near),
    )


def _distances(structure: Structure, position: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of each atom's nearest image from a position, (n_atoms,), Angstrom."""
    from ase.geometry import find_mic

    return np.asarray(find_mic(structure.positions - position, structure.cell, structure.pbc)[1])
