"""The kernel of `pair_splines` in torch: differentiable, on a CPU or a GPU.

Blocks come shell pair by shell pair, s_L / r^L times the angular matrix sum_M R_LM G(M), which all shell
pairs of one (l1, l2) share. First derivatives, reverse and forward, are defined everywhere, at a zero bond
too (where autograd misses the second).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from n2amd.blocks.matrix import PairIndex, SpeciesPair
from n2amd.orbitals.basis import AtomBasis
from n2amd.orbitals.harmonics import gaunt, solid_components
from n2amd.orbitals.pair_splines import PairSplines, channels, oriented
from n2amd.orbitals.two_centre import OverlapTable

#: Pairs evaluated at once where the result alone is wanted.
CHUNK = 8192


@dataclass(frozen=True)
class _ShellGroup:
    """All shell pairs of one (l1, l2).

    Attributes
    ----------
    channels
        Channel of each (shell pair, L), (n_shell_pairs, n_L).
    gaunt
        Gaunt coefficients per L, (2 L + 1, (2 l1 + 1) (2 l2 + 1)).
    """

    channels: Tensor
    gaunt: Mapping[int, Tensor]


@dataclass(frozen=True)
class TorchSplines:
    """`PairSplines` of one species pair as tensors.

    Attributes
    ----------
    shape
        Orbitals (n_i, n_j).
    step
        Length of a spline interval, Angstrom.
    coefficients
        Polynomials (n_intervals + 1, degree + 1, n_channels); the last interval is the zero beyond the range.
    groups
        Shell pairs by their angular momenta.
    order
        For each element of a block, its place in the groups' results put side by side, (n_i * n_j,).
    """

    shape: tuple[int, int]
    step: float
    coefficients: Tensor
    groups: tuple[_ShellGroup, ...]
    order: Tensor

    @classmethod
    def from_splines(
        cls, bra: AtomBasis, ket: AtomBasis, splines: PairSplines, device: torch.device | str
    ) -> TorchSplines:
        """Copy splines of a species pair to a device."""
        members: dict[tuple[int, int], dict[tuple[int, int], list[int]]] = {}
        for column, c in enumerate(channels(bra, ket)):
            key = (bra.shells[c.bra].l, ket.shells[c.ket].l)
            members.setdefault(key, {}).setdefault((c.bra, c.ket), []).append(column)
        elements = np.arange(bra.n_orbitals * ket.n_orbitals).reshape(bra.n_orbitals, ket.n_orbitals)
        groups, places = [], []
        for (l1, l2), shell_pairs in members.items():
            tensors = {
                L: torch.as_tensor(gaunt(l1, l2, L).reshape(-1, 2 * L + 1).T.copy(), device=device)
                for L in range(abs(l1 - l2), l1 + l2 + 1, 2)
            }
            groups.append(
                _ShellGroup(torch.as_tensor(np.array([*shell_pairs.values()]), device=device), tensors)
            )
            for a, b in shell_pairs:
                i, j = bra.offsets[a], ket.offsets[b]
                places.append(elements[i : i + 2 * l1 + 1, j : j + 2 * l2 + 1].ravel())
        beyond = np.zeros((1, *splines.coefficients.shape[1:]))
        return cls(
            splines.shape,
            splines.step,
            torch.as_tensor(np.concatenate([splines.coefficients, beyond]), device=device),
            tuple(groups),
            torch.as_tensor(np.argsort(np.concatenate(places)), device=device),
        )

    def evaluate(self, vectors: Tensor) -> Tensor:
        """Blocks (n_pairs, n_i, n_j) of bond vectors (n_pairs, 3), Angstrom, float64."""
        x, y, z = vectors.unbind(-1)
        square = x * x + y * y + z * z
        apart = square > 0
        # a square root has no derivative at zero; even functions of the distance need none
        distance = torch.where(apart, square, 1.0).sqrt() * apart
        position = distance / self.step
        interval = position.detach().long().clamp(max=len(self.coefficients) - 1)
        t = (position - interval)[:, None]
        *lower, radial = self.coefficients[interval].unbind(1)
        for c in reversed(lower):  # Horner's rule
            radial = c + t * radial
        l_max = max(L for group in self.groups for L in group.gaunt)
        harmonics = torch.stack(solid_components(l_max, x, y, z), dim=-1)
        parts = []
        for group in self.groups:
            angular = torch.stack(
                [harmonics[:, L * L : (L + 1) ** 2] @ tensor for L, tensor in group.gaunt.items()], dim=1
            )
            parts.append(torch.bmm(radial[:, group.channels], angular).flatten(1))
        return torch.cat(parts, dim=1)[:, self.order].view(-1, *self.shape)


@dataclass(frozen=True)
class TorchOverlapTable:
    """An `OverlapTable` on a torch device.

    `blocks` and `overlap_blocks` are differentiable functions of tensors; `evaluate` makes the table a
    `TwoCentreTable` of numpy arrays, so that `overlap(table, bra, ket)` runs on the device.
    """

    ranges: Mapping[SpeciesPair, float]
    splines: Mapping[SpeciesPair, TorchSplines]
    device: torch.device

    @classmethod
    def from_table(cls, table: OverlapTable, device: torch.device | str = "cpu") -> TorchOverlapTable:
        """Copy a table to a device."""
        splines = {
            (a, b): TorchSplines.from_splines(table.basis[a], table.basis[b], splines, device)
            for (a, b), splines in table.splines.items()
        }
        return cls(table.ranges, splines, torch.device(device))

    def blocks(self, key: SpeciesPair, vectors: Tensor) -> Tensor:
        """Overlap blocks of one species pair, either order.

        Parameters
        ----------
        key
            Atomic numbers (z_i, z_j).
        vectors
            Bond vectors from i to j, (n_pairs, 3), Angstrom, float64; zero vectors are allowed.

        Returns
        -------
        blocks
            <phi_i | phi_j>, (n_pairs, n_i, n_j).
        """
        splines, reverse = oriented(self.splines, key)
        return splines.evaluate(-vectors).transpose(-1, -2) if reverse else splines.evaluate(vectors)

    def evaluate(self, key: SpeciesPair, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """`blocks` of numpy arrays, in chunks, without derivatives."""
        splines, reverse = oriented(self.splines, key)
        result = np.empty((len(vectors), *(splines.shape[::-1] if reverse else splines.shape)))
        with torch.no_grad():
            for start in range(0, len(vectors), CHUNK):
                chunk = torch.from_numpy(vectors[start : start + CHUNK]).to(self.device)
                result[start : start + CHUNK] = self.blocks(key, chunk).cpu().numpy()
        return result

    def overlap_blocks(
        self, pairs: Mapping[SpeciesPair, PairIndex], bra: Tensor, ket: Tensor, cell: Tensor
    ) -> dict[SpeciesPair, Tensor]:
        """Overlap blocks of listed pairs as a function of both geometries.

        Parameters
        ----------
        pairs
            Pairs of each species pair, from `overlapping_pairs`.
        bra, ket
            Positions of the left and right orbitals, (n_atoms, 3), Angstrom; one tensor twice: one geometry.
        cell
            Lattice vectors as rows, (3, 3), Angstrom.

        Returns
        -------
        blocks
            (n_pairs, n_i, n_j) each.
        """
        blocks = {}
        for key, index in pairs.items():
            i, j = (torch.as_tensor(atoms, device=self.device) for atoms in (index.i, index.j))
            shift = torch.as_tensor(index.shift, dtype=cell.dtype, device=self.device)
            blocks[key] = self.blocks(key, ket[j] + shift @ cell - bra[i])
        return blocks
