"""Layout of equivariant features: per l, natural parity channels first, then unnatural ones.

A feature of angular momentum l is a tensor (n, natural[l] + unnatural[l], 2l + 1). Natural parity is
(-1)^l (vectors, as Y_l); unnatural the opposite (axial vectors and their like).

In memory the channels of features of bonds stand side by side, component after component: operations on them
are limited by memory, and most take some components of all channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Features = list[Tensor]


@dataclass(frozen=True)
class Channels:
    """Number of channels per l = 0..l_max and parity: the contract between layers."""

    natural: tuple[int, ...]
    unnatural: tuple[int, ...]

    @classmethod
    def both(cls, channels: Sequence[int]) -> Channels:
        """Equal numbers of both parities, without pseudoscalars."""
        return cls(tuple(channels), (0, *channels[1:]))

    @property
    def l_max(self) -> int:
        """Highest angular momentum."""
        return len(self.natural) - 1

    def total(self, l: int) -> int:
        """Channels of both parities at l."""
        return self.natural[l] + self.unnatural[l]

    @property
    def sum(self) -> int:
        """Channels of every l and parity."""
        return sum(self.natural) + sum(self.unnatural)

    def doubled(self) -> Channels:
        """Channels of two features side by side."""
        return Channels(tuple(2 * c for c in self.natural), tuple(2 * c for c in self.unnatural))


def side_by_side(a: Features, b: Features, channels: Channels) -> Features:
    """Concatenate two features of the same layout, parity by parity."""
    joined = []
    for x, y, n in zip(a, b, channels.natural):
        sizes = [n, x.shape[1] - n]
        (x_n, x_u), (y_n, y_u) = x.mT.split(sizes, dim=2), y.mT.split(sizes, dim=2)
        joined.append(torch.cat([x_n, y_n, x_u, y_u], dim=2).mT)
    return joined


def of_atoms(features: Features, atoms: Tensor) -> Features:
    """Features of the given atoms, in any order and number."""
    return [x.mT.contiguous().index_select(0, atoms).mT for x in features]


def sum_to_atoms(features: Features, atoms: Tensor, n_atoms: int) -> Features:
    """Sum features over all that belong to the same atom, (n_atoms, channels, 2l + 1)."""
    return [x.new_zeros(n_atoms, *x.shape[:0:-1]).index_add(0, atoms, x.mT).mT for x in features]


def rotate(features: Features, wigner: Sequence[Tensor]) -> Features:
    """Apply D_l to every channel (into the bond frame)."""
    return [(wigner[l] @ x.mT).mT if l else x for l, x in enumerate(features)]


def rotate_back(features: Features, wigner: Sequence[Tensor]) -> Features:
    """Apply the transposed D_l to every channel (out of the bond frame)."""
    return [(wigner[l].mT @ x.mT).mT if l else x for l, x in enumerate(features)]


def scale(features: Features, factors: Tensor) -> Features:
    """Multiply every channel by a scalar of its own; factors (n, sum of channels)."""
    parts = factors.split([x.shape[1] for x in features], dim=1)
    return [x * part[:, :, None] for x, part in zip(features, parts)]


class EquivariantLinear(nn.Module):
    """Mix channels within each l and parity; a bias on natural scalars only."""

    def __init__(self, inputs: Channels, outputs: Channels) -> None:
        super().__init__()
        self.inputs, self.outputs = inputs, outputs

        def matrices(rows: Sequence[int], columns: Sequence[int]) -> nn.ParameterList:
            return nn.ParameterList(
                nn.Parameter(torch.randn(i, o) / max(i, 1) ** 0.5) for i, o in zip(rows, columns)
            )

        self.natural = matrices(inputs.natural, outputs.natural)
        self.unnatural = matrices(inputs.unnatural, outputs.unnatural)
        self.bias = nn.Parameter(torch.zeros(outputs.natural[0]))

    def forward(self, x: Features) -> Features:
        """Map features per l to features per l."""
        result = []
        for l, feature in enumerate(x):
            # channels last, as messages leave them: then each is one matrix product for all atoms
            parts = feature.mT.split([self.inputs.natural[l], self.inputs.unnatural[l]], dim=2)
            mixed = [
                part @ weight
                for part, weight in zip(parts, (self.natural[l], self.unnatural[l]))
                if weight.shape[1]
            ]
            if l == 0:
                mixed[0] = mixed[0] + self.bias
            result.append(torch.cat(mixed, dim=2).mT if mixed else feature[:, :0])
        return result


class Gate(nn.Module):
    """SiLU on scalars; every other channel is multiplied by the sigmoid of a scalar of its own.

    Takes features with the layout `inputs` (natural scalars carry the gates), gives `channels`.
    """

    def __init__(self, channels: Channels) -> None:
        super().__init__()
        if channels.unnatural[0]:
            raise ValueError("pseudoscalars cannot pass SiLU: it is not odd")
        self.channels = channels
        self.n_gates = channels.sum - channels.natural[0]
        self.inputs = Channels(
            (channels.natural[0] + self.n_gates, *channels.natural[1:]), channels.unnatural
        )

    def forward(self, x: Features) -> Features:
        """Apply the gates."""
        scalars, gates = x[0].split([self.channels.natural[0], self.n_gates], dim=1)
        return [
            torch.nn.functional.silu(scalars),
            *scale(x[1:], torch.sigmoid(gates[:, :, 0])),
        ]


class EquivariantNorm(nn.Module):
    """Divide each l by the root mean square over its channels and components; a learned scale a channel."""

    def __init__(self, channels: Channels) -> None:
        super().__init__()
        self.scales = nn.ParameterList(
            nn.Parameter(torch.ones(channels.total(l), 1)) for l in range(channels.l_max + 1)
        )

    def forward(self, x: Features) -> Features:
        """Normalise; smooth at zero, so that isolated atoms stay finite."""
        return [
            feature * weight * torch.rsqrt(feature.square().mean(dim=(1, 2), keepdim=True) + 1e-2)
            for feature, weight in zip(x, self.scales)
        ]
