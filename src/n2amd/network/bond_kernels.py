"""Compiled loops of the messages of bonds: a batch at a time, so that its features stay in the cache.

Features of both atoms are turned into the frame of each bond, scaled, mixed, gated, mixed again, turned back
and summed over the bonds of each atom. Arrays of a batch have a column a bond: every loop runs over all
columns of a row, of a number known at compilation. Columns without a bond have weight zero.
The derivatives are in `n2amd.network.bond_gradients`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from n2amd.network.bond_layout import Places

#: Bonds whose features are held at once.
BATCH = 128
#: Components that are moved between atoms and columns at once.
STRIPE = 32
#: Multiplications and additions may be fused.
FUSED = {"contract", "nsz"}
_LOG2_E, _LN2 = np.float32(1.4426950408889634), np.float32(0.6931471805599453)

Floats = NDArray[np.float32]


class Mixing(NamedTuple):
    """One linear map in the frame of bonds: its matrices one after the other, row after row.

    Attributes
    ----------
    weights
        (n_weights,).
    bias
        Of the first rows of the first block.
    inputs, outputs
        Rows of each block, (n_blocks,) each.
    """

    weights: Floats
    bias: Floats
    inputs: NDArray[np.int64]
    outputs: NDArray[np.int64]


class Bonds(NamedTuple):
    """Bonds with the turns into their frames.

    Attributes
    ----------
    receiver, sender
        Atoms of each bond, (n_bonds,) each.
    turns
        D_l of all l, row after row, (n_bonds, sum (2 l + 1)^2).
    weight
        Of each bond's message, (n_bonds,).
    """

    receiver: NDArray[np.int64]
    sender: NDArray[np.int64]
    turns: Floats
    weight: Floats


class Messages(NamedTuple):
    """All that the kernels read.

    Attributes
    ----------
    x
        Packed features of the atoms, (n_atoms, n_components).
    places
        Where features, factors and gates stand.
    one, two
        Maps in the frame of the bonds, before and after the gates.
    bonds
        The bonds.
    factors
        Of the channels of both atoms, (n_bonds, n_channels).
    """

    x: Floats
    places: Places
    one: Mixing
    two: Mixing
    bonds: Bonds
    factors: Floats


class Columns(NamedTuple):
    """Room for a batch of bonds: arrays (rows, BATCH), a column a bond.

    Attributes
    ----------
    receiver, sender
        Packed features of the atoms.
    turn, factor, weight
        Of the bonds; weight is (BATCH,).
    inputs, hidden, gated, outputs
        Features in the frame of the bonds, before, between and after the maps.
    sigmoid
        Of scalars and gates.
    line
        Some rows.
    """

    receiver: Floats
    sender: Floats
    turn: Floats
    factor: Floats
    weight: Floats
    inputs: Floats
    hidden: Floats
    gated: Floats
    outputs: Floats
    sigmoid: Floats
    line: Floats


@njit(cache=True)
def gather(source, index, out):  # type: ignore[no-untyped-def]
    """Write a row of `source` into each column."""
    for start in range(0, source.shape[1], STRIPE):
        stop = min(start + STRIPE, source.shape[1])
        for e in range(BATCH):
            row = source[index[e]]
            for c in range(start, stop):
                out[c, e] = row[c]


@njit(cache=True)
def add_columns(columns, index, n, out):  # type: ignore[no-untyped-def]
    """Add each of the first `n` columns to a row of `out`."""
    for start in range(0, out.shape[1], STRIPE):
        stop = min(start + STRIPE, out.shape[1])
        for e in range(n):
            row = out[index[e]]
            for c in range(start, stop):
                row[c] += columns[c, e]


@njit(cache=True, fastmath=FUSED)
def combine(turn, first, step, width, x, rows, place, stride, out):  # type: ignore[no-untyped-def]
    """Write sum_q turn[first + q step] x[rows[place + q stride]], column by column."""
    d0, x0 = turn[first], x[rows[place]]
    for e in range(BATCH):
        out[e] = d0[e] * x0[e]
    for q in range(1, width, 2):
        d, p = first + q * step, place + q * stride
        d0, d1, x0, x1 = turn[d], turn[d + step], x[rows[p]], x[rows[p + stride]]
        for e in range(BATCH):
            out[e] += d0[e] * x0[e] + d1[e] * x1[e]


@njit(cache=True, fastmath=FUSED)
def _turn_in(places, side, x, columns):  # type: ignore[no-untyped-def]
    """Write the scaled features of one atom of each bond in its frame."""
    begin, d0, line = 0, 0, columns.line[0]
    packed = np.arange(len(places.outputs))
    for l in range(len(places.channels)):
        total, width = places.channels[l], 2 * l + 1
        for c in range(total):
            for k in range(width):
                combine(columns.turn, d0 + k * width, 1, width, x, packed, begin + c, total, line)
                component = begin + k * total + c
                factor = columns.factor[places.factors[side, component]]
                out = columns.inputs[places.inputs[side, component]]
                for e in range(BATCH):
                    out[e] = line[e] * factor[e]
        begin, d0 = begin + width * total, d0 + width * width


@njit(cache=True, fastmath=FUSED)
def _turn_back(places, columns, out):  # type: ignore[no-untyped-def]
    """Write the messages, packed."""
    begin, d0, weight = 0, 0, columns.weight
    for l in range(len(places.channels)):
        total, width = places.channels[l], 2 * l + 1
        for c in range(total):
            for q in range(width):
                line = out[begin + q * total + c]
                combine(
                    columns.turn,
                    d0 + q,
                    width,
                    width,
                    columns.outputs,
                    places.outputs,
                    begin + c,
                    total,
                    line,
                )
                for e in range(BATCH):
                    line[e] *= weight[e]
        begin, d0 = begin + width * total, d0 + width * width


@njit(cache=True, fastmath=FUSED)
def _mix(mixing, before, after):  # type: ignore[no-untyped-def]
    """Multiply the blocks by their matrices."""
    start, at, to = 0, 0, 0
    for b in range(len(mixing.inputs)):
        rows, columns = mixing.inputs[b], mixing.outputs[b]
        if rows > 0 and columns > 0:
            matrix = mixing.weights[start : start + rows * columns].reshape(rows, columns)
            np.dot(matrix.T, before[at : at + rows], after[to : to + columns])
        else:
            after[to : to + columns] = 0
        start, at, to = start + rows * columns, at + rows, to + columns
    for c in range(len(mixing.bias)):
        row, bias = after[c], mixing.bias[c]
        for e in range(BATCH):
            row[e] += bias


@njit(cache=True, fastmath=FUSED)
def _sigmoids(x, power, out):  # type: ignore[no-untyped-def]
    """Fill `out` with 1 / (1 + exp(-x)) by polynomials, to a few units of the last place."""
    bits = power.view(np.int32)
    for e in range(BATCH):
        y = min(max(-x[e], np.float32(-80)), np.float32(80))
        k = np.floor(y * _LOG2_E + np.float32(0.5))
        r = y - k * _LN2
        tail = np.float32(1 / 120) + r * (np.float32(1 / 720) + r * np.float32(1 / 5040))
        tail = np.float32(1 / 2) + r * (np.float32(1 / 6) + r * (np.float32(1 / 24) + r * tail))
        out[e] = np.float32(1) + r + r * r * tail
        bits[e] = (np.int32(k) + np.int32(127)) << np.int32(23)
    for e in range(BATCH):
        out[e] = np.float32(1) / (np.float32(1) + power[e] * out[e])


@njit(cache=True, fastmath=FUSED)
def _open_gates(places, columns):  # type: ignore[no-untyped-def]
    """Gate the hidden features; the gates' own rows are skipped by the next map, but must be finite."""
    for g in range(places.n_scalars + places.n_gates):
        x, sigmoid, out = columns.hidden[g], columns.sigmoid[g], columns.gated[g]
        _sigmoids(x, columns.line[0], sigmoid)
        for e in range(BATCH):
            out[e] = x[e] * sigmoid[e]
    for r in range(len(places.gates)):
        if places.gates[r] >= 0:
            x, sigmoid = columns.hidden[r], columns.sigmoid[places.n_scalars + places.gates[r]]
            out = columns.gated[r]
            for e in range(BATCH):
                out[e] = x[e] * sigmoid[e]


