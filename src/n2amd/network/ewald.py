"""Long-ranged features: the potential, field and field gradient of latent charges and dipoles, by Fourier sums.

Displaced ions polarise their neighbours, and what the induced charges and dipoles do to the potential reaches
beyond any message cutoff. Each atom gets a few latent charges q and dipoles p, smeared by a Gaussian; their
potential at the atoms is

    phi_l(r_i) = (1 / Omega) sum_G (4 pi / G^2) exp(-sigma^2 G^2 / 2) i^l Y_l(G) s(G) exp(i G r_i),
    s(G) = sum_j (q_j - i G.p_j) exp(-i G r_j),

with l = 0 the potential, l = 1 the field and l = 2 its gradient. G = 0 is left out: a constant.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from n2amd.network.features import Channels, EquivariantLinear, Features
from n2amd.orbitals.harmonics import solid_components
from n2amd.structure import Structure

#: Width of the smeared charges, Angstrom.
SMEARING = 1.0
#: Fourier components beyond this are damped to 1e-4, 1/Angstrom.
LONGEST_WAVE = 4.2
#: Highest l of the features.
L_FIELD = 2
#: Wave vectors treated at once.
CHUNK = 8192


@dataclass(frozen=True)
class FieldWaves:
    """Wave vectors of one frame, one of each pair +-G.

    Attributes
    ----------
    n_atoms
        Atoms of the frame.
    vectors
        (n, 3), 1/Angstrom, float64.
    weights
        2 (4 pi / G^2) exp(-sigma^2 G^2 / 2) / Omega, (n,), float32.
    harmonics
        G^l Y_lm for l <= 2 with the length of G, times sqrt(4 pi), (9, n), float32.
    """

    n_atoms: int
    vectors: Tensor
    weights: Tensor
    harmonics: Tensor

    @classmethod
    def of(cls, structure: Structure, longest: float = LONGEST_WAVE) -> FieldWaves:
        """Wave vectors of a structure's cell."""
        reciprocal = 2 * np.pi * np.linalg.inv(structure.cell).T
        reach = [math.ceil(longest * np.linalg.norm(a) / (2 * np.pi)) for a in structure.cell]
        grid = np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij")
        integers = np.stack(grid, -1).reshape(-1, 3)
        a, b, c = integers.T
        half = (a > 0) | ((a == 0) & ((b > 0) | ((b == 0) & (c > 0))))
        vectors = integers[half] @ reciprocal
        square = (vectors**2).sum(axis=1)
        vectors, square = vectors[square < longest**2], square[square < longest**2]
        volume = abs(np.linalg.det(structure.cell))
        weights = 8 * np.pi / square * np.exp(-square * SMEARING**2 / 2) / volume
        harmonics = np.stack(solid_components(L_FIELD, *np.ascontiguousarray(vectors.T)))
        return cls(
            structure.n_atoms,
            torch.from_numpy(vectors),
            torch.from_numpy(weights).float(),
            torch.from_numpy(harmonics * math.sqrt(4 * math.pi)).float(),
        )

    def to(self, device: torch.device | str) -> FieldWaves:
        """Move to a device."""
        return FieldWaves(
            self.n_atoms, self.vectors.to(device), self.weights.to(device), self.harmonics.to(device)
        )


def field_features(positions: Tensor, charges: Tensor, dipoles: Tensor, waves: FieldWaves) -> Features:
    """Potential, field and gradient of smeared charges and dipoles at the atoms of one frame.

    Parameters
    ----------
    positions
        (n_atoms, 3), Angstrom.
    charges, dipoles
        (n_atoms, n_channels) and (n_atoms, n_channels, 3) in canonical order (y, z, x).
    waves
        Of the frame.

    Returns
    -------
    features
        l = 0, 1, 2: (n_atoms, n_channels, 2l + 1).
    """
    totals: list[Tensor] = []
    for start in range(0, max(len(waves.vectors), 1), CHUNK):
        part = slice(start, start + CHUNK)
        vectors, harmonics = waves.vectors[part], waves.harmonics[:, part]
        # phases in float64: in a large cell G r is large
        phase = positions.double() @ vectors.T
        cosine, sine = phase.cos().to(charges.dtype), phase.sin().to(charges.dtype)
        along = torch.einsum("nkx,gx->nkg", dipoles, vectors[:, [1, 2, 0]].to(charges.dtype))
        # s(G) = sum (q - i G.p)(cos - i sin)
        real = torch.einsum("nk,ng->kg", charges, cosine) - torch.einsum("nkg,ng->kg", along, sine)
        imaginary = -torch.einsum("nk,ng->kg", charges, sine) - torch.einsum("nkg,ng->kg", along, cosine)
        real, imaginary = real * waves.weights[part], imaginary * waves.weights[part]
        for l in range(L_FIELD + 1):
            if l:  # times i
                real, imaginary = -imaginary, real
            angular = harmonics[l * l : (l + 1) ** 2]
            values = torch.einsum("ng,kg,mg->nkm", cosine, real, angular) - torch.einsum(
                "ng,kg,mg->nkm", sine, imaginary, angular
            )
            if start:
                totals[l] = totals[l] + values
            else:
                totals.append(values)
    return totals


class LatentField(nn.Module):
    """Add the field of latent charges and dipoles to node features.

    Parameters
    ----------
    channels
        Layout of the node features (l up to 2 at least).
    n_species
        Elements: each has charges of its own beside those read from the features.
    n_latent
        Latent charges and dipoles an atom.
    """

    def __init__(self, channels: Channels, n_species: int, n_latent: int) -> None:
        super().__init__()
        rest = (0,) * (channels.l_max + 1)
        source = Channels((n_latent, n_latent, *rest[2:]), rest)
        felt = Channels((n_latent, n_latent, n_latent, *rest[3:]), rest)
        self.channels = channels
        self.source = EquivariantLinear(channels, source)
        self.own = nn.Embedding(n_species, n_latent)
        self.back = EquivariantLinear(felt, channels)

    def forward(
        self, x: Features, positions: Tensor, species: Tensor, frames: Sequence[FieldWaves]
    ) -> Features:
        """Node features in, node features out; `frames` lists the frames of the batch in order."""
        latent = self.source(x)
        charges = latent[0][:, :, 0] + self.own(species)
        dipoles, parts, start = latent[1], list[Features](), 0
        for waves in frames:
            atoms = slice(start, start + waves.n_atoms)
            parts.append(field_features(positions[atoms], charges[atoms], dipoles[atoms], waves))
            start += waves.n_atoms
        felt = [torch.cat(values) for values in zip(*parts)]
        felt += [feature[:, :0] for feature in x[len(felt) :]]
        update = self.back(felt)
        return [f + u for f, u in zip(x, update)]
