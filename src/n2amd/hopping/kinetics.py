"""A carrier that hops between states at constant rates, until it recombines: a continuous-time Markov chain.

The mean time h_i from state i to the final one obeys S_i h_i = 1 + sum_j K_ij h_j, with K_ij the rate from i
to j and S_i = sum_j K_ij. States are eliminated one by one, h_e = (1 + sum_j K_ej h_j) / S_e, and each S_i is
summed anew instead of being diminished: nothing is subtracted, so that rates of many orders of magnitude are
no trouble (W. K. Grassmann, M. I. Taksar, D. P. Heyman, Oper. Res. 33, 1107 (1985)).
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
from numpy.typing import NDArray


def times_spent(rates: NDArray[np.float64], start: int, final: int) -> NDArray[np.float64]:
    """Mean time spent in each state before the final one is reached.

    Parameters
    ----------
    rates
        K_ij from i to j, (..., n, n), the diagonal left alone.
    start, final
        States.

    Returns
    -------
    (..., n), in the inverse unit of the rates; infinite in the start state where the final one need not be
    reached.
    """
    n = rates.shape[-1]
    hops = rates * (1 - np.eye(n))
    # time that a visit counts, by the state it is spent in
    spent = np.broadcast_to(np.eye(n), rates.shape).copy()
    for gone in (k for k in range(n) if k not in (start, final)):
        total = hops[..., gone, :].sum(axis=-1)
        into = hops[..., :, gone]
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(into > 0, into / total[..., None], 0.0)
        # a state without a way out keeps the carrier for ever
        trapped = np.isinf(share)
        share = np.where(trapped, 0.0, share)
        spent += share[..., :, None] * spent[..., gone, None, :]
        spent[..., :, gone] = np.where(trapped, np.inf, spent[..., :, gone])
        hops = hops + share[..., :, None] * hops[..., gone, None, :]
        hops[..., :, gone] = 0.0
        hops[..., gone, :] = 0.0
        hops[..., np.arange(n), np.arange(n)] = 0.0
    rate = hops[..., start, final, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        result = np.where(spent[..., start, :] > 0, spent[..., start, :] / rate, 0.0)
    result[..., final] = 0.0
    return result


def lifetime(rates: NDArray[np.float64], start: int, final: int) -> NDArray[np.float64]:
    """Mean time to the final state, (...); infinite where it need not be reached."""
    return times_spent(rates, start, final).sum(axis=-1)


def share_by_last(rates: NDArray[np.float64], start: int, final: int) -> NDArray[np.float64]:
    """Share of arrivals at the final state by the state that they come from, (..., n).

    They add up to one; all zero where the final state need not be reached.
    """
    spent = times_spent(rates, start, final)
    reached = np.isfinite(spent).all(axis=-1, keepdims=True)
    return np.where(reached, spent, 0.0) * np.where(reached, rates[..., :, final], 0.0)


def populations(
    rates: NDArray[np.float64], start: int, final: int, time: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Populations at some times of a carrier that stays in the final state, (T, n); rates (n, n)."""
    n = len(rates)
    generator = rates * (1 - np.eye(n))
    generator[final] = 0.0
    generator -= np.diag(generator.sum(axis=1))
    return np.stack([scipy.linalg.expm(generator * t)[start] for t in time])
