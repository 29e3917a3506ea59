"""Autocovariance of correlated series, and what the mean of so few independent values hides from it.

The mean of a correlated series scatters about the true one. Deviations from the series' own mean are
therefore too small, by the variance of the mean, at every lag: of 600 frames whose memory is 50 fs a fifth of
the variance is missing, and with it a tenth of the dephasing rate.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Share of the variance that the mean may have taken; beyond that, it is guesswork.
_MOST_TAKEN = 0.5
#: Rounds of making variance of the mean and memory consistent; they settle within a few.
_ROUNDS = 50


def autocorrelation(series: NDArray[np.float64], lags: int) -> NDArray[np.float64]:
    """Sum over t of d(t) d(t + lag), d the deviations from the mean, over all frames.

    Parameters
    ----------
    series
        (..., frames); complex series are not supported.
    lags
        Lags wanted, from 0.

    Returns
    -------
    (..., lags)
    """
    from scipy.fft import irfft, next_fast_len, rfft

    frames = series.shape[-1]
    deviation = series - series.mean(axis=-1, keepdims=True)
    length = next_fast_len(frames + lags, real=True)
    transform = rfft(deviation, length, axis=-1)
    power = transform.real**2 + transform.imag**2
    return irfft(power, length, axis=-1)[..., :lags] / frames


def corrected(series: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray, NDArray]:
    """Autocovariance about the true mean: means over the pairs of frames, plus the variance of the mean.

    The variance of the mean of N frames is the sum of (1 - |k|/N) C(k) over lags k, over N (Priestley,
    Spectral Analysis and Time Series, section 5.3); C is the corrected autocovariance itself, so that the two
    are made consistent. The sum ends at the first zero of C: what comes after is mostly noise.

    Parameters
    ----------
    series
        (..., frames), at least 2.

    Returns
    -------
    (..., frames // 2) autocovariance; (...) variance of the mean; (...) memory: lag of the first zero, steps.
    """
    frames = series.shape[-1]
    lags = max(1, frames // 2)
    k = np.arange(lags)
    raw = autocorrelation(series, lags) * (frames / (frames - k))
    flat = raw.reshape(-1, lags)
    weights = np.where(k == 0, 1.0, 2.0) * (1 - k / frames) / frames
    sums, taken = np.cumsum(flat * weights, axis=1), np.minimum(np.cumsum(weights), _MOST_TAKEN)
    rows = np.arange(len(flat))
    memory, variance = np.zeros(len(flat), int), np.zeros(len(flat))
    for _ in range(_ROUNDS):
        below = flat <= -variance[:, None]
        zero = np.where(below.any(axis=1), below.argmax(axis=1), lags)
        if (zero == memory).all():
            break
        memory, last = zero, np.maximum(zero, 1) - 1
        # C = raw + variance inside the sum: solved for the variance
        variance = np.maximum(sums[rows, last], 0.0) / (1 - taken[last])
    shape = series.shape[:-1]
    return (
        (flat + variance[:, None]).reshape(raw.shape),
        variance.reshape(shape),
        np.maximum(memory, 1).reshape(shape),
    )
