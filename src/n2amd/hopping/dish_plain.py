"""DISH by its plain rules, one trajectory and one step at a time: what the fast kernel must reproduce."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from n2amd.hopping.dish import rates
from n2amd.hopping.dish_kernel import STREAM
from n2amd.hopping.path import ClassicalPath
from n2amd.hopping.philox import draw, uniform


class Stream:
    """Random words of one trajectory, in order."""

    def __init__(self, seed: int, sample: int, trajectory: int) -> None:
        self._key = seed, sample, trajectory
        self._used = 0

    def word(self) -> int:
        """Return the next 32 bits."""
        words = draw(*self._key, self._used // 4, STREAM)
        self._used += 1
        return int(words[(self._used - 1) % 4])

    def uniform(self) -> float:
        """Return a number in [0, 1)."""
        return uniform(self.word(), self.word())


def run_trajectory(
    path: ClassicalPath,
    propagators: NDArray[np.complex128],
    dephasing_time: NDArray[np.float64],
    temperature: float,
    *,
    seed: int,
    sample: int,
    trajectory: int,
    start_frame: int,
    start_state: int,
    steps: int,
    waiting: str = "deterministic",
    absorbing: bool = True,
) -> NDArray[np.int64]:
    """Active state at every step, (steps + 1,); parameters as of `dish.prepare` and `dish.run_block`."""
    n = path.states
    rate = rates(dephasing_time, path.timestep_fs)
    costs = path.hop_costs(temperature)
    stream = Stream(seed, sample, trajectory)

    def patience() -> float:
        return -np.log(1.0 - stream.uniform()) if waiting == "exponential" else 1.0

    c = np.zeros(n, dtype=np.complex128)
    c[start_state] = 1.0
    active = start_state
    survival, threshold = 1.0, stream.uniform()
    clock, limit = np.zeros(n), np.array([patience() for _ in range(n)])
    history = np.full(steps + 1, active)
    for step in range(1, steps + 1):
        interval = (start_frame + step - 1) % path.intervals
        c = propagators[interval] @ c
        c /= np.linalg.norm(c)
        clock += 1
        due = np.nonzero(clock * (rate @ np.abs(c) ** 2) >= limit)[0]
        if len(due):
            i = int(due[stream.word() * len(due) >> 32 if len(due) > 1 else 0])
            clock[i], limit[i] = 0.0, patience()
            survival *= 1.0 - abs(c[i]) ** 2
            accepted = False
            if survival <= threshold:
                chance, survival, threshold = stream.uniform(), 1.0, stream.uniform()
                accepted = chance < np.exp(-max(0.0, costs[interval, i] - costs[interval, active]))
            if accepted:
                c = np.eye(n, dtype=np.complex128)[i]
                active = i
            else:
                c[i] = 0.0
        history[step:] = active
        if absorbing and active == path.final:
            break
    return history
