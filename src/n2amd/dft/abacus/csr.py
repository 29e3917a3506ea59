"""H(R) and S(R) from the CSR text files of ABACUS, in all of its layouts.

Up to version 3.10 the file is headed by "Matrix Dimension of H(R): n" and "Matrix number of H(R): m", and
every array stands on one line. Since 3.9.0.25 the head is "n # number of localized basis", "m # number of
Bravais lattice vector R" and the cell, a comment names every array, and arrays are wrapped: 8 real numbers,
6 complex ones or 16 integers a line. For every R: "R1 R2 R3 count", values, columns, row pointers; where the
count is 0 the arrays may be left out, and such R themselves where the second layout counts them. Rydberg;
orbitals 0-based; complex numbers as (re,im). A run with `gamma_only` has one R, (0, 0, 0), the sum over all.

Source: ABACUS' write_HS_sparse.cpp, single_R_io.cpp (v3.2 to v3.8), sparse_matrix.cpp and
output_hcontainer.cpp (develop, 2025 and 2026).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.dft.files import read_text
from n2amd.dft.orbital_matrices import Elements, complete_triangle
from n2amd.errors import InputError

_DIMENSION = re.compile(
    r"^(?:.*Matrix Dimension of [HS]\(R\):\s*(\d+)|\s*(\d+) # number of localized basis)", re.MULTILINE
)
_COUNT = re.compile(
    r"^(?:.*Matrix number of [HS]\(R\):\s*(\d+)|\s*(\d+) # number of Bravais lattice vector R).*\n",
    re.MULTILINE,
)
_STEP = re.compile(r"^ *(STEP:|--- Ionic Step)", re.MULTILINE)
#: An R whose elements are smaller (Ry) may lack its partner: ABACUS leaves out what is below 1e-10.
_NEGLIGIBLE = 1e-8
#: Stands for the comment before the values of an R.
_ARRAYS = "#"
_FOLDED = re.compile(r"^ *# representation: gamma-only folded", re.MULTILINE)


@dataclass(frozen=True)
class RealSpaceMatrix:
    """One matrix of a file.

    Attributes
    ----------
    elements
        In the file's unit; R counts between atoms wrapped into the cell [0, 1).
    one_image
        There is no R but (0, 0, 0).
    folded
        The file says that it is the sum over all R.
    """

    elements: Elements
    one_image: bool
    folded: bool


def read_matrix(path: Path, n_orbitals: int) -> RealSpaceMatrix:
    """Read one matrix.

    Parameters
    ----------
    path
        File of H or S.
    n_orbitals
        Dimension that the basis gives (twice the orbitals for spinors).

    Raises
    ------
    InputError
        If the file is cut or damaged, has no element, is of several ionic steps, or has another dimension.
    """
    text = read_text(path)
    if (steps := len(_STEP.findall(text))) > 1:
        raise _fail(path, f"{steps} ionic steps in one file", "run every frame as a single point")
    dimension, announced, head, body = _header(path, text)
    if dimension != n_orbitals:
        raise _fail(
            path, f"matrix dimension {dimension}, the basis has {n_orbitals} orbitals",
            "keep the STRU, orbital files, log and matrices of one run together",
        )  # fmt: skip
    commented = "# CSR" in body
    blocks = list(_blocks(path, _Words(body), dimension))
    _check_images(path, blocks, announced, commented)
    filled = [block for block in blocks if len(block.column)]
    if not filled:
        raise _fail(
            path, f"none of the {len(blocks)} lattice vectors has an element",
            "copy the file again from the run, or run the frame again to convergence",
        )  # fmt: skip
    elements = Elements(
        np.concatenate([block.row for block in filled]),
        np.concatenate([block.column for block in filled]),
        np.concatenate([np.tile(block.shift, (len(block.row), 1)) for block in filled]),
        np.concatenate([block.values for block in filled]),
    )
    one_image = not any(block.shift.any() for block in blocks)
    return RealSpaceMatrix(complete_triangle(elements), one_image, _FOLDED.search(head) is not None)


@dataclass(frozen=True)
class _Block:
    """M(R): rows, columns and values of its elements."""

    shift: NDArray[np.int64]
    row: NDArray[np.int64]
    column: NDArray[np.int64]
    values: NDArray


def _header(path: Path, text: str) -> tuple[int, int, str, str]:
    """Dimension, number of lattice vectors, the text before the blocks, and that of the blocks."""
    dimension, count = _DIMENSION.search(text), _COUNT.search(text)
    if dimension is None or count is None:
        raise _fail(
            path, "no header with the matrix dimension",
            "pass the text files of out_mat_hs2 1 or out_hsr 1",
        )  # fmt: skip
    start = count.end()
    if count[2]:  # the cell stands between this line and the title of the blocks
        title = re.compile(r"^.*CSR Format.*\n", re.MULTILINE | re.IGNORECASE).search(text, start)
        start = title.end() if title else len(text)
    return int(dimension[1] or dimension[2]), int(count[1] or count[2]), text[:start], text[start:]


class _Words:
    """Words of the blocks one after the other, without comments but for a mark before the values of an R."""

    def __init__(self, body: str) -> None:
        if "( " in body or ", " in body:  # blanks inside a complex number
            body = re.sub(r"\(\s*(\S+?)\s*,\s*(\S+?)\s*\)", r" (\1,\2)", body)
        self._lines = iter(body.splitlines())
        self._ahead: list[str] = []

    def peek(self, count: int) -> list[str]:
        """Return the next words, fewer at the end of the file."""
        while len(self._ahead) < count and (line := next(self._lines, None)) is not None:
            if not line.lstrip().startswith("#"):
                self._ahead += line.split()
            elif "CSR values" in line:
                self._ahead.append(_ARRAYS)
        return self._ahead[:count]

    def take(self, count: int) -> list[str]:
        """Return the next words and go on behind them."""
        words = self.peek(count)
        self._ahead = self._ahead[count:]
        return words


def _blocks(path: Path, words: _Words, dimension: int) -> Iterator[_Block]:
    while head := words.take(4):
        try:
            *shift, count = (int(word) for word in head)
        except ValueError:
            shift, count = [], 0
        if len(shift) != 3 or count < 0:
            raise _damaged(path, f"{' '.join(head)[:60]!r} instead of a lattice vector and a count")
        if words.peek(1) == [_ARRAYS]:
            words.take(1)
        elif count == 0:
            none = np.empty(0, np.int64)
            yield _Block(np.array(shift), none, none, np.empty(0))
            continue
        arrays = [words.take(n) for n in (count, count, dimension + 1)]
        if len(arrays[2]) <= dimension:
            raise _damaged(path, f"the file ends inside R = {shift}")
        try:
            values = _values(arrays[0])
            column, pointers = (np.array(array, dtype=np.int64) for array in arrays[1:])
        except ValueError as error:
            raise _damaged(path, f"not numbers at R = {shift} ({error})") from None
        counts = np.diff(pointers)
        if pointers[0] != 0 or pointers[-1] != count or counts.min() < 0:
            raise _damaged(
                path, f"the arrays of R = {shift} do not have {count} elements in {dimension} rows"
            )
        if count and (column.min() < 0 or column.max() >= dimension):
            raise _damaged(path, f"an orbital of R = {shift} lies outside 0..{dimension - 1}")
        yield _Block(np.array(shift), np.repeat(np.arange(dimension), counts), column, values)


def _values(words: Sequence[str]) -> NDArray:
    if not words or not words[0].startswith("("):
        return np.array(words, dtype=float)
    parts = np.array([word.strip("()").split(",") for word in words], dtype=float)
    return parts[:, 0] + 1j * parts[:, 1]


def _check_images(path: Path, blocks: Sequence[_Block], announced: int, commented: bool) -> None:
    """Refuse a file that ends before its last R.

    The commented layout leaves out R without elements, but counts them: there the R of a whole file come in
    pairs R, -R, in the order of R, which those of a file that is cut do not.
    """
    images = [tuple(block.shift.tolist()) for block in blocks]
    listed = set(images)
    alone = [
        R
        for R, block in zip(images, blocks)
        if tuple(-n for n in R) not in listed and np.abs(block.values).max(initial=0) > _NEGLIGIBLE
    ]
    whole = len(blocks) == announced or (commented and 0 < len(blocks) < announced and not alone)
    if not whole or len(listed) != len(images):
        without = f", R = {list(alone[0])} without -R" if commented and alone else ""
        raise _fail(
            path, f"{len(blocks)} lattice vectors of {announced}{without}: the file is cut",
            "copy it again from the run, or run the frame again",
        )  # fmt: skip


def _damaged(path: Path, problem: str) -> InputError:
    return _fail(path, problem, "copy it again from the run, or run the frame again")


def _fail(path: Path, problem: str, remedy: str) -> InputError:
    return InputError(problem, file=path, field="CSR", remedy=remedy)
