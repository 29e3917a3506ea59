from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import write_populations
from typer.testing import CliRunner

from n2amd.analysis.decay import exponential_rate, first_arrivals, fit_exponential, statistics, verdict
from n2amd.commands.analysis import app

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


def test_straight_line_sees_the_beginning_alone() -> None:
    """A fast tenth and a slow rest: the line has the initial slope, the exponential compromises."""
    time = np.linspace(0, 1000, 2001)
    curve = 0.5 * np.exp(-time / 200) + 0.5 * np.exp(-time / 1e5)
    fit = fit_exponential(time, curve[None], **OPTIONS)  # type: ignore[arg-type]
    assert fit.linear_fs == pytest.approx(400, rel=0.12)
    assert fit.linear_window_fs == pytest.approx(-200 * np.log(0.8), rel=0.05)
    assert fit.lifetime_fs.value > 1.5 * fit.linear_fs  # type: ignore[operator]
    assert fit.linear_r_squared > 0.99 > fit.r_squared  # type: ignore[operator]


@pytest.mark.parametrize(
    ("hops", "exposure", "expected", "said"),
    [
        (400, 1e6, None, "400 hops: statistical error 5 %"),
        (4, 1e6, None, "4 hops: statistical error 50 %; 10 % takes 25x as many"),
        (0, 1e6, 2e7, "no hops, 0.05 expected: 10 % takes 2e+03x as many"),
        (0, 1e6, None, "no hops: no statistics"),
    ],
)
def test_statistics(hops: int, exposure: float, expected: float | None, said: str) -> None:
    assert statistics(hops, exposure, expected).startswith(said)


def shprop(file: Path, lifetime: float, *, hole: bool = False, times: int = 1000) -> str:
    time = np.arange(1.0, times + 1)
    stayed = np.exp(-(time - 1) / lifetime)
    populations = [stayed, 1 - stayed] if hole else [1 - stayed, stayed]
    np.savetxt(file, np.c_[time, np.zeros(times), *populations], fmt="%13.2f%11.6f%11.6f%11.6f")
    return str(file)


@pytest.mark.parametrize("hole", [False, True])
def test_diagnosis_of_shprop(tmp_path: Path, hole: bool) -> None:
    files = [shprop(tmp_path / f"SHPROP.{k}", 2e5, hole=hole) for k in (10, 20)]
    options = ["--trajectories", "1000", "--carrier", "hole" if hole else "electron"]
    said = CliRunner().invoke(app, ["decay", *files, *options]).output
    assert "2 SHPROP files: decayed 0.5 %: extrapolated; need 200x longer" in said
    assert "exponential fit 0.2 ns" in said
    assert "Monte Carlo noise only" in said
    assert "10 hops: statistical error 32 %; 10 % takes 10x as many" in said


def test_diagnosis_of_what_never_decays_and_of_what_does_not_fit(tmp_path: Path) -> None:
    flat = shprop(tmp_path / "SHPROP.1", np.inf)
    said = CliRunner().invoke(app, ["decay", flat, "--trajectories", "50"]).output
    assert "nothing decayed within 999 fs" in said
    assert "no hops" in said
    short = shprop(tmp_path / "SHPROP.2", 100.0, times=10)
    refused = CliRunner().invoke(app, ["decay", flat, short])
    assert "SHPROP.2: 10 times up to 10 fs, SHPROP.1 has 1000" in str(refused.exception)


def test_diagnosis_of_our_own_populations(tmp_path: Path) -> None:
    run = write_populations(tmp_path / "dish.h5", lifetime_fs=500)
    said = CliRunner().invoke(app, ["decay", str(run)]).output
    assert "decayed 87.2 %: long enough for a fit; exponential fit 0.000497 ns" in said
    assert "statistical error 2 %" in said
