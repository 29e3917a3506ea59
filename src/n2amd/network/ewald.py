"""Long-ranged features: potential, field and field gradient of latent charges and dipoles, by Fourier sums.

Displaced ions polarise their neighbours, and what the induced charges and dipoles do to the potential reaches
beyond any message cutoff. Each atom gets a few latent charges q and dipoles p, smeared by a Gaussian; their
potential at the atoms is

    phi_l(r_i) = (1 / Omega) sum_G (4 pi / G^2) exp(-sigma^2 G^2 / 2) i^l Y_l(G) s(G) exp(i G r_i),
    s(G) = sum_j (q_j - i G.p_j) exp(-i G r_j),

with l = 0 the potential, l = 1 the field and l = 2 its gradient. G = 0 is left out: a constant.

That constant, and what a net charge does against the uniform background that it stands for, depend on how
much vacuum is in a cell, which the density of a sheet or a tube does not. So the charges of a frame are made
to sum to zero, and its potential is taken relative to the mean over its atoms.
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
#: Phase factors held at once: wave vectors times atoms. They stay in the processor's cache.
PHASES = {"cpu": 1 << 18, "cuda": 1 << 25}


@dataclass(frozen=True)
class FieldWaves:
    """Wave vectors of one frame, one of each pair +-G.

    Attributes
    ----------
    n_atoms
        Atoms of the frame.
    reciprocal
        Reciprocal lattice vectors as rows, with 2 pi, (3, 3), 1/Angstrom, float64.
    integers
        Multiples of them that each wave vector is the sum of, ascending, (n, 3).
    vectors
        (n, 3), 1/Angstrom, float64.
    weights
        2 (4 pi / G^2) exp(-sigma^2 G^2 / 2) / Omega, (n,), float32.
    harmonics
        G^l Y_lm for l <= 2 with the length of G, times sqrt(4 pi), (9, n), float32.
    """

    n_atoms: int
    reciprocal: Tensor
    integers: Tensor
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
        integers = integers[half]
        vectors = integers @ reciprocal
        square = (vectors**2).sum(axis=1)
        inside = square < longest**2
        integers, vectors, square = integers[inside], vectors[inside], square[inside]
        volume = abs(np.linalg.det(structure.cell))
        weights = 8 * np.pi / square * np.exp(-square * SMEARING**2 / 2) / volume
        harmonics = np.stack(solid_components(L_FIELD, *np.ascontiguousarray(vectors.T)))
        return cls(
            structure.n_atoms,
            torch.from_numpy(reciprocal),
            torch.from_numpy(integers),
            torch.from_numpy(vectors),
            torch.from_numpy(weights).float(),
            torch.from_numpy(harmonics * math.sqrt(4 * math.pi)).float(),
        )

    def to(self, device: torch.device | str) -> FieldWaves:
        """Move to a device."""
        tensors = (self.reciprocal, self.integers, self.vectors, self.weights, self.harmonics)
        return FieldWaves(self.n_atoms, *(tensor.to(device) for tensor in tensors))


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
    n_atoms, n_channels = charges.shape
    sources = torch.cat([charges, dipoles[:, :, [2, 0, 1]].flatten(1)], dim=1)
    axes = _axis_phases(positions, waves, charges.dtype)
    total = charges.new_zeros(n_atoms, n_channels * (L_FIELD + 1) ** 2)
    step = max(16, PHASES["cuda" if charges.is_cuda else "cpu"] // max(n_atoms, 1))
    for start in range(0, len(waves.vectors), step):
        part = slice(start, start + step)
        cosine, sine = _phases(axes, waves.integers[part])
        # s(G) = sum (q - i G.p)(cos - i sin)
        even, odd = (
            sums.split([n_channels, 3 * n_channels], dim=1) for sums in (cosine @ sources, sine @ sources)
        )
        vectors, weights = waves.vectors[part, None].to(charges), waves.weights[part, None].to(charges)
        real = (even[0] - (odd[1].unflatten(1, (-1, 3)) * vectors).sum(-1)) * weights
        imaginary = -(odd[0] + (even[1].unflatten(1, (-1, 3)) * vectors).sum(-1)) * weights
        # times i^l
        factors = [(real, imaginary), (-imaginary, real), (-real, -imaginary)]
        angular = waves.harmonics[:, part].T.to(charges)
        by_l = [angular[:, None, l * l : (l + 1) ** 2] for l in range(L_FIELD + 1)]
        for phases, place, sign in ((cosine, 0, 1.0), (sine, 1, -1.0)):
            parts = [factors[l][place][:, :, None] * by_l[l] for l in range(L_FIELD + 1)]
            total = torch.addmm(total, phases.T, torch.cat(parts, dim=2).flatten(1), alpha=sign)
    features = total.unflatten(1, (n_channels, -1))
    return list(features.split([2 * l + 1 for l in range(L_FIELD + 1)], dim=2))


def _axis_phases(
    positions: Tensor, waves: FieldWaves, dtype: torch.dtype
) -> list[tuple[Tensor, Tensor, int]]:
    """For each reciprocal axis cos and sin of its multiples at the atoms, and the lowest multiple.

    The angles are in float64: in a large cell they are large.
    """
    angles = waves.reciprocal @ positions.double().T
    tables = []
    for axis in range(3):
        multiples = waves.integers[:, axis]
        low = int(multiples.min()) if len(multiples) else 0
        high = int(multiples.max()) if len(multiples) else 0
        own = torch.arange(low, high + 1, device=angles.device)[:, None] * angles[axis]
        tables.append((own.cos().to(dtype), own.sin().to(dtype), low))
    return tables


def _phases(axes: Sequence[tuple[Tensor, Tensor, int]], integers: Tensor) -> tuple[Tensor, Tensor]:
    """Cos and sin of G r, (n_waves, n_atoms) each: products of those of the axes."""
    pairs, place = torch.unique_consecutive(integers[:, :2], dim=0, return_inverse=True)
    first, second = (_rows(axis, multiples) for axis, multiples in zip(axes, pairs.T))
    in_plane = [values.index_select(0, place) for values in _product(first, second)]
    return _product((in_plane[0], in_plane[1]), _rows(axes[2], integers[:, 2]))


def _rows(axis: tuple[Tensor, Tensor, int], multiples: Tensor) -> tuple[Tensor, Tensor]:
    cosine, sine, low = axis
    return cosine.index_select(0, multiples - low), sine.index_select(0, multiples - low)


def _product(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Cos and sin of a sum of angles."""
    return (
        torch.addcmul(a[0] * b[0], a[1], b[1], value=-1.0),
        torch.addcmul(a[1] * b[0], a[0], b[1]),
    )


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
    neutral
        Whether the charges of a frame sum to zero and its potential is that relative to the mean over its
        atoms. Models of before were trained without.
    """

    def __init__(self, channels: Channels, n_species: int, n_latent: int, neutral: bool = True) -> None:
        super().__init__()
        self.neutral = neutral
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
            own = _without_mean(charges[atoms]) if self.neutral else charges[atoms]
            potential, *rest = field_features(positions[atoms], own, dipoles[atoms], waves)
            parts.append([_without_mean(potential) if self.neutral else potential, *rest])
            start += waves.n_atoms
        felt = [torch.cat(values) for values in zip(*parts)]
        felt += [feature[:, :0] for feature in x[len(felt) :]]
        update = self.back(felt)
        return [f + u for f, u in zip(x, update)]


def _without_mean(values: Tensor) -> Tensor:
    """Values of the atoms of a frame, relative to their mean."""
    return values - values.mean(dim=0, keepdim=True)
