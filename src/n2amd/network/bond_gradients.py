"""Derivatives of the compiled messages of bonds, batch by batch, with the messages' inner values made anew.

With messages M = sum D^T W_2 gate(W_1 (f * D x)), see `n2amd.network.bond_kernels`, the derivative G of a
scalar with respect to the sums runs backwards through the same steps:

    G -> D -> outputs -> W_2 -> gated -> hidden -> W_1 -> inputs -> f, D^T -> x
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from n2amd.network.bond_kernels import BATCH, FUSED, Floats, add_columns, combine, fill_columns, gather


class Derivatives(NamedTuple):
    """Where derivatives are added up: of packed features, factors, and weights and bias of both maps."""

    x: Floats
    factors: Floats
    weights_1: Floats
    bias_1: Floats
    weights_2: Floats
    bias_2: Floats


class Below(NamedTuple):
    """Room for a batch: derivatives with respect to `Columns` of these names, and for one matrix."""

    x: Floats
    factor: Floats
    hidden: Floats
    inputs: Floats
    matrix: Floats


@njit(cache=True, fastmath=FUSED)
def _turn_messages(places, above, columns):  # type: ignore[no-untyped-def]
    """Derivatives of the outputs in the frame of the bonds."""
    begin, d0, weight = 0, 0, columns.weight
    packed = np.arange(len(places.outputs))
    for l in range(len(places.channels)):
        total, width = places.channels[l], 2 * l + 1
        for c in range(total):
            for k in range(width):
                out = columns.outputs[places.outputs[begin + k * total + c]]
                combine(columns.turn, d0 + k * width, 1, width, above, packed, begin + c, total, out)
                for e in range(BATCH):
                    out[e] *= weight[e]
        begin, d0 = begin + width * total, d0 + width * width


@njit(cache=True, fastmath=FUSED)
def _mix_gradient(mixing, before, above, below, matrix, weights, bias):  # type: ignore[no-untyped-def]
    """From derivatives `above` a linear map to those `below` it, and to those of its matrices and bias."""
    start, at, to = 0, 0, 0
    for b in range(len(mixing.inputs)):
        rows, columns = mixing.inputs[b], mixing.outputs[b]
        size = rows * columns
        if size > 0:
            derivative = above[to : to + columns]
            own = mixing.weights[start : start + size].reshape(rows, columns)
            np.dot(own, derivative, below[at : at + rows])
            np.dot(before[at : at + rows], derivative.T, matrix[:size].reshape(rows, columns))
            total = weights[start : start + size]
            for k in range(size):
                total[k] += matrix[k]
        else:
            below[at : at + rows] = 0
        start, at, to = start + size, at + rows, to + columns
    for c in range(len(bias)):
        bias[c] += above[c].sum()


@njit(cache=True, fastmath=FUSED)
def _gate_gradient(places, columns, values):  # type: ignore[no-untyped-def]
    """Turn derivatives of the gated features into those of the features before the gates."""
    n = places.n_scalars
    for g in range(places.n_gates):
        values[n + g] = 0
    for r in range(len(places.gates)):
        if places.gates[r] >= 0:
            gate = n + places.gates[r]
            value, x, sigmoid, total = values[r], columns.hidden[r], columns.sigmoid[gate], values[gate]
            for e in range(BATCH):
                total[e] += value[e] * x[e]
                value[e] *= sigmoid[e]
    for g in range(n + places.n_gates):
        value, x, sigmoid = values[g], columns.hidden[g], columns.sigmoid[g]
        if g < n:
            for e in range(BATCH):
                value[e] *= sigmoid[e] * (np.float32(1) + x[e] * (np.float32(1) - sigmoid[e]))
        else:
            for e in range(BATCH):
                value[e] *= sigmoid[e] * (np.float32(1) - sigmoid[e])


@njit(cache=True, fastmath=FUSED)
def _turn_gradient(places, side, x, columns, below):  # type: ignore[no-untyped-def]
    """From derivatives of the inputs to those of one atom's features and of their factors."""
    begin, d0, line = 0, 0, columns.line[0]
    packed = np.arange(len(places.outputs))
    for l in range(len(places.channels)):
        total, width = places.channels[l], 2 * l + 1
        for c in range(total):
            for k in range(width):
                combine(columns.turn, d0 + k * width, 1, width, x, packed, begin + c, total, line)
                component = begin + k * total + c
                f, r = places.factors[side, component], places.inputs[side, component]
                factor, of_factor, above = columns.factor[f], below.factor[f], below.inputs[r]
                scaled = columns.line[1 + k]
                for e in range(BATCH):
                    of_factor[e] += above[e] * line[e]
                    scaled[e] = above[e] * factor[e]
            for q in range(width):
                out = below.x[begin + q * total + c]
                combine(columns.turn, d0 + q, width, width, columns.line, packed, 1, 1, out)
        begin, d0 = begin + width * total, d0 + width * width


@njit(cache=True, nogil=True)
def add_gradients(
    first: Any, last: Any, messages: Any, columns: Any, above: Any, below: Any, totals: Any
) -> None:
    """Add what bonds `first` to `last` contribute to the derivatives, a batch after the other.

    `above` has the derivatives with respect to the sums, (n_atoms, n_components).
    """
    places, bonds, matrix = messages.places, messages.bonds, below.matrix
    for begin in range(first, last, BATCH):
        index, n = fill_columns(begin, last, messages, columns)
        receiver, sender = bonds.receiver[index], bonds.sender[index]
        gather(above, receiver, below.x)
        _turn_messages(places, below.x, columns)
        weights, bias = totals.weights_2, totals.bias_2
        _mix_gradient(messages.two, columns.gated, columns.outputs, below.hidden, matrix, weights, bias)
        _gate_gradient(places, columns, below.hidden)
        weights, bias = totals.weights_1, totals.bias_1
        _mix_gradient(messages.one, columns.inputs, below.hidden, below.inputs, matrix, weights, bias)
        below.factor[:] = 0
        _turn_gradient(places, 0, columns.receiver, columns, below)
        add_columns(below.x, receiver, n, totals.x)
        _turn_gradient(places, 1, columns.sender, columns, below)
        add_columns(below.x, sender, n, totals.x)
        add_columns(below.factor, index, n, totals.factors)
