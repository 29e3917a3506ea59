"""Overlaps against closed forms, symmetry, finite differences and a DFT code's own matrices."""

from __future__ import annotations

import numpy as np
import pytest
from analytic_orbitals import gaussian_shell, slater_shell
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from n2amd.blocks.matrix import BlockMatrix, fold, with_partners
from n2amd.errors import InputError
from n2amd.frames.frame import Frame
from n2amd.orbitals.basis import AtomBasis, Basis, Shell
from n2amd.orbitals.bessel_transform import RadialTransforms, radial_transforms
from n2amd.orbitals.direct_overlap import direct_overlap
from n2amd.orbitals.harmonics import real_wigner
from n2amd.orbitals.two_centre import OverlapTable, overlap, overlap_derivative
from n2amd.structure import Structure


@pytest.fixture(scope="module")
def gaussian_table(gaussian_basis: Basis) -> OverlapTable:
    return OverlapTable.from_basis(gaussian_basis)


@pytest.fixture(scope="module")
def tio2_table(tio2_basis: Basis) -> OverlapTable:
    return OverlapTable.from_basis(tio2_basis)


def bonds(n: int, seed: int = 0, scale: float = 1.5) -> np.ndarray:
    return scale * np.random.default_rng(seed).normal(size=(n, 3))


def test_gaussians_closed_form() -> None:
    """S and p Gaussians by the product theorem."""
    a, b = 0.7, 1.4
    basis = Basis(
        {
            1: AtomBasis(1, (gaussian_shell(0, a), gaussian_shell(1, a))),
            2: AtomBasis(2, (gaussian_shell(0, b), gaussian_shell(1, b))),
        }
    )
    v = np.concatenate([bonds(50), [[0, 0, 0], [1e-3, 0, 0], [0, 0, -1.0]]])
    p, q = a + b, a * b / (a + b)
    ss = (2 * np.sqrt(a * b) / p) ** 1.5 * np.exp(-q * np.sum(v**2, axis=1))
    w = v[:, [1, 2, 0]]  # p = (y, z, x)
    expected = np.empty((len(v), 4, 4))
    expected[:, 0, 0] = ss
    # normalised p functions are (1 / sqrt(exponent)) times minus the gradient with respect to r of an s
    expected[:, 1:, 0] = 2 * np.sqrt(a) * (b / p) * w * ss[:, None]
    expected[:, 0, 1:] = -2 * np.sqrt(b) * (a / p) * w * ss[:, None]
    tensor = np.eye(3) / (2 * p) - (a * b / p**2) * w[:, :, None] * w[:, None, :]
    expected[:, 1:, 1:] = 4 * np.sqrt(a * b) * tensor * ss[:, None, None]
    computed = OverlapTable.from_basis(basis).evaluate((1, 2), v)
    np.testing.assert_allclose(computed, expected, atol=1e-8)


def test_slater_closed_form() -> None:
    """Functions of one exponent (Mulliken et al., J. Chem. Phys. 17, 1248 (1949)), 1s-1s and 1s-2p sigma."""
    zeta = 2.4
    shells = (slater_shell(0, zeta), slater_shell(1, zeta))
    table = OverlapTable.from_basis(Basis({1: AtomBasis(1, shells)}))
    r = np.linspace(0, 5, 40)
    x = zeta * r
    computed = table.evaluate((1, 1), r[:, None] * np.array([0.0, 0.0, 1.0]))
    polynomial = np.exp(-x) * (1 + x + x**2 / 3)
    np.testing.assert_allclose(computed[:, 0, 0], polynomial, atol=1e-6)
    np.testing.assert_allclose(computed[:, 2, 0], x / 2 * polynomial, atol=1e-6)


@pytest.mark.parametrize("key", [(1, 1), (1, 6), (6, 6)])
def test_equals_the_defining_sum(
    gaussian_table: OverlapTable, gaussian_basis: Basis, key: tuple[int, int]
) -> None:
    """Splines and solid harmonics against the sum over Y_LM and the integral over k, s to f shells."""
    transforms = radial_transforms(gaussian_basis)
    v = np.concatenate([bonds(12), [[0, 0, 1.3], [0, -2.0, 0], [1e-2, 0, 0]]])
    exact = [direct_overlap(gaussian_basis[key[0]], gaussian_basis[key[1]], transforms, bond) for bond in v]
    np.testing.assert_allclose(gaussian_table.evaluate(key, v), exact, atol=1e-11)


