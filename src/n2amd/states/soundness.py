"""How sound the states of a trajectory are: frames with false states, and frames beyond the training data."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from n2amd.states.store import StatesShard


def soundness(shards: Iterable[StatesShard]) -> dict[str, int]:
    """Count frames over all shards; one that two neighbouring shards share counts once.

    Parameters
    ----------
    shards
        Of one trajectory; each is looked at once, so that they need not be in memory together.

    Returns
    -------
    dict
        `n_frames`; `frames_with_false_states`; `frames_judged`: those at which the doubt of the model is
        known; `frames_outside`: those of them that are outside its training data.
    """
    frames: set[int] = set()
    false: set[int] = set()
    judged: set[int] = set()
    outside: set[int] = set()
    for shard in shards:
        frames.update(range(shard.info.start, shard.info.stop + 1))
        false.update(state.frame for state in shard.false_states)
        if shard.doubt is not None:
            judged.update(np.ravel(shard.doubt.frame[:, None] + np.arange(2)).tolist())
        outside.update(shard.outside_frames.tolist())
    return {
        "n_frames": len(frames),
        "frames_with_false_states": len(false),
        "frames_judged": len(judged),
        "frames_outside": len(outside),
    }
