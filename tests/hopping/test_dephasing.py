import numpy as np
import pytest
from classical_paths import fluctuating

from n2amd.errors import InputError
from n2amd.hopping import dephasing
from n2amd.units import HBAR_EV_FS


def test_static_disorder_is_a_gaussian_of_width_hbar_over_sigma() -> None:
    """A gap that fluctuates slowly: D = exp(-sigma^2 t^2 / 2 hbar^2)."""
    period, frames = 2000.0, 20_000
    gap = 1.5 + 0.05 * np.sqrt(2) * np.cos(2 * np.pi * np.arange(frames) / period)
    found = dephasing.of_gap(gap, 1.0)
    assert found.gap_std_eV == pytest.approx(0.05, rel=1e-6)
    assert found.gaussian_fs == pytest.approx(HBAR_EV_FS / 0.05, rel=0.01)
    assert found.one_over_e_fs == pytest.approx(np.sqrt(2) * HBAR_EV_FS / 0.05, rel=0.01)
    assert found.inverse_sigma_fs == pytest.approx(HBAR_EV_FS / 0.05, rel=1e-6)
    assert found.libra_fs == pytest.approx(1.549 * found.inverse_sigma_fs, rel=1e-3)


def test_fast_noise_decays_exponentially() -> None:
    """White noise: g = sigma^2 dt t / 2 hbar^2, up to the trapezoid's half step."""
    generator = np.random.default_rng(1)
    sigma = 0.15
    found = dephasing.of_gap(2 + sigma * generator.normal(size=200_000), 1.0)
    expected = 2 * HBAR_EV_FS**2 / sigma**2
    assert found.exponential_fs == pytest.approx(expected, rel=0.05)
    assert found.one_over_e_fs == pytest.approx(expected, rel=0.05)


def test_autocorrelation_is_the_plain_sum() -> None:
    series = np.random.default_rng(2).normal(size=57)
    deviation = series - series.mean()
    plain = [deviation[: 57 - lag] @ deviation[lag:] / 57 for lag in range(57)]
    np.testing.assert_allclose(dephasing.autocorrelation(series, 57), plain, atol=1e-12)


def test_matrix_is_symmetric_with_zero_diagonal() -> None:
    found = dephasing.matrix(fluctuating(4, 500).energies, 1.0)
    assert (np.diag(found) == 0).all()
    np.testing.assert_array_equal(found, found.T)
    assert (found[~np.eye(4, dtype=bool)] > 1).all()


def test_states_that_move_together_never_dephase() -> None:
    energies = fluctuating(3, 100).energies
    energies[:, 2] = energies[:, 1] + 0.3
    assert dephasing.matrix(energies, 1.0)[1, 2] == np.inf


def test_too_few_frames() -> None:
    with pytest.raises(InputError, match="3 frames"):
        dephasing.of_gap(np.ones(3), 1.0)
