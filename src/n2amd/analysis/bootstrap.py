"""Error bars of time averages along one MD trajectory: circular moving-block bootstrap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Interval:
    """A value with its confidence interval; None where the data do not tell."""

    value: float | None
    low: float | None
    high: float | None

    def inverse(self, numerator: float) -> Interval:
        """Return numerator / self, bounds exchanged; what would be infinite becomes unknown."""
        return Interval(*(numerator / x if x else None for x in (self.value, self.high, self.low)))

    def document(self, factor: float = 1.0) -> dict[str, float | None]:
        """Return {"value", "low", "high"}, multiplied by a factor."""
        bounds = {"value": self.value, "low": self.low, "high": self.high}
        return {key: None if x is None else factor * x for key, x in bounds.items()}


def block_means(series: NDArray[np.float64], block: int, resamples: int, seed: int) -> NDArray[np.float64]:
    """Return means of the series resampled in blocks.

    Parameters
    ----------
    series
        Stationary time series, (n,).
    block
        Block length in steps, 1..n; longer than the memory of the series.
    resamples
        Number of resamples.
    seed
        Seed; the same seed gives the same resamples for every series of the same length.

    Returns
    -------
    NDArray
        (resamples,). Blocks run around the end (circular bootstrap, Politis and Romano 1992), so that every
        step has the same weight.
    """
    n = len(series)
    n_blocks = -(-n // block)
    starts = np.random.default_rng(seed).integers(0, n, size=(resamples, n_blocks))
    running = np.concatenate([[0.0], np.cumsum(np.concatenate([series, series[:block]]))])
    return ((running[starts + block] - running[starts]) / block).mean(axis=1)


def mean_of_positive(
    series: NDArray[np.float64], block: int, *, resamples: int, confidence: float, seed: int
) -> Interval:
    """Return the time average of a positive, skewed series with its confidence interval.

    The interval is taken on the logarithm with Student's t for the number of blocks: with the 5-20 blocks of
    a picosecond trajectory the plain percentile interval of a chi-square-like series covers 80-85 % instead
    of 95 %, this one about 90 % (`docs/results.md`).

    Parameters
    ----------
    series
        Non-negative series, (n,), not all zero.
    block
        Block length in steps; cut to n / 2, below which no spread between blocks can be seen.
    resamples, confidence, seed
        Of the bootstrap.
    """
    from scipy.stats import t as student

    n = len(series)
    mean = float(series.mean())
    block = max(1, min(block, n // 2))
    means = block_means(series, block, resamples, seed)
    means = means[means > 0]
    # blocks of b steps in n miss a share b/n of the variance
    spread = float(np.log(means).std(ddof=1)) / np.sqrt(1 - block / n)
    width = float(student.ppf(0.5 + confidence / 2, max(n / block - 1, 1))) * spread
    return Interval(mean, mean * float(np.exp(-width)), mean * float(np.exp(width)))
