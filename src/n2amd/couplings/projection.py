"""Weights on atoms and shells of the states that columns hold, from those of each frame's eigenvectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from n2amd.errors import InputError
from n2amd.states.projection import Projection, on_atoms, participation

__all__ = ["Projection", "carried", "on_atoms", "participation"]


def carried(shards: Sequence[Projection | None], gauge: NDArray) -> Projection | None:
    """Follow the weights through ordering and tracking.

    A column that holds one eigenvector, as all do in energy order, has its weights, whatever its phase.
    Within a group that is transported together (character order) the eigenvectors' weights are averaged with
    |gauge|^2, as their energies are: the interference between them, which would take weights of every pair of
    states, is left out. The sum over the group is exact.

    Parameters
    ----------
    shards
        Of all shards in order; neighbours share a frame, which is taken from the earlier one.
    gauge
        States of the columns in terms of each frame's eigenvectors, (F, w, n).

    Returns
    -------
    projection
        Weights (F, n, g), or None where no shard holds any.

    Raises
    ------
    InputError
        If only some shards hold weights, or of other sites or another partition.
    """
    held = [projection for projection in shards if projection is not None]
    if not held:
        return None
    first = held[0]
    for number, projection in enumerate(shards):
        if (
            projection is None
            or projection.partition != first.partition
            or not projection.sites.same_as(first.sites)
        ):
            raise InputError(
                f"shard {number} holds no weights or others than the rest",
                field="states.projections",
                remedy="make all shards with the same settings",
            )
    share = np.abs(gauge) ** 2
    weights = np.empty((len(gauge), gauge.shape[2], first.weights.shape[2]), dtype=np.float32)
    frame = 0
    for number, projection in enumerate(held):
        # the first frame of a later shard is the last one of the shard before
        for own in projection.weights[0 if number == 0 else 1 :]:
            weights[frame] = share[frame].T @ own
            frame += 1
    return Projection(first.sites, first.partition, weights)
