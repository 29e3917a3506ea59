from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from tight_binding import ORBITALS, block_matrix, lattice_sum, offsets_of, random_hops

from n2amd.blocks.matrix import (
    BlockMatrix,
    PairIndex,
    add_overlap,
    canonical_half,
    fold,
    fold_mesh,
    fold_spinor,
    gauge_shift,
    inner_product,
    with_partners,
)
from n2amd.structure import Structure

NUMBERS = np.array([22, 8, 1, 8, 22])
OFFSETS = offsets_of(NUMBERS)
KPOINTS = [np.zeros(3), np.array([0.5, 0, 0.5]), np.array([0.13, -0.41, 0.77]), np.array([1.0, -2.0, 3.0])]


@pytest.mark.parametrize("k", KPOINTS, ids=str)
@pytest.mark.parametrize(("n_spin", "complex_"), [(1, False), (2, False), (1, True), (4, True)])
def test_fold_is_the_lattice_sum(n_spin: int, complex_: bool, k: np.ndarray) -> None:
    hops = random_hops(NUMBERS, np.random.default_rng(7), n_pairs=60, n_spin=n_spin, complex_=complex_)
    half = block_matrix(hops, NUMBERS)
    listed = block_matrix(hops, NUMBERS, hermitian=False)
    for spin in range(n_spin):
        expected = lattice_sum(hops, OFFSETS, k, spin)
        for matrix in (half, listed, with_partners(half)):
            assert np.allclose(fold(matrix, OFFSETS, k, spin), expected, rtol=0, atol=1e-12)


def test_a_real_matrix_stays_real_at_gamma_and_nowhere_else() -> None:
    matrix = block_matrix(random_hops(NUMBERS, np.random.default_rng(1), n_pairs=20), NUMBERS)
    at_gamma = fold(matrix, OFFSETS)
    assert at_gamma.dtype == np.float64
    assert np.array_equal(at_gamma, fold(matrix, OFFSETS, np.zeros(3)))
    assert fold(matrix, OFFSETS, np.array([0.5, 0.5, 0.5])).dtype == np.complex128


def test_a_spinor_is_hermitian_as_a_whole() -> None:
    """One quadrant is not: its adjoint is the other off-diagonal one."""
    hops = random_hops(NUMBERS, np.random.default_rng(3), n_pairs=40, n_spin=4, complex_=True)
    matrix = block_matrix(hops, NUMBERS)
    up_up, up_down, down_up, down_down = (fold(matrix, OFFSETS, KPOINTS[2], s) for s in range(4))
    whole = np.block([[up_up, up_down], [down_up, down_down]])
    assert np.allclose(whole, whole.conj().T, rtol=0, atol=1e-12)
    assert not np.allclose(up_down, up_down.conj().T, atol=1e-3)


@pytest.mark.parametrize(("n_spin", "complex_"), [(1, False), (2, False), (1, True), (4, True)])
def test_a_mesh_is_the_fold_at_each_k_point(n_spin: int, complex_: bool) -> None:
    hops = random_hops(NUMBERS, np.random.default_rng(5), n_pairs=50, n_spin=n_spin, complex_=complex_)
    for matrix in (block_matrix(hops, NUMBERS), block_matrix(hops, NUMBERS, hermitian=False)):
        for spin in range(n_spin):
            expected = np.array([fold(matrix, OFFSETS, k, spin) for k in KPOINTS])
            assert np.allclose(
                fold_mesh(matrix, OFFSETS, np.array(KPOINTS), spin), expected, rtol=0, atol=1e-12
            )


def time_reversal_symmetric(seed: int) -> BlockMatrix:
    """A random spinor matrix that commutes with i sigma_y K: quadrants A, B, -B*, A*."""
    hops = random_hops(NUMBERS, np.random.default_rng(seed), n_pairs=40, n_spin=4, complex_=True)
    values = {}
    for key, blocks in (matrix := block_matrix(hops, NUMBERS)).values.items():
        up, flip = blocks[0], blocks[1].copy()
        if (own := matrix.pairs[key].on_site).any():
            flip[own] -= flip[own].swapaxes(-1, -2)  # of one atom it must be antisymmetric
        values[key] = np.stack([up, flip, -flip.conj(), up.conj()])
    return matrix.map(values)


def test_spinors_are_hermitian_and_kramers_degenerate() -> None:
    matrix = time_reversal_symmetric(11)
    inside, corner = KPOINTS[2], np.array([0.5, 0.0, 0.5])
    h = fold_spinor(matrix, OFFSETS, np.array([inside, -inside, np.zeros(3), corner]))
    assert np.allclose(h, h.conj().swapaxes(-1, -2), rtol=0, atol=1e-12)
    there, back, *invariant = np.linalg.eigvalsh(h)
    assert np.allclose(there, back, rtol=0, atol=1e-10)
    assert np.diff(there)[::2].max() > 1e-2  # without inversion no degeneracy inside the zone
    for levels in invariant:
        assert np.allclose(levels[::2], levels[1::2], rtol=0, atol=1e-10)


