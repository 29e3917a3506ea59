"""States near the gap that no sound Hamiltonian has: where a network is beyond its training data.

Three signs, each of one state at one frame, against what is usual for the shard: it is made of nearly empty
directions of the basis (a large sum of |c|^2), it is gone from the window a time step before and after, or
its energy jumps there and back. The largest |c|^2 of a frame alone hides a state that closes the gap behind
the harmless norms of higher conduction states.

Where all frames are wrong nothing is unusual among them. So two more signs are held against the training
frames: the norms that states near the gap have there, and where the gap lies. False states below the valence
band move the window down: what is then called the gap lies far below.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: A state whose sum of |c|^2 is this many times the median of its level over the frames is doubtful.
NORM_RATIO = 3.0
#: A state of which less than this is left in the window of a neighbouring frame is no neighbour of it.
LEAST_WEIGHT = 0.5
#: A level further than this from both neighbours in time, to the same side, jumps (eV); and than this many
#: times what is usual.
JUMP_EV, JUMP_RATIO = 0.3, 6.0


#: The gap of a frame may lie this far from that of the training frames, eV.
GAP_SHIFT_EV = 5.0


@dataclass(frozen=True)
class TrainedStates:
    """States near the gap of the frames that a model was trained on; what is not known is None.

    Attributes
    ----------
    norm
        Largest sum of |c|^2.
    middle
        Middle of the gap, eV.
    """

    norm: float | None = None
    middle: float | None = None


NOTHING_KNOWN = TrainedStates()


@dataclass(frozen=True)
class FalseState:
    """A state that is doubtful: frame, absolute band index, energy (eV), and why."""

    frame: int
    band: int
    energy: float
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        return f"frame {self.frame}, band {self.band} at {self.energy:.3f} eV ({'; '.join(self.reasons)})"


def find_false_states(
    energies: NDArray[np.float64],
    norms: NDArray[np.float64],
    overlap: NDArray,
    inner: slice,
    start: int = 0,
    first_band: int = 0,
    trained: TrainedStates = NOTHING_KNOWN,
    vbm: int | None = None,
) -> list[FalseState]:
    """Doubtful states among the inner ones of a window.

    Parameters
    ----------
    energies, norms
        Of each state, (f, w), eV and sum of |c|^2.
    overlap
        O(t, t+dt), (f - 1, w, w).
    inner
        States that are looked at: the outermost leave the window by nature.
    start, first_band
        Number of the first frame and of the first band.
    trained
        What the training frames of the model had.
    vbm
        Place of the VBM in the window, needed where the middle of their gap is known.
    """
    usual = np.median(norms, axis=0)
    if trained.norm is not None:
        usual = np.minimum(usual, trained.norm)
    large = norms > NORM_RATIO * usual
    lost = _lost(overlap)
    jumps, distance = _jumps(energies)
    found = []
    for frame, state in np.argwhere(large | lost | jumps):
        if not inner.start <= state < inner.stop:
            continue
        reasons = []
        if large[frame, state]:
            reasons.append(f"the sum of its |c|^2 is {norms[frame, state]:.1f}, usual are {usual[state]:.1f}")
        if lost[frame, state]:
            reasons.append("it is not among the states of the neighbouring frames")
        if jumps[frame, state]:
            reasons.append(f"it is {abs(distance[frame, state]):.2f} eV from the same level a step away")
        # one of the other signs alone may be a crossing
        if large[frame, state] or len(reasons) > 1:
            energy = float(energies[frame, state])
            found.append(FalseState(start + int(frame), first_band + int(state), energy, tuple(reasons)))
    if trained.middle is not None and vbm is not None:
        found += _of_displaced_gaps(energies[:, vbm : vbm + 2], trained.middle, start, first_band + vbm)
    return found


def _of_displaced_gaps(edges: NDArray[np.float64], trained: float, start: int, band: int) -> list[FalseState]:
    """VBMs of frames whose gap lies nowhere near that of the training frames; edges (f, 2), eV."""
    middle = edges.mean(axis=1)
    return [
        FalseState(
            start + int(frame),
            band,
            float(edges[frame, 0]),
            (
                f"the middle of its gap is at {middle[frame]:.1f} eV, in the training frames at "
                f"{trained:.1f}: false states lie below or above it",
            ),
        )
        for frame in np.flatnonzero(np.abs(middle - trained) > GAP_SHIFT_EV)
    ]


def _lost(overlap: NDArray) -> NDArray[np.bool_]:
    """States of which too little is left in every neighbouring frame, (f, w)."""
    weight = np.abs(overlap) ** 2
    kept = np.zeros((len(overlap) + 1, overlap.shape[1]))
    kept[:-1] = weight.sum(axis=2)
    kept[1:] = np.maximum(kept[1:], weight.sum(axis=1))
    return kept < LEAST_WEIGHT


def _jumps(energies: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Levels that leave for one frame, and how far from the nearer neighbour in time, (f, w), eV."""
    steps = np.diff(energies, axis=0)
    usual = np.median(np.abs(steps), axis=0) if len(steps) else 0.0
    back, on = -steps[:-1], steps[1:]
    distance = np.zeros_like(energies)
    same_side = back * on > 0
    distance[1:-1] = np.where(same_side, np.where(np.abs(back) < np.abs(on), back, on), 0.0)
    return np.abs(distance) > np.maximum(JUMP_EV, JUMP_RATIO * usual), distance
