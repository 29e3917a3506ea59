"""The Hamiltonian network: atoms in, on-site and off-site blocks out.

Message passing runs inside a short cutoff; the block readout reaches the Hamiltonian's own range of each
species pair. The network predicts H minus a smooth two-centre reference, in units of the residual's own
spread. Both readouts are exactly O(3)-equivariant, Hermitian and invariant to permutations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import cast

import torch
from torch import Tensor, nn

from n2amd.blocks.matrix import SpeciesPair
from n2amd.network.features import Channels, Features, rotate_back, scale
from n2amd.network.graph import Bonds, Graph
from n2amd.network.layers import BondGeometry, EnvironmentEmbedding, Interaction, PairConvolution, SiteReadout
from n2amd.network.precision import float32_default
from n2amd.network.reference import TwoCentreReference
from n2amd.network.shell_blocks import BlockAssembly
from n2amd.orbitals.basis import Basis


@dataclass(frozen=True)
class Architecture:
    """Everything that fixes the shape of the network.

    Attributes
    ----------
    channels
        Hidden channels per l = 0..l_max (both parities; no pseudoscalars).
    layers
        Message-passing layers.
    message_cutoff
        Angstrom.
    ranges
        Range of the Hamiltonian per species pair, Angstrom.
    neighbours
        Mean number of neighbours within the message cutoff, for normalisation.
    n_radial, radial_hidden
        Bessel functions and width of the radial perceptrons.
    n_splines
        B-splines of the two-centre reference.
    """

    channels: tuple[int, ...]
    layers: int
    message_cutoff: float
    ranges: Mapping[SpeciesPair, float]
    neighbours: float
    n_radial: int = 10
    radial_hidden: int = 48
    n_splines: int = 32

    def to_dict(self) -> dict:
        """Plain types, for the checkpoint."""
        return {**asdict(self), "ranges": [[a, b, r] for (a, b), r in self.ranges.items()]}

    @classmethod
    def from_dict(cls, document: dict) -> Architecture:
        """Inverse of `to_dict`."""
        ranges = {(a, b): r for a, b, r in document["ranges"]}
        return cls(**{**document, "channels": tuple(document["channels"]), "ranges": ranges})


class HamiltonianNetwork(nn.Module):
    """Predict the Hamiltonian blocks of a graph; made in float32, whatever torch's default dtype is.

    Parameters
    ----------
    basis
        Orbital basis: fixes the shape of every block.
    architecture
        Shape of the network.
    """

    @float32_default()
    def __init__(self, basis: Basis, architecture: Architecture) -> None:
        super().__init__()
        self.basis, self.architecture = basis, architecture
        self.numbers = basis.numbers
        block_l_max = 2 * max(shell.l for atom in basis.atoms.values() for shell in atom.shells)
        # features need the l of every block part; an architecture that asks for less is padded with zeros
        widths = (*architecture.channels, *([0] * block_l_max))[
            : max(block_l_max + 1, len(architecture.channels))
        ]
        hidden = Channels.both(widths)
        self.l_max = hidden.l_max
        n_species = len(self.numbers)
        n_edge = architecture.n_radial + 2 * n_species
        width, neighbours = architecture.radial_hidden, architecture.neighbours

        self.embedding = EnvironmentEmbedding(hidden, n_species, n_edge, width, neighbours)
        self.interactions = nn.ModuleList(
            Interaction(hidden, n_edge, width, neighbours) for _ in range(architecture.layers)
        )
        self.site_assembly = nn.ModuleDict(
            {str(z): BlockAssembly(basis[z], basis[z], self.l_max) for z in self.numbers}
        )
        self.pair_assembly = nn.ModuleDict(
            {f"{a}-{b}": BlockAssembly(basis[a], basis[b], self.l_max) for a, b in architecture.ranges}
        )
        site_channels = {z: self.assembly(z).channels for z in self.numbers}
        pair_channels = {(a, b): self.assembly(a, b).channels for a, b in architecture.ranges}
        self.site_readout = nn.ModuleDict({str(z): SiteReadout(hidden, c) for z, c in site_channels.items()})
        self.pair_readout = nn.ModuleDict(
            {
                f"{a}-{b}": PairConvolution(hidden, hidden, c, n_edge, width, scale_hidden=True)
                for (a, b), c in pair_channels.items()
            }
        )
        self.reference = TwoCentreReference(
            self.numbers,
            site_channels,
            pair_channels,
            architecture.ranges,
            architecture.message_cutoff,
            architecture.n_splines,
        )
        for z, channels in site_channels.items():
            self.register_buffer(f"site_scale_{z}", torch.full((channels.sum,), 0.1))
        for (a, b), channels in pair_channels.items():
            self.register_buffer(f"pair_scale_{a}_{b}", torch.full((channels.sum,), 0.1))

    def assembly(self, a: int, b: int | None = None) -> BlockAssembly:
        """Block assembly of element a's on-site blocks, or of the off-site blocks of species pair (a, b)."""
        module = self.site_assembly[str(a)] if b is None else self.pair_assembly[f"{a}-{b}"]
        return cast(BlockAssembly, module)

    def geometry(self, bonds: Bonds, graph: Graph, cutoff: float) -> BondGeometry:
        """Lengths, Wigner matrices and radial basis of some bonds of the graph."""
        return BondGeometry.of(
            bonds,
            graph.positions,
            graph.species,
            len(self.numbers),
            cutoff,
            self.l_max,
            self.architecture.n_radial,
        )

    def atom_features(self, graph: Graph, messages: BondGeometry) -> Features:
        """Node features after all message-passing layers."""
        x = self.embedding(graph.species, graph.messages, messages)
        for interaction in self.interactions:
            x = interaction(x, graph.messages, messages)
        return x

    def correction(self, graph: Graph) -> tuple[dict[int, Tensor], dict[SpeciesPair, Tensor]]:
        """Predict H minus the reference: what the network is trained on."""
        return self(graph, reference=False)

    def forward(
        self, graph: Graph, reference: bool = True, correct: bool = True
    ) -> tuple[dict[int, Tensor], dict[SpeciesPair, Tensor]]:
        """Predict all blocks.

        Parameters
        ----------
        graph
            Atoms, message bonds and the pairs wanted.
        reference, correct
            Leave out the two-centre reference or the network's correction.

        Returns
        -------
        site
            Per element, on-site blocks in the order of its atoms, (n, n_orbitals, n_orbitals), eV.
        pair
            Per species pair, off-site blocks in the order of `graph.pairs`, (n, n_i, n_j), eV.
        """
        messages = self.geometry(graph.messages, graph, self.architecture.message_cutoff)
        features = self.atom_features(graph, messages) if correct else None
        sums = None
        if reference:
            bonds = graph.messages
            sums = self.reference.site_basis(len(graph.positions), graph.species, bonds.i, bonds.j, messages)
        site = {z: self._site_blocks(k, z, graph, sums, features) for k, z in enumerate(self.numbers)}
        pair = {
            key: self._pair_blocks(key, bonds, graph, reference, features)
            for key, bonds in graph.pairs.items()
        }
        return {z: blocks for z, blocks in site.items() if len(blocks)}, pair

    def _site_blocks(
        self, k: int, z: int, graph: Graph, sums: list[Tensor] | None, features: Features | None
    ) -> Tensor:
        atoms = torch.nonzero(graph.species == k).flatten()
        assembly = self.assembly(z)
        parts = _zeros(len(atoms), assembly.channels, graph.positions)
        if sums is not None:
            parts = self.reference.site(z, [s[atoms] for s in sums])
        if features is not None:
            network = self.site_readout[str(z)]([f[atoms] for f in features])
            factors = getattr(self, f"site_scale_{z}").expand(len(atoms), -1)
            parts = [p + n for p, n in zip(parts, scale(network, factors))]
        block = assembly(parts)
        return 0.5 * (block + block.mT)

    def _pair_blocks(
        self, key: SpeciesPair, bonds: Bonds, graph: Graph, reference: bool, features: Features | None
    ) -> Tensor:
        a, b = key
        name, n = f"{a}-{b}", len(bonds)
        # equal species: evaluate both directions and average, so that which one is stored cannot matter
        directed = bonds.with_reversed() if a == b else bonds
        geometry = self.geometry(directed, graph, self.architecture.ranges[key])
        assembly = self.assembly(a, b)
        parts = _zeros(len(directed), assembly.channels, graph.positions)
        if reference:
            for l, value in enumerate(self.reference.pair(key, geometry.distance)):
                parts[l][:, : assembly.channels.natural[l], l] = value
        if features is not None:
            network = self.pair_readout[name](features, directed, geometry)
            factors = getattr(self, f"pair_scale_{a}_{b}") * geometry.envelope[:, None]
            parts = [p + q for p, q in zip(parts, scale(network, factors))]
        blocks = assembly(rotate_back(parts, geometry.wigner))
        return 0.5 * (blocks[:n] + blocks[n:].mT) if a == b else blocks

    @torch.no_grad()
    def fit_scales(self, site: Mapping[int, Tensor], pair: Mapping[SpeciesPair, Tensor]) -> None:
        """Set the output scales to the spread of the residual blocks (H minus reference), part by part."""

        def spread(assembly: BlockAssembly, blocks: Tensor) -> Tensor:
            parts = assembly.decompose(blocks.double())
            rms = torch.cat([p.square().mean(dim=(0, 2)).sqrt() for p in parts])
            return rms.clamp(min=1e-3).float()

        for z, blocks in site.items():
            getattr(self, f"site_scale_{z}").copy_(spread(self.assembly(z), blocks))
        for (a, b), blocks in pair.items():
            getattr(self, f"pair_scale_{a}_{b}").copy_(spread(self.assembly(a, b), blocks))


def _zeros(n: int, channels: Channels, like: Tensor) -> Features:
    return [like.new_zeros(n, channels.total(l), 2 * l + 1) for l in range(channels.l_max + 1)]
