from __future__ import annotations

import numpy as np
import pytest
from tight_binding import block_matrix, offsets_of, random_hops

from n2amd.blocks.csr import fold_csr
from n2amd.blocks.matrix import fold

NUMBERS = np.array([22, 8, 1, 8, 22])
OFFSETS = offsets_of(NUMBERS)
KPOINTS = [None, np.zeros(3), np.array([0.5, 0, 0.5]), np.array([0.13, -0.41, 0.77])]


@pytest.mark.parametrize("k", KPOINTS, ids=str)
@pytest.mark.parametrize("complex_", [False, True])
@pytest.mark.parametrize("hermitian", [False, True])
def test_sparse_folds_are_the_dense_ones(k, complex_: bool, hermitian: bool) -> None:
    rng = np.random.default_rng(7)
    matrices = [
        block_matrix(random_hops(NUMBERS, rng, n_pairs=n, complex_=complex_), NUMBERS, hermitian=hermitian)
        for n in (7, 12)
    ]
    folded = fold_csr(matrices, OFFSETS, k)
    for matrix, sparse in zip(matrices, folded):
        dense = fold(matrix, OFFSETS, k)
        assert sparse.dtype == dense.dtype
        assert np.allclose(sparse.toarray(), dense, rtol=0, atol=1e-13)
        assert sparse.has_sorted_indices


def test_matrices_share_the_union_of_their_pairs() -> None:
    rng = np.random.default_rng(2)
    one, other = (block_matrix(random_hops(NUMBERS, rng, n_pairs=n), NUMBERS) for n in (2, 3))
    both = fold_csr([one, other], OFFSETS)
    assert np.array_equal(both[0].indptr, both[1].indptr)
    assert np.array_equal(both[0].indices, both[1].indices)
    alone = [fold_csr([m], OFFSETS)[0] for m in (one, other)]
    assert both[0].nnz >= max(m.nnz for m in alone)
    assert np.allclose(both[1].toarray(), alone[1].toarray(), rtol=0, atol=0)
