"""Compiled loops of the messages of bonds: a few bonds at a time, so that their features stay in the cache.

Features of both atoms are turned into the frame of each bond, scaled, mixed, gated, mixed again, turned back
and summed over the bonds of each atom. The derivatives are in `n2amd.network.bond_gradients`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from n2amd.network.bond_layout import Pieces

#: Bonds whose features are held at once.
BATCH = 128
#: Channels from which on passes over rows are faster than registers.
LONG_ROW = 24
#: Multiplications and additions may be fused.
FUSED = {"contract", "nsz"}
_LOG2_E, _LN2 = np.float32(1.4426950408889634), np.float32(0.6931471805599453)


class Mixing(NamedTuple):
    """One linear map in the frame of bonds: its matrices one after the other, row after row.

    Attributes
    ----------
    weights
        (n_weights,).
    starts
        First weight of each block, (n_blocks,).
    bias
        Of the first columns of the first block.
    inputs, outputs
        Places of the features.
    """

    weights: NDArray[np.float32]
    starts: NDArray[np.int64]
    bias: NDArray[np.float32]
    inputs: Pieces
    outputs: Pieces


class Shape(NamedTuple):
    """Channels of the atoms' features and gates of the hidden ones."""

    natural: NDArray[np.int64]
    unnatural: NDArray[np.int64]
    scalars: int
    gates: int
    gate_rows: NDArray[np.int64]


@njit(cache=True, fastmath=FUSED)
def mix(n, mixing, before, after):  # type: ignore[no-untyped-def]
    """Multiply the blocks of `n` bonds by their matrices."""
    at, to = 0, 0
    for b in range(len(mixing.starts)):
        rows, columns = mixing.inputs.widths[b], mixing.outputs.widths[b]
        if rows > 0 and columns > 0:
            start = mixing.starts[b]
            matrix = mixing.weights[start : start + rows * columns].reshape(rows, columns)
            source = before[at : at + n * rows].reshape(n, rows)
            np.dot(source, matrix, after[to : to + n * columns].reshape(n, columns))
        else:
            after[to : to + n * columns] = 0
        at, to = at + BATCH * rows, to + BATCH * columns
    columns = mixing.outputs.widths[0]
    for e in range(n):
        out = after[e * columns : e * columns + len(mixing.bias)]
        for c in range(len(mixing.bias)):
            out[c] += mixing.bias[c]


@njit(cache=True)
def starts_of(pieces):  # type: ignore[no-untyped-def]
    """First element of each block in memory."""
    starts = np.zeros(len(pieces.widths), np.int64)
    for b in range(1, len(starts)):
        starts[b] = starts[b - 1] + BATCH * pieces.widths[b - 1]
    return starts


@njit(cache=True, fastmath=FUSED)
def combine(turn, start, steps, width, total, x, out):  # type: ignore[no-untyped-def]
    """Write sum_q D_kq x_q for each k; `steps` apart lie the rows and columns of D, from `start` on.

    Rows of few channels are held in registers, four numbers at a time; long ones are run through, four terms
    a pass. Either way a row is read and written less often than by a pass a term.
    """
    down, right = steps
    if total < LONG_ROW and total % 4 == 0:
        for k in range(width):
            for c in range(0, total, 4):
                a0 = a1 = a2 = a3 = np.float32(0)
                d, place = start + k * down, c
                for _ in range(width):
                    a0 += turn[d] * x[place]
                    a1 += turn[d] * x[place + 1]
                    a2 += turn[d] * x[place + 2]
                    a3 += turn[d] * x[place + 3]
                    d, place = d + right, place + total
                place = k * total + c
                out[place], out[place + 1], out[place + 2], out[place + 3] = a0, a1, a2, a3
        return
    for k in range(width):
        line, d = out[k * total : k * total + total], start + k * down
        for c in range(total):
            line[c] = turn[d] * x[c]
        q = 1
        while q + 4 <= width:
            d = start + k * down + q * right
            d0, d1, d2, d3 = turn[d], turn[d + right], turn[d + 2 * right], turn[d + 3 * right]
            x0 = x[q * total :]
            x1, x2, x3 = x0[total:], x0[2 * total :], x0[3 * total :]
            for c in range(total):
                line[c] += d0 * x0[c] + d1 * x1[c] + (d2 * x2[c] + d3 * x3[c])
            q += 4
        while q < width:
            d = start + k * down + q * right
            d0, x0 = turn[d], x[q * total :]
            for c in range(total):
                line[c] += d0 * x0[c]
            q += 1


