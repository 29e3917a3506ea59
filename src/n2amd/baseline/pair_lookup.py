"""Blocks of a Hermitian matrix in one flat array, where a compiled loop finds that of a pair (i, j, R).

In the flat array every block of two atoms has the atom of the lower number as its rows, and the orbitals of
an atom stand in the order of a loop over a mesh, which need not be that of the basis.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from n2amd.blocks.matrix import PairIndex, SpeciesPair
from n2amd.errors import InputError


class PairLookup(NamedTuple):
    """Places of blocks, found by binary search.

    Attributes
    ----------
    row
        First entry of each atom i and, last, the total, (n_atoms + 1,).
    code
        (j >= i, R) as one integer, ascending within the row of i, (n_entries,).
    base
        First element of the block, (n_entries,).
    transposed
        True: stored is the block of -R (of i = j alone), whose transpose is wanted, (n_entries,).
    half_span
        Largest lattice translation of a pair along any axis.
    """

    row: NDArray[np.int64]
    code: NDArray[np.int64]
    base: NDArray[np.int64]
    transposed: NDArray[np.bool_]
    half_span: int


@dataclass(frozen=True)
class PairLayout:
    """How the blocks of a matrix lie in the flat array.

    Attributes
    ----------
    pairs
        Pairs of the matrix.
    orders
        Orbitals of each element, by atomic number, in the order of the flat array.
    size
        Elements of the flat array.
    lookup
        Where a block stands.
    """

    pairs: Mapping[SpeciesPair, PairIndex]
    orders: Mapping[int, NDArray[np.int64]]
    size: int
    lookup: PairLookup

    @classmethod
    def of(
        cls,
        pairs: Mapping[SpeciesPair, PairIndex],
        orders: Mapping[int, NDArray[np.int64]],
        counts: NDArray[np.int64],
    ) -> PairLayout:
        """Lay out the blocks of a Hermitian matrix.

        Parameters
        ----------
        pairs
            Each pair once, in any order and either way round.
        orders
            As the attribute.
        counts
            Orbitals of each atom, (n_atoms,).

        Raises
        ------
        InputError
            If a pair is listed twice, or together with its partner.
        """
        i, j = (
            np.concatenate([np.zeros(0, np.int64), *(getattr(p, name) for p in pairs.values())])
            for name in "ij"
        )
        shift = np.concatenate([np.zeros((0, 3), np.int64), *(p.shift for p in pairs.values())])
        size = counts[i] * counts[j]
        base = np.cumsum(size) - size
        flip = i > j
        rows, columns = np.where(flip, j, i), np.where(flip, i, j)
        shift = np.where(flip[:, None], -shift, shift)
        # R and -R of one atom are the same pair: it is found either way
        twin = (i == j) & shift.any(axis=1)
        half_span = int(np.abs(shift).max(initial=0))
        code = _codes(
            np.concatenate([columns, columns[twin]]), np.concatenate([shift, -shift[twin]]), half_span
        )
        rows = np.concatenate([rows, rows[twin]])
        order = np.lexsort((code, rows))
        rows, code = rows[order], code[order]
        if ((np.diff(rows) == 0) & (np.diff(code) == 0)).any():
            raise InputError(
                "an atom pair is listed twice", field="pairs", remedy="pass each pair once: half=True"
            )
        lookup = PairLookup(
            np.searchsorted(rows, np.arange(len(counts) + 1)),
            code,
            np.concatenate([base, base[twin]])[order],
            np.repeat([False, True], [len(i), int(twin.sum())])[order],
            half_span,
        )
        return cls(pairs, orders, int(size.sum()), lookup)

    def pack(self, blocks: Mapping[SpeciesPair, NDArray[np.float64]]) -> NDArray[np.float64]:
        """Flat array (n_spin, size) of blocks (n_spin, n_pairs, n_i, n_j)."""
        parts = []
        for (a, b), index in self.pairs.items():
            ordered = blocks[a, b][:, :, self.orders[a][:, None], self.orders[b]]
            flat = ordered.reshape(len(ordered), len(index), -1)
            flip = index.i > index.j
            flat[:, flip] = ordered[:, flip].swapaxes(-1, -2).reshape(len(flat), -1, flat.shape[-1])
            parts.append(flat.reshape(len(flat), -1))
        return np.ascontiguousarray(np.concatenate(parts, axis=1), dtype=np.float64)

    def unpack(self, values: NDArray[np.float64]) -> dict[SpeciesPair, NDArray[np.float64]]:
        """Inverse of `pack`."""
        blocks, start = {}, 0
        for (a, b), index in self.pairs.items():
            n_a, n_b = len(self.orders[a]), len(self.orders[b])
            flat = values[:, start : (start := start + len(index) * n_a * n_b)]
            flat = flat.reshape(len(values), len(index), -1)
            from_a, from_b = np.argsort(self.orders[a])[:, None], np.argsort(self.orders[b])
            result = np.take(flat, (from_a * n_b + from_b).ravel(), axis=2)
            flip = index.i > index.j
            result[:, flip] = np.take(flat[:, flip], (from_b * n_a + from_a).ravel(), axis=2)
            blocks[a, b] = result.reshape(len(values), len(index), n_a, n_b)
        return blocks


def _codes(j: NDArray[np.int64], shift: NDArray[np.int64], half_span: int) -> NDArray[np.int64]:
    span = 2 * half_span + 1
    a, b, c = (shift + half_span).T
    return ((j * span + a) * span + b) * span + c


@njit(cache=True, inline="always")
def find(row: Any, code: Any, half_span: int, i: int, j: int, a: int, b: int, c: int) -> int:
    """Entry of the pair (i, j >= i, R = (a, b, c)), or -1 if it is not listed."""
    if abs(a) > half_span or abs(b) > half_span or abs(c) > half_span:
        return -1
    span = 2 * half_span + 1
    wanted = ((j * span + a + half_span) * span + b + half_span) * span + c + half_span
    low, n = row[i], row[i + 1] - row[i]
    while n > 1:  # without branches that the processor would have to guess
        half = n // 2
        low = low + half if code[low + half] <= wanted else low
        n -= half
    return low if n == 1 and code[low] == wanted else -1
