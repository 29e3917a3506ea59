import numpy as np
import pytest
from classical_paths import fluctuating

from n2amd.errors import InputError
from n2amd.hopping import dephasing
from n2amd.units import HBAR_EV_FS


def test_static_disorder_is_a_gaussian_of_width_hbar_over_sigma() -> None:
    """A gap that fluctuates slowly: D = exp(-sigma^2 t^2 / 2 hbar^2)."""
    period, frames = 500.0, 20_000
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


def correlated(memory: float, frames: int, columns: int, seed: int) -> np.ndarray:
    """Gaussian series of unit variance with autocorrelation exp(-t^2 / 2 memory^2), (columns, frames)."""
    generator = np.random.default_rng(seed)
    lag = np.arange(-int(4 * memory), int(4 * memory) + 1)
    kernel = np.exp(-((lag / memory) ** 2))
    kernel /= np.sqrt(np.sum(kernel**2))
    noise = generator.standard_normal((columns, frames + len(lag) - 1))
    return np.array([np.convolve(row, kernel, "valid") for row in noise])


@pytest.mark.parametrize("frames", [400, 600])
def test_short_trajectories_do_not_dephase_too_slowly(frames: int) -> None:
    """The variance that the mean of the series took is added back; without that the time is too long."""
    shapes = correlated(50.0, frames, 200, seed=3)
    sigma = 0.027
    true = dephasing.gaussian_time(
        dephasing.dephasing_function(sigma**2 * np.exp(-((np.arange(200.0) / 50) ** 2) / 2), 1.0),
        1.0,
        np.array(sigma),
    )
    assert float(true) == pytest.approx(24.8, abs=0.2)
    ours = np.median(dephasing.times(sigma * shapes, 1.0)) / true
    theirs = np.median(dephasing.times(sigma * shapes, 1.0, "hefei")) / true
    assert theirs > 1.15
    assert abs(ours - 1) < 0.6 * (theirs - 1)


def test_both_definitions_agree_on_a_long_trajectory() -> None:
    gap = 1.5 + 0.04 * correlated(20.0, 60_000, 1, seed=1)
    ours, theirs = (float(dephasing.times(gap, 1.0, name)[0]) for name in ("gaussian", "hefei"))
    assert ours == pytest.approx(theirs, rel=0.03)


def test_the_fit_is_the_least_squares_up_to_twice_the_time() -> None:
    gap = 1.5 + 0.04 * correlated(15.0, 800, 1, seed=2)[0]
    function = dephasing.dephasing_function(dephasing.correlation_of(gap, 1.0), 1.0)
    found = float(dephasing.gaussian_time(function, 1.0, gap.std()))
    part = function[: round(2 * found) + 1]
    time = np.arange(len(part))
    trial = np.linspace(0.9 * found, 1.1 * found, 401)
    squares = [np.sum((np.exp(-(time**2) / (2 * s * s)) - part) ** 2) for s in trial]
    assert trial[int(np.argmin(squares))] == pytest.approx(found, rel=0.02)


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


def test_matrix_of_many_states_is_that_of_its_pairs() -> None:
    """More pairs than are worked on together."""
    energies = fluctuating(30, 200).energies
    found = dephasing.matrix(energies, 1.0)
    for i, j in ((29, 0), (28, 29), (14, 3)):
        alone = dephasing.of_gap(energies[:, i] - energies[:, j], 1.0).gaussian_fs
        assert found[i, j] == pytest.approx(alone, rel=1e-9)


def test_too_few_frames() -> None:
    with pytest.raises(InputError, match="3 frames"):
        dephasing.of_gap(np.ones(3), 1.0)
