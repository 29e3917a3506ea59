"""Sums of radial polynomials times harmonics in one pass, against the harmonics written out."""

from __future__ import annotations

import numpy as np
import pytest

from n2amd.baseline.compiled_harmonics import MAX_L
from n2amd.baseline.harmonic_sums import fill_sums, sum_table
from n2amd.orbitals.harmonics import solid_harmonics


@pytest.mark.parametrize("l_max", range(MAX_L + 1))
def test_sums_are_those_of_the_harmonics(l_max):
    rng = np.random.default_rng(l_max)
    polynomials, place = rng.normal(size=(3, 4, (l_max + 1) ** 2)), rng.normal(size=(4, 50))
    harmonics = solid_harmonics(l_max, place[:3].T)
    powers = place[3] ** np.arange(4)[:, None]
    expected = np.einsum("km,kp,pm->p", polynomials[1], powers, harmonics)
    value = np.full(40, np.nan)
    # the points begin within the array, and places behind the last one are left alone
    fill_sums(sum_table(polynomials)[1], l_max + 1, place, 10, 37, value)
    np.testing.assert_allclose(value[:37], expected[10:47], rtol=0, atol=1e-12 * np.abs(expected).max())
    assert np.isnan(value[37:]).all()
