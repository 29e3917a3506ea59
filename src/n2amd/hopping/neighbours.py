"""States beside a carrier's own that must be propagated with them, and how many are enough.

A carrier hops among few states, but its amplitude does not keep to them: where a band edge swaps with a
neighbour, the amplitude goes to the neighbour and comes back with the next swap. Cut away, it returns at
once and with a jump in its phase, which across a gap makes rates too fast (1.0 to 1.5 times with swaps in 3 %
of the steps: docs/decisions/local-diabatic-step.md). So the neighbours are carried along as closed states.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from n2amd.hopping.path import ClassicalPath
from n2amd.hopping.propagators import Scheme, build, cut
from n2amd.hopping.renewal import hop_probabilities, waiting_steps

#: Relative change of the rate that is of no matter.
_TOLERANCE = 0.01


def with_neighbours(path: ClassicalPath, scheme: Scheme, substeps: int, tau: float) -> ClassicalPath:
    """Add as many closed states as it takes for the rate across the gap to be that of the whole window.

    The rate is the probability of a hop across the gap within a dephasing time, averaged over start frames.
    States beyond the outermost open one are added, the nearest first, until it is within 1 % of what all
    states of the window give; then so are those next to the final state.

    Parameters
    ----------
    path
        Open states of an electron or a hole, as `read_couplings` gives them; others are returned as they are.
    scheme, substeps
        Of the propagators.
    tau
        Dephasing time of start and final state, fs.
    """
    if path.source is None or path.source.pairs is not None:
        return path
    window = path.whole
    propagators = build(window, scheme, substeps)
    # around the dephasing time, so that a zero of the rippling probability does not decide alone
    waiting = waiting_steps(tau, path.timestep_fs)
    steps = np.arange(max(1, waiting - 1), waiting + 2)
    wanted = _rates(window, propagators, steps)
    before, beyond = _outside(window, path.source.columns)

    def enough(first: int, second: int) -> bool:
        chosen = _with(path, [*before[:first], *beyond[:second]])
        assert chosen.source is not None
        found = _rates(chosen, cut(propagators, chosen.source), steps)
        return bool((np.abs(found - wanted) <= _TOLERANCE * wanted).all())

    outer = next((n for n in range(len(beyond)) if enough(len(before), n)), len(beyond))
    inner = next((n for n in range(len(before)) if enough(n, outer)), len(before))
    return _with(path, [*before[:inner], *beyond[:outer]])


def _with(path: ClassicalPath, added: list[int]) -> ClassicalPath:
    """The path with columns of its window as closed states."""
    assert path.source is not None
    columns = [*map(int, path.source.columns), *map(int, added)]
    return path.whole.part(columns, start=path.start, final=path.final, closed=len(added))


def _outside(window: ClassicalPath, own: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Columns of the window beyond the final state and beyond the open ones, the nearest first."""
    if window.spin is not None:
        # spins that are closed lie between those that are open
        others = np.setdiff1d(np.arange(window.states), own)
        down, up = others[others < own.max()][::-1], others[others > own.max()]
        return (down, up) if window.final < window.start else (up, down)
    step = window.multiplicity
    down = np.arange(own.min() - step, -1, -step)
    up = np.arange(own.max() + step, window.states, step)
    return (down, up) if window.final < window.start else (up, down)


def _rates(
    path: ClassicalPath, propagators: NDArray[np.complex128], steps: NDArray[np.int64]
) -> NDArray[np.float64]:
    return hop_probabilities(path, propagators, steps, float("inf")).mean(axis=1)