@njit(cache=True, fastmath=FUSED)
def turn_in(e, side, x, turn, factors, shape, pieces, starts, turned, out):  # type: ignore[no-untyped-def]
    """Write the scaled features of one atom of bond `e` in its frame."""
    begin, d0, f0 = 0, 0, 0
    for l in range(len(shape.natural)):
        n, u = shape.natural[l], shape.unnatural[l]
        total, width = n + u, 2 * l + 1
        combine(turn, d0, (width, 1), width, total, x[begin:], turned)
        # factors of natural channels of both atoms, then of unnatural ones
        of_n, of_u = factors[f0 + side * n :], factors[f0 + 2 * n + side * u :]
        for k in range(width):
            line = turned[k * total :]
            b = pieces.block[l, k, 0]
            target = out[starts[b] + e * pieces.widths[b] + pieces.column[l, k, 0] + side * n :]
            for c in range(n):
                target[c] = line[c] * of_n[c]
            b = pieces.block[l, k, 1]
            target = out[starts[b] + e * pieces.widths[b] + pieces.column[l, k, 1] + side * u :]
            rest = line[n:]
            for c in range(u):
                target[c] = rest[c] * of_u[c]
        begin, d0, f0 = begin + width * total, d0 + width * width, f0 + 2 * total


@njit(cache=True, fastmath=FUSED)
def turn_back(e, weight, turn, shape, pieces, starts, values, turned, out):  # type: ignore[no-untyped-def]
    """Add the message of bond `e` to the features of an atom."""
    begin, d0 = 0, 0
    gathered = turned[1]
    for l in range(len(shape.natural)):
        n, u = shape.natural[l], shape.unnatural[l]
        total, width = n + u, 2 * l + 1
        for k in range(width):
            target = gathered[k * total :]
            b = pieces.block[l, k, 0]
            source = values[starts[b] + e * pieces.widths[b] + pieces.column[l, k, 0] :]
            for c in range(n):
                target[c] = weight * source[c]
            target = target[n:]
            b = pieces.block[l, k, 1]
            source = values[starts[b] + e * pieces.widths[b] + pieces.column[l, k, 1] :]
            for c in range(u):
                target[c] = weight * source[c]
        combine(turn, d0, (1, width), width, total, gathered, turned[0])
        target, line = out[begin:], turned[0]
        for c in range(width * total):
            target[c] += line[c]
        begin, d0 = begin + width * total, d0 + width * width


@njit(cache=True, fastmath=FUSED)
def sigmoids(x, n, power, out):  # type: ignore[no-untyped-def]
    """Fill `out` with 1 / (1 + exp(-x)) by polynomials, to a few units of the last place."""
    bits = power.view(np.int32)
    for c in range(n):
        y = min(max(-x[c], np.float32(-80)), np.float32(80))
        k = np.floor(y * _LOG2_E + np.float32(0.5))
        r = y - k * _LN2
        tail = np.float32(1 / 120) + r * (np.float32(1 / 720) + r * np.float32(1 / 5040))
        tail = np.float32(1 / 2) + r * (np.float32(1 / 6) + r * (np.float32(1 / 24) + r * tail))
        out[c] = np.float32(1) + r + r * r * tail
        bits[c] = (np.int32(k) + np.int32(127)) << np.int32(23)
    for c in range(n):
        out[c] = np.float32(1) / (np.float32(1) + power[c] * out[c])


@njit(cache=True, fastmath=FUSED)
def open_gates(e, shape, pieces, starts, rows, values):  # type: ignore[no-untyped-def]
    """Apply the gates to the hidden features of bond `e`; their own columns are skipped by the next map.

    The sigmoids stay in the first of `rows`.
    """
    scalars = values[e * pieces.widths[0] : e * pieces.widths[0] + shape.scalars + shape.gates]
    gates = rows[0, : len(scalars)]
    sigmoids(scalars, len(scalars), rows[1], gates)
    for c in range(shape.scalars):
        scalars[c] *= gates[c]
    gates = gates[shape.scalars :]
    for g in range(len(shape.gate_rows)):
        b, column, count, first = shape.gate_rows[g]
        target, factor = values[starts[b] + e * pieces.widths[b] + column :], gates[first:]
        for c in range(count):
            target[c] *= factor[c]


@njit(cache=True, nogil=True)
def sum_messages(
    first: Any,
    last: Any,
    x: Any,
    shape: Any,
    one: Any,
    two: Any,
    receiver: Any,
    sender: Any,
    turns: Any,
    factors: Any,
    weight: Any,
    memory: Any,
    rows: Any,
    summed: Any,
) -> None:
    """Add the messages of bonds `first` to `last`, a batch after the other."""
    inputs, hidden, outputs = memory
    starts_in, starts_hidden = starts_of(one.inputs), starts_of(two.inputs)
    starts_out = starts_of(two.outputs)
    for begin in range(first, last, BATCH):
        n = min(BATCH, last - begin)
        for e in range(n):
            bond = begin + e
            i, j = receiver[bond], sender[bond]
            turn, factor = turns[bond], factors[bond]
            turn_in(e, 0, x[i], turn, factor, shape, one.inputs, starts_in, rows[0], inputs)
            turn_in(e, 1, x[j], turn, factor, shape, one.inputs, starts_in, rows[0], inputs)
        mix(n, one, inputs, hidden)
        for e in range(n):
            open_gates(e, shape, two.inputs, starts_hidden, rows, hidden)
        mix(n, two, hidden, outputs)
        for e in range(n):
            bond = begin + e
            turn, out = turns[bond], summed[receiver[bond]]
            turn_back(e, weight[bond], turn, shape, two.outputs, starts_out, outputs, rows, out)
