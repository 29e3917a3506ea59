"""Messages of bonds on a processor, without gradients: a compiled pass that keeps a few bonds in its cache.

It is `Interaction`'s convolution of `n2amd.network.layers` in other clothes: features of both atoms are
turned into the frame of each bond, scaled, mixed, gated, mixed again, turned back and summed over the bonds
of each atom. Tensor operations do the same slower: all features of all bonds pass through memory each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from n2amd.network.bond_layout import Gates, Pieces, block_weights, pieces_of
from n2amd.network.features import Channels, Features, Gate
from n2amd.network.so2 import SO2Linear

#: Bonds whose features are held at once.
BATCH = 64
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

    @classmethod
    def of(cls, linear: SO2Linear, skipped: int = 0) -> Mixing:
        """Pack a linear map; `skipped` inputs after its natural scalars are not used."""
        matrices = block_weights(linear)
        if skipped:
            n = linear.inputs.natural[0]
            first = matrices[0]
            matrices[0] = torch.cat([first[:n], first.new_zeros(skipped, first.shape[1]), first[n:]])
        flat = [np.ascontiguousarray(m.detach().numpy()).ravel() for m in matrices]
        sizes = np.array([len(f) for f in flat])
        return cls(
            np.concatenate(flat),
            np.cumsum(sizes) - sizes,
            linear.bias.detach().numpy(),
            pieces_of(_with_scalars(linear.inputs, skipped)),
            pieces_of(linear.outputs),
        )


def _with_scalars(channels: Channels, more: int) -> Channels:
    return Channels((channels.natural[0] + more, *channels.natural[1:]), channels.unnatural)


class Shape(NamedTuple):
    """Channels of the atoms' features and gates of the hidden ones."""

    natural: NDArray[np.int64]
    unnatural: NDArray[np.int64]
    scalars: int
    gates: int
    gate_rows: NDArray[np.int64]


def sum_messages(
    x: Features,
    first: SO2Linear,
    gate: Gate,
    second: SO2Linear,
    atoms: tuple[Tensor, Tensor],
    wigner: Sequence[Tensor],
    factors: Tensor,
    weight: Tensor,
    summed: NDArray[np.float32],
) -> None:
    """Add the messages of some bonds to the features of their atoms.

    Parameters
    ----------
    x
        Features of the atoms, (n_atoms, channels, 2 l + 1), float32 on a processor; as many channels go out.
    first, gate, second
        Maps in the frame of the bonds.
    atoms
        Receiving and sending atom of each bond, (n_bonds,) each.
    wigner
        Into the frame of each bond, (n_bonds, 2 l + 1, 2 l + 1).
    factors
        Of the channels of both atoms, (n_bonds, n_channels).
    weight
        Of each bond, (n_bonds,).
    summed
        Packed features, (n_atoms, n_components), see `pack`.
    """
    channels, hidden = second.outputs, gate.channels
    skipped = gate.inputs.natural[0] - hidden.natural[0]
    one, two = Mixing.of(first), Mixing.of(second, skipped)
    shape = Shape(
        np.array(channels.natural, dtype=np.int64),
        np.array(channels.unnatural, dtype=np.int64),
        hidden.natural[0],
        gate.n_gates,
        Gates.of(hidden, two.inputs).rows,
    )
    widths = (one.inputs.widths, one.outputs.widths, two.outputs.widths)
    memory = tuple(np.empty(BATCH * int(w.sum()), dtype=np.float32) for w in widths)
    widest = max(gate.inputs.natural[0], *(channels.total(l) for l in range(channels.l_max + 1)))
    row = np.empty((3, widest), dtype=np.float32)
    turns = torch.cat([d.flatten(1) for d in wigner], dim=1).numpy()
    sender, receiver = atoms[1].numpy(), atoms[0].numpy()
    arguments = (receiver, sender, turns, factors.numpy(), weight.numpy())
    _run(pack(x), shape, one, two, *arguments, memory, row, summed)


def pack(x: Features) -> NDArray[np.float32]:
    """Features of atoms as (n_atoms, n_components): l after l, component after component, its channels."""
    return np.ascontiguousarray(torch.cat([f.mT.flatten(1) for f in x], dim=1).numpy())


def unpack(packed: NDArray[np.float32], channels: Channels) -> Features:
    """Inverse of `pack`."""
    sizes = [(2 * l + 1) * channels.total(l) for l in range(channels.l_max + 1)]
    parts = torch.from_numpy(packed).split(sizes, dim=1)
    return [part.unflatten(1, (2 * l + 1, channels.total(l))).mT for l, part in enumerate(parts)]


