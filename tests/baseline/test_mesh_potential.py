"""Potentials on the mesh: derivatives of the discretised energy, analytic electrostatics, limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import erf

from n2amd.baseline import mesh_potential
from n2amd.baseline.exchange_correlation import derivatives
from n2amd.baseline.functionals import find_functional
from n2amd.baseline.mesh_potential import hartree_potential, xc_potential
from n2amd.errors import InputError
from n2amd.frames.mesh import Mesh
from n2amd.units import SIESTA_BOHR_ANGSTROM, SIESTA_RYDBERG_EV

CODE = {"rydberg": SIESTA_RYDBERG_EV, "bohr": SIESTA_BOHR_ANGSTROM}
SKEW = np.array([[4.1, 0.3, -0.2], [1.2, 3.7, 0.4], [-0.5, 0.9, 5.2]])
MESH = Mesh(SKEW, (12, 10, 15))
LABELS = ["PBE", "revPBE", "PBEsol", "PW92", "PZ"]


def grid(mesh: Mesh) -> NDArray[np.float64]:
    """Fractional coordinates, (n1, n2, n3, 3)."""
    return np.stack(np.meshgrid(*(np.arange(n) / n for n in mesh.shape), indexing="ij"), axis=-1)


def lumps(mesh: Mesh, seed: int = 0, width: float = 0.5, floor: float = 1e-4) -> NDArray[np.float64]:
    """A few Gaussians and, between them, nearly empty space; 1/A^3."""
    density = np.full(mesh.shape, floor)
    for centre in np.random.default_rng(seed).random((4, 3)):
        apart = ((grid(mesh) - centre + 0.5) % 1 - 0.5) @ mesh.cell
        density += 2 * np.exp(-(apart**2).sum(-1) / width**2)
    return density


def numerical(
    density: NDArray[np.float64], where: tuple[int, ...], functional: str, gradient: str, share: float = 1e-3
) -> float:
    """Derivative of the energy with respect to a point's density, by central differences, eV."""
    step = share * density[where]
    total = 0.0
    for times, weight in ((1, 3 / 4), (2, -3 / 20), (3, 1 / 60)):
        for sign in (1, -1):
            moved = density.copy()
            moved[where] += sign * times * step
            energy, _ = xc_potential(moved, MESH, functional, gradient=gradient, **CODE)
            total += sign * weight * energy
    return total / step / MESH.volume_element


@pytest.mark.parametrize("functional", LABELS)
@pytest.mark.parametrize("gradient", ["siesta", "fourier"])
@pytest.mark.parametrize("spin", [False, True])
def test_potential_is_the_derivative_of_the_discretised_energy(
    functional: str, gradient: str, spin: bool
) -> None:
    density = lumps(MESH)
    if spin:
        density = np.stack([0.7 * density, 0.3 * lumps(MESH, seed=0, width=0.6)])
    _, potential = xc_potential(density, MESH, functional, gradient=gradient, **CODE)
    assert potential.shape == density.shape
    rng = np.random.default_rng(1)
    for _ in range(4):
        where = tuple(int(rng.integers(n)) for n in density.shape)
        expected = numerical(density, where, functional, gradient)
        assert float(potential[where]) == pytest.approx(expected, rel=1e-5, abs=1e-5), where


@pytest.mark.parametrize("functional", LABELS)
@pytest.mark.parametrize("gradient", ["siesta", "fourier"])
def test_equal_spins_have_the_unpolarised_potential(functional: str, gradient: str) -> None:
    """Two ways through the code: compiled for no spin and SIESTA's gradient, torch for the others."""
    density = lumps(MESH)
    energy, potential = xc_potential(density, MESH, functional, gradient=gradient, **CODE)
    halves = np.stack([density, density]) / 2
    spin_energy, spin_potential = xc_potential(halves, MESH, functional, gradient=gradient, **CODE)
    assert spin_energy == pytest.approx(energy, rel=1e-12)
    torch.testing.assert_close(spin_potential, potential.expand(2, -1, -1, -1), rtol=0, atol=1e-8)


@pytest.mark.parametrize("gradient", ["siesta", "fourier"])
def test_blocks_do_not_show(gradient: str, monkeypatch: pytest.MonkeyPatch) -> None:
    density = np.stack([lumps(MESH), lumps(MESH, 1)])
    expected = xc_potential(density, MESH, "PBE", gradient=gradient, **CODE)
    whole = hartree_potential(density[0], MESH, **CODE)
    monkeypatch.setitem(mesh_potential._BLOCK, "cpu", 5 * 150)
    energy, potential = xc_potential(density, MESH, "PBE", gradient=gradient, **CODE)
    assert energy == pytest.approx(expected[0], rel=1e-13)
    torch.testing.assert_close(potential, expected[1], rtol=0, atol=1e-10)
    torch.testing.assert_close(hartree_potential(density[0], MESH, **CODE), whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(2, 2, 2), (1, 4, 6), (5, 3, 1)])
