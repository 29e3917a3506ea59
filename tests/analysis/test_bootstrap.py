import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from n2amd.analysis.bootstrap import Interval, block_means, mean_of_positive


def test_block_means_give_every_step_the_same_weight() -> None:
    series = np.zeros(60)
    series[0] = 1.0
    means = block_means(series, 7, 20000, seed=3)
    assert means.mean() == pytest.approx(series.mean(), rel=0.05)


def test_independent_values_have_the_textbook_error() -> None:
    series = np.random.default_rng(0).normal(5.0, 1.0, 1000)
    means = block_means(series, 1, 3000, seed=1)
    assert means.std() == pytest.approx(series.std() / np.sqrt(1000), rel=0.05)


def test_correlated_values_have_a_larger_error() -> None:
    rng = np.random.default_rng(1)
    memory = 20
    series = np.convolve(rng.normal(size=8000 + memory - 1), np.ones(memory) / memory, "valid")
    # variance of the mean = sum of the autocovariances / n = 1 / n for a running mean of unit noise
    means = block_means(series, 400, 4000, seed=1)
    assert means.std() == pytest.approx(np.sqrt(1 / 8000), rel=0.15)


def test_interval_of_a_skewed_correlated_series_covers_the_truth() -> None:
    rng = np.random.default_rng(2)
    hits, repeats = 0, 200
    for _ in range(repeats):
        noise = np.convolve(rng.normal(size=415), np.ones(16) / 4, "valid")
        interval = mean_of_positive(noise**2, 50, resamples=200, confidence=0.95, seed=1)
        assert interval.low is not None
        assert interval.high is not None
        hits += interval.low <= 1.0 <= interval.high
    assert 0.85 <= hits / repeats <= 0.99


def test_the_same_seed_gives_the_same_interval() -> None:
    series = np.random.default_rng(4).random(100)
    one, two = (mean_of_positive(series, 10, resamples=50, confidence=0.9, seed=7) for _ in range(2))
    assert one == two


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
