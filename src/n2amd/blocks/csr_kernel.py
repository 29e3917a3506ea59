"""Compiled loops over elements of sparse matrices: sums of atom-pair blocks, zeros left out, dense copies."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit(cache=True)
def add_blocks(
    blocks: Any, weights: Any, corner: Any, width: Any, twin: Any, twin_width: Any, values: Any
) -> None:
    """Add blocks times their weights, and the adjoints of these.

    Parameters
    ----------
    blocks, weights
        (n_pairs, n_i, n_j), (n_pairs,).
    corner, width
        First element of each block among the values, and the length of its rows there, (n_pairs,).
    twin, twin_width
        The same of the adjoint, at which there is none where `twin` is negative.
    values
        Elements of the sparse matrix, row after row.
    """
    for p in range(len(blocks)):
        block, weight = blocks[p], weights[p]
        for r in range(block.shape[0]):
            begin = corner[p] + r * width[p]
            for c in range(block.shape[1]):
                values[begin + c] += weight * block[r, c]
        if twin[p] < 0:
            continue
        for r in range(block.shape[0]):
            for c in range(block.shape[1]):
                values[twin[p] + c * twin_width[p] + r] += np.conj(weight * block[r, c])


@njit(cache=True)
def nonzero_rows(indptr: Any, values: Any) -> Any:
    """First element of each row and the total where zeros are left out, (n + 1,)."""
    starts = np.zeros(len(indptr), dtype=np.int64)
    for row in range(len(indptr) - 1):
        count = 0
        for place in range(indptr[row], indptr[row + 1]):
            count += values[place] != 0
        starts[row + 1] = starts[row] + count
    return starts


@njit(cache=True)
def copy_nonzero(indptr: Any, indices: Any, values: Any, columns: Any, elements: Any) -> None:
    """Copy column and value of every element that is not zero, in their order."""
    end = 0
    for place in range(indptr[0], indptr[-1]):
        if values[place] != 0:
            columns[end], elements[end] = indices[place], values[place]
            end += 1


@njit(cache=True)
def add_to_dense(indptr: Any, indices: Any, values: Any, factor: float, dense: Any) -> None:
    """Add a sparse matrix times a factor to a dense one, (n, n)."""
    for row in range(len(indptr) - 1):
        for place in range(indptr[row], indptr[row + 1]):
            dense[row, indices[place]] += factor * values[place]
