"""Pure dephasing of pairs of states from the fluctuations of their gap (second-order cumulant)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from n2amd.errors import InputError
from n2amd.units import HBAR_EV_FS

#: Longest time looked at, fs: far beyond any dephasing of a solid.
MAX_TIME_FS = 200.0


@dataclass(frozen=True)
class Dephasing:
    """Dephasing of one pair by five definitions, which differ by up to a factor of 1.5.

    Attributes
    ----------
    gaussian_fs
        s of exp(-t^2 / 2 s^2) fitted to the dephasing function, lag 0 included; the one that DISH uses.
    exponential_fs
        tau of exp(-t / tau) fitted to it.
    one_over_e_fs
        Time at which it falls to 1/e (infinite if it does not).
    inverse_sigma_fs
        hbar / sigma of the gap.
    libra_fs
        sqrt(12/5) hbar / sigma of the gap.
    gap_mean_eV, gap_std_eV
        Mean and standard deviation of the gap.
    time_fs, autocorrelation, function
        Times, normalised autocorrelation of the gap, and the dephasing function exp(-g).
    """

    gaussian_fs: float
    exponential_fs: float
    one_over_e_fs: float
    inverse_sigma_fs: float
    libra_fs: float
    gap_mean_eV: float
    gap_std_eV: float
    time_fs: NDArray[np.float64]
    autocorrelation: NDArray[np.float64]
    function: NDArray[np.float64]


def autocorrelation(series: NDArray[np.float64], lags: int) -> NDArray[np.float64]:
    """Mean over t of d(t) d(t + lag), d the deviations from the mean, divided by all frames, (lags,)."""
    deviation = series - series.mean()
    transform = np.fft.rfft(deviation, 2 * len(series))
    return np.fft.irfft(np.abs(transform) ** 2)[:lags] / len(series)


def dephasing_function(correlation: NDArray[np.float64], timestep: float) -> NDArray[np.float64]:
    """exp(-g(t)), g = hbar^-2 int_0^t dt1 int_0^t1 dt2 C(t2), by the trapezoidal rule, (lags,).

    Mukamel, Principles of Nonlinear Optical Spectroscopy, second-order cumulant.
    """
    return np.exp(-_integral(_integral(correlation, timestep), timestep) / HBAR_EV_FS**2)


def of_gap(gap: NDArray[np.float64], timestep: float) -> Dephasing:
    """Dephasing from the gap along a trajectory, (frames,), eV.

    Raises
    ------
    InputError
        If there are fewer than 4 frames.
    """
    if len(gap) < 4:
        raise InputError(
            f"{len(gap)} frames are too few for an autocorrelation",
            field="frames",
            remedy="run a longer trajectory, or set dephasing_time_fs",
        )
    lags = min(len(gap), int(MAX_TIME_FS / timestep))
    time = timestep * np.arange(lags, dtype=np.float64)
    correlation = autocorrelation(gap, lags)
    sigma = float(np.sqrt(correlation[0]))
    if sigma <= 1e-12 * max(1.0, float(np.abs(gap).max())):
        infinite = float("inf")
        ones = np.ones(lags)
        return Dephasing(
            infinite, infinite, infinite, infinite, infinite, float(gap.mean()), 0.0, time, ones, ones
        )
    function = dephasing_function(correlation, timestep)
    guess = HBAR_EV_FS / sigma
    below = np.nonzero(function < np.exp(-1))[0]
    one_over_e = float("inf")
    if len(below):
        k = int(below[0])
        one_over_e = float(np.interp(np.exp(-1), function[[k, k - 1]], time[[k, k - 1]]))
    return Dephasing(
        gaussian_fs=_fit(lambda t, s: np.exp(-(t**2) / (2 * s**2)), time, function, guess),
        exponential_fs=_fit(lambda t, s: np.exp(-t / s), time, function, guess),
        one_over_e_fs=one_over_e,
        inverse_sigma_fs=guess,
        libra_fs=float(np.sqrt(12 / 5)) * guess,
        gap_mean_eV=float(gap.mean()),
        gap_std_eV=sigma,
        time_fs=time,
        autocorrelation=correlation / correlation[0],
        function=function,
    )


def matrix(energies: NDArray[np.float64], timestep: float) -> NDArray[np.float64]:
    """Gaussian dephasing times of all pairs of states, (n, n), fs, diagonal 0; energies (frames, n), eV."""
    n = energies.shape[1]
    result = np.zeros((n, n))
    for i in range(n):
        for j in range(i):
            result[i, j] = result[j, i] = of_gap(energies[:, i] - energies[:, j], timestep).gaussian_fs
    return result


def _integral(values: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    return np.concatenate([[0.0], np.cumsum(0.5 * step * (values[1:] + values[:-1]))])


def _fit(model, time: NDArray, values: NDArray, guess: float) -> float:  # type: ignore[no-untyped-def]
    """One-parameter least squares; the logarithm is fitted, so that the time stays positive."""
    from scipy.optimize import least_squares

    return float(np.exp(least_squares(lambda p: model(time, np.exp(p[0])) - values, [np.log(guess)]).x[0]))
