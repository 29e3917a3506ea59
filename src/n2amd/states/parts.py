"""Which frames of a trajectory are a shard."""

from __future__ import annotations

from collections.abc import Iterator


def parts_of_trajectory(n_frames: int, per_shard: int) -> Iterator[tuple[int, int]]:
    """First and last frame of each shard: always the same frames, however long the trajectory.

    A shard but the first also holds the frame before its own (`read_slice`), so that more frames are more
    shards, and only the last one is made anew where it was not full.

    Examples
    --------
    >>> list(parts_of_trajectory(100, 40))
    [(0, 39), (40, 79), (80, 99)]
    """
    for first in range(0, n_frames, per_shard):
        yield first, min(first + per_shard, n_frames) - 1
