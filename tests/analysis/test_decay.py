import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from n2amd.analysis.decay import exponential_rate, first_arrivals, fit_exponential, verdict

OPTIONS = {"resamples": 200, "confidence": 0.95, "seed": 1}


@settings(max_examples=25, deadline=None)
@given(st.floats(1.0, 9.0))
def test_exponential_is_recovered_whatever_the_part_seen(decades: float) -> None:
    lifetime = 10.0**decades
    time = np.linspace(0, 1000, 501)
    # a decay of 1e-6 keeps six digits: 1 - s is exact there
    assert 1 / exponential_rate(time, np.exp(-time / lifetime)) == pytest.approx(lifetime, rel=1e-4)


def test_fit_interval_covers_the_lifetime_of_noisy_initial_conditions() -> None:
    rng = np.random.default_rng(0)
    time, lifetime = np.arange(0.0, 2001.0, 10), 3000.0
    hits, repeats = 0, 40
    for _ in range(repeats):
        arrival = rng.exponential(lifetime, (20, 100))
        survival = (arrival[:, None, :] > time[None, :, None]).mean(axis=2)
        fit = fit_exponential(time, survival, **OPTIONS)  # type: ignore[arg-type]
        hits += fit.lifetime_fs.low < lifetime < fit.lifetime_fs.high  # type: ignore[operator]
    assert hits / repeats >= 0.8


def test_fit_reports_how_much_decayed() -> None:
    time = np.linspace(0, 500, 101)
    fit = fit_exponential(time, np.exp(-time / 1000)[None], **OPTIONS)  # type: ignore[arg-type]
    assert fit.decayed == pytest.approx(1 - np.exp(-0.5))
    assert fit.r_squared == pytest.approx(1.0)
    assert fit.lifetime_fs.low is None  # one initial condition has no spread


def test_long_curves_are_thinned_without_changing_the_answer() -> None:
    time = np.arange(50001.0)
    fit = fit_exponential(time, np.exp(-time / 3e4)[None], **OPTIONS)  # type: ignore[arg-type]
    assert fit.lifetime_fs.value == pytest.approx(3e4, rel=1e-4)


def test_a_population_that_stays_has_no_lifetime() -> None:
    fit = fit_exponential(np.arange(10.0), np.ones((3, 10)), **OPTIONS)  # type: ignore[arg-type]
    assert fit.lifetime_fs.value is None
    assert "nothing decayed within 9 fs" in verdict(fit, 9.0, 0)


def test_censored_arrivals_are_recovered_within_the_interval() -> None:
    rng = np.random.default_rng(5)
    lifetime, duration, n = 5e4, 1000.0, 4000  # 2 % decay: 80 hops
    hits, values, repeats = 0, [], 300
    for _ in range(repeats):
        arrival = rng.exponential(lifetime, n)
        interval = first_arrivals(arrival[arrival <= duration], n, duration, 0.95)
        values.append(1 / interval.value)  # type: ignore[operator]
        hits += interval.low <= lifetime <= interval.high  # type: ignore[operator]
    assert 0.92 <= hits / repeats <= 1.0
    assert np.mean(values) == pytest.approx(1 / lifetime, rel=0.03)


def test_exact_interval_of_one_hop() -> None:
    # Poisson: for one event the 95 % interval of the mean is 0.0253 .. 5.5716
    interval = first_arrivals(np.array([200.0]), 3, 1000.0, 0.95)
    assert interval.value == pytest.approx(2200.0)
    assert 2200.0 / interval.low == pytest.approx(5.5716, rel=1e-4)  # type: ignore[operator]
    assert 2200.0 / interval.high == pytest.approx(0.02532, rel=1e-3)  # type: ignore[operator]


def test_no_hop_gives_a_lower_bound_only() -> None:
    interval = first_arrivals(np.array([]), 200, 1000.0, 0.95)
    assert interval.value is None
    assert interval.high is None
    assert interval.low == pytest.approx(2e5 / -np.log(0.025))


@pytest.mark.parametrize(
    ("lifetime", "said"),
    [(2e5, "extrapolated; need 200x longer"), (5000.0, "the fit is usable"), (500.0, "long enough")],
)
def test_verdict(lifetime: float, said: str) -> None:
    time = np.linspace(0, 1000, 1001)
    fit = fit_exponential(time, np.exp(-time / lifetime)[None], **OPTIONS)  # type: ignore[arg-type]
    sentence = verdict(fit, 1000.0, 1)
    assert said in sentence
    assert "1 hop:" in sentence