def test_equals_the_defining_sum_for_orbitals_with_a_kink(
    tio2_table: OverlapTable, tio2_basis: Basis
) -> None:
    transforms = radial_transforms(tio2_basis)
    v = bonds(20, scale=1.8)
    exact = [direct_overlap(tio2_basis[8], tio2_basis[22], transforms, bond) for bond in v]
    np.testing.assert_allclose(tio2_table.evaluate((8, 22), v), exact, atol=1e-9)


def test_takes_any_quadrature(gaussian_basis: Basis) -> None:
    """A code's own nodes, weights and transforms: here Simpson's rule on twice as many nodes."""
    basis = Basis({6: gaussian_basis[6]})
    uniform = radial_transforms(basis)
    fine = np.arange(1, 2 * len(uniform.k) + 1) * uniform.k[0] / 2
    weights = np.where(np.arange(1, len(fine) + 1) % 2, 4.0, 2.0) * fine[0] / 3
    analytic = {}
    for z in basis.numbers:
        rows = []
        for shell in basis[z].shells:
            exponent = float(shell.label.split()[1])
            width = np.sqrt(np.pi) / (2 ** (shell.l + 2) * exponent ** (shell.l + 1.5))
            scale = shell.radial.values[0]
            rows.append(scale * width * fine**shell.l * np.exp(-(fine**2) / (4 * exponent)))
        analytic[z] = np.array(rows)
    table = OverlapTable.from_transforms(basis, RadialTransforms(fine, weights, analytic))
    v = bonds(30)
    ours = OverlapTable.from_basis(basis).evaluate((6, 6), v)
    np.testing.assert_allclose(table.evaluate((6, 6), v), ours, atol=1e-8)


def test_knots_are_close_enough(tio2_table: OverlapTable, tio2_basis: Basis) -> None:
    fine = OverlapTable.from_basis(tio2_basis, step=0.007)
    v = bonds(200)
    for key in tio2_table.ranges:
        np.testing.assert_allclose(tio2_table.evaluate(key, v), fine.evaluate(key, v), atol=1e-10)
        np.testing.assert_allclose(tio2_table.gradient(key, v), fine.gradient(key, v), atol=1e-7)


def test_range_ends_where_overlaps_become_negligible(gaussian_basis: Basis) -> None:
    whole = OverlapTable.from_basis(gaussian_basis, tolerance=0.0)
    short = OverlapTable.from_basis(gaussian_basis, tolerance=1e-6)
    v = bonds(2000, scale=3.0)
    for key, end in short.ranges.items():
        assert end < whole.ranges[key]
        assert whole.ranges[key] == pytest.approx(sum(gaussian_basis[z].cutoff for z in key), abs=0.02)
        lost = np.abs(whole.evaluate(key, v) - short.evaluate(key, v))
        assert 0 < lost.max() < 2e-6


def test_own_shells_are_orthonormal_at_the_same_place(
    gaussian_table: OverlapTable, gaussian_basis: Basis
) -> None:
    block = gaussian_table.evaluate((6, 6), np.zeros((1, 3)))[0]
    np.testing.assert_allclose(block, np.eye(gaussian_basis[6].n_orbitals), atol=1e-9)


@given(seed=st.integers(0, 10**6), improper=st.booleans())
@settings(max_examples=25, deadline=None)
def test_rotation_covariance(
    gaussian_table: OverlapTable, gaussian_basis: Basis, seed: int, improper: bool
) -> None:
    q = Rotation.random(random_state=seed).as_matrix() * (-1 if improper else 1)
    v = bonds(4, seed)
    wigner = {}
    for z in (1, 6):
        wigner[z] = np.zeros((gaussian_basis[z].n_orbitals,) * 2)
        for shell, part in gaussian_basis[z].shell_slices():
            wigner[z][part, part] = real_wigner(shell.l, q)
    turned = gaussian_table.evaluate((1, 6), v @ q.T)
    np.testing.assert_allclose(
        turned, wigner[1] @ gaussian_table.evaluate((1, 6), v) @ wigner[6].T, atol=1e-12
    )


def test_reversed_pair_is_the_transpose(gaussian_table: OverlapTable) -> None:
    v = bonds(20)
    forward, backward = gaussian_table.evaluate((1, 6), v), gaussian_table.evaluate((6, 1), -v)
    np.testing.assert_array_equal(forward, backward.swapaxes(1, 2))
    same = gaussian_table.evaluate((6, 6), v)
    np.testing.assert_allclose(same, gaussian_table.evaluate((6, 6), -v).swapaxes(1, 2), atol=1e-13)


