"""Functionals: libxc's values, exact conditions, empty space, labels."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from n2amd.baseline.exchange_correlation import (
    derivatives,
    energy_density,
    spin_derivatives,
    spin_energy_density,
)
from n2amd.baseline.exchange_correlation_kernel import parameters, point
from n2amd.baseline.functionals import DENSITY_FLOOR, Functional, GradientCorrection, find_functional
from n2amd.errors import InputError

TABLES = Path(__file__).resolve().parents[1] / "data" / "libxc"
LABELS = ["PBE", "revPBE", "PBEsol", "PW92", "PZ"]
#: PySCF's names of the same functionals.
LIBXC = {
    "PBE": "PBE,PBE",
    "revPBE": "GGA_X_PBE_R,PBE",
    "PBEsol": "GGA_X_PBE_SOL,GGA_C_PBE_SOL",
    "PW92": "LDA_X,LDA_C_PW_MOD",
    "PZ": "LDA_X,LDA_C_PZ",
}
#: No correlation: what is left is exchange.
EXCHANGE = Functional("x", (1e-30, 1e-30, 1e-30), GradientCorrection(0.804, 0.2195149727645171, 0.0))
PBE = find_functional("PBE", "libxc")


def table(name: str, label: str) -> torch.Tensor:
    """Columns of the functional's rows."""
    with (TABLES / f"{name}.csv").open() as file:
        rows = list(csv.reader(line for line in file if not line.startswith("#")))[1:]
    values = [[float(x) for x in row[1:]] for row in rows if row[0] == label]
    return torch.tensor(values, dtype=torch.float64).T.contiguous()


