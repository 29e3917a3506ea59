"""Layers of the network: embedding of the environment, message passing, and the two readouts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from n2amd.network.bond_kernels import Bonds as TurnedBonds
from n2amd.network.bond_messages import BondConvolution, messages, pack, unpack
from n2amd.network.features import (
    Channels,
    EquivariantLinear,
    EquivariantNorm,
    Features,
    Gate,
    of_atoms,
    rotate,
    rotate_back,
    scale,
    side_by_side,
    sum_to_atoms,
)
from n2amd.network.graph import Bonds
from n2amd.network.radial import bessel, envelope
from n2amd.network.so2 import SO2Linear
from n2amd.network.wigner import bond_wigner

#: Bonds whose features or radial factors are held at once where no gradients are wanted.
BONDS = 1 << 14


@dataclass(frozen=True)
class BondGeometry:
    """What every layer needs of a set of bonds; computed once.

    Attributes
    ----------
    distance
        Bond lengths (n,), Angstrom.
    wigner
        D_l into the bond frame, l = 0..l_max.
    radial
        Radial basis with the species of both ends, (n, n_radial + 2 n_species).
    envelope
        Smooth cutoff (n,).
    """

    distance: Tensor
    wigner: list[Tensor]
    radial: Tensor
    envelope: Tensor

    @classmethod
    def of(
        cls,
        bonds: Bonds,
        positions: Tensor,
        species: Tensor,
        n_species: int,
        cutoff: float,
        l_max: int,
        n_radial: int,
    ) -> BondGeometry:
        """Evaluate lengths, Wigner matrices and radial basis of the bonds."""
        vectors = bonds.vectors(positions)
        distance = vectors.norm(dim=1)
        x = distance / cutoff
        eye = torch.eye(n_species, dtype=positions.dtype, device=positions.device)
        cut = envelope(x)
        radial = torch.cat(
            [bessel(x, n_radial) * cut[:, None], eye[species[bonds.i]], eye[species[bonds.j]]], dim=1
        )
        return cls(distance, bond_wigner(vectors / distance[:, None], l_max), radial, cut)

    def part(self, some: slice) -> BondGeometry:
        """Return that of some of the bonds."""
        turned = [d[some] for d in self.wigner]
        return BondGeometry(self.distance[some], turned, self.radial[some], self.envelope[some])

    @cached_property
    def turns(self) -> Tensor:
        """D_l of all l side by side, row after row, (n, sum of (2 l + 1)^2)."""
        return torch.cat([d.flatten(1) for d in self.wigner], dim=1)


def radial_network(n_in: int, hidden: int, n_out: int) -> nn.Sequential:
    """Two-layer perceptron of the radial basis."""
    last = nn.Linear(hidden, n_out)
    nn.init.normal_(last.weight, std=hidden**-0.5)
    return nn.Sequential(nn.Linear(n_in, hidden), nn.SiLU(), last)


class EnvironmentEmbedding(nn.Module):
    """First features: A_lm = sum_j R_l(r_ij, z_i, z_j) Y_lm(r_ij), and the species as scalars."""

    def __init__(
        self, channels: Channels, n_species: int, n_edge: int, hidden: int, neighbours: float
    ) -> None:
        super().__init__()
        self.channels = channels
        self.species = nn.Embedding(n_species, channels.natural[0])
        self.radial = radial_network(n_edge, hidden, sum(channels.natural))
        self.norm = neighbours**-0.5

    def forward(self, species: Tensor, bonds: Bonds, geometry: BondGeometry) -> Features:
        """Node features (n_atoms, channels, 2l + 1)."""
        weights = self.radial(geometry.radial) * (geometry.envelope * self.norm)[:, None]
        n_atoms, features = len(species), []
        for l, part in enumerate(weights.split(self.channels.natural, dim=1)):
            harmonic = geometry.wigner[l][:, l]  # D^T applied to Y_l(z): the row m = 0
            message = part[:, :, None] * harmonic[:, None, :]
            natural = message.new_zeros(n_atoms, *message.shape[1:]).index_add(0, bonds.i, message)
            if l == 0:
                natural = natural + self.species(species)[:, :, None]
            empty = natural.new_zeros(n_atoms, self.channels.unnatural[l], 2 * l + 1)
            features.append(torch.cat([natural, empty], dim=1))
        return features


class PairConvolution(nn.Module):
    """Features of a bond from those of its two atoms, in the bond frame.

    Rotate both atoms' features into the bond frame, scale each channel by a function of length and species,
    then SO(2) linear, gate, SO(2) linear.

    Parameters
    ----------
    inputs, hidden, outputs
        Layouts of the atoms' features, between the two linear maps, and of the result.
    n_edge, radial_hidden
        Width of the radial basis and of the radial perceptrons.
    scale_hidden
        Scale the hidden channels by a function of length and species, too (the readout of blocks).
    """

    def __init__(
        self,
        inputs: Channels,
        hidden: Channels,
        outputs: Channels,
        n_edge: int,
        radial_hidden: int,
        scale_hidden: bool = False,
    ) -> None:
        super().__init__()
        self.inputs = inputs
        gate = Gate(hidden)
        self.radial_in = radial_network(n_edge, radial_hidden, inputs.doubled().sum)
        self.first = SO2Linear(inputs.doubled(), gate.inputs)
        self.gate = gate
        self.radial_out = radial_network(n_edge, radial_hidden, hidden.sum) if scale_hidden else None
        self.second = SO2Linear(hidden, outputs)

    def forward(self, x: Features, bonds: Bonds, geometry: BondGeometry) -> Features:
        """Bond-frame features (n_bonds, channels, 2l + 1)."""
        both = side_by_side(of_atoms(x, bonds.i), of_atoms(x, bonds.j), self.inputs)
        hidden = self.gate(self.first(scale(rotate(both, geometry.wigner), self.radial_in(geometry.radial))))
        if self.radial_out is not None:
            hidden = scale(hidden, 1.0 + self.radial_out(geometry.radial))
        return self.second(hidden)


class Interaction(nn.Module):
    """One message-passing layer with residual connections and a feed-forward step on the nodes."""

    def __init__(self, channels: Channels, n_edge: int, radial_hidden: int, neighbours: float) -> None:
        super().__init__()
        self.norm = EquivariantNorm(channels)
        self.convolution = PairConvolution(channels, channels, channels, n_edge, radial_hidden)
        self.mix = EquivariantLinear(channels, channels)
        gate = Gate(channels)
        self.forward_norm = EquivariantNorm(channels)
        self.forward_in = EquivariantLinear(channels, gate.inputs)
        self.gate = gate
        self.forward_out = EquivariantLinear(channels, channels)
        self.scale = neighbours**-0.5

    def forward(self, x: Features, bonds: Bonds, geometry: BondGeometry) -> Features:
        """Node features in, node features out."""
        summed = self._messages(self.norm(x), bonds, geometry)
        x = [f + update for f, update in zip(x, self.mix(summed))]
        update = self.forward_out(self.gate(self.forward_in(self.forward_norm(x))))
        return [f + u for f, u in zip(x, update)]

    def _messages(self, x: Features, bonds: Bonds, geometry: BondGeometry) -> Features:
        """Messages summed over the bonds of each atom: compiled where that can be done."""
        if (
            x[0].device.type != "cpu"
            or x[0].dtype != torch.float32
            or geometry.distance.requires_grad  # derivatives with respect to the atoms' places are wanted
        ):
            return self.messages_by_tensors(x, bonds, geometry)
        weight, c = geometry.envelope * self.scale, self.convolution
        convolution = BondConvolution(c.first, c.gate, c.second)
        # without gradients the factors of a part of the bonds are enough
        step = max(len(bonds), 1) if torch.is_grad_enabled() else BONDS
        summed = torch.zeros_like(pack(x))
        for start in range(0, len(bonds), step):
            some = slice(start, start + step)
            parts = (bonds.i[some], bonds.j[some], geometry.turns[some], weight[some])
            turned = TurnedBonds(*(part.numpy() for part in parts))
            summed = summed + messages(x, convolution, turned, c.radial_in(geometry.radial[some]))
        return unpack(summed, c.second.outputs)

    def messages_by_tensors(self, x: Features, bonds: Bonds, geometry: BondGeometry) -> Features:
        """Messages summed over the bonds of each atom: on any device, in any precision.

        Without backward gradients one part of the bonds follows the other, and memory is that of a part.
        """
        n = len(bonds)
        if n <= BONDS or torch.is_grad_enabled():
            return self._messages_of(x, bonds, geometry)
        parts = [slice(start, start + BONDS) for start in range(0, n, BONDS)]
        summed = self._messages_of(x, bonds.part(parts[0]), geometry.part(parts[0]))
        for some in parts[1:]:
            more = self._messages_of(x, bonds.part(some), geometry.part(some))
            summed = [a + b for a, b in zip(summed, more)]
        return summed

    def _messages_of(self, x: Features, bonds: Bonds, geometry: BondGeometry) -> Features:
        weight = geometry.envelope * self.scale
        sent = self.convolution(x, bonds, geometry)
        sent = rotate_back([m * weight[:, None, None] for m in sent], geometry.wigner)
        return sum_to_atoms(sent, bonds.i, len(x[0]))


class SiteReadout(nn.Module):
    """Irreducible parts of the on-site blocks of one element from its atoms' features."""

    def __init__(self, inputs: Channels, outputs: Channels) -> None:
        super().__init__()
        gate = Gate(inputs)
        self.norm = EquivariantNorm(inputs)
        self.first = EquivariantLinear(inputs, gate.inputs)
        self.gate = gate
        self.second = EquivariantLinear(inputs, outputs)

    def inner(self, x: Features) -> Features:
        """Features that the last linear map is applied to."""
        return self.gate(self.first(self.norm(x)))

    def forward(self, x: Features) -> Features:
        """Lab-frame parts (n_atoms, channels, 2l + 1)."""
        return self.second(self.inner(x))
