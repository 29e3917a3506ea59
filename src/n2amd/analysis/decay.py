"""Lifetimes from populations: exponential fits and the Poisson likelihood of first arrivals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from n2amd.analysis.intervals import Interval

#: Decay below which a fitted lifetime is an extrapolation of the initial slope.
EXTRAPOLATED_BELOW = 0.1
#: Times a curve is thinned to before a fit; more do not change it.
MOST_POINTS = 2000
#: Relative statistical error of a sampled lifetime that is called enough.
ENOUGH = 0.1


@dataclass(frozen=True)
class DecayFit:
    """Lifetime of exp(-t / lifetime), fs, with how much of the decay was seen.

    Attributes
    ----------
    lifetime_fs
        Lifetime with its interval from the resampled initial conditions: Monte Carlo noise only.
    decayed
        1 - survival at the last time.
    r_squared
        Of the fit of the mean survival; None for a straight line at one.
    linear_fs
        Lifetime from the straight line 1 - t / lifetime through the beginning; None if nothing decays there.
    linear_window_fs
        Length of that beginning: until a tenth has decayed, or the whole run.
    linear_r_squared
        Of that line; None where there is none.
    """

    lifetime_fs: Interval
    decayed: float
    r_squared: float | None
    linear_fs: float | None
    linear_window_fs: float
    linear_r_squared: float | None


def exponential_rate(time: NDArray[np.float64], survival: NDArray[np.float64]) -> float:
    """Return the rate k (1/fs) that minimises sum (survival - exp(-k t))^2; 0 where nothing decays.

    Parameters
    ----------
    time, survival
        (T,), fs and probability; the survival is one at time zero by definition, so k is the only unknown.
    """
    from scipy.optimize import minimize_scalar

    lost = 1.0 - survival
    initial = float(time @ lost / (time @ time))  # least squares of the linear beginning, 1 - s = k t
    if initial <= 0:
        return 0.0

    def squares(log_rate: float) -> float:
        # expm1: a decay of 1e-6 would drown in the rounding of 1 - exp
        return float(np.sum((lost + np.expm1(-np.exp(log_rate) * time)) ** 2))

    centre = np.log(initial)
    found = minimize_scalar(
        squares, bounds=(centre - 7, centre + 7), method="bounded", options={"xatol": 1e-10}
    )
    return float(np.exp(found.x))


def fit_exponential(
    time: NDArray[np.float64],
    survival: NDArray[np.float64],
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> DecayFit:
    """Fit exp(-t/lifetime) to the survival averaged over initial conditions.

    Parameters
    ----------
    time
        (T,), fs.
    survival
        Probability not to have arrived, (samples, T).
    resamples, confidence, seed
        Of the bootstrap over initial conditions: they carry the correlation in time that a point-wise error
        would miss. One initial condition gives no interval.

    A population that does not decay at all has an unknown (None) lifetime.
    """
    stride = -(-len(time) // MOST_POINTS)
    last = float(1.0 - survival[:, -1].mean())
    time, survival = time[::stride], survival[:, ::stride]
    mean = survival.mean(axis=0)
    rate = exponential_rate(time, mean)
    samples = len(survival)
    bounds: tuple[float | None, float | None] = (None, None)
    if samples > 1:
        choice = np.random.default_rng(seed).integers(0, samples, size=(resamples, samples))
        # a resample is a multinomial weighting of the same curves
        weights = np.stack([np.bincount(row, minlength=samples) for row in choice]) / samples
        rates = np.array([exponential_rate(time, curve) for curve in weights @ survival])
        low, high = np.quantile(rates, [0.5 - confidence / 2, 0.5 + confidence / 2])
        bounds = (float(low), float(high))
    slope, window, linear_r_squared = _initial_slope(time, mean)
    return DecayFit(
        lifetime_fs=Interval(rate, *bounds).inverse(1.0),
        decayed=last,
        r_squared=_r_squared(mean, np.exp(-rate * time)),
        linear_fs=1 / slope if slope > 0 else None,
        linear_window_fs=window,
        linear_r_squared=linear_r_squared if slope > 0 else None,
    )


def _r_squared(found: NDArray[np.float64], fitted: NDArray[np.float64]) -> float | None:
    total = float(np.sum((found - found.mean()) ** 2))
    return 1.0 - float(np.sum((found - fitted) ** 2)) / total if total > 0 else None


def _initial_slope(
    time: NDArray[np.float64], survival: NDArray[np.float64]
) -> tuple[float, float, float | None]:
    """Slope of 1 - survival through the origin while less than a tenth has decayed, its window and R^2."""
    beyond = np.flatnonzero(survival < 1 - EXTRAPOLATED_BELOW)
    # two times at least beside the start: a faster decay has no linear beginning to speak of
    stop = max(int(beyond[0]) if len(beyond) else len(time), min(3, len(time)))
    begin, lost = time[:stop], 1.0 - survival[:stop]
    slope = float(begin @ lost / (begin @ begin))
    return slope, float(begin[-1]), _r_squared(lost, slope * begin)


def first_arrivals(
    arrival_time: NDArray[np.float64], n_trajectories: int, duration: float, confidence: float
) -> Interval:
    """Return the lifetime (fs) of independent trajectories watched until they arrive or the run ends.

    The likelihood of N arrivals with total exposure E (time at risk, censored trajectories included) is
    Poisson: lifetime = E / N with the exact chi-square interval (Garwood 1936).

    Parameters
    ----------
    arrival_time
        First-arrival times of the trajectories that arrived, (N,), fs.
    n_trajectories
        All trajectories, arrived or not.
    duration
        Length of the run, fs.
    confidence
        Level of the interval. It holds the Monte Carlo noise only, not that of the MD window.

    Without any arrival the value and the upper bound are unknown (None), the lower bound is not.
    """
    from scipy.stats import chi2

    hops = len(arrival_time)
    exposure = float(arrival_time.sum() + (n_trajectories - hops) * duration)
    tail = (1 - confidence) / 2
    low_rate = float(chi2.ppf(tail, 2 * hops)) / 2 if hops else 0.0
    high_rate = float(chi2.ppf(1 - tail, 2 * hops + 2)) / 2
    return Interval(hops / exposure, low_rate / exposure, high_rate / exposure).inverse(1.0)


def statistics(hops: int, exposure_fs: float, expected_fs: float | None) -> str:
    """Say whether trajectories times their length are enough to count hops.

    Parameters
    ----------
    hops
        First arrivals.
    exposure_fs
        Total time that trajectories were at risk.
    expected_fs
        Lifetime by another method, to say how far off a run without hops is.
    """
    wanted = round(1 / ENOUGH**2)
    if hops:
        error = f"{hops} hop{'' if hops == 1 else 's'}: statistical error {100 / np.sqrt(hops):.0f} %"
        if hops >= wanted:
            return error
        return f"{error}; {100 * ENOUGH:.0f} % takes {wanted / hops:.3g}x as many trajectories or steps"
    if expected_fs is None:
        return "no hops: no statistics"
    return (
        f"no hops, {exposure_fs / expected_fs:.2g} expected: "
        f"{100 * ENOUGH:.0f} % takes {wanted * expected_fs / exposure_fs:.3g}x as many trajectories or steps"
    )


def verdict(fit: DecayFit, duration_fs: float, hops: int | None) -> str:
    """Say in half a sentence whether a run is long enough for its lifetime.

    Parameters
    ----------
    fit
        Of the run.
    duration_fs
        Length of the run.
    hops
        First arrivals; None if they were not counted.
    """
    decayed = fit.decayed
    percent = f"{100 * decayed:.1f} %" if decayed >= 1e-3 else f"{100 * decayed:.2g} %"
    counted = "" if hops is None else f" with {hops} hop{'' if hops == 1 else 's'}"
    if fit.lifetime_fs.value is None:
        return f"nothing decayed within {duration_fs:.0f} fs: use the exact method, or run longer"
    longer = f"{fit.lifetime_fs.value / duration_fs:.3g}x longer"
    if decayed >= 1 - np.exp(-1):
        return f"decayed {percent}{counted}: long enough for a fit"
    if decayed >= EXTRAPOLATED_BELOW:
        return f"decayed {percent}{counted}: the fit is usable; 1/e is reached {longer}"
    return f"decayed {percent}{counted}: extrapolated; need {longer} for 1/e, or use the exact method"
