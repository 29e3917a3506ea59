"""Pure dephasing of pairs of states from the fluctuations of their gap (second-order cumulant)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from n2amd.errors import InputError
from n2amd.hopping.correlation import autocorrelation, corrected
from n2amd.units import HBAR_EV_FS

if TYPE_CHECKING:
    from n2amd.hopping.path import ClassicalPath

#: Longest time looked at, fs: far beyond any dephasing of a solid.
MAX_TIME_FS = 200.0
#: The fit ends where the Gaussian has fallen to exp(-2), at so many of its own widths: what the function does
#: later is noise of long lags.
CUT = 2.0
#: Pairs worked on together: their autocovariances are a few MB.
_TOGETHER = 256
#: Bisections of the logarithm of the time, and the range above hbar / sigma that is searched.
_BISECTIONS, _LONGEST = 48, 1e6

#: `gaussian` is what DISH uses; `hefei` is that of Hefei-NAMD's Dephase.py: mean of the series, 200 fs.
Definition = Literal["gaussian", "hefei"]


@dataclass(frozen=True)
class Dephasing:
    """Dephasing of one pair by six definitions, which differ by up to a factor of 1.5.

    Attributes
    ----------
    gaussian_fs
        s of exp(-t^2 / 2 s^2) fitted to the dephasing function up to t = 2 s; the one that DISH uses.
    hefei_fs
        s fitted to all 200 fs of the function, from deviations about the series' mean, as by Hefei-NAMD.
    exponential_fs
        tau of exp(-t / tau) fitted to it.
    one_over_e_fs
        Time at which it falls to 1/e (infinite if it does not).
    inverse_sigma_fs
        hbar / sigma of the gap.
    libra_fs
        sqrt(12/5) hbar / sigma of the gap.
    gap_mean_eV, gap_std_eV
        Mean and standard deviation of the gap (about the mean of the series).
    time_fs, autocorrelation, function
        Times, normalised autocorrelation of the gap about its true mean, and the dephasing function exp(-g).
    """

    gaussian_fs: float
    hefei_fs: float
    exponential_fs: float
    one_over_e_fs: float
    inverse_sigma_fs: float
    libra_fs: float
    gap_mean_eV: float
    gap_std_eV: float
    time_fs: NDArray[np.float64]
    autocorrelation: NDArray[np.float64]
    function: NDArray[np.float64]


def cumulant(correlation: NDArray[np.float64], timestep: float) -> NDArray[np.float64]:
    """g(t) = hbar^-2 int_0^t dt1 int_0^t1 dt2 C(t2), by the trapezoidal rule, (..., lags).

    Mukamel, Principles of Nonlinear Optical Spectroscopy, second-order cumulant.
    """
    return _integral(_integral(correlation, timestep), timestep) / HBAR_EV_FS**2


def dephasing_function(correlation: NDArray[np.float64], timestep: float) -> NDArray[np.float64]:
    """exp(-g(t)), (..., lags); `correlation` is the autocovariance of the gap, eV^2."""
    return np.exp(-cumulant(correlation, timestep))


def correlation_of(
    gaps: NDArray[np.float64], timestep: float, definition: Definition = "gaussian"
) -> NDArray[np.float64]:
    """Autocovariance of gaps as a definition takes it, eV^2.

    Parameters
    ----------
    gaps
        (..., frames), eV.
    timestep
        fs.
    definition
        `hefei`: deviations from the mean of the series, divided by all frames; else corrected for the
        variance of that mean, and divided by the pairs of frames.

    Returns
    -------
    (..., lags), up to 200 fs, and half of the frames (`hefei`: all).
    """
    longest = max(2, int(MAX_TIME_FS / timestep))
    if definition == "hefei":
        return autocorrelation(gaps, min(gaps.shape[-1], longest))
    return corrected(gaps)[0][..., :longest]


def kernel(
    time: NDArray[np.float64], s: NDArray[np.floating], cut: float | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gaussian of width s and its weights in the fit; the step in which the cut lies counts by its share.

    The stationary point of sum_t (exp(-t^2/2s^2) - D)^2 over s is that of sum_t w (exp(-t^2/2s^2) - D) = 0
    with w = (t/s)^2 exp(-t^2/2s^2).
    """
    timestep = time[1] - time[0]
    x = time / s[..., None]
    gaussian = np.exp(-0.5 * x * x)
    weight = x * x * gaussian
    if cut is not None:
        weight = weight * np.clip((cut * s[..., None] - time) / timestep + 0.5, 0.0, 1.0)
    return gaussian, weight


def gaussian_time(
    function: NDArray[np.float64], timestep: float, sigma: NDArray[np.float64], cut: float | None = CUT
) -> NDArray[np.float64]:
    """s of exp(-t^2 / 2 s^2) fitted to dephasing functions by least squares for t up to cut * s, fs.

    Parameters
    ----------
    function
        (..., lags).
    timestep
        fs.
    sigma
        Standard deviations of the gaps, (...), eV: s is at least hbar / sigma.
    cut
        End of the fit in units of s; None: all lags.

    Returns
    -------
    (...); infinite where nothing dephases.
    """
    time = timestep * np.arange(function.shape[-1], dtype=np.float64)
    with np.errstate(divide="ignore"):
        lowest = HBAR_EV_FS / np.asarray(sigma, float)
    moving = np.isfinite(lowest)
    # C(t) <= C(0) makes hbar / sigma the smallest s; noise of the lags may go a little below
    low = np.log(np.where(moving, 0.2 * lowest, 1.0))
    high = low + np.log(_LONGEST)
    ceiling = high
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        gaussian, weight = kernel(time, np.exp(middle), cut)
        short = (weight * (gaussian - function)).sum(axis=-1) < 0
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return np.where(moving & (high < ceiling), np.exp(0.5 * (low + high)), np.inf)