def test_smooth_at_zero_and_at_the_range(tio2_table: OverlapTable) -> None:
    """An atom against its own image moves linearly away from the unit matrix; nothing jumps at the range."""
    at_zero = tio2_table.evaluate((22, 22), np.zeros((1, 3)))[0]
    direction = np.array([0.6, -0.64, 0.48])
    slope = tio2_table.gradient((22, 22), np.zeros((1, 3)))[0]
    for h in (1e-3, 1e-6, 1e-9):
        moved = tio2_table.evaluate((22, 22), h * direction[None])[0]
        linear = at_zero + h * np.einsum("a,aij->ij", direction, slope)
        assert np.abs(moved - linear).max() < 40 * h**2 + 1e-15
    end = tio2_table.ranges[22, 22]
    for distance in (end - 1e-4, end - 1e-2):
        assert np.abs(tio2_table.evaluate((22, 22), distance * direction[None])).max() < 1e-8
    for distance in (end + 1e-9, end + 1e-3, end + 5):
        assert not tio2_table.evaluate((22, 22), distance * direction[None]).any()


@pytest.mark.parametrize("key", [(8, 8), (8, 22), (22, 8), (22, 22)])
def test_gradient_against_finite_differences(tio2_table: OverlapTable, key: tuple[int, int]) -> None:
    v, h = np.concatenate([bonds(10, scale=1.0), [[0, 0, 0], [0.01, 0, 0]]]), 1e-5
    exact = tio2_table.gradient(key, v)
    for axis in range(3):
        step = h * np.eye(3)[axis]
        numeric = (tio2_table.evaluate(key, v + step) - tio2_table.evaluate(key, v - step)) / (2 * h)
        np.testing.assert_allclose(exact[:, axis], numeric, atol=2e-7)


@pytest.mark.parametrize("key", [(8, 22), (22, 8), (22, 22)])
def test_contracted_gradient_is_the_gradient_with_weights(
    tio2_table: OverlapTable, key: tuple[int, int]
) -> None:
    rng = np.random.default_rng(11)
    vectors = np.concatenate([np.zeros((1, 3)), rng.normal(size=(20, 3)), [[40.0, 0.0, 0.0]]])
    whole = tio2_table.gradient(key, vectors)
    weights = rng.normal(size=(len(vectors), *whole.shape[2:]))
    expected = np.einsum("pij,paij->pa", weights, whole)
    found = tio2_table.contracted_gradient(key, vectors, weights)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_reproduces_the_dft_codes_overlap(tio2_table: OverlapTable, tio2_frames: list[Frame]) -> None:
    for frame in tio2_frames:
        for key, index in frame.overlap.pairs.items():
            error = tio2_table.evaluate(key, index.vectors(frame.structure)) - frame.overlap.values[key][0]
            assert np.abs(error).max() < 1e-7  # the code's file holds single precision
            assert np.abs(error[~index.on_site]).max() < 5e-8


def test_matrix_equals_the_dft_codes_matrix(
    tio2_table: OverlapTable, tio2_frames: list[Frame], tio2_basis: Basis
) -> None:
    """The pairs found here hold every non-zero element: same S(k)."""
    frame = tio2_frames[-1]
    offsets = tio2_basis.orbital_offsets(frame.structure.numbers)
    k = np.array([0.1, 0.2, 0.3])
    ours, theirs = fold(overlap(tio2_table, frame.structure), offsets, k), fold(frame.overlap, offsets, k)
    np.testing.assert_allclose(ours, theirs, atol=3e-7)


def test_positive_definite_in_a_supercell(
    tio2_table: OverlapTable, tio2_frames: list[Frame], tio2_basis: Basis
) -> None:
    cell = tio2_frames[0].structure.supercell((2, 2, 1))
    dense = fold(overlap(tio2_table, cell), tio2_basis.orbital_offsets(cell.numbers))
    np.testing.assert_array_equal(dense, dense.T)
    assert np.linalg.eigvalsh(dense)[0] > 1e-4


