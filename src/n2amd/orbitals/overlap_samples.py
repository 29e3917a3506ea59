"""What overlaps say of the two-centre functions s_L(d): a number a bond and channel, and how far it reaches.

The angular matrices of different channels are orthogonal, so a block of S is projected on each of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from n2amd.blocks.matrix import BlockMatrix, SpeciesPair
from n2amd.errors import InputError
from n2amd.orbitals.basis import AtomBasis, Basis
from n2amd.orbitals.harmonics import gaunt
from n2amd.orbitals.pair_splines import PairSplines, channels
from n2amd.structure import Structure

#: One bond is kept in each interval of this length, Angstrom: s_L is smooth, more bonds say nothing more.
RESOLUTION = 0.01
#: Smallest s_L that counts as overlap where the range is taken from the data.
NEGLIGIBLE = 1e-7


@dataclass(frozen=True)
class PairSamples:
    """Two-centre functions of a species pair at the distances that the data hold.

    Attributes
    ----------
    distances
        Ascending, (n,), Angstrom.
    values
        s_L of every channel in the order of `channels(bra, ket)`, (n, n_channels).
    """

    distances: NDArray[np.float64]
    values: NDArray[np.float64]

    def thinned(self, first: int, step: int) -> PairSamples:
        """Every `step`-th distance from number `first` on."""
        return PairSamples(self.distances[first::step], self.values[first::step])


@dataclass(frozen=True)
class OverlapSamples:
    """Samples of every species pair (z_i <= z_j) whose atoms come near, and the mean on-site blocks.

    Attributes
    ----------
    pairs
        Samples per species pair that ever overlaps.
    on_site
        Per element, (n, n): a multiple of the unit matrix in every pair of shells of equal l, else zero.
    """

    pairs: Mapping[SpeciesPair, PairSamples]
    on_site: Mapping[int, NDArray[np.float64]]

    def thinned(self, first: int, step: int) -> OverlapSamples:
        """Every `step`-th distance of every species pair."""
        return OverlapSamples({key: s.thinned(first, step) for key, s in self.pairs.items()}, self.on_site)


def collect(basis: Basis, overlaps: Iterable[tuple[Structure, BlockMatrix]]) -> OverlapSamples:
    """Project overlaps on their channels.

    Parameters
    ----------
    basis
        Shells of every element; radial functions are not used.
    overlaps
        Structures with their overlaps in the canonical order, read once.

    Raises
    ------
    InputError
        If there are no overlaps, or no two atoms in them overlap.
    """
    found: dict[SpeciesPair, dict[int, tuple[float, NDArray[np.float64]]]] = {}
    totals: dict[int, tuple[NDArray[np.float64], int]] = {}
    for structure, matrix in overlaps:
        for key, index in matrix.pairs.items():
            blocks, on_site = matrix.values[key][0], index.on_site
            if on_site.any():
                total, count = totals.get(key[0], (0.0, 0))
                totals[key[0]] = total + blocks[on_site].sum(axis=0), count + int(on_site.sum())
            vectors = index.vectors(structure)[~on_site]
            _add(found.setdefault(key, {}), basis, key, vectors, blocks[~on_site])
    pairs = {}
    for key, kept in sorted(found.items()):
        rows = [kept[n] for n in sorted(kept)]
        if any(np.abs(values).max() > NEGLIGIBLE for _, values in rows):
            pairs[key] = PairSamples(np.array([d for d, _ in rows]), np.array([values for _, values in rows]))
    if not pairs:
        raise InputError(
            "no two atoms overlap, so the overlaps say nothing of the orbitals",
            field="overlap",
            remedy="add frames with bonds",
        )
    means = {z: _spherical(basis[z], total / count) for z, (total, count) in totals.items()}
    return OverlapSamples(pairs, means)


def _add(
    kept: dict[int, tuple[float, NDArray[np.float64]]],
    basis: Basis,
    key: SpeciesPair,
    vectors: NDArray[np.float64],
    blocks: NDArray[np.float64],
) -> None:
    """Keep the bonds that fall into intervals without one."""
    distances = np.linalg.norm(vectors, axis=1)
    intervals, first = np.unique((distances / RESOLUTION).astype(np.int64), return_index=True)
    new = first[[n not in kept for n in intervals.tolist()]]
    if not len(new):
        return
    bra, ket = basis[key[0]], basis[key[1]]
    listed = channels(bra, ket)
    frame = PairSplines.from_coefficients(bra, ket, 1.0, np.zeros((1, 1, len(listed))))
    norms = np.array([angular_norm(bra, ket, c.bra, c.ket, c.L) for c in listed])
    powers = distances[new, None] ** np.array([c.L for c in listed])
    values = frame.project(vectors[new], blocks[new]).T / (norms * powers)
    for n, row in zip(new, values):
        kept[int(distances[n] / RESOLUTION)] = float(distances[n]), row


def angular_norm(bra: AtomBasis, ket: AtomBasis, first: int, second: int, L: int) -> float:
    """Squared norm of the angular matrix sum_M Y_LM G(M) of two shells, the same for every direction."""
    return float(np.sum(gaunt(bra.shells[first].l, ket.shells[second].l, L) ** 2) / (4 * np.pi))


def _spherical(atom: AtomBasis, block: NDArray[np.float64]) -> NDArray[np.float64]:
    """Part of an on-site block that is a multiple of the unit matrix in every pair of shells of equal l."""
    mean = np.zeros_like(block)
    for bra, rows in atom.shell_slices():
        for ket, columns in atom.shell_slices():
            if bra.l == ket.l:
                trace = np.trace(block[rows, columns]) / bra.n_orbitals
                mean[rows, columns] = np.eye(bra.n_orbitals) * trace
    return mean


def estimated_cutoffs(basis: Basis, samples: OverlapSamples) -> dict[tuple[int, int], float]:
    """Smallest radii of the orbitals, (element, position of the shell) -> Angstrom, that the overlaps need.

    Two orbitals of radii a and b overlap up to a + b. A radius is half the distance up to which a shell
    overlaps with itself, or what its overlaps with other shells need beyond the others' radii.
    """
    reach: dict[tuple[tuple[int, int], tuple[int, int]], float] = {}
    for (zi, zj), found in samples.pairs.items():
        for column, c in enumerate(channels(basis[zi], basis[zj])):
            present = np.abs(found.values[:, column]) > NEGLIGIBLE
            if present.any():
                pair = ((zi, c.bra), (zj, c.ket))
                reach[pair] = max(reach.get(pair, 0.0), float(found.distances[present].max()))
    shells = [(z, n) for z in basis.numbers for n in range(len(basis[z].shells))]
    radii = {shell: reach.get((shell, shell), 0.0) / 2 for shell in shells}
    for _ in shells:  # the shells that never meet themselves follow from those that do
        for (a, b), length in reach.items():
            short = length - radii[a] - radii[b]
            if short > 0:
                smaller = min(a, b, key=lambda shell: radii[shell])
                radii[smaller] += short
    return radii
