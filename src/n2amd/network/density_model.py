"""The density network: atoms in, coefficients of atom-centred density functions out.

The same message passing as the Hamiltonian network, with the field of latent charges and dipoles after the
first and the last layer. What it predicts is small and local; the potential that the density makes, which is
neither, follows from Poisson's equation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from n2amd.baseline.auxiliary import L_MAX, AuxiliaryBasis
from n2amd.network.ewald import FieldWaves, LatentField
from n2amd.network.features import Channels, Features
from n2amd.network.graph import Graph
from n2amd.network.layers import BondGeometry, EnvironmentEmbedding, Interaction, SiteReadout
from n2amd.network.precision import float32_default


@dataclass(frozen=True)
class DensityArchitecture:
    """Shape of the density network.

    Attributes
    ----------
    channels
        Hidden channels per l = 0..4.
    layers
        Message-passing layers.
    message_cutoff
        Angstrom.
    neighbours
        Mean number of neighbours within it, for normalisation.
    n_radial, radial_hidden
        Bessel functions and width of the radial perceptrons.
    n_latent
        Latent charges and dipoles an atom; 0: no long-ranged features.
    neutral
        See `n2amd.network.ewald.LatentField`.
    spin
        Whether it predicts the magnetisation rho_up - rho_down beside the density.
    """

    channels: tuple[int, ...]
    layers: int
    message_cutoff: float
    neighbours: float
    n_radial: int = 8
    radial_hidden: int = 32
    n_latent: int = 4
    neutral: bool = True
    spin: bool = False

    def to_dict(self) -> dict:
        """Plain types, for the checkpoint; a network without spin does not mention it."""
        document = asdict(self)
        if not self.spin:
            del document["spin"]
        return document

    @classmethod
    def from_dict(cls, document: dict) -> DensityArchitecture:
        """Inverse of `to_dict`."""
        # files of before version 2.2 do not say it
        return cls(**{"neutral": False, **document, "channels": tuple(document["channels"])})


class DensityNetwork(nn.Module):
    """Predict density coefficients of a graph; equivariant, permutation invariant, charge-conserving.

    With collinear spins a second head predicts the magnetisation of a positive moment; that of a negative one
    is the same with the other sign, so that H of both channels changes places, and without a moment there is
    none.

    Parameters
    ----------
    auxiliary
        Density functions of every element.
    architecture
        Shape of the network.
    """

    @float32_default()
    def __init__(self, auxiliary: AuxiliaryBasis, architecture: DensityArchitecture) -> None:
        super().__init__()
        self.auxiliary, self.architecture = auxiliary, architecture
        self.numbers = tuple(sorted(auxiliary.atoms))
        widths = (*architecture.channels, *(0,) * (L_MAX + 1))[: L_MAX + 1]
        hidden = Channels.both(widths)
        n_species = len(self.numbers)
        n_edge = architecture.n_radial + 2 * n_species
        width, neighbours = architecture.radial_hidden, architecture.neighbours
        self.embedding = EnvironmentEmbedding(hidden, n_species, n_edge, width, neighbours)
        self.interactions = nn.ModuleList(
            Interaction(hidden, n_edge, width, neighbours) for _ in range(architecture.layers)
        )
        self.field = None
        if n_latent := architecture.n_latent:
            self.field = LatentField(hidden, n_species, n_latent, architecture.neutral)
        none = (0,) * (L_MAX + 1)
        self.readout = nn.ModuleDict(
            {str(z): SiteReadout(hidden, Channels(auxiliary.counts(z), none)) for z in self.numbers}
        )
        for z in self.numbers:
            size = auxiliary.n_functions(z)
            charges = np.zeros(size)
            charges[: auxiliary.counts(z)[0]] = auxiliary.charges(z)
            self.register_buffer(f"charge_{z}", torch.from_numpy(charges))
            self.register_buffer(f"mean_{z}", torch.zeros(size, dtype=torch.float64))
            self.register_buffer(f"scale_{z}", torch.ones(size, dtype=torch.float64))
        heads = [self.readout]
        if architecture.spin:
            # made last, so that the other weights are those of a network without spin
            self.magnetic = nn.ModuleDict(
                {str(z): SiteReadout(hidden, Channels(auxiliary.counts(z), none)) for z in self.numbers}
            )
            heads.append(self.magnetic)
            for z in self.numbers:
                size = auxiliary.n_functions(z)
                self.register_buffer(f"magnetic_mean_{z}", torch.zeros(size, dtype=torch.float64))
                self.register_buffer(f"magnetic_scale_{z}", torch.ones(size, dtype=torch.float64))
        with torch.no_grad():
            for head in heads:
                for readout in head.values():
                    for weight in cast(SiteReadout, readout).second.natural:
                        weight.mul_(0.1)

    def fit_scales(self, coefficients: Mapping[int, NDArray[np.float64]], of: str = "") -> None:
        """Set mean and spread of the outputs from fitted coefficients, per element (n_atoms, n_functions).

        `of` is "magnetic_" for coefficients of magnetisations, all of positive moments.
        """
        for z, values in coefficients.items():
            mean, scale, start = np.zeros(values.shape[1]), np.ones(values.shape[1]), 0
            for shell in self.auxiliary.atoms[z]:
                columns = slice(start, start + shell.n_orbitals)
                if shell.l == 0:
                    mean[columns] = values[:, columns].mean()
                # one scale a shell: its components turn into each other
                scale[columns] = max(float(np.sqrt(np.mean((values[:, columns] - mean[columns]) ** 2))), 1e-6)
                start += shell.n_orbitals
            getattr(self, f"{of}mean_{z}").copy_(torch.from_numpy(mean))
            getattr(self, f"{of}scale_{z}").copy_(torch.from_numpy(scale))

    def atom_features(self, graph: Graph, frames: Sequence[FieldWaves]) -> Features:
        """Node features after message passing, with the latent field after the first and last layer."""
        a = self.architecture
        geometry = BondGeometry.of(
            graph.messages,
            graph.positions,
            graph.species,
            len(self.numbers),
            a.message_cutoff,
            L_MAX,
            a.n_radial,
        )
        x = self.embedding(graph.species, graph.messages, geometry)
        last = len(self.interactions) - 1
        for k, interaction in enumerate(self.interactions):
            x = interaction(x, graph.messages, geometry)
            if self.field is not None and k in (0, last):
                x = self.field(x, graph.positions, graph.species, frames)
        return x

    def last_features(
        self, graph: Graph, frames: Sequence[FieldWaves], *, magnetic: bool = False
    ) -> dict[int, Features]:
        """Features of each element's atoms that the last linear map of a head is applied to."""
        head = self.magnetic if magnetic else self.readout
        return self._before_last(head, graph, self.atom_features(graph, frames))

    def _before_last(self, head: nn.ModuleDict, graph: Graph, x: Features) -> dict[int, Features]:
        result = {}
        for k, z in enumerate(self.numbers):
            atoms = torch.nonzero(graph.species == k).flatten()
            if len(atoms):
                result[z] = cast(SiteReadout, head[str(z)]).inner([f[atoms] for f in x])
        return result

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.parameters()).device

    def site_readout(self, number: int) -> SiteReadout:
        """Return the readout of an element."""
        return cast(SiteReadout, self.readout[str(number)])

    def forward(self, graph: Graph, frames: Sequence[FieldWaves]) -> dict[int, Tensor]:
        """Predict coefficients, per element (n_atoms, n_functions), float64; charge is not yet conserved."""
        return self._outputs(self.readout, "", graph, self.atom_features(graph, frames))

    def _outputs(self, head: nn.ModuleDict, of: str, graph: Graph, x: Features) -> dict[int, Tensor]:
        result = {}
        for z, features in self._before_last(head, graph, x).items():
            parts = cast(SiteReadout, head[str(z)]).second(features)
            flat = torch.cat([p.flatten(1) for p in parts], dim=1).double()
            result[z] = getattr(self, f"{of}mean_{z}") + getattr(self, f"{of}scale_{z}") * flat
        return result

    def coefficients(
        self,
        graph: Graph,
        frames: Sequence[FieldWaves],
        excess: Sequence[float] | None = None,
        moments: Sequence[float | None] | None = None,
    ) -> list[Tensor]:
        """Predict each frame's coefficients, atom after atom, with electrons and moment exact.

        Parameters
        ----------
        graph, frames
            A batch of frames.
        excess
            Electrons of each frame beyond its neutral atoms; default: none.
        moments
            Electrons of spin up minus those of spin down; None for a frame, or for all: no spin is asked for.

        Returns
        -------
        coefficients
            One tensor a frame, float64, in the order of `AuxiliaryBasis.offsets`: (n_total,) of the density,
            or (2, n_total) of density and magnetisation where there is a moment, zero or not.
        """
        sizes = [waves.n_atoms for waves in frames]
        x = self.atom_features(graph, frames)
        outputs = self._outputs(self.readout, "", graph, x)
        densities = self._by_frame(outputs, graph, sizes, excess or [0.0] * len(sizes))
        if moments is None or all(moment is None for moment in moments):
            return densities
        magnetic = self._outputs(self.magnetic, "magnetic_", graph, x) if any(moments) else None
        return self._with_magnetisation(densities, magnetic, graph, sizes, moments)

    def average(self, graph: Graph, excess: float = 0.0, moment: float | None = None) -> Tensor:
        """Coefficients of average atoms for one frame: what the network puts out before it has learned."""
        sizes = [len(graph.species)]
        densities = self._by_frame(self._means("", graph), graph, sizes, [excess])
        if moment is None:
            return densities[0]
        magnetic = self._means("magnetic_", graph)
        return self._with_magnetisation(densities, magnetic, graph, sizes, [moment])[0]

    def _means(self, of: str, graph: Graph) -> dict[int, Tensor]:
        by_element = {}
        for k, z in enumerate(self.numbers):
            if count := int((graph.species == k).sum()):
                by_element[z] = getattr(self, f"{of}mean_{z}").expand(count, -1)
        return by_element

    def _with_magnetisation(
        self,
        densities: Sequence[Tensor],
        by_element: Mapping[int, Tensor] | None,
        graph: Graph,
        sizes: Sequence[int],
        moments: Sequence[float | None],
    ) -> list[Tensor]:
        """Stack the magnetisation of each moment under the density of its frame."""
        absolute = [abs(moment or 0.0) for moment in moments]
        upward: Sequence[Tensor] = [torch.zeros_like(density) for density in densities]
        if by_element is not None:
            upward = self._by_frame(by_element, graph, sizes, absolute, "magnetic_")
        results = []
        for density, field, moment in zip(densities, upward, moments):
            sign = 0.0 if not moment else math.copysign(1.0, moment)
            results.append(density if moment is None else torch.stack([density, sign * field]))
        return results

    def _by_frame(
        self,
        by_element: Mapping[int, Tensor],
        graph: Graph,
        sizes: Sequence[int],
        electrons: Sequence[float],
        of: str = "",
    ) -> list[Tensor]:
        """Sort the outputs by frame and atom, and bring their electrons right."""
        species = graph.species.cpu().numpy()
        results, start = [], 0
        used = dict.fromkeys(by_element, 0)
        for size, wanted in zip(sizes, electrons):
            kinds = species[start : start + size]
            start += size
            numbers = np.array([self.numbers[k] for k in kinds])
            offsets = self.auxiliary.offsets(numbers)
            places, values, charges, spreads = [], [], [], []
            for z, rows in by_element.items():
                atoms = np.flatnonzero(numbers == z)
                mine = rows[used[z] : used[z] + len(atoms)]
                used[z] += len(atoms)
                places.append((offsets[atoms][:, None] + np.arange(rows.shape[1])).ravel())
                values.append(mine.flatten())
                charges.append(getattr(self, f"charge_{z}").repeat(len(atoms)))
                spreads.append(getattr(self, f"{of}scale_{z}").square().repeat(len(atoms)))
            flat, charge, spread = torch.cat(values), torch.cat(charges), torch.cat(spreads)
            # the smallest change, in units of the coefficients' spreads, that brings the electrons right
            wrong = charge @ flat - wanted
            flat = flat - wrong * spread * charge / (spread * charge.square()).sum()
            order = torch.from_numpy(np.argsort(np.concatenate(places))).to(flat.device)
            results.append(flat[order])
        return results
