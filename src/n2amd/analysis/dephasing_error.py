"""How well one trajectory knows a dephasing time.

The time is a function of the gap's autocorrelation, to first order a sum over the power spectrum I(w) of the
gap, log tau = const + sum_w h(w) I(w). For a Gaussian gap (phonons in thermal equilibrium) the I(w) are
independent and exponentially distributed, so that the sum has as many degrees of freedom as there are
frequencies that matter: no window has to be chosen, and nothing is resampled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from n2amd.analysis.intervals import Interval, true_over_found, with_known_memory
from n2amd.hopping.correlation import corrected
from n2amd.hopping.dephasing import CUT, correlation_of, cumulant, gaussian_time, kernel

#: Step of the numerical derivative in log tau.
_STEP = 0.01


@dataclass(frozen=True)
class DephasingError:
    """Distribution of a true dephasing time about the one that was found.

    Attributes
    ----------
    tau_fs
        Found.
    freedom
        Degrees of freedom of the fluctuation that makes it.
    memory
        Of the gap, steps.
    timestep_fs
        fs.
    sigma_eV
        Standard deviation of the gap.
    cumulant
        g(t) that was found, (lags,).
    """

    tau_fs: float
    freedom: float
    memory: int
    timestep_fs: float
    sigma_eV: float
    cumulant: NDArray[np.float64]

    def times(self, probability: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return quantiles of the true dephasing time, fs, increasing in probability.

        A fluctuation enlarged by the factor c that chi-square gives has the cumulant c g(t), whose fit is the
        time.
        """
        factor = true_over_found(self.freedom, 1 - probability)
        function = np.exp(-factor[:, None] * self.cumulant)
        return gaussian_time(function, self.timestep_fs, self.sigma_eV * np.sqrt(factor))

    def interval(self, confidence: float) -> Interval:
        """Return the time with its interval, fs; an infinite bound is unknown."""
        tail = (1 - confidence) / 2
        low, high = map(float, self.times(np.array([tail, 1 - tail])))
        return Interval(self.tau_fs, low, high if np.isfinite(high) else None)


def dephasing_error(gap: NDArray[np.float64], timestep_fs: float, confidence: float) -> DephasingError:
    """Return the dephasing time of a gap that fluctuates, and how well it is known.

    Parameters
    ----------
    gap
        (frames,), eV.
    timestep_fs
        fs.
    confidence
        Of the intervals it is for.
    """
    correlation = correlation_of(gap, timestep_fs)
    g = cumulant(correlation, timestep_fs)
    sigma = float(gap.std())
    tau = float(gaussian_time(np.exp(-g), timestep_fs, np.array(sigma)))
    freedom = _frequencies(gap, _influence(g, tau, timestep_fs))
    memory = int(corrected(gap)[2])
    return DephasingError(
        tau_fs=tau,
        freedom=with_known_memory(freedom, len(gap), memory, confidence),
        memory=memory,
        timestep_fs=timestep_fs,
        sigma_eV=sigma,
        cumulant=g,
    )


def _influence(g: NDArray[np.float64], tau: float, timestep: float) -> NDArray[np.float64]:
    """Return d log tau / d C(lag), 1/eV^2, (lags,): implicit derivative of the condition of the fit."""
    time = timestep * np.arange(len(g), dtype=np.float64)
    function = np.exp(-g)

    def condition(log_tau: float) -> float:
        gaussian, weight = kernel(time, np.asarray(np.exp(log_tau), float), CUT)
        return float((weight * (gaussian - function)).sum())

    slope = (condition(np.log(tau) + _STEP) - condition(np.log(tau) - _STEP)) / (2 * _STEP)
    _, weight = kernel(time, np.asarray(tau, float), CUT)
    # g(t) is linear in C(lag)
    by_lag = cumulant(np.eye(len(g)), timestep)
    return -(by_lag @ (weight * function)) / slope


def _frequencies(gap: NDArray[np.float64], influence: NDArray[np.float64]) -> float:
    """Return the degrees of freedom of sum_w h(w) I(w) from one periodogram I.

    With S1 = sum h I and S2 = sum (h I)^2 over positive frequencies: the variance of S1 is S2 / 2, because
    the square of an exponential variable is on average twice its variance; the square of its mean is then
    S1^2 - S2 / 2. Twice the ratio of the two is 4 S1^2 / S2 - 2.
    """
    frames = len(gap)
    power = np.abs(np.fft.rfft(gap - gap.mean())) ** 2
    weight = np.fft.rfft(influence, frames).real
    parts = (power * weight)[1:]
    return float(4 * parts.sum() ** 2 / (parts**2).sum() - 2)