def test_the_overlap_repeats_for_both_spins() -> None:
    _, s = random_pair()
    up = fold_mesh(s, OFFSETS, np.array(KPOINTS))
    both = fold_spinor(s, OFFSETS, np.array(KPOINTS))
    n = OFFSETS[-1]
    assert np.array_equal(both[:, :n, :n], up)
    assert np.array_equal(both[:, n:, n:], up)
    assert not both[:, :n, n:].any()
    assert not both[:, n:, :n].any()


vectors = st.tuples(*[st.floats(-2, 2)] * 3).map(np.array)
seeds = st.integers(0, 2**32 - 1)
structures = st.lists(st.sampled_from(sorted(ORBITALS)), min_size=1, max_size=5).map(np.array)


@settings(max_examples=60, deadline=None)
@given(structures, seeds, st.integers(0, 25), st.booleans(), vectors)
def test_folded_matrices_are_hermitian_and_time_reversal_holds(
    numbers: np.ndarray, seed: int, n_pairs: int, complex_: bool, k: np.ndarray
) -> None:
    hops = random_hops(numbers, np.random.default_rng(seed), n_pairs=n_pairs, complex_=complex_)
    matrix, offsets = block_matrix(hops, numbers), offsets_of(numbers)
    dense = fold(matrix, offsets, k)
    assert np.allclose(dense, dense.conj().T, rtol=0, atol=1e-12)
    if not complex_:
        levels, reversed_ = (np.linalg.eigvalsh(fold(matrix, offsets, q)) for q in (k, -k))
        assert np.allclose(levels, reversed_, rtol=0, atol=1e-10)
    shifted = np.linalg.eigvalsh(fold(matrix, offsets, k + np.array([1, -2, 1])))
    assert np.allclose(np.linalg.eigvalsh(dense), shifted, rtol=0, atol=1e-10)


@settings(max_examples=25, deadline=None)
@given(structures, seeds, st.tuples(*[st.integers(1, 3)] * 3), st.booleans(), vectors)
def test_a_supercell_has_the_levels_of_the_folded_k_points(
    numbers: np.ndarray, seed: int, repeats: tuple[int, int, int], complex_: bool, k: np.ndarray
) -> None:
    n = np.array(repeats)
    hops = random_hops(numbers, np.random.default_rng(seed), n_pairs=12, complex_=complex_)
    cells = [np.array(c) for c in np.ndindex(*repeats)]
    place = {tuple(c): m for m, c in enumerate(cells)}
    large = {}
    for (i, j, R), block in hops.items():
        for m, cell in enumerate(cells):
            shift, home = np.divmod(cell + R, n)
            key = (m * len(numbers) + i, place[tuple(home)] * len(numbers) + j, tuple(map(int, shift)))
            large[key] = block
    many = np.tile(numbers, len(cells))
    found = np.linalg.eigvalsh(fold(block_matrix(large, many), offsets_of(many), k * n))
    small, offsets = block_matrix(hops, numbers), offsets_of(numbers)
    expected = [np.linalg.eigvalsh(fold(small, offsets, k + c / n)) for c in cells]
    assert np.allclose(found, np.sort(np.concatenate(expected)), rtol=0, atol=1e-9)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 2), *[st.integers(-1, 1)] * 3),
        min_size=1,
        max_size=40,
        unique=True,
    )
)
def test_the_canonical_half_holds_one_of_each_pair_and_its_partner(rows: list[tuple[int, ...]]) -> None:
    table = np.array(rows)
    index = PairIndex(table[:, 0], table[:, 1], table[:, 2:])
    own, partner = canonical_half(index, True), canonical_half(index.reversed(), True)
    assert np.array_equal(own & partner, index.on_site)
    assert np.all(own | partner)


def test_the_canonical_half_of_two_species_is_the_group_itself() -> None:
    index = PairIndex(np.array([1, 0]), np.array([0, 1]), np.array([[-1, 0, 0], [1, 0, 0]]))
    assert canonical_half(index, False).all()


@settings(max_examples=40, deadline=None)
@given(structures, seeds, st.sampled_from([(1, False), (2, False), (4, True)]))
def test_partners_make_every_directed_pair_once(
    numbers: np.ndarray, seed: int, kind: tuple[int, bool]
) -> None:
    n_spin, complex_ = kind
    hops = random_hops(numbers, np.random.default_rng(seed), n_pairs=20, n_spin=n_spin, complex_=complex_)
    full = with_partners(block_matrix(hops, numbers))
    found = {}
    for (zi, zj), index in full.pairs.items():
        for p, (i, j, R) in enumerate(zip(index.i, index.j, index.shift)):
            assert (numbers[i], numbers[j]) == (zi, zj)
            assert (i, j, tuple(R)) not in found
            found[i, j, tuple(R)] = full.values[zi, zj][:, p]
    assert found.keys() == hops.keys()
    assert all(np.array_equal(found[key], hops[key]) for key in hops)
    assert with_partners(full) is full