@njit(cache=True, nogil=True)
def fill_columns(begin, last, messages, columns):  # type: ignore[no-untyped-def]
    """Fill the columns up to the gated features with bonds from `begin` on; return places and number."""
    n = min(BATCH, last - begin)
    bonds, places = messages.bonds, messages.places
    index = np.full(BATCH, begin)
    index[:n] = np.arange(begin, begin + n)
    gather(messages.x, bonds.receiver[index], columns.receiver)
    gather(messages.x, bonds.sender[index], columns.sender)
    gather(bonds.turns, index, columns.turn)
    gather(messages.factors, index, columns.factor)
    columns.weight[:n] = bonds.weight[begin : begin + n]
    columns.weight[n:] = 0
    _turn_in(places, 0, columns.receiver, columns)
    _turn_in(places, 1, columns.sender, columns)
    _mix(messages.one, columns.inputs, columns.hidden)
    _open_gates(places, columns)
    return index, n


@njit(cache=True, nogil=True)
def sum_messages(first: Any, last: Any, messages: Any, columns: Any, summed: Any) -> None:
    """Add the messages of bonds `first` to `last` to their atoms, a batch after the other."""
    for begin in range(first, last, BATCH):
        index, n = fill_columns(begin, last, messages, columns)
        _mix(messages.two, columns.gated, columns.outputs)
        _turn_back(messages.places, columns, columns.receiver)
        add_columns(columns.receiver, messages.bonds.receiver[index], n, summed)