@njit(cache=True, fastmath=FUSED)
def _mix(n, mixing, before, after):  # type: ignore[no-untyped-def]
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
def _starts(pieces):  # type: ignore[no-untyped-def]
    """First element of each block in memory."""
    starts = np.zeros(len(pieces.widths), np.int64)
    for b in range(1, len(starts)):
        starts[b] = starts[b - 1] + BATCH * pieces.widths[b - 1]
    return starts


@njit(cache=True, fastmath=FUSED)
def _turn(e, side, x, turn, factors, shape, pieces, starts, row, out):  # type: ignore[no-untyped-def]
    """Write the scaled features of one atom of bond `e` in its frame."""
    begin, d0, f0 = 0, 0, 0
    for l in range(len(shape.natural)):
        n, u = shape.natural[l], shape.unnatural[l]
        total, width = n + u, 2 * l + 1
        # factors of natural channels of both atoms, then of unnatural ones
        of_n, of_u = factors[f0 + side * n :], factors[f0 + 2 * n + side * u :]
        for k in range(width):
            line = row[:total]
            line[:] = 0
            for q in range(width):
                d, source = turn[d0 + k * width + q], x[begin + q * total :]
                for c in range(total):
                    line[c] += d * source[c]
            b = pieces.block[l, k, 0]
            target = out[starts[b] + e * pieces.widths[b] + pieces.column[l, k, 0] + side * n :]
            for c in range(n):
                target[c] = line[c] * of_n[c]
            b = pieces.block[l, k, 1]
            target, rest = (
                out[starts[b] + e * pieces.widths[b] + pieces.column[l, k, 1] + side * u :],
                line[n:],
            )
            for c in range(u):
                target[c] = rest[c] * of_u[c]
        begin, d0, f0 = begin + width * total, d0 + width * width, f0 + 2 * total


@njit(cache=True, fastmath=FUSED)
def _turn_back(e, weight, turn, shape, pieces, starts, values, out):  # type: ignore[no-untyped-def]
    """Add the message of bond `e` to the features of an atom."""
    begin, d0 = 0, 0
    for l in range(len(shape.natural)):
        n, u = shape.natural[l], shape.unnatural[l]
        total, width = n + u, 2 * l + 1
        for k in range(width):
            b = pieces.block[l, k, 0]
            natural = values[starts[b] + e * pieces.widths[b] + pieces.column[l, k, 0] :]
            b = pieces.block[l, k, 1]
            unnatural = values[starts[b] + e * pieces.widths[b] + pieces.column[l, k, 1] :]
            for q in range(width):
                d = weight * turn[d0 + k * width + q]
                target = out[begin + q * total :]
                for c in range(n):
                    target[c] += d * natural[c]
                target = target[n:]
                for c in range(u):
                    target[c] += d * unnatural[c]
        begin, d0 = begin + width * total, d0 + width * width


@njit(cache=True, fastmath=FUSED)
def _sigmoids(x, n, power, out):  # type: ignore[no-untyped-def]
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
def _gate(e, shape, pieces, starts, row, values):  # type: ignore[no-untyped-def]
    """Apply the gates to the hidden features of bond `e`; their own columns are skipped by the next map."""
    scalars = values[e * pieces.widths[0] : e * pieces.widths[0] + shape.scalars + shape.gates]
    gates = row[1, : len(scalars)]
    _sigmoids(scalars, len(scalars), row[2], gates)
    for c in range(shape.scalars):
        scalars[c] *= gates[c]
    gates = gates[shape.scalars :]
    for g in range(len(shape.gate_rows)):
        b, column, count, first = shape.gate_rows[g]
        target, factor = values[starts[b] + e * pieces.widths[b] + column :], gates[first:]
        for c in range(count):
            target[c] *= factor[c]


@njit(cache=True)
def _run(
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
    row: Any,
    summed: Any,
) -> None:
    """All bonds, a batch after the other."""
    inputs, hidden, outputs = memory
    starts_in, starts_hidden, starts_out = _starts(one.inputs), _starts(two.inputs), _starts(two.outputs)
    for begin in range(0, len(receiver), BATCH):
        n = min(BATCH, len(receiver) - begin)
        for e in range(n):
            bond = begin + e
            i, j = receiver[bond], sender[bond]
            turn, factor = turns[bond], factors[bond]
            _turn(e, 0, x[i], turn, factor, shape, one.inputs, starts_in, row[0], inputs)
            _turn(e, 1, x[j], turn, factor, shape, one.inputs, starts_in, row[0], inputs)
        _mix(n, one, inputs, hidden)
        for e in range(n):
            _gate(e, shape, two.inputs, starts_hidden, row, hidden)
        _mix(n, two, hidden, outputs)
        for e in range(n):
            bond = begin + e
            out = summed[receiver[bond]]
            _turn_back(e, weight[bond], turns[bond], shape, two.outputs, starts_out, outputs, out)
