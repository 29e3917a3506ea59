"""Cell and coordinates from a CP2K input or restart file: the log prints the cell with three decimals."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.dft.cp2k.log import BOHR_ANGSTROM, periodic_axes
from n2amd.dft.files import read_text
from n2amd.errors import InputError

_UNITS = {"angstrom": 1.0, "bohr": BOHR_ANGSTROM}


@dataclass
class Section:
    """One &SECTION: what follows its name, its keywords in order with their values, and its subsections."""

    parameter: str = ""
    keywords: list[tuple[str, str]] = field(default_factory=list)
    sections: dict[str, list[Section]] = field(default_factory=dict)

    def find(self, *path: str) -> Section | None:
        """Return the first subsection at a path of names, None where there is none."""
        section: Section | None = self
        for name in path:
            found = section.sections.get(name) if section else None
            section = found[0] if found else None
        return section

    def value(self, keyword: str) -> str | None:
        """Return the value of a keyword, None where it is not set."""
        return next((value for name, value in self.keywords if name == keyword), None)


def read_sections(path: Path) -> Section:
    """Read the sections of a CP2K input; names are in capitals, comments dropped, nothing expanded.

    Raises
    ------
    InputError
        If sections are not closed in the order in which they were opened.
    """
    stack = [("", Section())]
    for line in read_text(path).splitlines():
        words = line.split("!")[0].split("#")[0].split(maxsplit=1)
        if not words:
            continue
        name = words[0].upper()
        if name.startswith("&END"):
            if len(stack) == 1:
                raise _unbalanced(path, line.strip())
            stack.pop()
        elif name.startswith("&"):
            section = Section(words[1].strip() if len(words) > 1 else "")
            stack[-1][1].sections.setdefault(name[1:], []).append(section)
            stack.append((name[1:], section))
        elif stack[-1][0] == "COORD" and name not in ("UNIT", "SCALED"):
            stack[-1][1].keywords.append((words[0], words[1] if len(words) > 1 else ""))
        else:
            stack[-1][1].keywords.append((name, words[1].strip() if len(words) > 1 else ""))
    if len(stack) > 1:
        raise _unbalanced(path, f"&{stack[-1][0]}")
    return stack[0][1]


def read_cell(path: Path, root: Section) -> NDArray[np.float64]:
    """Read the lattice vectors, (3, 3), Angstrom: A, B, C, or ABC with ALPHA_BETA_GAMMA.

    Raises
    ------
    InputError
        If they are not there as numbers, or not those of the whole cell.
    """
    cell = root.find("FORCE_EVAL", "SUBSYS", "CELL")
    if cell is None:
        raise InputError(
            "no &CELL with the lattice vectors", file=path, field="CELL", remedy="write A, B and C in &CELL"
        )
    repeated = cell.value("MULTIPLE_UNIT_CELL")
    if repeated is not None and repeated.split() != ["1"] * 3:
        raise InputError(
            f"the cell is repeated {repeated} times, with its atoms, which is not read",
            file=path,
            field="MULTIPLE_UNIT_CELL",
            remedy="write the whole cell, or keep PROJECT-1.restart of the run in place of the input",
        )
    vectors = [_lengths(path, name, cell.value(name)) for name in "ABC" if cell.value(name)]
    if len(vectors) == 3:
        return np.array(vectors)
    edges = _lengths(path, "ABC", cell.value("ABC"))
    angles = _numbers(path, "ALPHA_BETA_GAMMA", cell.value("ALPHA_BETA_GAMMA") or "90 90 90")
    from ase.geometry import cellpar_to_cell

    return np.asarray(cellpar_to_cell([*edges, *angles]))


def read_periodicity(path: Path, root: Section) -> tuple[bool, bool, bool]:
    """Read the periodic directions from &CELL; all three where PERIODIC is not set, CP2K's default.

    Raises
    ------
    InputError
        If PERIODIC is not a word of CP2K.
    """
    cell = root.find("FORCE_EVAL", "SUBSYS", "CELL")
    word = ((cell.value("PERIODIC") if cell else None) or "XYZ").upper()
    if word not in ("NONE", "X", "Y", "Z", "XY", "XZ", "YZ", "XYZ"):
        raise InputError(
            f"{word!r} instead of periodic directions",
            file=path,
            field="PERIODIC",
            remedy="write XYZ, NONE or one or two of the letters, or keep PROJECT-1.restart of the run in "
            "place of the input",
        )
    return periodic_axes(word)


def read_coordinates(path: Path, root: Section, cell: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Read the coordinates of &COORD, (n_atoms, 3), Angstrom; None where the input has none."""
    section = root.find("FORCE_EVAL", "SUBSYS", "COORD")
    if section is None:
        return None
    scaled = section.value("SCALED")
    unit = (section.value("UNIT") or "angstrom").strip("[]").lower()
    rows = [value for name, value in section.keywords if name not in ("UNIT", "SCALED")]
    table = np.array([_numbers(path, "COORD", " ".join(row.split()[:3])) for row in rows]).reshape(-1, 3)
    if scaled is not None and scaled.strip(".").upper()[:1] in ("", "T"):
        return table @ cell
    if unit not in _UNITS:
        raise InputError(
            f"unit {unit!r} is not supported", file=path, field="COORD", remedy="use angstrom or bohr"
        )
    return table * _UNITS[unit]


def _lengths(path: Path, field: str, text: str | None) -> NDArray[np.float64]:
    words = (text or "").split()
    unit = words.pop(0).strip("[]").lower() if words and words[0].startswith("[") else "angstrom"
    if unit not in _UNITS:
        raise InputError(
            f"unit {unit!r} is not supported", file=path, field=field, remedy="use angstrom or bohr"
        )
    return _numbers(path, field, " ".join(words)) * _UNITS[unit]


def _numbers(path: Path, field: str, text: str) -> NDArray[np.float64]:
    try:
        values = np.array(re.sub(r"(?<=[\d.])[dD](?=[-+\d])", "e", text).split(), dtype=float)
    except ValueError:
        values = np.empty(0)
    if len(values) != 3:
        raise InputError(
            f"{text!r} instead of three numbers",
            file=path,
            field=field,
            remedy="write the numbers (no variables or included files), or keep PROJECT-1.restart of the run "
            "in place of the input",
        )
    return values


def _unbalanced(path: Path, name: str) -> InputError:
    return InputError(
        f"section {name} is not closed, or closed twice", file=path, field="section", remedy="copy it again"
    )
