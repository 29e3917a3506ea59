"""The Hermitian half of matrices that a code lists pair by pair, both copies of each, in any order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from n2amd.blocks.matrix import _ADJOINT_SPIN, BlockMatrix, PairIndex, SpeciesPair, canonical_half


def hermitian_halves(matrices: Sequence[BlockMatrix]) -> tuple[list[BlockMatrix], float]:
    """Reduce matrices of one structure to their Hermitian half, all on the same pairs.

    The inverse of `with_partners`. A pair, or a partner, that a matrix does not list counts as zero there.

    Parameters
    ----------
    matrices
        Every directed pair listed once (`hermitian=False`).

    Returns
    -------
    halves
        On the union of all pairs; each block is the mean of its two copies.
    hermiticity
        Largest difference between two copies, over all matrices.
    """
    groups = {tuple(sorted(key)) for matrix in matrices for key in matrix.pairs}
    values: list[dict[SpeciesPair, NDArray]] = [{} for _ in matrices]
    pairs: dict[SpeciesPair, PairIndex] = {}
    hermiticity = 0.0
    for zi, zj in sorted(groups):
        listed = [matrix.pairs.get((zi, zj)) for matrix in matrices]
        mirrored = [matrix.pairs.get((zj, zi)) for matrix in matrices]
        union = _unique([p for p in listed if p] + [p.reversed() for p in mirrored if p])
        kept = canonical_half(union, zi == zj)
        pairs[zi, zj] = union.select(kept)
        for matrix, direct, partner, half in zip(matrices, listed, mirrored, values):
            copies = []
            if direct:
                copies.append(_on_pairs(direct, matrix.values[zi, zj], union))
            if partner:
                blocks = matrix.values[zj, zi]
                adjoint = blocks[_ADJOINT_SPIN[len(blocks)]].conj().swapaxes(-1, -2)
                copies.append(_on_pairs(partner.reversed(), adjoint, union))
            copies += [np.zeros((matrix.n_spin, len(union), *_block_shape(matrices, zi, zj)))] * (
                2 - len(copies)
            )
            first, second = copies
            hermiticity = max(hermiticity, float(np.abs(first - second).max(initial=0.0)))
            half[zi, zj] = (first[:, kept] + second[:, kept]) / 2
    return [BlockMatrix(pairs, half) for half in values], hermiticity


def _block_shape(matrices: Sequence[BlockMatrix], zi: int, zj: int) -> tuple[int, int]:
    """Orbitals of the two species, from whichever matrix lists the pair or its partner."""
    for matrix in matrices:
        if (zi, zj) in matrix.values:
            return matrix.values[zi, zj].shape[-2:]
        if (zj, zi) in matrix.values:
            return matrix.values[zj, zi].shape[:-3:-1]
    raise KeyError((zi, zj))


def _rows(pairs: PairIndex) -> NDArray[np.int64]:
    """(i, j, R) of each pair, (n_pairs, 5)."""
    return np.column_stack([pairs.i, pairs.j, pairs.shift])


def _unique(lists: Sequence[PairIndex]) -> PairIndex:
    rows = np.unique(np.concatenate([_rows(pairs) for pairs in lists]), axis=0)
    return PairIndex(rows[:, 0], rows[:, 1], rows[:, 2:])


def _on_pairs(pairs: PairIndex, blocks: NDArray, union: PairIndex) -> NDArray:
    """Blocks placed on the pairs of `union`, which holds all of `pairs`; zero elsewhere."""
    rows = np.concatenate([_rows(union), _rows(pairs)])
    _, place = np.unique(rows, axis=0, return_inverse=True)
    spread = np.zeros((blocks.shape[0], len(union), *blocks.shape[2:]), dtype=blocks.dtype)
    spread[:, place[len(union) :]] = blocks
    return spread