def test_cross_geometry(tio2_table: OverlapTable, tio2_frames: list[Frame], tio2_basis: Basis) -> None:
    now = tio2_frames[0].structure
    velocity = np.random.default_rng(2).normal(size=now.positions.shape)
    offsets = tio2_basis.orbital_offsets(now.numbers)

    def cross(bra: Structure, ket: Structure) -> np.ndarray:
        matrix = overlap(tio2_table, bra, ket)
        assert not matrix.hermitian
        return fold(matrix, offsets)

    def later(dt: float) -> Structure:
        return now.with_positions(now.positions + dt * velocity)

    own = fold(overlap(tio2_table, now), offsets)
    np.testing.assert_allclose(cross(now, now), own, atol=1e-14)
    np.testing.assert_allclose(cross(now, later(0.03)), cross(later(0.03), now).T, atol=1e-13)
    # d/dt <phi(0) | phi(t)> from the bond gradients of every directed pair
    h, derivative = 3e-5, np.zeros_like(own)
    directed = with_partners(overlap(tio2_table, now))
    for (zi, zj), index in directed.pairs.items():
        gradient = tio2_table.gradient((zi, zj), index.vectors(now))
        blocks = np.einsum("pa,paij->pij", velocity[index.j], gradient)
        for i, j, block in zip(index.i, index.j, blocks):
            derivative[offsets[i] : offsets[i + 1], offsets[j] : offsets[j + 1]] += block
    numeric = (cross(now, later(h)) - cross(now, later(-h))) / (2 * h)
    np.testing.assert_allclose(derivative, numeric, atol=1e-6)


def test_time_derivative(tio2_table: OverlapTable, tio2_frames: list[Frame]) -> None:
    """Of S(t), and of S(t, t') with both geometries moving, against finite differences."""
    now, h = tio2_frames[0].structure, 1e-5
    rng = np.random.default_rng(3)
    v_bra, v_ket = rng.normal(size=(2, *now.positions.shape))
    other = now.with_positions(now.positions + 0.02 * rng.normal(size=now.positions.shape))

    def at(structure: Structure, velocity: np.ndarray, time: float) -> Structure:
        return structure.with_positions(structure.positions + time * velocity)

    def values(bra: Structure, ket: Structure | None, pairs: BlockMatrix) -> dict:
        return {
            key: tio2_table.evaluate(key, index.vectors(bra, ket))[None] for key, index in pairs.pairs.items()
        }

    own = overlap_derivative(tio2_table, now, v_bra)
    assert own.hermitian
    cross = overlap_derivative(tio2_table, now, v_bra, other, v_ket)
    assert not cross.hermitian
    for key in own.pairs:
        plus, minus = (values(at(now, v_bra, t), None, own)[key] for t in (h, -h))
        np.testing.assert_allclose(own.values[key], (plus - minus) / (2 * h), atol=1e-6)
    for key in cross.pairs:
        plus, minus = (values(at(now, v_bra, t), at(other, v_ket, t), cross)[key] for t in (h, -h))
        np.testing.assert_allclose(cross.values[key], (plus - minus) / (2 * h), atol=1e-6)
    drift = np.broadcast_to([0.3, -0.2, 0.5], now.positions.shape)
    assert not any(blocks.any() for blocks in overlap_derivative(tio2_table, now, drift).values.values())


def test_cross_geometry_lists_every_pair_in_range() -> None:
    """A pair that is out of range within both geometries, and inside between them, is not lost."""
    table = OverlapTable.from_basis(Basis({1: AtomBasis(1, (gaussian_shell(0, 1.0, cutoff=3.0),))}))
    far = Structure(np.eye(3) * 30, np.array([[0, 0, 0], [6.1, 0, 0]]), np.array([1, 1]), (False,) * 3)
    near = far.with_positions(far.positions - np.array([0.3, 0, 0]))
    index = overlap(table, far, near).pairs[1, 1]
    assert (0, 1) in set(zip(index.i.tolist(), index.j.tolist()))
    assert (1, 0) not in set(zip(index.i.tolist(), index.j.tolist()))


def test_bad_input(gaussian_table: OverlapTable) -> None:
    unknown = Basis({1: AtomBasis(1, (Shell(0, "1s"),))})
    with pytest.raises(InputError, match="'1s' of element 1 has no radial function; give"):
        OverlapTable.from_basis(unknown)
    with pytest.raises(InputError, match="species pair"):
        gaussian_table.evaluate((1, 8), np.ones((1, 3)))
    water = Structure(np.eye(3) * 9, np.eye(3), np.array([8, 1, 1]))
    with pytest.raises(InputError, match="no range is known"):
        overlap(gaussian_table, water)
    hydrogen = Structure(np.eye(3) * 9, np.eye(3), np.array([1, 1, 1]))
    with pytest.raises(InputError, match="different atoms"):
        overlap(gaussian_table, hydrogen, water)
    with pytest.raises(InputError, match="different cells"):
        overlap(gaussian_table, hydrogen, Structure(np.eye(3) * 8, np.eye(3), np.array([1, 1, 1])))
