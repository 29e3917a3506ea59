"""Derivatives of the compiled messages of bonds, batch by batch, with the messages' inner values made anew.

With messages M = sum D^T W_2 gate(W_1 (f * D x)), see `n2amd.network.bond_kernels`, the derivative G of a
scalar with respect to the sums runs backwards through the same steps:

    G D -> outputs -> (W_2) -> gated -> hidden -> (W_1) -> inputs -> (f, D) -> x
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from n2amd.network.bond_kernels import BATCH, FUSED, combine, mix, open_gates, starts_of, turn_in


@njit(cache=True, fastmath=FUSED)
def _mix_gradient(n, mixing, before, above, below, scratch, weights, bias):  # type: ignore[no-untyped-def]
    """From derivatives `above` a linear map to those `below` it, and to those of its matrices and bias."""
    at, to = 0, 0
    for b in range(len(mixing.starts)):
        rows, columns = mixing.inputs.widths[b], mixing.outputs.widths[b]
        if rows > 0 and columns > 0:
            start, size = mixing.starts[b], rows * columns
            matrix = mixing.weights[start : start + size].reshape(rows, columns)
            source = before[at : at + n * rows].reshape(n, rows)
            derivative = above[to : to + n * columns].reshape(n, columns)
            np.dot(derivative, matrix.T, below[at : at + n * rows].reshape(n, rows))
            np.dot(source.T, derivative, scratch[:size].reshape(rows, columns))
            total = weights[start : start + size]
            for k in range(size):
                total[k] += scratch[k]
        else:
            below[at : at + n * rows] = 0
        at, to = at + BATCH * rows, to + BATCH * columns
    columns = mixing.outputs.widths[0]
    for e in range(n):
        for c in range(len(bias)):
            bias[c] += above[e * columns + c]


@njit(cache=True, fastmath=FUSED)
def _turn_messages(e, weight, x, turn, shape, pieces, starts, turned, out):  # type: ignore[no-untyped-def]
    """Write the derivatives of the message of bond `e` in its frame: `turn_back` backwards."""
    begin, d0 = 0, 0
    for l in range(len(shape.natural)):
        n, u = shape.natural[l], shape.unnatural[l]
        total, width = n + u, 2 * l + 1
        combine(turn, d0, (width, 1), width, total, x[begin:], turned)
        for k in range(width):
            line = turned[k * total :]
            b = pieces.block[l, k, 0]
            target = out[starts[b] + e * pieces.widths[b] + pieces.column[l, k, 0] :]
            for c in range(n):
                target[c] = weight * line[c]
            b = pieces.block[l, k, 1]
            target, rest = out[starts[b] + e * pieces.widths[b] + pieces.column[l, k, 1] :], line[n:]
            for c in range(u):
                target[c] = weight * rest[c]
        begin, d0 = begin + width * total, d0 + width * width


@njit(cache=True, fastmath=FUSED)
def _turn_gradient(  # type: ignore[no-untyped-def]
    e, side, x, turn, factors, shape, pieces, starts, rows, values, x_total, factor_total
):
    """From derivatives in the frame of bond `e` to those of one atom's features and of their factors."""
    begin, d0, f0 = 0, 0, 0
    for l in range(len(shape.natural)):
        n, u = shape.natural[l], shape.unnatural[l]
        total, width = n + u, 2 * l + 1
        combine(turn, d0, (width, 1), width, total, x[begin:], rows[0])
        f_n, f_u = f0 + side * n, f0 + 2 * n + side * u
        of_n, of_u, total_n, total_u = factors[f_n:], factors[f_u:], factor_total[f_n:], factor_total[f_u:]
        for k in range(width):
            line, scaled = rows[0, k * total :], rows[1, k * total :]
            b = pieces.block[l, k, 0]
            above = values[starts[b] + e * pieces.widths[b] + pieces.column[l, k, 0] + side * n :]
            for c in range(n):
                total_n[c] += above[c] * line[c]
                scaled[c] = above[c] * of_n[c]
            b = pieces.block[l, k, 1]
            above = values[starts[b] + e * pieces.widths[b] + pieces.column[l, k, 1] + side * u :]
            rest, scaled_rest = line[n:], scaled[n:]
            for c in range(u):
                total_u[c] += above[c] * rest[c]
                scaled_rest[c] = above[c] * of_u[c]
        combine(turn, d0, (1, width), width, total, rows[1], rows[0])
        target, line = x_total[begin:], rows[0]
        for c in range(width * total):
            target[c] += line[c]
        begin, d0, f0 = begin + width * total, d0 + width * width, f0 + 2 * total


