"""Messages of bonds on a processor: the convolution of `n2amd.network.layers.Interaction` as a compiled pass.

Tensor operations do the same slower: all features of all bonds pass through memory each time. Derivatives
with respect to features, radial factors and maps are compiled, too; those with respect to the atoms' places
are left to the tensor operations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from n2amd.network.bond_gradients import message_gradients
from n2amd.network.bond_kernels import BATCH, Mixing, Shape, sum_messages
from n2amd.network.bond_layout import Gates, Pieces, block_weights, pieces_of
from n2amd.network.features import Channels, Features, Gate
from n2amd.network.so2 import SO2Linear

Floats = NDArray[np.float32]
#: Fewest bonds that are worth a thread.
FEWEST_BONDS = 512


@dataclass(frozen=True)
class BondConvolution:
    """Two linear maps in the frame of bonds and the gate between them.

    Attributes
    ----------
    first, second
        Maps in the frame of the bonds.
    gate
        Between them.
    """

    first: SO2Linear
    gate: Gate
    second: SO2Linear

    @property
    def skipped(self) -> int:
        """Gates stand among the second map's inputs, after its scalars; it takes no notice of them."""
        return self.gate.inputs.natural[0] - self.gate.channels.natural[0]

    def weights(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Matrices, one after the other, and bias of both maps; they can be differentiated."""
        matrices = block_weights(self.second)
        n = self.second.inputs.natural[0]
        top, rest = matrices[0][:n], matrices[0][n:]
        matrices[0] = torch.cat([top, top.new_zeros(self.skipped, top.shape[1]), rest])
        flat = [torch.cat([m.flatten() for m in ms]) for ms in (block_weights(self.first), matrices)]
        return flat[0], self.first.bias, flat[1], self.second.bias

    def places(self) -> tuple[Pieces, Pieces, Pieces]:
        """Where features stand before, between and after the maps."""
        return pieces_of(self.first.inputs), pieces_of(self.gate.inputs), pieces_of(self.second.outputs)

    def shape(self) -> Shape:
        """Channels and gates."""
        channels, hidden = self.second.outputs, self.gate.channels
        return Shape(
            np.array(channels.natural, dtype=np.int64),
            np.array(channels.unnatural, dtype=np.int64),
            hidden.natural[0],
            self.gate.n_gates,
            Gates.of(hidden, pieces_of(self.gate.inputs)).rows,
        )


@dataclass(frozen=True)
class Turned:
    """Bonds with the turns into their frames.

    Attributes
    ----------
    receiver, sender
        Atoms of each bond, (n_bonds,) each.
    turns
        D_l of all l, row after row, (n_bonds, sum (2 l + 1)^2), float32.
    weight
        Of each bond's message, (n_bonds,), float32.
    """

    receiver: NDArray[np.int64]
    sender: NDArray[np.int64]
    turns: Floats
    weight: Floats

    @classmethod
    def of(cls, receiver: Tensor, sender: Tensor, wigner: Sequence[Tensor], weight: Tensor) -> Turned:
        """From tensors on a processor."""
        turns = torch.cat([d.flatten(1) for d in wigner], dim=1)
        return cls(receiver.numpy(), sender.numpy(), turns.numpy(), weight.numpy())

    def parts(self) -> Iterator[tuple[int, int]]:
        """First and last bond of each thread's part."""
        n = len(self.receiver)
        count = max(1, min(torch.get_num_threads(), n // FEWEST_BONDS))
        for k in range(count):
            yield k * n // count, (k + 1) * n // count


def messages(x: Features, convolution: BondConvolution, bonds: Turned, factors: Tensor) -> Tensor:
    """Sums of the messages of bonds at their receiving atoms.

    Parameters
    ----------
    x
        Features of the atoms, (n_atoms, channels, 2 l + 1), float32 on a processor; as many channels go out.
    convolution
        What happens to them in the frame of each bond.
    bonds
        The bonds.
    factors
        Of the channels of both atoms, (n_bonds, n_channels).

    Returns
    -------
    summed
        Packed features, (n_atoms, n_components), see `unpack`.
    """
    summed: Tensor = _Messages.apply(pack(x), factors, *convolution.weights(), convolution, bonds)
    return summed


def pack(x: Features) -> Tensor:
    """Features of atoms as (n_atoms, n_components): l after l, component after component, its channels."""
    return torch.cat([f.mT.flatten(1) for f in x], dim=1)


def unpack(packed: Tensor, channels: Channels) -> Features:
    """Inverse of `pack`."""
    sizes = [(2 * l + 1) * channels.total(l) for l in range(channels.l_max + 1)]
    parts = packed.split(sizes, dim=1)
    return [part.unflatten(1, (2 * l + 1, channels.total(l))).mT for l, part in enumerate(parts)]


class _Messages(torch.autograd.Function):
    """The compiled pass as an operation that can be differentiated once."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Tensor:
        """Sum messages; takes packed features, factors, the four weights, convolution and bonds."""
        *tensors, convolution, bonds = arguments
        ctx.save_for_backward(*tensors)
        ctx.convolution, ctx.bonds = convolution, bonds
        x, factors, *weights = (t.detach().contiguous().numpy() for t in tensors)
        one, two, places = _mixings(convolution, weights)
        shape = convolution.shape()
        known = (x, shape, one, two, bonds.receiver, bonds.sender, bonds.turns, factors, bonds.weight)

        def part(first: int, last: int) -> Floats:
            summed = np.zeros_like(x)
            memory = tuple(_batch(place) for place in places)
            arguments: tuple[Any, ...] = (first, last, *known, memory, _rows(convolution), summed)
            sum_messages(*arguments)
            return summed

        return torch.from_numpy(sum(_in_threads(part, bonds)))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, above: Tensor) -> Any:
        """Derivatives with respect to the tensors among `forward`'s arguments."""
        convolution, bonds = ctx.convolution, ctx.bonds
        x, factors, *weights = (t.detach().contiguous().numpy() for t in ctx.saved_tensors)
        one, two, (before, between, after) = _mixings(convolution, weights)
        shape, of_factors = convolution.shape(), np.zeros_like(factors)
        known = (x, shape, one, two, bonds.receiver, bonds.sender, bonds.turns, factors, bonds.weight)
        of_sums = above.contiguous().numpy()

        def part(first: int, last: int) -> list[Floats]:
            of_x, of_weights = np.zeros_like(x), tuple(np.zeros_like(w) for w in weights)
            memory = tuple(_batch(p) for p in (before, between, between, after, between, before))
            sigmoid = np.empty((BATCH, shape.scalars + shape.gates), dtype=np.float32)
            scratch = np.empty(max(len(weights[0]), len(weights[2])), dtype=np.float32)
            room = (memory, _rows(convolution), sigmoid, scratch)
            arguments: tuple[Any, ...] = (first, last, *known, of_sums, *room, of_x, of_factors, of_weights)
            message_gradients(*arguments)
            return [of_x, *of_weights]

        of_x, *of_weights = (sum(parts) for parts in zip(*_in_threads(part, bonds)))
        tensors = (torch.from_numpy(d) for d in (of_x, of_factors, *of_weights))
        return *tensors, None, None


def _mixings(
    convolution: BondConvolution, weights: Sequence[Floats]
) -> tuple[Mixing, Mixing, tuple[Pieces, Pieces, Pieces]]:
    before, between, after = places = convolution.places()
    first, second = (
        Mixing(matrices, _starts(*sides), bias, *sides)
        for matrices, bias, sides in (
            (weights[0], weights[1], (before, between)),
            (weights[2], weights[3], (between, after)),
        )
    )
    return first, second, places


def _starts(inputs: Pieces, outputs: Pieces) -> NDArray[np.int64]:
    sizes = inputs.widths * outputs.widths
    return np.cumsum(sizes) - sizes


def _batch(pieces: Pieces) -> Floats:
    """Room for the features of a batch of bonds."""
    return np.empty(BATCH * int(pieces.widths.sum()), dtype=np.float32)


def _rows(convolution: BondConvolution) -> Floats:
    """Room for the gates of a bond, or for one l of an atom's features, twice."""
    channels = convolution.second.outputs
    widest = max((2 * l + 1) * channels.total(l) for l in range(channels.l_max + 1))
    return np.empty((2, max(convolution.gate.inputs.natural[0], widest)), dtype=np.float32)


def _in_threads(part: Callable[[int, int], Any], bonds: Turned) -> list[Any]:
    """Results for the parts that the bonds are cut into, one a thread."""
    parts = list(bonds.parts())
    if len(parts) == 1:
        return [part(*parts[0])]
    with ThreadPoolExecutor(len(parts)) as pool:
        return list(pool.map(lambda ends: part(*ends), parts))
