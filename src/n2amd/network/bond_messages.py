"""Messages of bonds on a processor: the convolution of `n2amd.network.layers.Interaction` as a compiled pass.

Tensor operations do the same slower: all features of all bonds pass through memory each time. Derivatives
with respect to features, radial factors and maps are compiled, too; those with respect to the atoms' places
are left to the tensor operations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from n2amd.network.bond_gradients import Below, Derivatives, add_gradients
from n2amd.network.bond_kernels import BATCH, Bonds, Columns, Floats, Messages, Mixing, sum_messages
from n2amd.network.bond_layout import Integers, Places, block_weights, block_widths, places_of
from n2amd.network.features import Channels, Features, Gate
from n2amd.network.so2 import SO2Linear

#: Fewest bonds that are worth a thread, and most parts that bonds are cut into.
FEWEST_BONDS, MOST_PARTS = 512, 16


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

    def places(self) -> Places:
        """Where the kernel finds features, factors and gates."""
        features = self.second.outputs
        return places_of(features, self.gate.channels, self.gate.inputs, features)

    def widths(self) -> tuple[Integers, Integers, Integers]:
        """Rows of the blocks before, between and after the maps."""
        before, between, after = self.first.inputs, self.gate.inputs, self.second.outputs
        return block_widths(before), block_widths(between), block_widths(after)


def messages(x: Features, convolution: BondConvolution, bonds: Bonds, factors: Tensor) -> Tensor:
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
        known = _known(tensors, convolution, bonds)

        def part(first: int, last: int) -> Floats:
            summed = np.zeros_like(known.x)
            sum_messages(first, last, known, _columns(known), summed)
            return summed

        return torch.from_numpy(sum(_in_threads(part, bonds)))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, above: Tensor) -> Any:
        """Derivatives with respect to the tensors among `forward`'s arguments."""
        known = _known(ctx.saved_tensors, ctx.convolution, ctx.bonds)
        one, two = known.one, known.two
        of_sums, of_factors = above.contiguous().numpy(), np.zeros_like(known.factors)

        def part(first: int, last: int) -> Derivatives:
            empty = [np.zeros_like(w) for w in (one.weights, one.bias, two.weights, two.bias)]
            totals = Derivatives(np.zeros_like(known.x), of_factors, *empty)
            add_gradients(first, last, known, _columns(known), of_sums, _below(known), totals)
            return totals

        parts = _in_threads(part, ctx.bonds)
        of_x, _, *of_weights = (sum(some) for some in zip(*parts))
        tensors = (torch.from_numpy(d) for d in (of_x, of_factors, *of_weights))
        return *tensors, None, None


def _known(tensors: Sequence[Tensor], convolution: BondConvolution, bonds: Bonds) -> Messages:
    """Everything that the kernels read."""
    x, factors, *weights = (t.detach().contiguous().numpy() for t in tensors)
    before, between, after = convolution.widths()
    one = Mixing(weights[0], weights[1], before, between)
    two = Mixing(weights[2], weights[3], between, after)
    return Messages(x, convolution.places(), one, two, bonds, factors)


def _rows(n: int) -> Floats:
    """Room for rows of a batch of bonds."""
    return np.empty((n, BATCH), dtype=np.float32)


def _columns(known: Messages) -> Columns:
    """Room for a batch of bonds."""
    components, hidden = known.x.shape[1], int(known.one.outputs.sum())
    rows, places = int(known.one.inputs.sum()), known.places
    return Columns(
        receiver=_rows(components),
        sender=_rows(components),
        turn=_rows(known.bonds.turns.shape[1]),
        factor=_rows(known.factors.shape[1]),
        weight=np.empty(BATCH, dtype=np.float32),
        inputs=_rows(rows),
        hidden=_rows(hidden),
        gated=_rows(hidden),
        outputs=_rows(components),
        sigmoid=_rows(places.n_scalars + places.n_gates),
        line=_rows(2 * len(places.channels)),
    )


def _below(known: Messages) -> Below:
    """Room for the derivatives of a batch of bonds."""
    one, two = known.one, known.two
    return Below(
        x=_rows(known.x.shape[1]),
        factor=_rows(known.factors.shape[1]),
        hidden=_rows(int(one.outputs.sum())),
        inputs=_rows(int(one.inputs.sum())),
        matrix=np.empty(max(len(one.weights), len(two.weights)), dtype=np.float32),
    )


def _in_threads(part: Callable[[int, int], Any], bonds: Bonds) -> list[Any]:
    """Results for the parts that the bonds are cut into.

    The parts are the same for any number of threads, and so is their sum, to the last bit.
    """
    n = len(bonds.receiver)
    count = max(1, min(MOST_PARTS, n // FEWEST_BONDS))
    parts = [(k * n // count, (k + 1) * n // count) for k in range(count)]
    threads = min(torch.get_num_threads(), count)
    if threads == 1:
        return [part(*ends) for ends in parts]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda ends: part(*ends), parts))