def compiled(functional: Functional, density: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    given = parameters(functional)
    return np.array([point(given, *pair) for pair in zip(density.tolist(), sigma.tolist())]).T


def random_gas(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Densities of spin up and down and the products of their gradients."""
    rng = np.random.default_rng(seed)
    density = 10 ** rng.uniform(-5, 1, (2, n))
    gradients = rng.normal(size=(3, 2, n)) * density ** (4 / 3) * 10 ** rng.uniform(-1, 1, (2, n))
    sigma = [(gradients[:, a] * gradients[:, b]).sum(0) for a, b in ((0, 0), (0, 1), (1, 1))]
    return torch.tensor(density), torch.tensor(np.array(sigma))


@pytest.mark.parametrize("label", LABELS)
def test_unpolarised_values_are_those_of_libxc(label: str) -> None:
    functional = find_functional(label, "libxc")
    density, sigma, *expected = table("unpolarised", label)
    energy, by_density, by_sigma = derivatives(functional, density, sigma)
    if by_sigma is None:
        by_sigma = torch.zeros_like(sigma)
    for got, wanted in zip((energy, by_density, by_sigma), expected):
        torch.testing.assert_close(got, wanted, rtol=1e-9, atol=0)
    for got, wanted in zip(compiled(functional, density.numpy(), sigma.numpy()), expected):
        np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=0)


@pytest.mark.parametrize("label", LABELS)
def test_polarised_values_are_those_of_libxc(label: str) -> None:
    columns = table("polarised", label)
    energy, by_density, by_sigma = spin_derivatives(
        find_functional(label, "libxc"), columns[:2], columns[2:5]
    )
    torch.testing.assert_close(energy, columns[5], rtol=1e-9, atol=0)
    torch.testing.assert_close(by_density, columns[6:8], rtol=1e-8, atol=1e-12)
    if by_sigma is not None:
        scale = columns[8:].abs().amax(0)
        assert ((by_sigma - columns[8:]).abs() / scale).max() < 1e-8


@pytest.mark.pyscf
@pytest.mark.parametrize("label", LABELS)
def test_polarised_values_are_those_of_an_installed_libxc(label: str) -> None:
    from pyscf.dft import libxc

    rng = np.random.default_rng(3)
    density = 10 ** rng.uniform(-5, 1, (2, 300))
    gradient = rng.normal(size=(2, 3, 300)) * density[:, None] ** (4 / 3)
    functional = find_functional(label, "libxc")
    given = np.concatenate([density[:, None], gradient], axis=1)
    per_electron, slopes = libxc.eval_xc(
        LIBXC[label], given if functional.gradient else density, spin=1, deriv=1
    )[:2]
    pairs = ((0, 0), (0, 1), (1, 1))
    sigma = torch.tensor(np.array([(gradient[a] * gradient[b]).sum(0) for a, b in pairs]))
    energy, by_density, by_sigma = spin_derivatives(functional, torch.tensor(density), sigma)
    np.testing.assert_allclose(energy, per_electron * density.sum(0), rtol=1e-9)
    np.testing.assert_allclose(by_density, slopes[0].T, rtol=1e-8)
    if by_sigma is not None:
        np.testing.assert_allclose(by_sigma, slopes[1].T, rtol=1e-8, atol=1e-9 * np.abs(slopes[1]).max())


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("digits", ["siesta", "libxc"])
def test_equal_spins_are_the_unpolarised_gas(label: str, digits: str) -> None:
    functional = find_functional(label, digits)
    density, sigma = (x[0] for x in random_gas(200, 1))
    half = torch.stack([density, density]) / 2
    quarters = torch.stack([sigma, sigma, sigma]) / 4
    energy, by_density, by_sigma = derivatives(functional, density, sigma)
    spin_energy, by_spin, by_products = spin_derivatives(functional, half, quarters)
    torch.testing.assert_close(spin_energy, energy, rtol=1e-12, atol=0)
    torch.testing.assert_close(by_spin, by_density.expand(2, -1), rtol=1e-11, atol=0)
    if by_sigma is not None and by_products is not None:
        torch.testing.assert_close(by_products.sum(0) / 4, by_sigma, rtol=1e-9, atol=0)


@pytest.mark.parametrize("label", LABELS)
def test_spins_may_be_exchanged(label: str) -> None:
    density, sigma = random_gas(100, 2)
    functional = find_functional(label)
    energy = spin_energy_density(functional, density, sigma)
    torch.testing.assert_close(
        spin_energy_density(functional, density.flip(0), sigma.flip(0)), energy, rtol=1e-13, atol=0
    )


def test_exchange_scales_with_the_fourth_power_of_a_contraction() -> None:
    density, sigma = (x[0] for x in random_gas(100, 4))
    energy = energy_density(EXCHANGE, density, sigma)
    torch.testing.assert_close(
        energy_density(EXCHANGE, density * 1.7**3, sigma * 1.7**8), energy * 1.7**4, rtol=1e-12, atol=0
    )


def test_exchange_is_that_of_two_unpolarised_gases() -> None:
    density, sigma = random_gas(100, 5)
    alone = [energy_density(EXCHANGE, 2 * density[s], 4 * sigma[2 * s]) for s in (0, 1)]
    torch.testing.assert_close(
        spin_energy_density(EXCHANGE, density, sigma), (alone[0] + alone[1]) / 2, rtol=1e-12, atol=0
    )


def test_slater_exchange_of_the_uniform_gas() -> None:
    rs = 2.0
    density = torch.tensor([3 / (4 * math.pi * rs**3)], dtype=torch.float64)
    per_electron = energy_density(EXCHANGE, density) / density
    assert float(per_electron) == pytest.approx(-0.4581652932831429 / rs, rel=1e-12)


def test_correlation_vanishes_where_the_density_varies_rapidly() -> None:
    """And it is the local one where the density is flat: two of the conditions that make PBE's H."""
    density = torch.full((1,), 0.05, dtype=torch.float64)

    def correlation(sigma: float) -> float:
        squared = torch.full_like(density, sigma)
        return float(energy_density(PBE, density, squared) - energy_density(EXCHANGE, density, squared))

    uniform = energy_density(find_functional("PW92", "libxc"), density)
    assert correlation(0.0) == pytest.approx(float(uniform - energy_density(EXCHANGE, density)), rel=1e-12)
    assert abs(correlation(1e16)) < 1e-8 * abs(correlation(0.0))


def test_digits_of_siesta_differ_from_those_of_libxc_in_the_fifth_place() -> None:
    density, sigma = (x[0] for x in random_gas(500, 6))
    energies = [energy_density(find_functional("PBE", d), density, sigma) for d in ("siesta", "libxc")]
    ratio = (energies[0] / energies[1] - 1).abs()
    assert 1e-7 < ratio.max() < 3e-5
    gradient = find_functional("PBE").gradient
    assert gradient is not None
    assert gradient.mu == pytest.approx(0.066725 * math.pi**2 / 3, rel=1e-15)


@pytest.mark.parametrize("label", LABELS)
def test_empty_space_is_safe(label: str) -> None:
    functional = find_functional(label)
    values = torch.tensor([0.0, -1e-3, 1e-300, 1e-15, 2e-14, 1e-12, 1e-9], dtype=torch.float64)
    for sigma in (0.0, 1e-30, 1.0, 1e6):
        squared = torch.full_like(values, sigma)
        results = [x for x in derivatives(functional, values, squared) if x is not None]
        assert all(torch.isfinite(x).all() for x in results)
        assert all((x[values <= DENSITY_FLOOR] == 0).all() for x in results)
        got = compiled(functional, values.numpy(), squared.numpy())
        assert np.isfinite(got).all()
        # exchange and correlation cancel in the derivative with respect to sigma
        np.testing.assert_allclose(got[:2], torch.stack(results[:2]), rtol=1e-9)
        for density in (torch.stack([values, 0 * values]), torch.stack([values + 0.1, values])):
            products = squared.expand(3, -1)
            spin = [x for x in spin_derivatives(functional, density, products) if x is not None]
            assert all(torch.isfinite(x).all() for x in spin)


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("pbe", "PBE"),
        (" PBESOL ", "PBEsol"),
        ("RevPBE", "revPBE"),
        ("CA", "PZ"),
        ("lda", "PZ"),
        ("Pw92", "PW92"),
    ],
)
def test_labels_are_those_of_siesta_in_any_case(label: str, name: str) -> None:
    assert find_functional(label).label == name


def test_unknown_functional_names_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"'BLYP'.*PZ, PW92, PBE, revPBE, PBEsol, CA, LDA"):
        find_functional("BLYP")
    with pytest.raises(InputError, match="siesta, libxc"):
        find_functional("PBE", "vasp")
