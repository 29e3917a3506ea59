from __future__ import annotations

import numpy as np
import pytest
from scipy.special import erfc

from n2amd.baseline.smearing import Smearing
from n2amd.errors import InputError

LEVELS = np.array([-1.0, -0.03, 0.0, 0.02, 0.9])


def test_fermi_and_dirac():
    found = Smearing(0.025).occupations(LEVELS, 0.01)
    np.testing.assert_allclose(found, 1 / (1 + np.exp((LEVELS - 0.01) / 0.025)), rtol=1e-12)
    assert Smearing(1e-4).occupations(np.array([-1e3, 1e3]), 0.0).tolist() == [1, 0]


def test_methfessel_and_paxton():
    x = LEVELS / 0.05
    first = erfc(x) / 2 - x * np.exp(-(x**2)) / (2 * np.sqrt(np.pi))
    np.testing.assert_allclose(Smearing(0.05, 1).occupations(LEVELS, 0.0), first, atol=1e-14)
    second = first + (8 * x**3 - 12 * x) * np.exp(-(x**2)) / (32 * np.sqrt(np.pi))
    np.testing.assert_allclose(Smearing(0.05, 2).occupations(LEVELS, 0.0), second, atol=1e-14)


@pytest.mark.parametrize("order", [0, 1, 2, 5])
def test_entropy_makes_the_free_energy_stationary(order):
    """d(-TS)/de = -(e - mu) df/de: moving electrons between levels at mu costs nothing."""
    smearing, step = Smearing(0.05, order), 1e-5
    levels = np.linspace(-0.2, 0.3, 11)
    change, occupied = (
        (f(levels + step, 0.02) - f(levels - step, 0.02)) / (2 * step)
        for f in (smearing.energies, smearing.occupations)
    )
    np.testing.assert_allclose(change, -(levels - 0.02) * occupied, atol=1e-6)
    np.testing.assert_allclose(smearing.energies(np.array([-9.0, 9.0]), 0.0), 0, atol=1e-12)


def test_entropy_of_half_filled_levels_is_that_of_a_coin():
    assert Smearing(0.1).energies(np.zeros(1), 0.0)[0] == pytest.approx(-0.1 * np.log(2))


@pytest.mark.parametrize("smearing", [Smearing(0.025), Smearing(0.3, 1)])
def test_fermi_level_holds_the_electrons(smearing):
    energies, weights = np.random.default_rng(1).normal(size=(5, 9)), np.array([0.1, 0.5, 0.4, 0.6, 0.4])
    level = smearing.fermi_level(energies, weights, 7.3)
    assert weights @ smearing.occupations(energies, level).sum(axis=1) == pytest.approx(7.3, abs=1e-11)
    with pytest.raises(InputError, match="do not fit"):
        smearing.fermi_level(energies, weights, 19.0)


def test_words_are_read_back():
    for smearing in (Smearing(0.025), Smearing(0.1, 4)):
        assert Smearing.of_origin({"smearing": str(smearing)}) == smearing
    with pytest.raises(InputError, match="is unknown"):
        Smearing.of_origin({})
