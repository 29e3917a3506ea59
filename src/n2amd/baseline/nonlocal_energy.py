"""Energy of the non-local pseudopotential for a density matrix, and its derivatives.

    E = sum_A sum_p e_p sum_ij <p_A|phi_i> D_ij <phi_j|p_A>

Around each atom with projectors the density matrix is applied to the overlaps X = <phi|p>: with G = D X,
E = sum X G e and dE = 2 sum dX G e.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from n2amd.baseline.energy_gradient import EnergyGradient
from n2amd.baseline.nonlocal_potential import (
    Neighbours,
    batches,
    find_neighbours,
    neighbour_products,
    pair_codes,
)
from n2amd.baseline.projector_table import ProjectorTable
from n2amd.blocks.matrix import BlockMatrix, PairIndex, SpeciesPair
from n2amd.blocks.pair_codes import PairCodes, find_sorted
from n2amd.structure import Structure


def nonlocal_energy(table: ProjectorTable, structure: Structure, density: BlockMatrix) -> EnergyGradient:
    """Energy of the non-local pseudopotential, for a fixed density matrix.

    Parameters
    ----------
    table
        Overlaps of orbitals and projectors, from `projector_table`.
    structure
        Atoms, cell and periodicity.
    density
        Hermitian half, spins are added; pairs not listed count as zero.
    """
    neighbours = find_neighbours(table, structure)
    codes = pair_codes(neighbours, density.pairs, structure)
    lookup = {key: _Blocks(codes, index, density.values[key]) for key, index in density.pairs.items()}
    total = EnergyGradient.zero(structure.n_atoms)
    for z, first, last in batches(neighbours, structure):
        around = {o: found.around(first, last) for (o, p), found in neighbours.items() if p == z}
        overlaps = {o: table.splines[o, z].evaluate(found.vector) for o, found in around.items()}
        applied = _applied(around, overlaps, codes, lookup)
        for o, found in around.items():
            weights = 2 * applied[o] * table.energies[z]
            energy = float(np.vdot(overlaps[o], weights)) / 2
            slopes = table.splines[o, z].contracted_gradient(found.vector, weights)
            bonds = PairIndex(found.atom, found.centre, -found.shift)
            total += EnergyGradient.of_bonds(energy, bonds, found.vector, slopes, structure.n_atoms)
    return total


class _Blocks:
    """Blocks of one species pair, found by the codes of their pairs."""

    def __init__(self, codes: PairCodes, index: PairIndex, values: NDArray[np.float64]) -> None:
        code = codes.encode(index.i, index.j, index.shift)
        self.order = np.argsort(code, kind="stable")
        self.sorted = code[self.order]
        self.values = np.ascontiguousarray(values.sum(axis=0))

    def find(self, code: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Which codes are listed, and the blocks of those."""
        place = find_sorted(self.sorted, code)
        known = place >= 0
        return known, self.order[place[known]]


def _applied(
    around: Mapping[int, Neighbours],
    overlaps: Mapping[int, NDArray[np.float64]],
    codes: PairCodes,
    lookup: Mapping[SpeciesPair, _Blocks],
) -> dict[int, NDArray[np.float64]]:
    """Density matrix times the overlaps of some centres, shaped as these."""
    result = {o: np.zeros_like(values) for o, values in overlaps.items()}
    for a, b in combinations_with_replacement(sorted(around), 2):
        if (a, b) not in lookup:
            continue
        bra, ket, code = neighbour_products(around[a], around[b], codes, a == b)
        known, place = lookup[a, b].find(code)
        arguments = (lookup[a, b].values, place, bra[known], ket[known], a == b)
        _apply(*arguments, overlaps[a], overlaps[b], result[a], result[b])
    return result


@njit(cache=True)
def _apply(
    blocks: Any,
    place: Any,
    bra: Any,
    ket: Any,
    same_species: bool,
    left: Any,
    right: Any,
    on_left: Any,
    on_right: Any,
) -> None:
    """Add block @ right[ket] to on_left[bra], and its transpose times left[bra] to on_right[ket]."""
    n_p = left.shape[2]
    for n in range(len(place)):
        block, b, k = blocks[place[n]], bra[n], ket[n]
        partner = not (same_species and b == k)
        for i in range(block.shape[0]):
            for j in range(block.shape[1]):
                d = block[i, j]
                for p in range(n_p):
                    on_left[b, i, p] += d * right[k, j, p]
                if partner:
                    for p in range(n_p):
                        on_right[k, j, p] += d * left[b, i, p]
