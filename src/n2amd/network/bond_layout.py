"""Where components of bond features stand in the matrices of the compiled messages.

In the frame of a bond the components +m and -m of both parities make the rows of one matrix product, see
`n2amd.network.so2`. Per batch of bonds there is one matrix a product, called a block, with a column a bond:
natural m = 0, unnatural m = 0, and for each m > 0 first (n_+, u_-), then (n_-, u_+). The blocks stand one
below the other. Outside the frame features are packed: l after l, component after component, its channels.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from n2amd.network.features import Channels
from n2amd.network.so2 import SO2Linear, signs

Integers = NDArray[np.int64]


class Places(NamedTuple):
    """Where the messages' kernel finds what it needs: tables over packed components of an atom.

    Attributes
    ----------
    channels
        Of each l, (l_max + 1,).
    inputs
        Row, among the first map's inputs, of each component of the receiving and of the sending atom,
        (2, n_components).
    factors
        Radial factor of each, (2, n_components).
    outputs
        Row of each component among the second map's outputs, (n_components,).
    gates
        Gate of each row of hidden features; -1: none, (n_rows,).
    n_scalars, n_gates
        Rows of the hidden scalars, which come first, and of the gates, which follow.
    """

    channels: Integers
    inputs: Integers
    factors: Integers
    outputs: Integers
    gates: Integers
    n_scalars: int
    n_gates: int

    @classmethod
    def of(cls, inputs: Channels, hidden: Channels, gated: Channels, outputs: Channels) -> Places:
        """Tables for messages of features `inputs` by `hidden` ones, which are `gated` before their gates."""
        both, natural = rows_of(inputs.doubled()), inputs.natural
        rows, factors, begin, first = list[list[int]]([[], []]), list[list[int]]([[], []]), 0, 0
        for l in range(inputs.l_max + 1):
            n, u = natural[l], inputs.unnatural[l]
            for k in range(2 * l + 1):
                for side in (0, 1):
                    # both atoms' natural channels stand side by side, then the unnatural ones
                    own = [*range(side * n, side * n + n), *range(2 * n + side * u, 2 * n + side * u + u)]
                    rows[side] += [int(both[begin + k * 2 * (n + u) + c]) for c in own]
                    factors[side] += [first + c for c in own]
            begin, first = begin + (2 * l + 1) * 2 * (n + u), first + 2 * (n + u)
        return cls(
            np.array([inputs.total(l) for l in range(inputs.l_max + 1)], dtype=np.int64),
            np.array(rows, dtype=np.int64),
            np.array(factors, dtype=np.int64),
            rows_of(outputs),
            _gates_of(hidden, gated),
            hidden.natural[0],
            gated.natural[0] - hidden.natural[0],
        )


@lru_cache(maxsize=128)
def block_widths(channels: Channels) -> Integers:
    """Rows of each block."""
    widths = [sum(channels.natural), sum(channels.unnatural)]
    for m in range(1, channels.l_max + 1):
        widths += 2 * [sum(channels.natural[m:]) + sum(channels.unnatural[m:])]
    return np.array(widths, dtype=np.int64)


def rows_of(channels: Channels) -> Integers:
    """Row of each packed component."""
    widths = block_widths(channels)
    starts = np.cumsum(widths) - widths
    rows: list[int] = []
    for l in range(channels.l_max + 1):
        for m in range(-l, l + 1):
            first = abs(m)
            natural, unnatural = sum(channels.natural[first:l]), sum(channels.unnatural[first:l])
            of_natural, of_unnatural = (
                (0, 1) if m == 0 else (2 * m, 2 * m + 1) if m > 0 else (1 - 2 * m, -2 * m)
            )
            if m != 0:
                unnatural += sum(channels.natural[first:])
            begin = starts[of_natural] + natural
            rows += range(begin, begin + channels.natural[l])
            begin = starts[of_unnatural] + unnatural
            rows += range(begin, begin + channels.unnatural[l])
    return np.array(rows, dtype=np.int64)


@lru_cache(maxsize=32)
def places_of(inputs: Channels, hidden: Channels, gated: Channels, outputs: Channels) -> Places:
    """`Places.of`, made once for a layout."""
    return Places.of(inputs, hidden, gated, outputs)


def _gates_of(hidden: Channels, gated: Channels) -> Integers:
    """Gate of each row of hidden features, in the order of `n2amd.network.features.Gate`."""
    rows = rows_of(gated)
    gates = np.full(len(rows), -1, dtype=np.int64)
    at, first = gated.natural[0], 0
    for l in range(1, hidden.l_max + 1):
        total = hidden.total(l)
        for _ in range(2 * l + 1):
            gates[rows[at : at + total]] = range(first, first + total)
            at += total
        first += total
    return gates


def block_weights(linear: SO2Linear) -> list[torch.Tensor]:
    """Matrix of every block."""
    matrices: list[torch.Tensor] = [linear.natural, linear.unnatural]
    for m, weight in enumerate(linear.weights, start=1):
        rows, columns = sum(linear.inputs.natural[m:]), sum(linear.outputs.natural[m:])
        matrices += [weight, weight * signs(weight, rows, columns)]
    return matrices
