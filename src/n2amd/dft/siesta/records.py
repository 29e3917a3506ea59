"""Fortran unformatted files: records of a 4-byte length, the payload, and the same length again."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.dft.files import read_bytes
from n2amd.errors import InputError

REMEDY = "copy it again from the run, or run the frame again"


class Records:
    """The records of a little-endian file, one after the other; `kind` names the format in messages."""

    def __init__(self, path: Path, kind: str) -> None:
        self.path, self.kind = path, kind
        self.data, self.position = read_bytes(path), 0

    def fail(self, problem: str, remedy: str = REMEDY) -> InputError:
        """Return the error of this file, to be raised."""
        return InputError(problem, file=self.path, field=self.kind, remedy=remedy)

    def next(self, content: str, size: int | None = None) -> bytes:
        """Return the payload of the next record, checked against its end mark and expected size."""
        start = self.position + 4
        length = struct.unpack_from("<i", self.data, self.position)[0] if start <= len(self.data) else 0
        end = start + length
        if start > len(self.data) or end + 4 > len(self.data):
            raise self.fail(f"the file ends at byte {len(self.data)}, inside the record of {content}")
        if length < 0 or struct.unpack_from("<i", self.data, end)[0] != length:
            raise self.fail(f"the record of {content} at byte {self.position} has no matching end mark")
        if size is not None and length != size:
            raise self.fail(f"the record of {content} has {length} bytes instead of {size}")
        self.position = end + 4
        return self.data[start:end]

    def array(self, content: str, dtype: str, count: int) -> NDArray:
        """Return a record of one array."""
        return np.frombuffer(self.next(content, np.dtype(dtype).itemsize * count), dtype)

    def fields(self, content: str, *fields: tuple[str, int]) -> list[NDArray]:
        """Return a record of several arrays, each given as (dtype, number of items)."""
        layout = np.dtype([(f"f{n}", dtype, (count,)) for n, (dtype, count) in enumerate(fields)])
        return list(np.frombuffer(self.next(content, layout.itemsize), layout)[0])

    def rows(self, content: str, dtype: str, counts: NDArray[np.int64]) -> NDArray:
        """Return one array from a record per row, of counts[row] items each."""
        width = np.dtype(dtype).itemsize
        return np.frombuffer(b"".join(self.next(content, width * int(n)) for n in counts), dtype)

    def sparsity(self, n_orbitals: int, n_columns: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the row lengths (n_orbitals,) and the columns (n_elements,), 0-based, of a sparse matrix."""
        counts = self.array("the row lengths", "<i4", n_orbitals).astype(np.int64)
        if counts.min(initial=0) < 0:
            raise self.fail(f"a row has {counts.min()} elements")
        column = self.rows("the columns", "<i4", counts).astype(np.int64) - 1
        if len(column) and (column.min() < 0 or column.max() >= n_columns):
            raise self.fail(f"a column lies outside 1..{n_columns}")
        return counts, column
