"""Compiled sum of atom-pair blocks into the elements of a sparse matrix."""

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
