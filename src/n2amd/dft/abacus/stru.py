"""STRU: species, orbital files, lattice and atoms of an ABACUS run."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.dft.files import read_text
from n2amd.errors import InputError
from n2amd.structure import Structure

#: Bohr radius, Angstrom (CODATA 2014, as in ABACUS' own CIF).
BOHR_ANGSTROM = 0.52917721067
_HEADINGS = (
    "ATOMIC_SPECIES",
    "NUMERICAL_ORBITAL",
    "LATTICE_CONSTANT",
    "LATTICE_VECTORS",
    "LATTICE_PARAMETERS",
    "ATOMIC_POSITIONS",
    "NUMERICAL_DESCRIPTOR",
    "PAW_FILES",
    "ABFS_ORBITAL",
    "ABFS_JLES_ORBITAL",
)


@dataclass(frozen=True)
class Stru:
    """What STRU says.

    Attributes
    ----------
    structure
        Cell and positions, Angstrom, not wrapped.
    labels
        Species label of each atom, e.g. "Fe1".
    elements
        Atomic number of each species label, in the order of ATOMIC_SPECIES.
    orbital_files
        File of numerical orbitals of each label, as written; empty where there is no NUMERICAL_ORBITAL.
    """

    structure: Structure
    labels: tuple[str, ...]
    elements: dict[str, int]
    orbital_files: dict[str, str]


def read_stru(path: Path, latname: str = "none") -> Stru:
    """Read STRU.

    Parameters
    ----------
    path
        The file.
    latname
        Bravais lattice named in INPUT, which then has no LATTICE_VECTORS in STRU.

    Raises
    ------
    InputError
        If a block is missing or not understood.
    """
    blocks = _read_blocks(path)
    species = [line.split() for line in _block(path, blocks, "ATOMIC_SPECIES")]
    elements = {words[0]: element_of(path, words[0]) for words in species}
    constant = _floats(path, "LATTICE_CONSTANT", _block(path, blocks, "LATTICE_CONSTANT")[0], 1)[0]
    constant *= BOHR_ANGSTROM
    cell = constant * _lattice(path, blocks, latname.lower())
    labels, positions = _atoms(path, _block(path, blocks, "ATOMIC_POSITIONS"), constant, cell)
    if unknown := sorted(set(labels) - set(elements)):
        raise _fail(path, "ATOMIC_POSITIONS", f"label {unknown[0]} is not in ATOMIC_SPECIES", "correct STRU")
    order = [label for label in elements if label in labels]
    if list(dict.fromkeys(labels)) != order:
        raise _fail(
            path, "ATOMIC_POSITIONS", f"labels {list(dict.fromkeys(labels))} in another order than "
            f"ATOMIC_SPECIES {order}", "use the STRU of the run: ABACUS demands one order",
        )  # fmt: skip
    orbitals = [line.split()[0] for line in blocks.get("NUMERICAL_ORBITAL", [])]
    if orbitals and len(orbitals) != len(elements):
        raise _fail(
            path, "NUMERICAL_ORBITAL", f"{len(orbitals)} files for {len(elements)} species", "correct STRU"
        )
    numbers = np.array([elements[label] for label in labels])
    return Stru(
        Structure(cell, positions, numbers), tuple(labels), elements, dict(zip(elements, orbitals))
    )  # fmt: skip


def element_of(path: Path, label: str) -> int:
    """Return the atomic number of a species label such as "Fe" or "Fe1"."""
    from ase.data import atomic_numbers

    for length in (2, 1):
        if (symbol := re.sub(r"[^A-Za-z].*", "", label)[:length].capitalize()) in atomic_numbers:
            return atomic_numbers[symbol]
    raise _fail(path, "ATOMIC_SPECIES", f"{label!r} is no element", "begin the label with the symbol")


def _read_blocks(path: Path) -> dict[str, list[str]]:
    """Lines of every block, without comments and blank lines."""
    blocks: dict[str, list[str]] = {}
    heading = None
    for line in read_text(path).splitlines():
        text = re.split(r"//|#", line)[0].strip()
        if text in _HEADINGS:
            heading = text
            blocks[heading] = []
        elif text and heading is not None:
            blocks[heading].append(text)
    return blocks


def _block(path: Path, blocks: dict[str, list[str]], name: str) -> list[str]:
    if not blocks.get(name):
        raise _fail(path, name, "the block is missing or empty", "use the STRU of the run, copied whole")
    return blocks[name]


def _atoms(
    path: Path, lines: list[str], constant: float, cell: NDArray[np.float64]
) -> tuple[list[str], NDArray[np.float64]]:
    kind, *rest = lines
    scale: dict[str, NDArray[np.float64]] = {
        "Direct": cell,
        "Cartesian": constant * np.eye(3),
        "Cartesian_angstrom": np.eye(3),
        "Cartesian_au": BOHR_ANGSTROM * np.eye(3),
    }
    if kind.split()[0] not in scale:
        raise _fail(path, "ATOMIC_POSITIONS", f"{kind!r} is not supported", f"use one of {', '.join(scale)}")
    labels: list[str] = []
    positions: list[NDArray[np.float64]] = []
    at = 0
    while at < len(rest):
        label = rest[at].split()[0]
        # label, magnetism, number of atoms, then one line an atom
        count = int(_floats(path, "ATOMIC_POSITIONS", " ".join(rest[at + 2 : at + 3]), 1)[0])
        members = rest[at + 3 : at + 3 + count]
        if len(members) != count:
            raise _fail(
                path, "ATOMIC_POSITIONS", f"{len(members)} of {count} atoms {label}", "copy STRU whole"
            )
        labels += [label] * count
        positions += [_floats(path, "ATOMIC_POSITIONS", line, 3) for line in members]
        at += 3 + count
    return labels, np.array(positions) @ scale[kind.split()[0]]


def _lattice(path: Path, blocks: dict[str, list[str]], latname: str) -> NDArray[np.float64]:
    """Lattice vectors in units of the lattice constant, (3, 3)."""
    if "LATTICE_VECTORS" in blocks:
        lines = _block(path, blocks, "LATTICE_VECTORS")
        if len(lines) < 3:
            raise _fail(path, "LATTICE_VECTORS", f"{len(lines)} vectors", "copy STRU whole")
        return np.array([_floats(path, "LATTICE_VECTORS", line, 3) for line in lines[:3]])
    if latname not in _BRAVAIS:
        raise _fail(
            path, "LATTICE_VECTORS", f"no lattice vectors, and latname {latname!r} in INPUT is not supported",
            f"write LATTICE_VECTORS, or use one of {', '.join(_BRAVAIS)}",
        )  # fmt: skip
    count, vectors = _BRAVAIS[latname]
    text = " ".join(blocks.get("LATTICE_PARAMETERS", []))
    parameters = _floats(path, "LATTICE_PARAMETERS", text, count) if count else np.empty(0)
    return np.array(vectors(*parameters), dtype=float)


def _trigonal(cosine: float) -> list[list[float]]:
    a, b = sqrt(1 - cosine), sqrt((1 + 2 * cosine) / 3)
    return [[a / sqrt(2), -a / sqrt(6), b], [0, a * sqrt(2 / 3), b], [-a / sqrt(2), -a / sqrt(6), b]]


def _triclinic(b: float, c: float, cos_ab: float, cos_ac: float, cos_bc: float) -> list[list[float]]:
    sin_ab = sqrt(1 - cos_ab**2)
    y = (cos_bc - cos_ac * cos_ab) / sin_ab
    return [[1, 0, 0], [b * cos_ab, b * sin_ab, 0], [c * cos_ac, c * y, c * sqrt(1 - cos_ac**2 - y**2)]]


#: Number of LATTICE_PARAMETERS and vectors of each latname, from the keyword list of ABACUS.
_BRAVAIS: dict[str, tuple[int, Callable[..., list[list[float]]]]] = {
    "sc": (0, lambda: [[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
    "fcc": (0, lambda: [[-0.5, 0, 0.5], [0, 0.5, 0.5], [-0.5, 0.5, 0]]),
    "bcc": (0, lambda: [[0.5, 0.5, 0.5], [-0.5, 0.5, 0.5], [-0.5, -0.5, 0.5]]),
    "hexagonal": (1, lambda c: [[1, 0, 0], [-0.5, sqrt(3) / 2, 0], [0, 0, c]]),
    "trigonal": (1, _trigonal),
    "st": (1, lambda c: [[1, 0, 0], [0, 1, 0], [0, 0, c]]),
    "bct": (1, lambda c: [[0.5, -0.5, c / 2], [0.5, 0.5, c / 2], [-0.5, -0.5, c / 2]]),
    "so": (2, lambda b, c: [[1, 0, 0], [0, b, 0], [0, 0, c]]),
    "baco": (2, lambda b, c: [[0.5, b / 2, 0], [-0.5, b / 2, 0], [0, 0, c]]),
    "fco": (2, lambda b, c: [[0.5, 0, c / 2], [0.5, b / 2, 0], [0, b / 2, c / 2]]),
    "bco": (2, lambda b, c: [[0.5, b / 2, c / 2], [-0.5, b / 2, c / 2], [-0.5, -b / 2, c / 2]]),
    "sm": (3, lambda b, c, x: [[1, 0, 0], [b * x, b * sqrt(1 - x * x), 0], [0, 0, c]]),
    "bacm": (3, lambda b, c, x: [[0.5, 0, -c / 2], [b * x, b * sqrt(1 - x * x), 0], [0.5, 0, c / 2]]),
    "triclinic": (5, _triclinic),
}


def _floats(path: Path, field: str, text: str, count: int) -> NDArray[np.float64]:
    """First `count` numbers of a text; what follows them (moves, velocities, moments) is not for us."""
    try:
        values = np.array(text.split()[:count], dtype=float)
    except ValueError:
        values = np.empty(0)
    if len(values) != count:
        raise _fail(path, field, f"{text!r} does not begin with {count} numbers", "correct or copy STRU")
    return values


def _fail(path: Path, field: str, problem: str, remedy: str) -> InputError:
    return InputError(problem, file=path, field=field, remedy=remedy)