def test_meshes_smaller_than_the_stencil_wrap_around(shape: tuple[int, int, int]) -> None:
    mesh = Mesh(SKEW, shape)
    density = np.random.default_rng(0).uniform(0.1, 1, shape)
    energy, potential = xc_potential(density, mesh, "PBE", **CODE)
    halves = np.stack([density, density]) / 2
    spin_energy, spin_potential = xc_potential(halves, mesh, "PBE", **CODE)
    assert spin_energy == pytest.approx(energy, rel=1e-12)
    torch.testing.assert_close(spin_potential[0], potential, rtol=0, atol=1e-10)


@pytest.mark.parametrize("functional", LABELS)
def test_uniform_gas(functional: str) -> None:
    density = 0.3
    energy, potential = xc_potential(np.full(MESH.shape, density), MESH, functional, **CODE)
    atomic = torch.tensor([density * SIESTA_BOHR_ANGSTROM**3], dtype=torch.float64)
    per_volume, slope, _ = derivatives(find_functional(functional), atomic, torch.zeros_like(atomic))
    hartree = 2 * SIESTA_RYDBERG_EV
    expected = float(per_volume) * hartree * MESH.volume / SIESTA_BOHR_ANGSTROM**3
    assert energy == pytest.approx(expected, rel=1e-12)
    torch.testing.assert_close(potential, (hartree * slope).expand(MESH.shape), rtol=0, atol=1e-11)


def test_exchange_and_correlation_follow_a_shift_of_the_mesh_and_a_relabelling_of_its_axes() -> None:
    density = lumps(MESH)
    energy, potential = xc_potential(density, MESH, "PBE", **CODE)
    rolled = np.roll(density, (3, -4, 5), (0, 1, 2))
    moved_energy, moved = xc_potential(rolled, MESH, "PBE", **CODE)
    assert moved_energy == pytest.approx(energy, rel=1e-13)
    torch.testing.assert_close(moved, torch.roll(potential, (3, -4, 5), (0, 1, 2)), rtol=0, atol=1e-10)
    order = (2, 0, 1)
    turned = Mesh(SKEW[list(order)], tuple(MESH.shape[a] for a in order))
    turned_energy, other = xc_potential(density.transpose(order), turned, "PBE", **CODE)
    assert turned_energy == pytest.approx(energy, rel=1e-13)
    torch.testing.assert_close(other, potential.permute(order), rtol=0, atol=1e-10)


def test_gradients_agree_on_a_fine_mesh() -> None:
    mesh = Mesh(SKEW, (40, 36, 48))
    density = lumps(mesh, width=0.6, floor=0.05)
    energies = [xc_potential(density, mesh, "PBE", gradient=g, **CODE)[0] for g in ("siesta", "fourier")]
    assert energies[0] == pytest.approx(energies[1], rel=1e-6)


def test_units_of_the_code_enter() -> None:
    """Twice the Rydberg is twice the energy."""
    density = lumps(MESH)
    energy, potential = xc_potential(density, MESH, "PBE", **CODE)
    twice = {**CODE, "rydberg": 2 * SIESTA_RYDBERG_EV}
    assert xc_potential(density, MESH, "PBE", **twice)[0] == pytest.approx(2 * energy, rel=1e-14)
    torch.testing.assert_close(xc_potential(density, MESH, "PBE", **twice)[1], 2 * potential)
    torch.testing.assert_close(
        hartree_potential(density, MESH, **twice), 2 * hartree_potential(density, MESH, **CODE)
    )


def test_digits_of_the_functional_are_a_choice() -> None:
    energies = [xc_potential(lumps(MESH), MESH, "PBE", digits=d, **CODE)[0] for d in ("siesta", "libxc")]
    assert 1e-8 < abs(energies[0] / energies[1] - 1) < 1e-5


