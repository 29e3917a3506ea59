"""VASP's structure files, POSCAR and CONTCAR, from VASP 4 on.

Format: the VASP wiki, page POSCAR. ASE's reader is not used: of a file without a line of elements it says
nothing that helps, and it takes any comment for one.
"""

from __future__ import annotations

import re
from itertools import groupby
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers as _ase_numbers
from numpy.typing import NDArray

from n2amd.errors import InputError
from n2amd.structure import Structure

#: Without "X", which ASE has for what is no atom.
atomic_numbers = {symbol: z for symbol, z in _ase_numbers.items() if z > 0}
REMEDY = "correct the file, or copy it again"


class _FormatError(ValueError):
    """What is wrong, and what to do about it."""

    def __init__(self, problem: str, remedy: str = REMEDY) -> None:
        super().__init__(problem)
        self.remedy = remedy


def parse_poscar(text: str, file: str | Path) -> Structure:
    """Read a structure, with or without a line of elements, selective dynamics and velocities.

    Parameters
    ----------
    text
        Content of the file. A negative scale is the volume of the cell, three scales are those of the
        Cartesian axes; what follows the positions is passed over.
    file
        Its path, for messages.

    Returns
    -------
    structure
        Periodic in all directions, atoms where the file has them (not wrapped), Angstrom.

    Raises
    ------
    InputError
        If the file is cut or says no structure, or nothing in it names the elements.
    """
    try:
        return _parse(text.splitlines())
    except _FormatError as problem:
        raise InputError(
            f"not a POSCAR: {problem}", file=file, field="POSCAR", remedy=problem.remedy
        ) from None


def write_poscar(path: str | Path, structure: Structure, comment: str) -> None:
    """Write a POSCAR (VASP 5, Cartesian); atoms keep their order, an element may come up again."""
    from ase.data import chemical_symbols

    from n2amd.storage import atomic_path

    runs = [(z, len(list(members))) for z, members in groupby(structure.numbers.tolist())]
    rows = [" ".join(f"{x:.10f}" for x in row) for row in (*structure.cell, *structure.positions)]
    head = [" ".join(chemical_symbols[z] for z, _ in runs), " ".join(str(n) for _, n in runs), "Cartesian"]
    with atomic_path(path) as part:
        part.write_text("\n".join([comment, "1.0", *rows[:3], *head, *rows[3:], ""]), encoding="utf-8")


def _parse(lines: list[str]) -> Structure:
    if len(lines) < 8:
        raise _FormatError(f"{len(lines)} lines only")
    vectors = np.array([_numbers(lines[n], n, 3)[:3] for n in (2, 3, 4)])
    scale = _scale(lines[1], vectors)
    words = _words(lines[5])
    named = not _counts(words)
    at = 6 if named else 5
    counts = _counts(_words(lines[at]))
    if not counts or (named and len(counts) != len(words)):
        raise _FormatError(
            f"line {at + 1} ({lines[at].strip()!r}) is no list of numbers of atoms"
            + (f" for the {len(words)} elements above" if named else "")
        )
    at += 1
    if at < len(lines) and lines[at].strip()[:1].lower() == "s":  # selective dynamics
        at += 1
    cartesian = at < len(lines) and lines[at].strip()[:1].lower() in ("c", "k") and lines[at].strip() != ""
    n_atoms, first = sum(counts), at + 1
    rows = lines[first : first + n_atoms]
    if len(rows) < n_atoms:
        raise _FormatError(f"{len(rows)} of {n_atoms} positions: the file is cut")
    table = np.array([_numbers(row, first + n, 3)[:3] for n, row in enumerate(rows)]).reshape(-1, 3)
    symbols = [_symbol(word) for word in words] if named else _guess(lines[0], rows, counts)
    if unknown := [word for word, symbol in zip(words, symbols) if symbol not in atomic_numbers]:
        raise _FormatError(f"{unknown[0]!r} in line 6 is no element")
    cell = vectors * scale
    positions = table * scale if cartesian else table @ cell
    numbers = np.repeat([atomic_numbers[symbol] for symbol in symbols], counts)
    return Structure(cell, positions, numbers)


def _scale(line: str, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scales of the three Cartesian axes, (3,)."""
    volume = abs(float(np.linalg.det(vectors)))
    if volume == 0:
        raise _FormatError("the lattice vectors in lines 3 to 5 span no volume")
    scales = np.array([_number(word) for word in _words(line)[:3]], dtype=float)
    scales = scales[: 3 if len(scales) == 3 and np.isfinite(scales).all() else 1]
    if len(scales) == 1 and scales[0] < 0:
        scales = np.cbrt(-scales / volume)
    if not len(scales) or not (scales > 0).all():
        raise _FormatError(
            f"line 2 ({line.strip()!r}) is neither a scale, nor minus a volume, nor three scales"
        )
    return np.broadcast_to(scales, 3).copy()


def _guess(comment: str, rows: list[str], counts: list[int]) -> list[str]:
    """Elements of a file without a line of them: as the comment or the atoms name them, or not at all."""
    words = comment.split()
    if len(words) == len(counts) and all(word in atomic_numbers for word in words):
        return words
    formula = re.findall(r"([A-Z][a-z]?)(\d*)", comment)
    whole = "".join(symbol + number for symbol, number in formula) == "".join(words)
    known = all(symbol in atomic_numbers for symbol, _ in formula)
    if whole and known and [int(number or 1) for _, number in formula] == counts:
        return [symbol for symbol, _ in formula]
    labels = [_symbol(_words(row)[-1]) for row in rows]
    ends = np.cumsum(counts)
    groups = [set(labels[end - count : end]) for end, count in zip(ends, counts)]
    if all(len(group) == 1 and group <= set(atomic_numbers) for group in groups) and not any(
        label in ("T", "F") for label in labels
    ):
        return [group.pop() for group in groups]
    listed = " ".join(map(str, counts))
    raise _FormatError(
        f"no elements: line 6 has the numbers of atoms ({listed}) at once, as VASP 4 wrote it, and the "
        f"comment {comment.strip()!r} does not name as many elements",
        f"add a line with the element of each number above the line {listed!r}, e.g. "
        f"{' '.join(['Mo', 'S', 'O', 'H'][: len(counts)])!r}",
    )


def _symbol(word: str) -> str:
    """Element in the name of a potential, e.g. Ti_sv or Si/0f3a..."""
    return re.split(r"[_/.]", word)[0]


def _words(line: str) -> list[str]:
    return re.split(r"[!#]", line)[0].split()


def _counts(words: list[str]) -> list[int]:
    """Numbers of atoms; none where a word is no integer, or all are zero."""
    counts = [int(word) for word in words] if all(word.isdecimal() for word in words) else []
    return counts if any(counts) else []


def _number(word: str) -> float:
    try:
        return float(re.sub("[dD]", "e", word))
    except ValueError:
        return np.nan


def _numbers(line: str, number: int, at_least: int) -> list[float]:
    values = [_number(word) for word in line.split()[:at_least]]
    if len(values) < at_least or not np.isfinite(values).all():
        raise _FormatError(f"line {number + 1} ({line.strip()!r}) does not begin with {at_least} numbers")
    return values
