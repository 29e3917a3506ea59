"""Blocks of DeepH's HDF5 files, present (one flat array) and legacy (one data set a pair)."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from n2amd.blocks.matrix import BlockMatrix, PairIndex, SpeciesPair
from n2amd.dft.files import read_bytes
from n2amd.errors import InputError
from n2amd.orbitals.basis import Basis

REMEDY = "copy the file again, or convert the run again"
#: Largest imaginary part of a block without spin, eV.
IMAGINARY = 1e-6
#: Data sets of a present file.
_FIELDS = ("atom_pairs", "chunk_boundaries", "chunk_shapes", "entries")


def read_present(path: Path) -> tuple[NDArray[np.int64], list[NDArray]]:
    """Read (R1, R2, R3, i, j), 0-based, (n_pairs, 5), and the block of each pair.

    Raises
    ------
    InputError
        If the file is damaged or its arrays contradict each other.
    """
    arrays = {name: _read(path, name) for name in _FIELDS}
    for name in _FIELDS[:3]:
        if not np.array_equal(arrays[name], arrays[name].astype(np.int64)):
            raise _damaged(path, name, "the numbers are no integers")
        arrays[name] = arrays[name].astype(np.int64)
    pairs, shapes = arrays["atom_pairs"], arrays["chunk_shapes"]
    bounds, entries = arrays["chunk_boundaries"], arrays["entries"]
    if pairs.ndim != 2 or pairs.shape[1] != 5 or shapes.shape != (len(pairs), 2):
        raise _damaged(path, "atom_pairs", f"shape {pairs.shape} with chunk_shapes {shapes.shape}")
    expected = np.concatenate([[0], np.cumsum(shapes.prod(axis=1))])
    if not np.array_equal(bounds, expected) or entries.shape != (expected[-1],):
        raise _damaged(
            path, "chunk_boundaries", f"{entries.size} entries where the chunks have {expected[-1]}"
        )
    chunks = np.split(entries, bounds[1:-1])
    return pairs, [chunk.reshape(shape) for chunk, shape in zip(chunks, shapes)]


def read_legacy(path: Path) -> tuple[NDArray[np.int64], list[NDArray]]:
    """Read the data sets "[R1, R2, R3, i, j]", atoms 1-based in the file; the same as `read_present`."""
    try:
        with h5py.File(io.BytesIO(read_bytes(path)), "r") as file:
            items = [(name, _numeric(np.asarray(file[name]))) for name in file]
        pairs = np.array([json.loads(name) for name, _ in items], dtype=np.int64).reshape(-1, 5)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise _damaged(path, "[R1, R2, R3, i, j]", str(error)) from None
    return pairs - np.array([0, 0, 0, 1, 1]), [block for _, block in items]


def directed_blocks(
    path: Path, pairs: NDArray[np.int64], chunks: Sequence[NDArray], numbers: NDArray[np.int64], basis: Basis
) -> BlockMatrix:
    """Group blocks by species; those of twice the size are spinors, up before down.

    Returns
    -------
    matrix
        Every directed pair, native orbital order. Spinor blocks without spin-flip and imaginary parts are
        collinear: two spin components instead of four.

    Raises
    ------
    InputError
        If an atom does not exist, a pair is listed twice, or a block has another size than the basis says,
        is not finite, or is complex without spin.
    """
    if not len(pairs):
        raise _damaged(path, "atom_pairs", "there is no block")
    atoms = pairs[:, 3:]
    if atoms.min() < 0 or atoms.max() >= len(numbers):
        raise _contradiction(path, f"atom {atoms.max()} (from 0) where the structure has {len(numbers)}")
    unique, counts = np.unique(pairs, axis=0, return_counts=True)
    if len(unique) < len(pairs):
        raise _contradiction(path, f"the pair {unique[counts > 1][0].tolist()} is listed twice")
    size = basis.orbital_counts(numbers)
    spinful = chunks[0].shape == tuple(2 * size[atoms[0]])
    for pair, chunk in zip(pairs, chunks):
        expected = tuple(((2 if spinful else 1) * size[pair[3:]]).tolist())
        if chunk.shape != expected:
            raise _contradiction(
                path, f"the block of {pair.tolist()} is {chunk.shape}, the basis says {expected}"
            )
        if not np.isfinite(chunk).all():
            raise _damaged(path, "entries", f"the block of {pair.tolist()} has NaN or infinite values")
        if not spinful and np.abs(np.imag(chunk)).max(initial=0.0) > IMAGINARY:
            raise _contradiction(path, f"the block of {pair.tolist()} is complex, and without spin")
    collinear = spinful and not any(_mixes_spin(chunk) for chunk in chunks)
    z = numbers[atoms]
    index: dict[SpeciesPair, PairIndex] = {}
    values: dict[SpeciesPair, NDArray] = {}
    for zi, zj in sorted({(int(a), int(b)) for a, b in z}):
        members = np.flatnonzero((z == (zi, zj)).all(axis=1))
        index[zi, zj] = PairIndex(pairs[members, 3], pairs[members, 4], pairs[members, :3])
        blocks = np.stack([chunks[int(k)] for k in members])
        if spinful:
            n_i, n_j = basis[zi].n_orbitals, basis[zj].n_orbitals
            quadrants = blocks.reshape(-1, 2, n_i, 2, n_j).transpose(1, 3, 0, 2, 4).reshape(4, -1, n_i, n_j)
            values[zi, zj] = quadrants[[0, 3]].real if collinear else quadrants.astype(np.complex128)
        else:
            values[zi, zj] = np.real(blocks)[None].astype(np.float64)
    return BlockMatrix(index, values, hermitian=False)


def _mixes_spin(chunk: NDArray) -> bool:
    n_i, n_j = chunk.shape[0] // 2, chunk.shape[1] // 2
    return bool(np.any(chunk[:n_i, n_j:]) or np.any(chunk[n_i:, :n_j]) or np.any(np.imag(chunk)))


def _numeric(array: NDArray) -> NDArray:
    if array.dtype.kind not in "fiuc":
        raise ValueError(f"{array.dtype} where numbers belong")
    return array


def _read(path: Path, name: str) -> NDArray:
    try:
        with h5py.File(io.BytesIO(read_bytes(path)), "r") as file:
            return _numeric(np.asarray(file[name]))
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise _damaged(path, name, str(error)) from None


def _damaged(path: Path, field: str, problem: str) -> InputError:
    return InputError(f"the file is damaged or cut ({problem})", file=path, field=field, remedy=REMEDY)


def _contradiction(path: Path, problem: str) -> InputError:
    return InputError(
        problem, file=path, field="atom_pairs", remedy="keep the files of one run together in a folder"
    )