@pytest.mark.parametrize("cell", [np.diag([7.0, 8.0, 9.0]), 2.2 * SKEW])
def test_hartree_potential_of_gaussians_is_that_of_error_functions(cell: NDArray[np.float64]) -> None:
    """Two of opposite charge at one place: images do not matter."""
    mesh = Mesh(cell, (72, 72, 80))
    charge, widths = 3.0, (0.5, 0.7)
    apart = ((grid(mesh) - (0.4, 0.55, 0.5) + 0.5) % 1 - 0.5) @ mesh.cell
    r = np.sqrt((apart**2).sum(-1)) + 1e-9
    density, expected = np.zeros(mesh.shape), np.zeros(mesh.shape)
    for sign, s in zip((1, -1), widths):
        density += sign * charge * np.exp(-(r**2) / (2 * s * s)) / (2 * math.pi * s * s) ** 1.5
        expected += (
            sign * charge * 2 * SIESTA_RYDBERG_EV * SIESTA_BOHR_ANGSTROM * erf(r / (math.sqrt(2) * s)) / r
        )
    potential = hartree_potential(density, mesh, **CODE).numpy()
    assert abs(potential.mean()) < 1e-12
    np.testing.assert_allclose(potential, expected - expected.mean(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("shape", [(12, 10, 8), (9, 10, 7)])
def test_hartree_potential_of_a_plane_wave(shape: tuple[int, int, int]) -> None:
    mesh = Mesh(SKEW, shape)
    waves = np.array([3, -2, 1])
    wave = np.cos(2 * math.pi * (grid(mesh) @ waves) + 0.3)
    square = ((waves @ mesh.reciprocal) ** 2).sum()
    factor = 4 * math.pi * 2 * SIESTA_RYDBERG_EV * SIESTA_BOHR_ANGSTROM / square
    potential = hartree_potential(0.5 + wave, mesh, **CODE)
    np.testing.assert_allclose(potential, factor * wave, rtol=0, atol=1e-11)


def test_hartree_potential_is_a_symmetric_operator_also_at_the_edge_of_the_zone() -> None:
    first, second = np.random.default_rng(0).normal(size=(2, *MESH.shape))
    one = (hartree_potential(first, MESH, **CODE).numpy() * second).sum()
    other = (hartree_potential(second, MESH, **CODE).numpy() * first).sum()
    assert one == pytest.approx(other, rel=1e-12)


def test_densities_may_be_tensors_arrays_and_views() -> None:
    density = lumps(MESH)
    _, expected = xc_potential(density, MESH, "PBE", **CODE)
    before = density.copy()
    for given in (
        torch.from_numpy(density),
        np.asfortranarray(density),
        torch.tensor(density).requires_grad_(),
    ):
        torch.testing.assert_close(xc_potential(given, MESH, "PBE", **CODE)[1], expected, rtol=0, atol=0)
        assert not hartree_potential(given, MESH, **CODE).requires_grad
    np.testing.assert_array_equal(density, before)


@pytest.mark.parametrize("shape", [(12, 10, 14), (3, 12, 10, 15), (12, 10)])
def test_density_of_another_mesh_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"does not fit the mesh \(12, 10, 15\)"):
        xc_potential(np.ones(shape), MESH, "PBE", **CODE)
    with pytest.raises(InputError, match="does not fit"):
        hartree_potential(np.ones(shape), MESH, **CODE)


def test_complex_density_is_refused() -> None:
    with pytest.raises(InputError, match="complex128"):
        hartree_potential(np.ones(MESH.shape, dtype=complex), MESH, **CODE)


def test_unknown_functional_and_gradient_are_refused() -> None:
    with pytest.raises(InputError, match="B3LYP"):
        xc_potential(lumps(MESH), MESH, "B3LYP", **CODE)
    with pytest.raises(InputError, match="wavelet"):
        xc_potential(lumps(MESH), MESH, "PBE", gradient="wavelet", **CODE)


@pytest.mark.gpu
@pytest.mark.parametrize("functional", LABELS)
@pytest.mark.parametrize("gradient", ["siesta", "fourier"])
def test_a_gpu_gives_the_same(functional: str, gradient: str) -> None:
    for density in (lumps(MESH), np.stack([lumps(MESH), lumps(MESH, 1)])):
        energy, potential = xc_potential(density, MESH, functional, gradient=gradient, **CODE)
        there = torch.from_numpy(density).cuda()
        its_energy, its_potential = xc_potential(there, MESH, functional, gradient=gradient, **CODE)
        assert its_potential.is_cuda
        assert its_energy == pytest.approx(energy, rel=1e-12)
        torch.testing.assert_close(its_potential.cpu(), potential, rtol=0, atol=1e-8)
    field = hartree_potential(there[0], MESH, **CODE)
    torch.testing.assert_close(field.cpu(), hartree_potential(density[0], MESH, **CODE), rtol=0, atol=1e-11)
