"""Real harmonics, Gaunt coefficients and Wigner matrices against independent references."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from e3nn import o3
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from scipy.special import sph_harm_y

from n2amd.orbitals.harmonics import (
    MAX_L,
    bond_rotation,
    gaunt,
    real_harmonics,
    real_wigner,
    solid_gradient,
    solid_harmonics,
    sphere_quadrature,
)

ALL_L = range(MAX_L + 1)
UNIT = np.array([[0, 0, 1], [0, 0, -1], [0, 1, 0], [0, -1, 0], [1, 0, 0], [-1, 0, 0]], float)


def random_vectors(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 3))


def orthogonal(seed: int, improper: bool) -> np.ndarray:
    return Rotation.random(random_state=seed).as_matrix() * (-1 if improper else 1)


@pytest.mark.parametrize("l", ALL_L)
def test_against_scipy_complex_harmonics(l: int) -> None:
    v = np.concatenate([random_vectors(50), UNIT])
    r = np.linalg.norm(v, axis=1)
    theta, phi = np.arccos(v[:, 2] / r), np.arctan2(v[:, 1], v[:, 0])
    expected = np.empty((len(v), 2 * l + 1))
    for m in range(l + 1):
        # scipy's functions carry the Condon-Shortley sign (-1)^m
        complex_y = (-1) ** m * sph_harm_y(l, m, theta, phi)
        expected[:, l + m] = complex_y.real * (np.sqrt(2) if m else 1)
        if m:
            expected[:, l - m] = complex_y.imag * np.sqrt(2)
    np.testing.assert_allclose(real_harmonics(l, v), expected, atol=2e-14)
    np.testing.assert_allclose(
        real_harmonics(l, v, solid=True), expected * r[:, None] ** l, rtol=1e-12, atol=1e-12
    )


def test_low_orders_in_words() -> None:
    x, y, z = v = np.array([0.3, -0.5, 0.7])
    r2 = v @ v
    c1, c2 = np.sqrt(3 / (4 * np.pi)), np.sqrt(15 / (4 * np.pi))
    np.testing.assert_allclose(solid_harmonics(1, v)[1:], c1 * np.array([y, z, x]))
    d = [x * y, y * z, (3 * z * z - r2) / (2 * np.sqrt(3)), x * z, (x * x - y * y) / 2]
    np.testing.assert_allclose(real_harmonics(2, v, solid=True), c2 * np.array(d))


def test_orthonormal() -> None:
    points, weights = sphere_quadrature(2 * MAX_L)
    y = solid_harmonics(MAX_L, points)
    np.testing.assert_allclose(y.T * weights @ y, np.eye((MAX_L + 1) ** 2), atol=1e-13)


@pytest.mark.parametrize("l", ALL_L)
def test_against_e3nn(l: int) -> None:
    v = np.concatenate([random_vectors(20), UNIT])
    permuted = torch.tensor(v[:, [1, 2, 0]])
    expected = o3.spherical_harmonics(l, permuted, normalize=True, normalization="integral").numpy()
    np.testing.assert_allclose(real_harmonics(l, v), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("l1", "l2", "L"), [(0, 0, 0), (1, 1, 2), (2, 1, 3), (2, 2, 4), (3, 2, 5), (8, 8, 4)]
)
def test_gaunt_expands_products(l1: int, l2: int, L: int) -> None:
    v = random_vectors(30)
    product = real_harmonics(l1, v)[:, :, None] * real_harmonics(l2, v)[:, None, :]
    expanded = sum(
        np.einsum("abc,kc->kab", gaunt(l1, l2, k), real_harmonics(k, v))
        for k in range(abs(l1 - l2), l1 + l2 + 1, 2)
    )
    np.testing.assert_allclose(expanded, product, atol=1e-12)
    assert not gaunt(l1, l2, L + 1).any()
    assert not gaunt(l1, l2, l1 + l2 + 2).any()
    np.testing.assert_allclose(gaunt(l1, l2, L), gaunt(l2, l1, L).swapaxes(0, 1), atol=1e-14)


@pytest.mark.parametrize("l", range(1, MAX_L + 1))
def test_gradient_of_solid_harmonics(l: int) -> None:
    v, h = random_vectors(10), 1e-5
    lower = real_harmonics(l - 1, v, solid=True)
    for axis in range(3):
        step = h * np.eye(3)[axis]
        numeric = (real_harmonics(l, v + step, solid=True) - real_harmonics(l, v - step, solid=True)) / (
            2 * h
        )
        np.testing.assert_allclose(lower @ solid_gradient(l)[axis].T, numeric, rtol=1e-6, atol=1e-6)


@given(seed=st.integers(0, 10**6), improper=st.booleans(), l=st.integers(0, MAX_L))
@settings(max_examples=40, deadline=None)
def test_wigner_rotates_harmonics(seed: int, improper: bool, l: int) -> None:
    q, v = orthogonal(seed, improper), random_vectors(5, seed)
    d = real_wigner(l, q)
    np.testing.assert_allclose(real_harmonics(l, v @ q.T), real_harmonics(l, v) @ d.T, atol=1e-12)
    np.testing.assert_allclose(d @ d.T, np.eye(2 * l + 1), atol=1e-12)


@given(a=st.integers(0, 10**6), b=st.integers(0, 10**6), improper=st.booleans(), l=st.integers(0, MAX_L))
@settings(max_examples=40, deadline=None)
def test_wigner_composes(a: int, b: int, improper: bool, l: int) -> None:
    first, second = orthogonal(a, improper), orthogonal(b, False)
    product = real_wigner(l, first) @ real_wigner(l, second)
    np.testing.assert_allclose(product, real_wigner(l, first @ second), atol=1e-12)


@pytest.mark.parametrize("l", ALL_L)
def test_wigner_of_inversion(l: int) -> None:
    np.testing.assert_allclose(real_wigner(l, -np.eye(3)), (-1) ** l * np.eye(2 * l + 1), atol=1e-13)


@pytest.mark.parametrize("l", [1, 2, 5])
def test_wigner_against_e3nn(l: int) -> None:
    q = orthogonal(3, False)
    permute = np.eye(3)[[1, 2, 0]]
    expected = o3.Irrep(l, 1).D_from_matrix(torch.tensor(permute @ q @ permute.T)).numpy()
    np.testing.assert_allclose(real_wigner(l, q), expected, atol=1e-6)


def test_bond_rotation_everywhere() -> None:
    tilt = 1e-9
    near_poles = np.array([[tilt, -tilt, s] for s in (1.0, -1.0)])
    border = np.array([[1.0, 1.0, s] for s in (0.0, -0.0, 1e-16, -1e-16)])
    v = np.concatenate([UNIT, near_poles, border, random_vectors(200), 1e-12 * random_vectors(3)])
    q = bond_rotation(v)
    unit = v / np.linalg.norm(v, axis=1, keepdims=True)
    np.testing.assert_allclose(np.einsum("kab,kb->ka", q, unit), np.tile([0, 0, 1], (len(v), 1)), atol=1e-14)
    np.testing.assert_allclose(q @ q.swapaxes(-1, -2), np.tile(np.eye(3), (len(v), 1, 1)), atol=1e-14)
    np.testing.assert_allclose(np.linalg.det(q), 1.0, atol=1e-14)
    np.testing.assert_array_equal(bond_rotation(np.zeros(3)), np.eye(3))


def test_bond_rotation_is_smooth_inside_a_chart() -> None:
    pole = np.array([0.0, 0.0, -1.0])
    shifted = bond_rotation(pole + np.array([1e-7, 0, 0])) - bond_rotation(pole)
    assert np.abs(shifted).max() < 2e-7
