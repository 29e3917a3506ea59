"""Lifetimes counted from DISH trajectories."""

from __future__ import annotations

import numpy as np

from n2amd.hopping import dish


def counted_lifetime(
    tables: dish.DishTables, starts: range, trajectories: int, steps: int, start_state: int = 1
) -> tuple[float, int]:
    """Time at risk over arrivals, in steps, and the number of arrivals; a sample begins at each start frame.

    Parameters
    ----------
    tables
        As `dish.prepare` makes them, absorbing.
    starts, trajectories, steps
        Start frames, trajectories from each, and how long they are followed.
    start_state
        Column that all begin in.
    """
    time = arrivals = 0
    for sample, start in enumerate(starts):
        block = dish.run_block(
            tables,
            seed=1,
            sample=sample,
            start_frame=start,
            start_state=start_state,
            steps=steps,
            stride=steps,
            trajectories=range(trajectories),
        )
        arrived = block.arrival_step >= 0
        arrivals += int(arrived.sum())
        time += int(np.where(arrived, block.arrival_step, steps).sum())
    return time / arrivals, arrivals
