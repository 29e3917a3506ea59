"""What a method returns for some trajectories of one sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Outcome:
    """Populations and hops of some trajectories of one sample.

    Attributes
    ----------
    population
        (times, n): numbers of trajectories in each state (integers, which add up exactly in any order), or
        probabilities where the method needs no trajectories.
    hops
        Number of hops from state i to state j, (n, n).
    arrival_step, arrival_source
        Step of the first arrival in the final state and the state it came from, (trajectories,), -1 if never.
    """

    population: NDArray
    hops: NDArray[np.int64]
    arrival_step: NDArray[np.int64]
    arrival_source: NDArray[np.int64]
