"""Elementary functions and PBE of whole rows: against the library and the functional of a point."""

from __future__ import annotations

import numpy as np
import pytest

from n2amd.baseline.elementary_rows import expm1_row, log1p_row, log_row
from n2amd.baseline.exchange_correlation_kernel import parameters, point
from n2amd.baseline.exchange_correlation_rows import ROWS, pbe_row
from n2amd.baseline.functionals import DENSITY_FLOOR, find_functional


def numbers(n: int = 3001) -> np.ndarray:
    """Positive numbers of many sizes, powers of two and their neighbours among them."""
    powers = 2.0 ** np.arange(-60, 61)
    random = 10 ** np.random.default_rng(0).uniform(-20, 12, n)
    return np.concatenate([powers, np.nextafter(powers, 0), np.nextafter(powers, np.inf), random])


def test_logarithms_are_those_of_the_library():
    x = numbers()
    out, a, b = (np.empty_like(x) for _ in range(3))
    log_row(x, a, out)
    np.testing.assert_allclose(out, np.log(x), rtol=1e-15, atol=1e-18)
    log1p_row(x, a, b, out)
    np.testing.assert_allclose(out, np.log1p(x), rtol=2e-15)


def test_exponential_minus_one_is_that_of_the_library():
    x = np.minimum(numbers(), 300.0)
    x = np.concatenate([x, -x, [0.0]])
    out, power = np.empty_like(x), np.empty_like(x)
    expm1_row(x, power, out)
    # at 300 the argument's own rounding is amplified by as much
    np.testing.assert_allclose(out, np.expm1(x), rtol=1e-13)
    small = np.abs(x) < 1
    np.testing.assert_allclose(out[small], np.expm1(x[small]), rtol=2e-15)


@pytest.mark.parametrize("functional", ["PBE", "revPBE", "PBEsol"])
def test_rows_are_their_points(functional):
    given = parameters(find_functional(functional, "siesta"))
    rng = np.random.default_rng(1)
    density = np.concatenate([10 ** rng.uniform(-12, 3, 400), [0.0, -1e-3, DENSITY_FLOOR / 2]])
    sigma = np.abs(density) ** (8 / 3) * 10 ** rng.uniform(-6, 4, len(density))
    sigma[:5] = 0.0
    volume = 0.148
    expected = np.array([point(given, rho * volume, s) for rho, s in zip(density, sigma)])
    potential, by_sigma = np.ones(len(density)), np.empty(len(density))
    energy = pbe_row(given, volume, density, sigma, np.empty((ROWS, len(density))), potential, by_sigma)
    assert energy == pytest.approx(expected[:, 0].sum(), rel=1e-13)
    np.testing.assert_allclose(potential - 1, expected[:, 1], rtol=1e-11, atol=1e-14)
    # it is a difference of exchange and correlation: relative to the larger of them
    scale = np.maximum(np.abs(expected[:, 2]), np.abs(density * volume) ** (-4 / 3 * (density > 0)))
    assert np.abs((by_sigma - expected[:, 2]) / scale).max() < 1e-11
