"""Random Hermitian tight-binding matrices, as plain dictionaries (i, j, R) -> block and as BlockMatrix."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from n2amd.blocks.matrix import BlockMatrix, PairIndex, canonical_half

Hops = dict[tuple[int, int, tuple[int, int, int]], NDArray]

ORBITALS = {1: 1, 8: 3, 22: 2}


def offsets_of(numbers: NDArray) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum([ORBITALS[int(z)] for z in numbers])])


def random_hops(
    numbers: NDArray, rng: np.random.Generator, *, n_pairs: int, n_spin: int = 1, complex_: bool = False
) -> Hops:
    """Every directed block of a Hermitian matrix; block (spin, n_i, n_j) of a spinor as (2, 2) in spin."""

    def draw(*shape: int) -> NDArray:
        values = rng.normal(size=shape)
        return values + 1j * rng.normal(size=shape) if complex_ else values

    wanted = [(i, i, (0, 0, 0)) for i in range(len(numbers))]
    for _ in range(n_pairs):
        i, j = (int(a) for a in rng.integers(0, len(numbers), 2))
        a, b, c = (int(r) for r in rng.integers(-2, 3, 3))
        wanted.append((i, j, (a, b, c)))
    hops: Hops = {}
    for i, j, R in wanted:
        back = (-R[0], -R[1], -R[2])
        block = draw(n_spin, ORBITALS[int(numbers[i])], ORBITALS[int(numbers[j])])
        if (i, j, R) == (j, i, back):
            block = (block + adjoint(block)) / 2
        hops[i, j, R], hops[j, i, back] = block, adjoint(block)
    return hops


def adjoint(block: NDArray) -> NDArray:
    """Adjoint of one block (n_spin, n_i, n_j); for four components the dagger turns the spin indices too."""
    n_spin, n_i, n_j = block.shape
    if n_spin != 4:
        return np.array([component.conj().T for component in block])
    return np.einsum("stab->tsba", block.reshape(2, 2, n_i, n_j).conj()).reshape(4, n_j, n_i)


def block_matrix(hops: Hops, numbers: NDArray, *, hermitian: bool = True) -> BlockMatrix:
    pairs, values = {}, {}
    kinds = sorted({(int(numbers[i]), int(numbers[j])) for i, j, _ in hops})
    for zi, zj in kinds:
        if hermitian and zi > zj:
            continue
        keys = [key for key in hops if (numbers[key[0]], numbers[key[1]]) == (zi, zj)]
        index = PairIndex(
            np.array([key[0] for key in keys]),
            np.array([key[1] for key in keys]),
            np.array([key[2] for key in keys]),
        )
        blocks = np.stack([hops[key] for key in keys], axis=1)
        if hermitian:
            half = canonical_half(index, zi == zj)
            index, blocks = index.select(half), blocks[:, half]
        pairs[zi, zj], values[zi, zj] = index, blocks
    return BlockMatrix(pairs, values, hermitian)


def lattice_sum(hops: Hops, offsets: NDArray, k: NDArray, spin: int = 0) -> NDArray:
    """M(k) block by block over every directed pair."""
    dense = np.zeros((offsets[-1], offsets[-1]), complex)
    for (i, j, R), block in hops.items():
        dense[offsets[i] : offsets[i + 1], offsets[j] : offsets[j + 1]] += (
            np.exp(2j * np.pi * np.dot(k, R)) * block[spin]
        )
    return dense
