"""The k mesh that an fdf input asks for, by the rules of SIESTA's `kpoint_t`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from n2amd.dft.siesta.fdf import Block, read_list, read_number
from n2amd.errors import InputError

KEYWORD = "kgrid.MonkhorstPack"
REMEDY = (
    "write a list of three integers, or three rows of one integer, of an integer and a displacement, or of "
    "three integers and a displacement; or remove the entry from the copied input"
)


def k_mesh(path: Path, entries: Mapping[str, str]) -> str | None:
    """Tell the k mesh in words: "5 5 5", "4 4 1 shifted 0.5 0.5 0", "2 2 0, -2 2 0, 0 0 4", "cutoff 10 Ang".

    Parameters
    ----------
    path
        The input, for messages.
    entries
        What `n2amd.dft.siesta.fdf.read_fdf` found in it.

    Returns
    -------
    mesh
        None where the input asks for none, which is Gamma only; SIESTA passes over a label that has neither
        block nor list.

    Raises
    ------
    InputError
        If block or list is none that SIESTA reads.
    """
    entry = entries.get("kgridmonkhorstpack")
    if entry is not None and (isinstance(entry, Block) or entry.startswith("[")):
        try:
            vectors, shifts = (
                _from_block(entry) if isinstance(entry, Block) else (_from_list(entry), [0.0] * 3)
            )
        except ValueError as error:
            raise InputError(f"no k mesh ({error})", file=path, field=KEYWORD, remedy=REMEDY) from None
        diagonal = all(vectors[i][j] == 0 for i in range(3) for j in range(3) if i != j)
        rows = [[vectors[axis][axis] for axis in range(3)]] if diagonal else vectors
        mesh = ", ".join(" ".join(map(str, row)) for row in rows)
        return mesh + (f" shifted {' '.join(f'{shift:g}' for shift in shifts)}" if any(shifts) else "")
    if cutoff := entries.get("kgridcutoff"):
        return f"cutoff {cutoff}"
    return None


def _from_list(text: str) -> list[list[int]]:
    numbers = read_list(text)
    if len(numbers) != 3:
        raise ValueError(f"{len(numbers)} numbers in the list {text}, not 3")
    return _diagonal([_integer(number) for number in numbers])


def _diagonal(counts: list[int]) -> list[list[int]]:
    return [[count if i == j else 0 for j in range(3)] for i, count in enumerate(counts)]


def _from_block(text: str) -> tuple[list[list[int]], list[float]]:
    """Rows of the block: what is no number in a row is passed over, and so are further rows."""
    rows = [[n for word in line.split() if (n := _value(word)) is not None] for line in text.splitlines()][:3]
    if len(rows) < 3 or not all(rows):
        raise ValueError(f"{sum(map(bool, rows))} of 3 rows with numbers")
    vectors, shifts = [], []
    for axis, row in enumerate(rows):
        if len(row) < 3:
            vectors.append([_integer(row[0]) if j == axis else 0 for j in range(3)])
            shifts.append(row[1] if len(row) == 2 else 0.0)
        else:
            vectors.append([_integer(value) for value in row[:3]])
            shifts.append(row[3] if len(row) > 3 else 0.0)
    return vectors, shifts


def _value(word: str) -> float | None:
    try:
        return read_number(word)
    except ValueError:
        return None


def _integer(value: float) -> int:
    if value != int(value):
        raise ValueError(f"{value:g} is no integer")
    return int(value)