@njit(cache=True, fastmath=FUSED)
def _gate_gradient(e, shape, pieces, starts, hidden, sigmoid, values):  # type: ignore[no-untyped-def]
    """Turn derivatives of the gated features of bond `e` into those of the features before the gates."""
    count = shape.scalars + shape.gates
    first = e * pieces.widths[0]
    x, above = hidden[first : first + count], values[first : first + count]
    above[shape.scalars :] = 0
    open_by, of_gates = sigmoid[shape.scalars :], above[shape.scalars :]
    for g in range(len(shape.gate_rows)):
        b, column, n, gate = shape.gate_rows[g]
        place = starts[b] + e * pieces.widths[b] + column
        source, target = hidden[place:], values[place:]
        s, sums = open_by[gate:], of_gates[gate:]
        for c in range(n):
            sums[c] += target[c] * source[c]
            target[c] *= s[c]
    for c in range(shape.gates):
        of_gates[c] *= open_by[c] * (np.float32(1) - open_by[c])
    for c in range(shape.scalars):
        s = sigmoid[c]
        above[c] *= s * (np.float32(1) + x[c] * (np.float32(1) - s))


@njit(cache=True, nogil=True)
def message_gradients(
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
    above: Any,
    memory: Any,
    rows: Any,
    sigmoid: Any,
    scratch: Any,
    x_total: Any,
    factor_total: Any,
    weight_totals: Any,
) -> None:
    """Add what bonds `first` to `last` contribute to the derivatives, a batch after the other.

    `above` has the derivatives with respect to the sums; `x_total`, `factor_total` and `weight_totals`
    (matrices and bias of both maps) receive those of features, factors and maps.
    """
    inputs, hidden, gated, outputs, of_hidden, of_inputs = memory
    matrices_1, bias_1, matrices_2, bias_2 = weight_totals
    starts_in, starts_hidden, starts_out = (
        starts_of(one.inputs),
        starts_of(two.inputs),
        starts_of(two.outputs),
    )
    for begin in range(first, last, BATCH):
        n = min(BATCH, last - begin)
        # the messages' inner values
        for e in range(n):
            bond = begin + e
            i, j = receiver[bond], sender[bond]
            turn, factor = turns[bond], factors[bond]
            turn_in(e, 0, x[i], turn, factor, shape, one.inputs, starts_in, rows[0], inputs)
            turn_in(e, 1, x[j], turn, factor, shape, one.inputs, starts_in, rows[0], inputs)
        mix(n, one, inputs, hidden)
        gated[:] = hidden
        for e in range(n):
            open_gates(e, shape, two.inputs, starts_hidden, rows, gated)
            sigmoid[e] = rows[0, : sigmoid.shape[1]]
        # and backwards
        for e in range(n):
            bond = begin + e
            own = above[receiver[bond]]
            _turn_messages(
                e, weight[bond], own, turns[bond], shape, two.outputs, starts_out, rows[0], outputs
            )
        _mix_gradient(n, two, gated, outputs, of_hidden, scratch, matrices_2, bias_2)
        for e in range(n):
            _gate_gradient(e, shape, two.inputs, starts_hidden, hidden, sigmoid[e], of_hidden)
        _mix_gradient(n, one, inputs, of_hidden, of_inputs, scratch, matrices_1, bias_1)
        for e in range(n):
            bond = begin + e
            i, j = receiver[bond], sender[bond]
            turn, factor, totals = turns[bond], factors[bond], factor_total[bond]
            arguments = (turn, factor, shape, one.inputs, starts_in, rows, of_inputs)
            _turn_gradient(e, 0, x[i], *arguments, x_total[i], totals)
            _turn_gradient(e, 1, x[j], *arguments, x_total[j], totals)
