"""Where components of bond features stand in the matrices of the compiled messages.

In the frame of a bond the components +m and -m of both parities make the rows of one matrix product, see
`n2amd.network.so2`. Per batch of bonds there is one matrix a product, called a block: natural m = 0,
unnatural m = 0, and for each m > 0 first (n_+, u_-), then (n_-, u_+).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from n2amd.network.features import Channels
from n2amd.network.so2 import SO2Linear, signs

Integers = NDArray[np.int64]
Floats = NDArray[np.float32]


class Pieces(NamedTuple):
    """Places of the channels of one l, component and parity: rows of integers.

    Attributes
    ----------
    block, column
        (l_max + 1, 2 l_max + 1, 2): of natural (0) and unnatural (1) channels.
    widths
        Columns of each block, (n_blocks,).
    """

    block: Integers
    column: Integers
    widths: Integers


def pieces_of(channels: Channels) -> Pieces:
    """Places of features with this layout."""
    l_max = channels.l_max
    block = np.zeros((l_max + 1, 2 * l_max + 1, 2), dtype=np.int64)
    column = np.zeros_like(block)
    widths = [sum(channels.natural), sum(channels.unnatural)]
    for m in range(1, l_max + 1):
        widths += 2 * [sum(channels.natural[m:]) + sum(channels.unnatural[m:])]
    for l in range(l_max + 1):
        for m in range(-l, l + 1):
            first = abs(m)
            natural, unnatural = sum(channels.natural[first:l]), sum(channels.unnatural[first:l])
            if m == 0:
                block[l, l] = 0, 1
            else:
                block[l, l + m] = (2 * m, 2 * m + 1) if m > 0 else (1 - 2 * m, -2 * m)
                unnatural += sum(channels.natural[first:])
            column[l, l + m] = natural, unnatural
    return Pieces(block, column, np.array(widths, dtype=np.int64))


def block_weights(linear: SO2Linear) -> list[torch.Tensor]:
    """Matrix of every block."""
    matrices: list[torch.Tensor] = [linear.natural, linear.unnatural]
    for m, weight in enumerate(linear.weights, start=1):
        rows, columns = sum(linear.inputs.natural[m:]), sum(linear.outputs.natural[m:])
        matrices += [weight, weight * signs(weight, rows, columns)]
    return matrices


@dataclass(frozen=True)
class Gates:
    """Which columns a gate multiplies: (n, 4) with block, first column, number, first gate."""

    rows: Integers

    @classmethod
    def of(cls, channels: Channels, pieces: Pieces) -> Gates:
        """Gates of hidden channels, in the order of `n2amd.network.features.Gate`."""
        return cls(np.array(list(_gate_rows(channels, pieces)), dtype=np.int64).reshape(-1, 4))


def _gate_rows(channels: Channels, pieces: Pieces) -> Iterator[tuple[int, int, int, int]]:
    gate = 0
    for l in range(1, channels.l_max + 1):
        for parity, count in enumerate((channels.natural[l], channels.unnatural[l])):
            for k in range(2 * l + 1):
                yield int(pieces.block[l, k, parity]), int(pieces.column[l, k, parity]), count, gate
            gate += count
