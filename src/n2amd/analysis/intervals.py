"""Error bars of time averages along one MD trajectory, from its memory: no resampling, no random numbers.

A mean of squares of Gaussian variables over its true value is distributed as chi-square over its degrees of
freedom, n = 2 mean^2 / variance of the mean (Satterthwaite, Biometrics Bull. 2, 110 (1946)). A coupling
squared, a probability to hop, and the variance of a gap are such means. The chi-square is skewed: a short
trajectory rather misses the large values than the small ones, so that rates come out too small, lifetimes too
long, and the interval reaches further to the short side than a bootstrap or a symmetric one would.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from n2amd.hopping.correlation import corrected

#: Degrees of freedom below which quantiles say nothing, and beyond which nothing is uncertain.
_FEWEST, _MOST = 1.0, 1e9


@dataclass(frozen=True)
class Interval:
    """A value with its confidence interval; None where the data do not tell."""

    value: float | None
    low: float | None
    high: float | None

    def inverse(self, numerator: float) -> Interval:
        """Return numerator / self, bounds exchanged; what would be infinite becomes unknown."""
        return Interval(*(numerator / x if x else None for x in (self.value, self.high, self.low)))

    def widened(self, other: Interval) -> Interval:
        """Return this value with the relative errors of an independent interval added to its own.

        The logarithms of the bounds over the value add in quadrature, each side by itself; to the bounds of
        an unknown value those of the other add as they are. A bound that either does not know is unknown.
        """
        if other.value is None:
            return Interval(self.value, None, None)
        factors = [x / other.value if x else None for x in (other.low, other.high)]
        bounds: list[float | None] = []
        for own, factor in zip((self.low, self.high), factors):
            if not own or not factor:
                bounds.append(None)
            elif self.value is None:
                bounds.append(own * factor)
            else:
                distance = float(np.hypot(np.log(own / self.value), np.log(factor)))
                bounds.append(self.value * float(np.exp(distance if factor > 1 else -distance)))
        return Interval(self.value, *bounds)

    def document(self, factor: float = 1.0) -> dict[str, float | None]:
        """Return {"value", "low", "high"}, multiplied by a factor."""
        bounds = {"value": self.value, "low": self.low, "high": self.high}
        return {key: None if x is None else factor * x for key, x in bounds.items()}


def true_over_found(freedom: float, probability: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Return quantiles of true mean over found mean of squares, freedom / chi-square, increasing."""
    from scipy.special import chdtri

    n = float(np.clip(freedom, _FEWEST, _MOST))
    return np.asarray(n / chdtri(n, probability))


def with_known_memory(freedom: float, frames: int, memory: int, confidence: float) -> float:
    """Return the degrees of freedom less for that the memory was estimated from the same few blocks.

    A variance summed up to the memory of `memory` of `frames` steps has frames / memory degrees of freedom
    itself (Priestley, Spectral Analysis and Time Series, ch. 6, truncated window), so that bounds lie at
    Student's t and not at the normal deviate: the variance is enlarged by the square of their ratio.
    """
    from scipy.special import ndtri, stdtrit

    blocks = max(frames / memory, 2.0)
    tail = 0.5 + confidence / 2
    return float(max(freedom / (stdtrit(blocks, tail) / ndtri(tail)) ** 2, _FEWEST))


@dataclass(frozen=True)
class Sample:
    """The mean of a non-negative series and how well it is known.

    Attributes
    ----------
    mean
        Of the series.
    freedom
        Degrees of freedom of the mean; what was estimated of the memory included.
    memory
        Steps after which the series has forgotten.
    """

    mean: float
    freedom: float
    memory: int

    def interval(self, confidence: float) -> Interval:
        """Return the mean with its interval."""
        tail = (1 - confidence) / 2
        low, high = self.mean * true_over_found(self.freedom, np.array([tail, 1 - tail]))
        return Interval(self.mean, float(low), float(high))


def sample(series: NDArray[np.float64], confidence: float, shortest_memory: float = 1.0) -> Sample:
    """Return mean, degrees of freedom and memory of a non-negative, correlated series.

    Parameters
    ----------
    series
        (n,), not all zero.
    confidence
        Of the interval it is for.
    shortest_memory
        Memory in steps that the trajectory is known to have: that of the gap, say.
    """
    mean = float(series.mean())
    # the scale drops out, but 1e-12 squared would not survive
    _, variance, memory = corrected(series / mean)
    longest = int(min(max(int(memory), shortest_memory), max(1, len(series) // 2)))
    freedom = 2 / float(variance) if variance > 2 / _MOST else _MOST
    return Sample(mean, with_known_memory(freedom, len(series), longest, confidence), longest)
