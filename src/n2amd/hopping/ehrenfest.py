"""Ehrenfest dynamics under the classical path: populations are those of the amplitudes, |c_i|^2.

No trajectories and no noise; no detailed balance either (the carrier heats up without limit), which is why
surface hopping exists: Parandekar, Tully, J. Chem. Phys. 122, 094102 (2005).
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from n2amd.hopping.fssh import propagate
from n2amd.hopping.outcome import Outcome


def run_sample(
    propagators: NDArray[np.complex128],
    *,
    seed: int,
    sample: int,
    start_frame: int,
    start_state: int,
    steps: int,
    stride: int,
    trajectories: range,
    open_states: int | None = None,
    members: int = 1,
) -> Outcome:
    """Populations of one sample; `propagators` are (frames - 1, n, n), seed and sample do not matter.

    Parameters
    ----------
    open_states
        How many states, the first ones, a carrier can be in: they share what the amplitudes have on others.
    members
        How many neighbouring states are one, whose populations are added: it starts in all of them alike.
    """
    n = propagators.shape[1]
    never = np.full((2, len(trajectories)), -1, dtype=np.int64)
    stored = np.zeros((steps // stride + 1, n))
    for state in range(start_state * members, (start_state + 1) * members):
        part = np.zeros_like(stored)
        _populations(np.ascontiguousarray(propagators), start_frame, state, steps, stride, part)
        stored += part / members
    if open_states is not None and open_states < n:
        stored[:, open_states:] = 0.0
        stored /= stored.sum(axis=1, keepdims=True)
    levels = n // members
    together = stored.reshape(len(stored), levels, members).sum(axis=2)
    return Outcome(together, np.zeros((levels, levels), dtype=np.int64), never[0], never[1])


@njit(cache=True)
def _populations(propagators, frame, state, steps, stride, stored):  # type: ignore[no-untyped-def]
    n, lap = propagators.shape[1], len(propagators)
    c, new = np.zeros(n, dtype=np.complex128), np.empty(n, dtype=np.complex128)
    c[state] = stored[0, state] = 1.0
    for step in range(1, steps + 1):
        propagate(propagators[frame], c, new)
        # unitary but for rounding, which would add up over long runs
        c[:] = new / np.sqrt(np.sum(new.real**2 + new.imag**2))
        frame = 0 if frame + 1 == lap else frame + 1
        if step % stride == 0:
            stored[step // stride] = c.real**2 + c.imag**2
