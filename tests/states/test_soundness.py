"""Frames of a trajectory with false states, and beyond the training data, over all of its shards."""

from __future__ import annotations

import numpy as np

from n2amd.states.doubt import OUTSIDE_RATIO, StateDoubt
from n2amd.states.soundness import soundness
from n2amd.states.store import ShardInfo, StatesShard

STATES, OCCUPIED, ORBITALS = 6, 3, 20


def a_shard(start: int, stop: int, false: list[int], doubt: StateDoubt | None) -> StatesShard:
    """Six quiet states; at the frames `false` the VBM is made of nearly empty directions."""
    frames = stop - start + 1
    norms = np.full((frames, STATES), 1.3)
    norms[np.array(false, int) - start, OCCUPIED - 1] = 9.0
    levels = np.array([-0.4, -0.2, 0.0, 1.8, 2.0, 2.2])
    coefficients = np.eye(ORBITALS, STATES)
    return StatesShard(
        ShardInfo(start, stop, OCCUPIED, ORBITALS, 1.0, 2, 2, "exact"),
        energies=np.tile(levels, (frames, 1)),
        band_index=np.arange(STATES),
        overlap=np.tile(np.eye(STATES), (frames - 1, 1, 1)),
        residual=np.zeros(frames),
        orthonormality_error=np.zeros(frames),
        coefficient_norms=norms,
        first_coefficients=coefficients,
        last_coefficients=coefficients,
        last_overlap_coefficients=coefficients,
        doubt=doubt,
    )


def a_doubt(frame: list[int], spread: list[float]) -> StateDoubt:
    """Draws that shift every level of a moment by its spread, either way; usual are 0.01 eV."""
    sign = np.array([1.0, -1.0])[None, None, :, None, None]
    elements = np.array(spread)[:, None, None, None, None] * sign * np.eye(STATES) * np.ones((1, 2, 1, 1, 1))
    return StateDoubt(np.array(frame), elements, 0.01)


def test_frames_are_counted_once_over_all_shards() -> None:
    beyond = 1.1 * OUTSIDE_RATIO * 0.01
    shards = [
        a_shard(0, 10, [4, 10], a_doubt([0, 5], [0.01, beyond])),
        # frame 10 belongs to both
        a_shard(10, 20, [10, 12], a_doubt([5, 15], [beyond, 0.02])),
    ]
    assert soundness(iter(shards)) == {
        "n_frames": 21,
        "frames_with_false_states": 3,
        "frames_judged": 6,
        "frames_outside": 2,
    }


def test_without_doubt_no_frame_counts_as_judged() -> None:
    found = soundness([a_shard(0, 20, [], None)])
    assert found == {"n_frames": 21, "frames_with_false_states": 0, "frames_judged": 0, "frames_outside": 0}
