"""H(R) and S(R) from the CSR text files of ABACUS, in both of its layouts.

Up to version 3.10: data-HR-sparse_SPIN0.csr, headed by "Matrix Dimension of H(R): n" and "Matrix number of
H(R): m". Later: hrs1_nao.csr, headed by "n # number of localized basis", "m # number of Bravais lattice
vector R" and the cell, with comments between the arrays. Then for every R: "R1 R2 R3 count", values, columns,
row pointers. Rydberg; orbitals 0-based; complex numbers as (re,im).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.dft.files import read_text
from n2amd.dft.orbital_matrices import Elements, complete_triangle
from n2amd.errors import InputError

_DIMENSION = re.compile(r"Matrix Dimension of [HS]\(R\):\s*(\d+)|^\s*(\d+) # number of localized basis")
_COUNT = re.compile(r"Matrix number of [HS]\(R\):\s*(\d+)|^\s*(\d+) # number of Bravais lattice vector R")
_STEP = re.compile(r"^\s*(STEP:|--- Ionic Step)", re.MULTILINE)


def read_matrix(path: Path, n_orbitals: int) -> Elements:
    """Read one matrix, in the file's unit; R counts between atoms wrapped into the cell [0, 1).

    Parameters
    ----------
    path
        File of H or S.
    n_orbitals
        Dimension that the basis gives (twice the orbitals for spinors).

    Raises
    ------
    InputError
        If the file is cut or damaged, is of several ionic steps, or has another dimension.
    """
    text = read_text(path)
    if (steps := len(_STEP.findall(text))) > 1:
        raise _fail(path, f"{steps} ionic steps in one file", "run every frame as a single point")
    lines = text.splitlines()
    dimension, announced, start = _header(path, lines)
    if dimension != n_orbitals:
        raise _fail(
            path, f"matrix dimension {dimension}, the basis has {n_orbitals} orbitals",
            "keep the STRU, orbital files, log and matrices of one run together",
        )  # fmt: skip
    blocks = list(_blocks(path, lines[start:], dimension))
    if len(blocks) != announced:
        raise _fail(
            path, f"{len(blocks)} lattice vectors of {announced}: the file is cut",
            "copy it again from the run, or run the frame again",
        )  # fmt: skip
    row, column, values = (np.concatenate([block[k] for block in blocks]) for k in (1, 2, 3))
    shift = np.concatenate([np.tile(block[0], (len(block[1]), 1)) for block in blocks])
    return complete_triangle(Elements(row, column, shift, values))


def _header(path: Path, lines: list[str]) -> tuple[int, int, int]:
    """Dimension, number of lattice vectors, and the first line of the blocks."""
    dimension = None
    for number, line in enumerate(lines):
        if found := _DIMENSION.search(line):
            dimension = int(found[1] or found[2])
        elif (found := _COUNT.search(line)) and dimension is not None:
            start = number + 1
            if found[2]:  # the cell stands between this line and the title of the blocks
                start = next((k + 1 for k, text in enumerate(lines) if "CSR Format" in text), len(lines))
            return dimension, int(found[1] or found[2]), start
    raise _fail(path, "no header with the matrix dimension", "pass the text files of out_mat_hs2 1")


def _blocks(
    path: Path, lines: list[str], dimension: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray]]:
    """Yield R, rows, columns and values of every lattice vector."""
    content = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    at = 0
    empty_pointers = ["0"] * (dimension + 1)
    while at < len(content):
        words = content[at].split()
        try:
            *shift, count = (int(word) for word in words)
        except ValueError:
            shift, count = [], 0
        if len(shift) != 3 or count < 0:
            raise _damaged(path, f"{content[at][:40]!r} instead of a lattice vector and a count")
        at += 1
        if count == 0:
            at += at < len(content) and content[at].split() == empty_pointers
            yield np.array(shift), np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
            continue
        if at + 3 > len(content):
            raise _damaged(path, f"the file ends inside R = {shift}")
        try:
            values = _values(content[at])
            column = np.array(content[at + 1].split(), dtype=np.int64)
            pointers = np.array(content[at + 2].split(), dtype=np.int64)
        except ValueError as error:
            raise _damaged(path, f"not numbers at R = {shift} ({error})") from None
        counts = np.diff(pointers)
        if not len(values) == len(column) == count or len(counts) != dimension or counts.sum() != count:
            raise _damaged(
                path, f"the arrays of R = {shift} do not have {count} elements in {dimension} rows"
            )
        if counts.min() < 0 or column.min() < 0 or column.max() >= dimension:
            raise _damaged(path, f"an orbital of R = {shift} lies outside 0..{dimension - 1}")
        at += 3
        yield np.array(shift), np.repeat(np.arange(dimension), counts), column, values


def _values(line: str) -> NDArray:
    if "(" not in line:
        return np.array(line.split(), dtype=float)
    parts = np.array(re.sub(r"[(),]", " ", line).split(), dtype=float).reshape(-1, 2)
    return parts[:, 0] + 1j * parts[:, 1]


def _damaged(path: Path, problem: str) -> InputError:
    return _fail(path, problem, "copy it again from the run, or run the frame again")


def _fail(path: Path, problem: str, remedy: str) -> InputError:
    return InputError(problem, file=path, field="CSR", remedy=remedy)
