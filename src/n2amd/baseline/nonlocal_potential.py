"""The non-local pseudopotential, V_ij = sum_A sum_p <phi_i|p_A> e_p <p_A|phi_j>, of any geometry.

Atoms that carry projectors are worked on a few hundred at a time, and around each only the orbitals that
reach it: time and memory grow linearly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from numba import njit
from numpy.typing import NDArray

from n2amd.baseline.compiled_harmonics import FUSED
from n2amd.baseline.projector_table import ProjectorTable
from n2amd.blocks.matrix import BlockMatrix, PairIndex, SpeciesPair, canonical_half
from n2amd.blocks.pair_codes import PairCodes, find_sorted
from n2amd.blocks.pairs import find_pairs
from n2amd.orbitals.basis import Basis
from n2amd.structure import Structure

#: Atoms with projectors that are worked on at once.
CENTRES = 256


@dataclass(frozen=True)
class Neighbours:
    """Orbital atoms of one element that reach projectors of one element, by the atom that carries these.

    Attributes
    ----------
    centre
        Atom with the projectors, in the home cell, ascending, (n,).
    atom, shift
        Atom with the orbitals and its lattice vector, (n,), (n, 3).
    vector
        From the orbitals to the projectors, (n, 3), Angstrom.
    """

    centre: NDArray[np.int64]
    atom: NDArray[np.int64]
    shift: NDArray[np.int64]
    vector: NDArray[np.float64]

    def around(self, first: int, last: int) -> Neighbours:
        """Those of the centres first .. last - 1."""
        part = slice(*np.searchsorted(self.centre, (first, last)))
        return Neighbours(self.centre[part], self.atom[part], self.shift[part], self.vector[part])


def nonlocal_matrix(
    table: ProjectorTable,
    basis: Basis,
    structure: Structure,
    pairs: Mapping[SpeciesPair, PairIndex] | None = None,
    between: Mapping[int, NDArray[np.float64]] | None = None,
) -> BlockMatrix:
    """Non-local pseudopotential of a structure.

    Parameters
    ----------
    table
        Overlaps of orbitals and projectors, from `projector_table`.
    basis
        The orbitals.
    structure
        Atoms, cell and periodicity.
    pairs
        Pairs wanted, the Hermitian half (blocks on other pairs are left out, pairs that nothing connects are
        zero); None: all pairs that a projector connects.
    between
        Matrices between the projector functions of an atom, by element, (n_matrices, n_functions,
        n_functions), eV; default: the projectors' energies alone.

    Returns
    -------
    potential
        Hermitian half (of antisymmetric `between`: the same pairs, whose partners are minus the transpose),
        n_spin = 1 or n_matrices, eV.
    """
    n_matrices = 1 if between is None else len(next(iter(between.values())))
    neighbours = find_neighbours(table, structure)
    if pairs is None:
        pairs = _connected_pairs(neighbours, structure)
    codes = pair_codes(neighbours, pairs, structure)
    wanted, values = {}, {}
    for key, index in pairs.items():
        code = codes.encode(index.i, index.j, index.shift)
        order = np.argsort(code, kind="stable")
        wanted[key] = code[order], order
        values[key] = np.zeros((n_matrices, len(index), basis[key[0]].n_orbitals, basis[key[1]].n_orbitals))
    for z, first, last in batches(neighbours, structure):
        around = {o: found.around(first, last) for (o, p), found in neighbours.items() if p == z}
        overlaps = {o: table.splines[o, z].evaluate(found.vector) for o, found in around.items()}
        for a, b in combinations_with_replacement(sorted(around), 2):
            if (a, b) not in pairs:
                continue
            bra, ket, code = neighbour_products(around[a], around[b], codes, a == b)
            sorted_codes, order = wanted[a, b]
            place = find_sorted(sorted_codes, code)
            known = place >= 0
            right = np.ascontiguousarray(overlaps[b].swapaxes(-1, -2))
            lefts = (
                [overlaps[a] * table.energies[z]]
                if between is None
                else [overlaps[a] @ m for m in between[z]]
            )
            for out, left in zip(values[a, b], lefts):
                _accumulate(out, order[place[known]], bra[known], ket[known], left, right)
    return BlockMatrix(pairs, values)


def find_neighbours(table: ProjectorTable, structure: Structure) -> dict[tuple[int, int], Neighbours]:
    """Find the orbitals that reach projectors, by (element of the orbital, element of the projector)."""
    present = {int(z) for z in structure.numbers}
    splines = {key: s for key, s in table.splines.items() if present.issuperset(key)}
    if not splines:
        return {}
    search = {(a, b): 0.0 for a in present for b in present if a <= b}
    for (a, b), found in splines.items():
        key = min(a, b), max(a, b)
        search[key] = max(search[key], found.range)
    directed = find_pairs(structure, search, half=False)
    neighbours = {}
    for key, found in splines.items():
        index = directed[key]
        vectors = index.vectors(structure)
        near = np.flatnonzero(np.linalg.norm(vectors, axis=1) < found.range)
        near = near[np.argsort(index.j[near], kind="stable")]
        # seen from the projectors at home, the orbitals lie at -R
        neighbours[key] = Neighbours(index.j[near], index.i[near], -index.shift[near], vectors[near])
    return neighbours


def pair_codes(
    neighbours: Mapping[tuple[int, int], Neighbours],
    pairs: Mapping[SpeciesPair, PairIndex],
    structure: Structure,
) -> PairCodes:
    """Code that holds the wanted pairs and all that the neighbours can form."""
    far = max((int(np.abs(found.shift).max(initial=0)) for found in neighbours.values()), default=0)
    listed = max((int(np.abs(index.shift).max(initial=0)) for index in pairs.values()), default=0)
    return PairCodes(structure.n_atoms, max(2 * far, listed))


def batches(
    neighbours: Mapping[tuple[int, int], Neighbours], structure: Structure
) -> Iterator[tuple[int, int, int]]:
    """Elements with projectors, and ranges of atoms to work on at once."""
    for z in sorted({projector for _, projector in neighbours}):
        for first in range(0, structure.n_atoms, CENTRES):
            yield z, first, first + CENTRES


def neighbour_products(
    bra: Neighbours, ket: Neighbours, codes: PairCodes, same_species: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Every two neighbours of one centre that form a pair of the Hermitian half.

    Returns
    -------
    bra, ket
        Their positions in the two lists, (n_products,).
    code
        Code of the pair, (n_products,).
    """
    starts = np.searchsorted(ket.centre, bra.centre)
    counts = np.searchsorted(ket.centre, bra.centre, side="right") - starts
    first = np.repeat(np.arange(len(counts)), counts)
    second = np.arange(len(first)) - np.repeat(np.cumsum(counts) - counts - starts, counts)
    index = PairIndex(bra.atom[first], ket.atom[second], ket.shift[second] - bra.shift[first])
    if same_species:
        half = canonical_half(index, same_species)
        first, second, index = first[half], second[half], index.select(half)
    return first, second, codes.encode(index.i, index.j, index.shift)


