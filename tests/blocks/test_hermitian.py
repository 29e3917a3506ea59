from __future__ import annotations

import numpy as np
import pytest
from tight_binding import block_matrix, lattice_sum, offsets_of, random_hops

from n2amd.blocks.hermitian import hermitian_halves
from n2amd.blocks.matrix import BlockMatrix, canonical_half, fold

NUMBERS = np.array([22, 8, 8, 1])


@pytest.mark.parametrize(("n_spin", "complex_"), [(1, False), (2, False), (4, True)])
def test_halves_have_the_lattice_sums_of_the_directed_list(n_spin, complex_):
    """Two matrices with different pairs end up on the union, each with its own lattice sum."""
    rng = np.random.default_rng(n_spin)
    hops = [
        random_hops(NUMBERS, rng, n_pairs=20, n_spin=n_spin, complex_=complex_),
        random_hops(NUMBERS, rng, n_pairs=5),
    ]
    halves, hermiticity = hermitian_halves([block_matrix(h, NUMBERS, hermitian=False) for h in hops])
    assert hermiticity < 1e-14
    offsets = offsets_of(NUMBERS)
    for half, directed in zip(halves, hops):
        for spin in range(half.n_spin):
            for k in ([0.0, 0.0, 0.0], [0.1, -0.2, 0.3]):
                expected = lattice_sum(directed, offsets, np.array(k), spin)
                assert fold(half, offsets, np.array(k), spin) == pytest.approx(expected, abs=1e-13)
    assert halves[0].pairs.keys() == halves[1].pairs.keys()
    for (zi, zj), index in halves[0].pairs.items():
        assert zi <= zj
        assert canonical_half(index, zi == zj).all()
        assert index.same_as(halves[1].pairs[zi, zj])


def test_the_largest_difference_of_two_copies_is_reported():
    hops = random_hops(NUMBERS, np.random.default_rng(0), n_pairs=10)
    key = next(key for key in hops if NUMBERS[key[0]] > NUMBERS[key[1]])
    hops[key] = hops[key] + 0.25
    _, hermiticity = hermitian_halves([block_matrix(hops, NUMBERS, hermitian=False)])
    assert hermiticity == pytest.approx(0.25)


@pytest.mark.parametrize("kept", [lambda key: key[0] <= key[1], lambda key: key[0] >= key[1]])
def test_a_partner_that_is_not_listed_counts_as_zero(kept):
    hops = random_hops(NUMBERS, np.random.default_rng(1), n_pairs=10)
    directed = block_matrix(hops, NUMBERS, hermitian=False)
    one_way = BlockMatrix(
        {key: index for key, index in directed.pairs.items() if kept(key)},
        {key: values for key, values in directed.values.items() if kept(key)},
        hermitian=False,
    )
    halves, hermiticity = hermitian_halves([one_way, directed])
    assert hermiticity == pytest.approx(
        max(np.abs(v).max() for (a, b), v in directed.values.items() if kept((a, b)) and a != b)
    )
    for key, blocks in halves[0].values.items():
        factor = 0.5 if key[0] != key[1] else 1.0
        assert blocks == pytest.approx(factor * halves[1].values[key])