def of_gap(gap: NDArray[np.float64], timestep: float) -> Dephasing:
    """Dephasing from the gap along a trajectory, (frames,), eV.

    Raises
    ------
    InputError
        If there are fewer than 4 frames.

    Examples
    --------
    >>> swing = 1.9 + 0.05 * np.sin(2 * np.pi * np.arange(400) / 40)  # eV, a period of 40 fs
    >>> found = of_gap(swing, 1.0)
    >>> round(found.gap_mean_eV, 3), round(found.gap_std_eV, 3)
    (1.9, 0.035)
    """
    _enough(len(gap))
    sigma = float(gap.std())
    if sigma <= _rounding(gap):
        time = timestep * np.arange(min(len(gap), max(2, int(MAX_TIME_FS / timestep))), dtype=np.float64)
        ones = np.ones_like(time)
        return Dephasing(*6 * (float("inf"),), float(gap.mean()), 0.0, time, ones, ones)
    correlation = correlation_of(gap, timestep)
    time = timestep * np.arange(len(correlation), dtype=np.float64)
    function = dephasing_function(correlation, timestep)
    below = np.nonzero(function < np.exp(-1))[0]
    one_over_e = float("inf")
    if len(below):
        k = int(below[0])
        one_over_e = float(np.interp(np.exp(-1), function[[k, k - 1]], time[[k, k - 1]]))
    gaussian, hefei = (
        float(times(gap[None], timestep, definition)[0]) for definition in ("gaussian", "hefei")
    )
    return Dephasing(
        gaussian_fs=gaussian,
        hefei_fs=hefei,
        exponential_fs=_exponential_fit(time, function, HBAR_EV_FS / sigma),
        one_over_e_fs=one_over_e,
        inverse_sigma_fs=HBAR_EV_FS / sigma,
        libra_fs=float(np.sqrt(12 / 5)) * HBAR_EV_FS / sigma,
        gap_mean_eV=float(gap.mean()),
        gap_std_eV=sigma,
        time_fs=time,
        autocorrelation=correlation / correlation[0],
        function=function,
    )


def times(
    gaps: NDArray[np.float64], timestep: float, definition: Definition = "gaussian"
) -> NDArray[np.float64]:
    """Gaussian dephasing times of gaps (pairs, frames), eV, by a definition: (pairs,), fs; infinite if none.

    Raises
    ------
    InputError
        If there are fewer than 4 frames.
    """
    _enough(gaps.shape[-1])
    function = dephasing_function(correlation_of(gaps, timestep, definition), timestep)
    sigma = np.where(gaps.std(axis=-1) > _rounding(gaps), gaps.std(axis=-1), 0.0)
    return gaussian_time(function, timestep, sigma, None if definition == "hefei" else CUT)


def matrix(
    energies: NDArray[np.float64], timestep: float, definition: Definition = "gaussian"
) -> NDArray[np.float64]:
    """Gaussian dephasing times of all pairs of states, (n, n), fs, diagonal 0; energies (frames, n), eV.

    Raises
    ------
    InputError
        If there are fewer than 4 frames.
    """
    n = energies.shape[1]
    by_state = np.ascontiguousarray(energies.T)
    result = np.zeros((n, n))
    rows, columns = np.tril_indices(n, -1)
    for begin in range(0, len(rows), _TOGETHER):
        i, j = rows[begin : begin + _TOGETHER], columns[begin : begin + _TOGETHER]
        result[i, j] = result[j, i] = times(by_state[i] - by_state[j], timestep, definition)
    return result


def same_for_all(path: ClassicalPath, time_fs: float) -> NDArray[np.float64]:
    """One time for all pairs of states, (n, n), fs; the two spins of an orbital keep their phase."""
    times_fs = time_fs * (1.0 - np.eye(path.states))
    if path.spin is not None:
        same = path.band_index[:, None] == path.band_index
        times_fs[same & (path.spin[:, None] != path.spin)] = np.inf
    return times_fs


def _enough(frames: int) -> None:
    if frames < 4:
        raise InputError(
            f"{frames} frames are too few for an autocorrelation",
            field="frames",
            remedy="run a longer trajectory, or set dephasing_time_fs",
        )


def _rounding(gaps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fluctuation below which a gap does not move, (...)."""
    return 1e-12 * np.maximum(1.0, np.abs(gaps).max(axis=-1))


def _integral(values: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    areas = np.cumsum(0.5 * step * (values[..., 1:] + values[..., :-1]), axis=-1)
    return np.concatenate([np.zeros((*values.shape[:-1], 1)), areas], axis=-1)


def _exponential_fit(time: NDArray[np.float64], values: NDArray[np.float64], guess: float) -> float:
    """One-parameter least squares; the logarithm is fitted, so that the time stays positive."""
    from scipy.optimize import least_squares

    found = least_squares(lambda p: np.exp(-time / np.exp(p[0])) - values, [np.log(guess)])
    return float(np.exp(found.x[0]))