def test_bond_vectors_reach_into_the_other_geometry() -> None:
    cell = np.array([[3.0, 0, 0], [1, 4, 0], [0, 0.5, 5]])
    bra = Structure(cell, np.array([[0.1, 0, 0], [1, 1, 1]]), np.array([1, 8]))
    ket = Structure(1.1 * cell, bra.positions + 0.25, bra.numbers)
    index = PairIndex(np.array([0, 1]), np.array([1, 1]), np.array([[1, 0, -1], [0, 2, 0]]))
    own = [bra.positions[1] + cell[0] - cell[2] - bra.positions[0], 2 * cell[1]]
    assert np.allclose(index.vectors(bra), own)
    assert np.allclose(index.reversed().vectors(bra), -np.array(own))
    across = [1.25 + 1.1 * (cell[0] - cell[2]) - bra.positions[0], 0.25 + 2.2 * cell[1]]
    assert np.allclose(index.vectors(bra, ket), across)


def random_pair(n_spin: int = 1, complex_: bool = False, seed: int = 5) -> tuple[BlockMatrix, BlockMatrix]:
    """H and S on the same pairs."""
    hops = random_hops(NUMBERS, np.random.default_rng(seed), n_pairs=50, n_spin=n_spin, complex_=complex_)
    rng = np.random.default_rng(seed + 1)
    overlap = {}
    for (i, j, R), block in hops.items():
        back = (j, i, (-R[0], -R[1], -R[2]))
        drawn = rng.normal(size=(1, *block.shape[1:]))
        overlap[i, j, R] = overlap[back].swapaxes(-1, -2) if back in overlap else drawn
        if back == (i, j, R):
            overlap[i, j, R] = (drawn + drawn.swapaxes(-1, -2)) / 2
    return block_matrix(hops, NUMBERS), block_matrix(overlap, NUMBERS)


def dense_product(a: BlockMatrix, b: BlockMatrix, spins: list[tuple[int, int]]) -> float:
    """<A, B> per cell by Parseval: the mean over a k mesh finer than the range of either matrix."""
    mesh = [np.array(k) / 9 for k in np.ndindex(9, 9, 9)]
    return sum(
        float(np.mean([np.vdot(fold(a, OFFSETS, k, s), fold(b, OFFSETS, k, t)).real for k in mesh]))
        for s, t in spins
    )


@pytest.mark.parametrize("complex_", [False, True])
def test_inner_product_against_dense_matrices(complex_: bool) -> None:
    a, b = random_pair(complex_=complex_)
    assert inner_product(a, b) == pytest.approx(dense_product(a, b, [(0, 0)]), rel=1e-10)
    assert inner_product(with_partners(a), with_partners(b)) == pytest.approx(inner_product(a, b), rel=1e-12)


@pytest.mark.parametrize(
    ("n_spin", "complex_", "diagonal"), [(1, False, [0]), (2, False, [0, 1]), (4, True, [0, 3])]
)
def test_gauge_shift_sees_s_in_the_spin_diagonal_alone(
    n_spin: int, complex_: bool, diagonal: list[int]
) -> None:
    h, s = random_pair(n_spin, complex_)
    expected = dense_product(h, s, [(spin, 0) for spin in diagonal]) / (
        len(diagonal) * dense_product(s, s, [(0, 0)])
    )
    assert gauge_shift(h, s) == pytest.approx(expected, rel=1e-9)
    moved = add_overlap(h, s, 0.37)
    assert gauge_shift(moved, s) - gauge_shift(h, s) == pytest.approx(0.37, abs=1e-12)
    for spin in range(n_spin):
        step = fold(moved, OFFSETS, KPOINTS[2], spin) - fold(h, OFFSETS, KPOINTS[2], spin)
        added = 0.37 * fold(s, OFFSETS, KPOINTS[2]) if spin in diagonal else 0.0
        assert np.allclose(step, added, rtol=0, atol=1e-12)


def test_gauge_shift_is_the_same_in_a_rotated_frame() -> None:
    """p orbitals of O (y, z, x) turn with the crystal, s orbitals do not."""
    turn = Rotation.from_euler("zyx", [0.4, 1.1, -0.7]).as_matrix()[np.ix_([1, 2, 0], [1, 2, 0])]
    rotation = {1: np.eye(1), 8: turn, 22: np.eye(2)}
    h, s = random_pair()

    def rotated(matrix: BlockMatrix) -> BlockMatrix:
        return matrix.map(
            {(zi, zj): rotation[zi] @ b @ rotation[zj].T for (zi, zj), b in matrix.values.items()}
        )

    assert gauge_shift(rotated(h), rotated(s)) == pytest.approx(gauge_shift(h, s), abs=1e-12)


def test_matrices_on_other_pairs_are_not_mixed() -> None:
    h, s = random_pair()
    key = (8, 8)
    turned = BlockMatrix(
        {**s.pairs, key: s.pairs[key].select(np.arange(len(s.pairs[key]))[::-1])}, s.values, True
    )
    fewer = BlockMatrix({k: v for k, v in s.pairs.items() if k != key}, s.values, True)
    for other in (turned, fewer, with_partners(s)):
        with pytest.raises(ValueError, match="same pairs"):
            gauge_shift(h, other)
        with pytest.raises(ValueError, match="same pairs"):
            add_overlap(h, other, 1.0)
