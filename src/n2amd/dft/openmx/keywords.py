"""The input of a run: LABEL.dat, or its echo in .scfout and .out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from n2amd.errors import InputError

LETTERS = "spdf"
REMEDY = "keep the input of this run beside its output"
_BASIS = re.compile(r"(?P<table>(?P<element>[A-Z][a-z]?)[\d.]+\S*)-(?P<shells>([spdf]\d)+)")


@dataclass(frozen=True)
class Species:
    """One line of Definition.of.Atomic.Species.

    Attributes
    ----------
    name
        Name in the input.
    element
        Chemical symbol, from the name of the pseudopotential.
    table
        Name of the .pao file without its ending, e.g. "Mo7.0".
    multiplicity
        Radial functions for each l, e.g. (3, 2, 2) for s3p2d2.
    potential
        Name of the .vps file without its ending, e.g. "Mo_PBE19".
    """

    name: str
    element: str
    table: str
    multiplicity: tuple[int, ...]
    potential: str = ""

    @property
    def n_orbitals(self) -> int:
        """Orbitals of an atom."""
        return sum((2 * l + 1) * n for l, n in enumerate(self.multiplicity))

    @property
    def basis(self) -> str:
        """The basis in OpenMX' words, e.g. "Mo7.0-s3p2d2"."""
        return f"{self.table}-" + "".join(f"{LETTERS[l]}{n}" for l, n in enumerate(self.multiplicity))


@dataclass(frozen=True)
class RunInput:
    """What the reader needs of an input.

    Attributes
    ----------
    values
        Keywords in lower case and their values; blocks with lines joined by newlines.
    species
        Species of each atom, (n_atoms,).
    coordinates
        Initial positions in the unit of the input, (n_atoms, 3).
    valence
        Valence electrons of each atom: its initial up and down charges, which OpenMX demands to add up.
    charge
        Charge of the system, e.
    """

    values: dict[str, str]
    species: tuple[Species, ...]
    coordinates: NDArray[np.float64]
    valence: tuple[float, ...]
    charge: float


def parse_keywords(text: str) -> dict[str, str]:
    """Read keywords (case does not matter) and blocks <name .. name>; the first of a name counts."""
    entries: dict[str, str] = {}
    block, content = None, list[str]()
    for line in text.splitlines():
        words = line.split("#")[0].split()
        if not words:
            continue
        if block is not None and words[0].lower() == f"{block}>":
            entries.setdefault(block, "\n".join(content))
            block = None
        elif block is not None:
            content.append(" ".join(words))
        elif words[0].startswith("<"):
            block, content = words[0][1:].lower(), []
        else:
            entries.setdefault(words[0].lower(), " ".join(words[1:]))
    return entries


def parse_input(file: Path, text: str) -> RunInput:
    """Read the species of every atom from an input, or from a text that begins with one.

    Raises
    ------
    InputError
        If species or atoms are missing or contradict each other, or the basis is not one of plain orbitals.
    """
    values = parse_keywords(text)
    by_name = {}
    for line in _block(file, values, "Definition.of.Atomic.Species"):
        species = _species(file, line)
        by_name[species.name] = species
    atoms = [line.split() for line in _block(file, values, "Atoms.SpeciesAndCoordinates")]
    try:
        names = [words[1] for words in atoms]
        table = np.array([words[2:7] for words in atoms], dtype=float).reshape(-1, 5)
    except (IndexError, ValueError) as error:
        raise InputError(
            f"not a table of atoms ({error})", file=file, field="Atoms.SpeciesAndCoordinates", remedy=REMEDY
        ) from None
    if unknown := [name for name in names if name not in by_name]:
        raise InputError(
            f"atoms of species {unknown[0]!r}, defined are {', '.join(by_name)}",
            file=file,
            field="Atoms.SpeciesAndCoordinates",
            remedy=REMEDY,
        )
    return RunInput(
        values,
        tuple(by_name[name] for name in names),
        table[:, :3],
        tuple(float(charge) for charge in table[:, 3:].sum(axis=1).round(6)),
        parse_numbers(file, values, "scf.system.charge", "0")[0],
    )


def parse_numbers(file: Path, values: dict[str, str], keyword: str, default: str) -> list[float]:
    """Numbers of a keyword, or its default; raise `InputError` where they are none."""
    text = values.get(keyword.lower(), default)
    try:
        numbers = [float(word) for word in text.split()[: len(default.split())]]
    except ValueError:
        numbers = []
    if len(numbers) != len(default.split()):
        raise InputError(f"{text!r} where numbers belong", file=file, field=keyword, remedy=REMEDY)
    return numbers


def _block(file: Path, values: dict[str, str], name: str) -> list[str]:
    if not values.get(name.lower()):
        raise InputError(f"no block <{name}", file=file, field=name, remedy=REMEDY)
    return values[name.lower()].splitlines()


def _species(file: Path, line: str) -> Species:
    """Parse e.g. "Mo Mo7.0-s3p2d2 Mo_PBE19"."""
    words = line.split()
    found = _BASIS.fullmatch(words[1]) if len(words) >= 3 else None
    if found is None:
        raise InputError(
            f"{line!r} is no species with plain orbitals such as 'Si Si7.0-s2p2d1 Si_PBE19'",
            file=file,
            field="Definition.of.Atomic.Species",
            remedy="use the primitive orbitals of a .pao file, uncontracted",
        )
    potential = re.match(r"[A-Z][a-z]?(?![a-z])", words[2])
    element = potential.group() if potential else ""
    if element != found["element"] or element not in atomic_numbers:
        raise InputError(
            f"{line!r} puts orbitals of {found['element']} on the potential {words[2]}",
            file=file,
            field="Definition.of.Atomic.Species",
            remedy="use real elements only: ghost (empty) atoms are not supported",
        )
    shells = dict(re.findall(r"([spdf])(\d)", found["shells"]))
    l_max = max(LETTERS.index(letter) for letter in shells)
    multiplicity = tuple(int(shells.get(letter, 0)) for letter in LETTERS[: l_max + 1])
    return Species(words[0], element, found["table"], multiplicity, words[2])
