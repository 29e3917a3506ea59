"""What the renewal picture of two-state DISH leaves out: decoherence of the active state.

The clock of the active state runs at the rate eps / tau, eps the population outside it, so that it runs out
once in very many intervals between decoherences of the idle state. It then ends the coherent evolution in
the middle of an interval: with probability eps it leaves all of the wave function in the final state, else
the rest of the interval starts anew. Both change the probability that the interval ends with a hop.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from n2amd.errors import InputError
from n2amd.hopping.path import ClassicalPath
from n2amd.hopping.renewal import hop_probabilities, waiting_steps

#: Relative change of the rate from which on the renewal picture is refused.
LARGEST = 0.02
#: Numbers of intervals that the clock of the active state has been running for: all, then ever fewer.
_EVERY, _GROWTH, _LONGEST = 64, 1.03, 1e9
#: The clock has run out in all but this share of trajectories.
_REST = 1e-6


def active_decoherence_bias(
    path: ClassicalPath, propagators: NDArray[np.complex128], tau: float, temperature: float
) -> float:
    """Estimate by how much decoherence of the active state changes the rate of recombination.

    Interval after interval is taken to begin anywhere on the path, and the clock to start with an interval.
    Trajectories (gap 1 eV, tau 12.3 fs, lifetimes of 40 and 10 ps) find 0.027 and 0.083 where this gives
    0.033 and 0.116.

    Parameters
    ----------
    path
        With its start and final state.
    propagators
        (frames - 1, n, n).
    tau
        Dephasing time, fs.
    temperature
        K.

    Returns
    -------
    Relative change of the rate; positive where trajectories recombine faster than the renewal picture says.
    """
    m, timestep = waiting_steps(tau, path.timestep_fs), path.timestep_fs
    if m < 2:
        return 0.0  # an interval of one step has no middle
    probability = hop_probabilities(path, propagators, np.arange(1, m + 1), temperature)
    whole, inside = probability[-1], probability[:-1]
    begins, elapsed = np.arange(len(whole)), np.arange(1, m)
    alive, intervals, change, k = 1.0, 0.0, 0.0, 1
    while alive > _REST and k < _LONGEST:
        stretch = 1 if k < _EVERY else int(k * (_GROWTH - 1)) + 1
        # the clock after k - 1 whole intervals and some steps, in units of its limit tau / eps
        runs_out = ((k - 1) * m + elapsed)[:, None] * inside * (timestep / tau) >= 1.0
        hit = runs_out.any(axis=0)
        share = float(hit.mean())
        visits = alive * (stretch if share == 0 else (1.0 - (1.0 - share) ** stretch) / share)
        if share > 0:
            at = runs_out[:, hit].argmax(axis=0)
            after = (begins[hit] + elapsed[at]) % len(whole)
            anew = probability[m - elapsed[at] - 1, after]
            change += visits * float(np.sum(inside[at, begins[hit]] + anew - whole[hit])) / len(whole)
        intervals += visits
        alive *= (1.0 - share) ** stretch
        k += stretch
    mean = float(whole.mean())
    return change / intervals / mean if mean > 0 else 0.0


def check(path: ClassicalPath, propagators: NDArray[np.complex128], tau: float, temperature: float) -> None:
    """Raise InputError where the active state's decoherence changes the rate by more than 2 %."""
    bias = active_decoherence_bias(path, propagators, tau, temperature)
    if abs(bias) > LARGEST:
        raise InputError(
            f"the coupling is too strong for the renewal picture: decoherence of the active state, which it "
            f"leaves out, changes the rate by about {100 * bias:+.0f} %; the limit is {100 * LARGEST:g} %",
            field="dish_renewal",
            remedy="use dish",
        )
