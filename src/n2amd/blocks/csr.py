"""Folding to sparse matrices at one k point, several matrices on one pattern."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from n2amd.blocks.csr_kernel import add_blocks
from n2amd.blocks.matrix import BlockMatrix


@dataclass(frozen=True)
class _Pattern:
    """Where the block of each atom pair (i, j) lies among the elements of a CSR matrix.

    Attributes
    ----------
    codes
        i n_atoms + j of each block, ascending.
    first, width, place
        First element of each atom's first row and length of its rows, (n_atoms,); place of each block in its
        rows, (n_blocks,).
    indptr, indices
        Of the CSR matrix.
    """

    codes: NDArray[np.int64]
    first: NDArray[np.int64]
    width: NDArray[np.int64]
    place: NDArray[np.int64]
    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]

    def corners(self, i: NDArray[np.int64], j: NDArray[np.int64]) -> NDArray[np.int64]:
        """First element of the block of each pair of atoms, (n_pairs,)."""
        return self.first[i] + self.place[np.searchsorted(self.codes, i * len(self.first) + j)]


def fold_csr(
    matrices: Sequence[BlockMatrix], offsets: NDArray[np.int64], k: NDArray[np.float64] | None = None
) -> list[scipy.sparse.csr_array]:
    """Fold to sparse matrices at one k point: `fold` of each, on the union of their atom pairs.

    Parameters
    ----------
    matrices
        Real-space matrices of one spin component, of one structure.
    offsets
        First orbital of each atom and the total, (n_atoms + 1,).
    k
        Fractional k point (3,), or None for Gamma, where a real matrix stays real.

    Returns
    -------
    folded
        (n, n) each, both halves, columns ascending; they share `indptr` and `indices`.
    """
    at_gamma = k is None or not np.any(k)
    n_atoms = len(offsets) - 1
    pattern = _pattern([_codes(matrix, n_atoms) for matrix in matrices], offsets)
    folded = []
    for matrix in matrices:
        source = next(iter(matrix.values.values())).dtype
        values = np.zeros(len(pattern.indices), dtype=source if at_gamma else np.complex128)
        for key, index in matrix.pairs.items():
            blocks = np.ascontiguousarray(matrix.values[key][0])
            weights = np.ones(len(index)) if at_gamma else np.exp(2j * np.pi * (index.shift @ np.asarray(k)))
            twin = np.full(len(index), -1)
            if matrix.hermitian:
                twin = pattern.corners(index.j, index.i)
                # an atom's block with itself is its own partner
                weights = np.where(index.on_site, 0.5, 1.0) * weights
            corner = pattern.corners(index.i, index.j)
            widths = (pattern.width[index.i], pattern.width[index.j])
            add_blocks(blocks, weights, corner, widths[0], twin, widths[1], values)
        shape = (len(pattern.indptr) - 1,) * 2
        folded.append(scipy.sparse.csr_array((values, pattern.indices, pattern.indptr), shape=shape))
    return folded


def between_states(
    matrix: BlockMatrix, offsets: NDArray[np.int64], vectors: NDArray, k: NDArray[np.float64] | None = None
) -> NDArray:
    """Elements <i|M|j> between states.

    Parameters
    ----------
    matrix, offsets, k
        As for `fold_csr`.
    vectors
        States, (n_orbitals, w).

    Returns
    -------
    elements
        (w, w).
    """
    (folded,) = fold_csr([matrix], offsets, k)
    return np.asarray(vectors.conj().T @ (folded @ vectors))


def _codes(matrix: BlockMatrix, n_atoms: int) -> NDArray[np.int64]:
    """i n_atoms + j of every atom pair, partners included."""
    codes = [index.i * n_atoms + index.j for index in matrix.pairs.values()]
    if matrix.hermitian:
        codes += [index.j * n_atoms + index.i for index in matrix.pairs.values()]
    return np.unique(np.concatenate(codes))


def _pattern(codes: Sequence[NDArray[np.int64]], offsets: NDArray[np.int64]) -> _Pattern:
    n_atoms, sizes = len(offsets) - 1, np.diff(offsets)
    union = np.unique(np.concatenate(codes))
    columns = union % n_atoms
    before = np.concatenate([[0], np.cumsum(sizes[columns])])
    rows = np.searchsorted(union, np.arange(n_atoms + 1) * n_atoms)
    width = before[rows[1:]] - before[rows[:-1]]
    place = before[:-1] - np.repeat(before[rows[:-1]], np.diff(rows))
    indptr = np.concatenate([[0], np.cumsum(np.repeat(width, sizes))])
    indices = np.empty(indptr[-1], dtype=np.int32)
    for atom in range(n_atoms):
        listed = columns[rows[atom] : rows[atom + 1]]
        none = np.zeros(0, dtype=np.int64)
        orbitals = np.concatenate([none, *(np.arange(offsets[j], offsets[j + 1]) for j in listed)])
        indices[indptr[offsets[atom]] : indptr[offsets[atom + 1]]] = np.tile(orbitals, sizes[atom])
    return _Pattern(union, indptr[offsets[:-1]], width, place, indptr, indices)
