import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from n2amd.analysis.intervals import Interval, sample, true_over_found
from n2amd.hopping.correlation import corrected


def test_independent_squares_have_the_textbook_freedom() -> None:
    """Squares of N independent normal variables: chi-square over N degrees of freedom."""
    series = np.random.default_rng(0).normal(size=4000) ** 2
    found = sample(series, 0.95)
    assert found.freedom == pytest.approx(4000, rel=0.15)
    assert found.mean == pytest.approx(series.mean())


def test_correlated_values_have_a_larger_error() -> None:
    rng = np.random.default_rng(1)
    memory = 20
    series = np.convolve(rng.normal(size=8000 + memory - 1), np.ones(memory) / memory, "valid")
    # variance of the mean = sum of the autocovariances / n = 1 / n for a running mean of unit noise
    _, variance, found = corrected(series)
    assert float(variance) == pytest.approx(1 / 8000, rel=0.3)
    assert 15 <= int(found) <= 25


def test_autocorrelation_of_short_series_is_not_too_small() -> None:
    """400 frames with a memory of 50: the deviations from their own mean miss a quarter of the variance."""
    rng = np.random.default_rng(2)
    kernel = np.exp(-0.5 * (np.arange(-200, 201) / 35) ** 2)
    kernel /= np.sqrt(np.sum(kernel**2))
    series = np.array([np.convolve(rng.normal(size=800), kernel, "valid") for _ in range(200)])
    covariance, variance, _ = corrected(series)
    assert series.var(axis=1).mean() < 0.75
    assert covariance[:, 0].mean() == pytest.approx(1.0, abs=0.1)
    true = float(np.var(series.mean(axis=1)))
    assert 0.6 * true < variance.mean() < 1.4 * true


def test_interval_of_a_skewed_correlated_series_covers_the_truth() -> None:
    rng = np.random.default_rng(2)
    sides, repeats = [], 400
    for _ in range(repeats):
        noise = np.convolve(rng.normal(size=415), np.ones(16) / 4, "valid")
        interval = sample(noise**2, 0.95, 50).interval(0.95)
        assert interval.low is not None
        assert interval.high is not None
        sides.append((interval.low > 1.0) - (interval.high < 1.0))
    assert 0.92 <= np.mean(np.array(sides) == 0) <= 0.99
    # and the misses are not all on one side
    assert abs(np.mean(sides)) < 0.05


def test_scale_drops_out() -> None:
    series = np.random.default_rng(4).random(300) ** 2
    one, other = sample(series, 0.95), sample(1e-12 * series, 0.95)
    assert other.freedom == pytest.approx(one.freedom)
    assert other.memory == one.memory


def test_a_constant_is_known() -> None:
    interval = sample(np.full(100, 3.0), 0.95).interval(0.95)
    assert interval.low == pytest.approx(3.0, rel=1e-3)
    assert interval.high == pytest.approx(3.0, rel=1e-3)


def test_chi_square_is_skewed_to_the_large_side_of_the_truth() -> None:
    low, middle, high = true_over_found(8.0, np.array([0.025, 0.5, 0.975]))
    # quantiles of chi-square with 8 degrees of freedom: 2.180, 7.344, 17.535
    np.testing.assert_allclose([low, middle, high], [8 / 17.535, 8 / 7.344, 8 / 2.180], rtol=1e-3)


def test_a_longer_known_memory_widens() -> None:
    series = np.random.default_rng(5).normal(size=500) ** 2
    assert sample(series, 0.95, 100).freedom < 0.7 * sample(series, 0.95).freedom


@given(
    value=st.floats(1e-6, 1e6),
    width=st.floats(1.0, 10.0),
    numerator=st.floats(1e-3, 1e3),
)
def test_inverse_of_an_interval_is_ordered_and_its_own_inverse(
    value: float, width: float, numerator: float
) -> None:
    interval = Interval(value, value / width, value * width)
    inverse = interval.inverse(numerator)
    assert inverse.low <= inverse.value <= inverse.high  # type: ignore[operator]
    again = inverse.inverse(numerator)
    np.testing.assert_allclose(
        [again.value, again.low, again.high], [interval.value, interval.low, interval.high]
    )


def test_what_is_not_known_stays_unknown() -> None:
    assert Interval(0.0, 0.0, 0.5).inverse(1.0) == Interval(None, 2.0, None)


def test_errors_of_independent_origin_add_in_quadrature_of_the_logarithm() -> None:
    found = Interval(10.0, 10 / np.e**3, 10 * np.e**0.3).widened(Interval(2.0, 2 / np.e**4, 2 * np.e**0.4))
    assert found.value == 10.0
    assert found.low == pytest.approx(10 / np.e**5)
    assert found.high == pytest.approx(10 * np.e**0.5)
    # a lower bound without a value, as of no hops at all
    assert Interval(None, 8.0, None).widened(Interval(2.0, 1.0, 5.0)) == Interval(None, 4.0, None)
    assert Interval(1.0, 0.5, 2.0).widened(Interval(2.0, None, 5.0)).low is None
