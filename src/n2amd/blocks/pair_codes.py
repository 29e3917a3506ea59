"""One integer for each atom pair (i, j, R), ordered like the tuples, to find pairs by binary search."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from n2amd.blocks.matrix import BlockMatrix, PairIndex, SpeciesPair


@dataclass(frozen=True)
class PairCodes:
    """Code of the pairs of one structure.

    Attributes
    ----------
    n_atoms
        Atoms of the structure.
    reach
        Largest component of a lattice vector R.
    """

    n_atoms: int
    reach: int

    def encode(
        self, i: NDArray[np.int64], j: NDArray[np.int64], shift: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Codes (n,) of pairs with |R| up to `reach`."""
        width = 2 * self.reach + 1
        a, b, c = shift.T + self.reach
        return (((i * self.n_atoms + j) * width + a) * width + b) * width + c

    def decode(self, codes: NDArray[np.int64]) -> PairIndex:
        """Inverse of `encode`."""
        width = 2 * self.reach + 1
        rest, c = np.divmod(codes, width)
        rest, b = np.divmod(rest, width)
        rest, a = np.divmod(rest, width)
        i, j = np.divmod(rest, self.n_atoms)
        return PairIndex(i, j, np.stack([a, b, c], axis=-1) - self.reach)


def find_sorted(wanted: NDArray[np.int64], codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Position of each code in the ascending list `wanted`, (n,); -1 where it is not there."""
    if not len(wanted):
        return np.full(len(codes), -1)
    place = np.minimum(np.searchsorted(wanted, codes), len(wanted) - 1)
    return np.where(wanted[place] == codes, place, -1)


def lay_out(matrix: BlockMatrix, like: BlockMatrix) -> BlockMatrix:
    """Lay the blocks of a matrix out on the pairs of another one of the same structure.

    Pairs that it does not have are zero, those that the other does not have are dropped.

    Parameters
    ----------
    matrix
        Blocks to lay out.
    like
        Gives pairs and shapes.
    """
    values = {}
    for key, index in like.pairs.items():
        shape = like.values[key].shape
        blocks = np.zeros((matrix.n_spin, *shape[1:]), dtype=next(iter(matrix.values.values())).dtype)
        if key in matrix.pairs:
            theirs = matrix.pairs[key]
            both = [index, theirs]
            n_atoms = 1 + max(int(max(p.i.max(initial=0), p.j.max(initial=0))) for p in both)
            codes = PairCodes(n_atoms, max(int(np.abs(p.shift).max(initial=0)) for p in both))
            listed = codes.encode(theirs.i, theirs.j, theirs.shift)
            order = np.argsort(listed)
            place = find_sorted(listed[order], codes.encode(index.i, index.j, index.shift))
            found = place >= 0
            blocks[:, found] = matrix.values[key][:, order[place[found]]]
        values[key] = blocks
    return BlockMatrix(like.pairs, values, like.hermitian)


def on_common_pairs(first: BlockMatrix, second: BlockMatrix) -> tuple[BlockMatrix, BlockMatrix]:
    """Lay two Hermitian halves of one structure out on the pairs of both, zero where one has none."""
    pairs: dict[SpeciesPair, PairIndex] = {}
    shapes: dict[SpeciesPair, NDArray] = {}
    both = (first, second)
    lists = [index for matrix in both for index in matrix.pairs.values()]
    n_atoms = 1 + max(int(max(p.i.max(initial=0), p.j.max(initial=0))) for p in lists)
    codes = PairCodes(n_atoms, max(int(np.abs(p.shift).max(initial=0)) for p in lists))
    for key in sorted({key for matrix in both for key in matrix.pairs}):
        held = [matrix for matrix in both if key in matrix.pairs]
        listed = [codes.encode(p.i, p.j, p.shift) for p in (matrix.pairs[key] for matrix in held)]
        pairs[key] = codes.decode(np.unique(np.concatenate(listed)))
        shapes[key] = np.empty((1, len(pairs[key]), *held[0].values[key].shape[2:]))
    like = BlockMatrix(pairs, shapes)
    return lay_out(first, like), lay_out(second, like)