def _connected_pairs(
    neighbours: Mapping[tuple[int, int], Neighbours], structure: Structure
) -> dict[SpeciesPair, PairIndex]:
    """Pairs of the Hermitian half that a projector connects, sorted by (i, j, R)."""
    codes = pair_codes(neighbours, {}, structure)
    found: dict[SpeciesPair, NDArray[np.int64]] = {}
    for z, first, last in batches(neighbours, structure):
        around = {o: near.around(first, last) for (o, p), near in neighbours.items() if p == z}
        for key in combinations_with_replacement(sorted(around), 2):
            code = neighbour_products(around[key[0]], around[key[1]], codes, key[0] == key[1])[2]
            found[key] = np.union1d(found.get(key, np.zeros(0, np.int64)), code)
    return {key: codes.decode(code) for key, code in found.items()}


@njit(cache=True, fastmath=FUSED)
def _accumulate(out, target, bra, ket, left, right):  # type: ignore[no-untyped-def]
    """Add left[bra] @ right[ket] to out[target], product after product."""
    n_i, n_p = left.shape[1:]
    n_j = right.shape[2]
    whole = n_p - n_p % 4
    for n in range(len(target)):
        block, one, two = out[target[n]], left[bra[n]], right[ket[n]]
        for a in range(n_i):
            row, factor = block[a], one[a]
            # four projectors at a time: the row is read and written once for them
            for p in range(0, whole, 4):
                r0, r1, r2, r3 = two[p], two[p + 1], two[p + 2], two[p + 3]
                f0, f1, f2, f3 = factor[p], factor[p + 1], factor[p + 2], factor[p + 3]
                for b in range(n_j):
                    row[b] += (f0 * r0[b] + f1 * r1[b]) + (f2 * r2[b] + f3 * r3[b])
            for p in range(whole, n_p):
                own, f0 = two[p], factor[p]
                for b in range(n_j):
                    row[b] += f0 * own[b]
