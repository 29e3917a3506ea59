"""Gradients on the mesh: order, plane waves, skew cells, adjoints."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from n2amd.baseline.mesh_gradient import (
    STENCIL,
    adjoint_gradient,
    difference,
    fourier_difference,
    gradient,
)
from n2amd.errors import InputError
from n2amd.frames.mesh import Mesh

SKEW = np.array([[4.1, 0.3, -0.2], [1.2, 3.7, 0.4], [-0.5, 0.9, 5.2]])
METHODS = ["siesta", "openmx", "fourier"]


def plane_wave(mesh: Mesh, waves: tuple[int, int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """sin(G r) and its Cartesian gradient."""
    phase = sum(
        2
        * math.pi
        * w
        * torch.arange(n, dtype=torch.float64).reshape([-1 if b == a else 1 for b in range(3)])
        / n
        for a, (w, n) in enumerate(zip(waves, mesh.shape))
    )
    vector = torch.tensor(np.array(waves) @ mesh.reciprocal)
    return torch.sin(phase), vector[:, None, None, None] * torch.cos(phase)


def test_differences_are_exact_for_polynomials_of_degree_six() -> None:
    x = torch.arange(12, dtype=torch.float64)
    for degree in range(7):
        got = difference(x**degree, -1)[3:-3]
        torch.testing.assert_close(got, degree * x[3:-3] ** max(degree - 1, 0), rtol=1e-12, atol=1e-9)
    wrong = difference(x**7, -1)[3:-3] - 7 * x[3:-3] ** 6
    assert wrong.abs().min() > 1


def test_weights_are_those_of_the_seven_point_formula() -> None:
    assert (0.75, -0.15, pytest.approx(1 / 60, rel=1e-15)) == STENCIL


def test_fourier_gradient_of_a_plane_wave_is_exact_in_a_skew_cell() -> None:
    for shape in ((12, 10, 9), (11, 15, 8)):
        mesh = Mesh(SKEW, shape)
        values, expected = plane_wave(mesh, (2, -3, 1))
        torch.testing.assert_close(gradient(values, mesh, "fourier"), expected, rtol=0, atol=1e-12)


def test_error_of_siestas_gradient_falls_with_the_sixth_power() -> None:
    errors = []
    for n in (16, 32, 64):
        mesh = Mesh(SKEW, (n, n, n))
        values, expected = plane_wave(mesh, (1, 1, -1))
        errors.append(float((gradient(values, mesh) - expected).abs().max()))
    assert errors[0] / errors[1] == pytest.approx(64, rel=0.1)
    assert errors[1] / errors[2] == pytest.approx(64, rel=0.03)


def test_siestas_gradient_of_a_plane_wave_has_the_stencils_wave_number() -> None:
    mesh = Mesh(SKEW, (12, 10, 16))
    waves = (2, 1, -3)
    values, exact = plane_wave(mesh, waves)
    steps = [2 * math.pi * w / n for w, n in zip(waves, mesh.shape)]
    seen = [
        sum(2 * c * math.sin(m * s) for m, c in enumerate(STENCIL, 1)) / s * w for s, w in zip(steps, waves)
    ]
    vector = torch.tensor(np.array(seen) @ mesh.reciprocal)
    cosine = exact[0] / (np.array(waves) @ mesh.reciprocal)[0]
    torch.testing.assert_close(
        gradient(values, mesh), vector[:, None, None, None] * cosine, rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(8, 9, 10), (2, 4, 3), (1, 5, 6)])
def test_adjoint_moves_the_gradient_to_the_other_side(method: str, shape: tuple[int, int, int]) -> None:
    mesh = Mesh(SKEW, shape)
    rng = np.random.default_rng(0)
    values = torch.tensor(rng.normal(size=(2, *shape)))
    vectors = torch.tensor(rng.normal(size=(2, 3, *shape)))
    left = (gradient(values, mesh, method) * vectors).sum()
    right = (values * adjoint_gradient(vectors, mesh, method)).sum()
    assert float(left) == pytest.approx(float(right), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("axis", [-3, -2, -1])
def test_differences_are_antisymmetric_and_blind_to_constants(axis: int) -> None:
    for along in (difference, fourier_difference):
        matrix = along(
            torch.eye(10, dtype=torch.float64).reshape([10] + [10 if a == axis else 1 for a in (-3, -2, -1)]),
            axis,
        )
        matrix = matrix.reshape(10, 10)
        torch.testing.assert_close(matrix, -matrix.T, rtol=0, atol=1e-14)
        torch.testing.assert_close(matrix.sum(0), torch.zeros(10, dtype=torch.float64), rtol=0, atol=1e-14)


def test_unknown_method_is_told_with_the_known_ones() -> None:
    mesh = Mesh(SKEW, (4, 4, 4))
    with pytest.raises(InputError, match=r"'spline'.*siesta, openmx, fourier"):
        gradient(torch.zeros(mesh.shape, dtype=torch.float64), mesh, "spline")
