"""The smooth two-centre reference: a linear model of H in cubic B-splines, fitted by least squares.

Off-site, the part x_LM of a shell pair is f(r) Y_LM(bond): |m|-diagonal in the bond frame, as in
Slater and Koster 1954. On-site it is a constant for L = 0 plus sum_k g(r_ik) Y_LM(bond_ik) over the
neighbours: their crystal field to first order. What is left for the network is of the order of 0.1 eV.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from n2amd.blocks.matrix import SpeciesPair
from n2amd.network.features import Channels, Features
from n2amd.network.layers import BondGeometry
from n2amd.network.radial import cubic_splines

#: Weight of first differences, beside that of third ones: slopes that nothing fixes are none.
SLOPE = 1e-4
#: Elements of the design below this part of the largest are rounding of single precision.
ROUNDING = 1e-5


class TwoCentreReference(nn.Module):
    """Reference of the natural irreducible parts; its weights are fitted, then fixed.

    Parameters
    ----------
    numbers
        Atomic numbers.
    site_channels, pair_channels
        Layouts of the irreducible parts per element and per species pair.
    ranges
        Range per species pair, Angstrom.
    site_cutoff
        Range of the on-site sums, Angstrom.
    n_splines
        B-splines on 0..range.
    """

    def __init__(
        self,
        numbers: Sequence[int],
        site_channels: Mapping[int, Channels],
        pair_channels: Mapping[SpeciesPair, Channels],
        ranges: Mapping[SpeciesPair, float],
        site_cutoff: float,
        n_splines: int,
    ) -> None:
        super().__init__()
        self.numbers, self.ranges = tuple(numbers), dict(ranges)
        self.site_channels, self.pair_channels = dict(site_channels), dict(pair_channels)
        self.site_cutoff, self.n_splines = site_cutoff, n_splines
        for z, channels in site_channels.items():
            self.register_buffer(f"constant_{z}", torch.zeros(channels.natural[0]))
            for l, count in enumerate(channels.natural):
                self.register_buffer(f"site_{z}_{l}", torch.zeros(len(numbers) * n_splines, count))
        for (a, b), channels in pair_channels.items():
            for l, count in enumerate(channels.natural):
                self.register_buffer(f"pair_{a}_{b}_{l}", torch.zeros(n_splines, count))

    def pair_basis(self, key: SpeciesPair, distance: Tensor) -> Tensor:
        """B-splines of the bond lengths of one species pair, (n_pairs, n_splines)."""
        return cubic_splines(distance / self.ranges[key], self.n_splines)

    def site_basis(
        self, n_atoms: int, species: Tensor, i: Tensor, j: Tensor, geometry: BondGeometry
    ) -> list[Tensor]:
        """Neighbour sums per l, (n_atoms, n_species * n_splines, 2l + 1)."""
        splines = cubic_splines(geometry.distance / self.site_cutoff, self.n_splines)
        n_species = len(self.numbers)
        chosen = torch.nn.functional.one_hot(species[j], n_species).to(splines.dtype)
        radial = (chosen[:, :, None] * splines[:, None, :]).reshape(len(splines), -1)
        sums = []
        for l, matrix in enumerate(geometry.wigner):
            terms = radial[:, :, None] * matrix[:, None, l, :]
            sums.append(terms.new_zeros(n_atoms, *terms.shape[1:]).index_add(0, i, terms))
        return sums

    def site(self, z: int, basis: Sequence[Tensor]) -> Features:
        """Lab-frame parts of the on-site blocks of element z."""
        channels, parts = self.site_channels[z], []
        for l, total in enumerate(basis):
            natural = torch.einsum("nqm,qc->ncm", total, getattr(self, f"site_{z}_{l}"))
            if l == 0:
                natural = natural + getattr(self, f"constant_{z}")[:, None]
            empty = natural.new_zeros(len(natural), channels.unnatural[l], 2 * l + 1)
            parts.append(torch.cat([natural, empty], dim=1))
        return parts

    def pair(self, key: SpeciesPair, distance: Tensor) -> list[Tensor]:
        """Return f(r) of the natural parts per l: their m = 0 entry in the bond frame; (n, channels)."""
        basis = self.pair_basis(key, distance)
        a, b = key
        return [basis @ getattr(self, f"pair_{a}_{b}_{l}") for l in range(self.pair_channels[key].l_max + 1)]


def smooth_least_squares(design: Tensor, targets: Tensor, n_splines: int, roughness: float) -> Tensor:
    """Penalised least squares of spline coefficients (P-splines, Eilers and Marx 1996), float64.

    The third differences of neighbouring coefficients are damped, so that where no bond of the training set
    fixes a spline the function goes on as a parabola instead of dropping to zero; and slightly the first
    ones: where all bonds of a kind have one length nothing else tells its slope.

    Parameters
    ----------
    design
        (n_rows, n_groups * n_splines); coefficients of a group are neighbours in r.
    targets
        (n_rows, n_targets).
    n_splines
        Splines of a group.
    roughness
        Weight of the penalty relative to the mean diagonal of the normal matrix.

    Returns
    -------
    coefficients
        (n_groups * n_splines, n_targets).
    """
    design, targets = design.double(), targets.double()
    # by symmetry neighbours may cancel in all training frames (like atoms of a two-atom cell): their
    # functions are not known, and rounding must not make them up
    design = torch.where(design.abs() < ROUNDING * design.abs().max(), 0.0, design)
    normal = design.T @ design
    first = torch.eye(n_splines, dtype=torch.float64).diff(dim=0)
    third = first.diff(n=2, dim=0)
    groups = design.shape[1] // n_splines
    curved = roughness * third.T @ third + SLOPE * first.T @ first
    penalty = torch.block_diag(*[curved] * groups).to(design.device)
    scale = normal.diagonal().mean().clamp(min=1e-30)
    eye = torch.eye(len(normal), dtype=torch.float64, device=design.device)
    return torch.linalg.solve(normal + scale * (penalty + 1e-10 * eye), design.T @ targets)
