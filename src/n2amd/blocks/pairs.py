"""Neighbour pairs within a range per species pair, through vesin."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from n2amd.blocks.matrix import PairIndex, SpeciesPair, canonical_half
from n2amd.errors import InputError
from n2amd.structure import Structure

#: Neighbours are searched for at least this far, Angstrom: vesin refuses ranges near zero.
SMALLEST_SEARCH = 0.1


def find_pairs(
    structure: Structure, ranges: Mapping[SpeciesPair, float], *, half: bool
) -> dict[SpeciesPair, PairIndex]:
    """List atom pairs within a range, on-site pairs included.

    Parameters
    ----------
    structure
        Atoms, cell and periodicity.
    ranges
        Range per species pair (z_i <= z_j), Angstrom.
    half
        True: each pair once, as a Hermitian `BlockMatrix` stores it. False: every directed pair.

    Returns
    -------
    pairs
        Sorted by (i, j, R) per species pair, so that the order never depends on the neighbour search.

    Raises
    ------
    InputError
        If a species pair of the structure has no range, there is no atom, or a coordinate is not finite.
    """
    from vesin import NeighborList

    if not structure.n_atoms:
        raise InputError("the structure has no atoms", remedy="pass another structure")
    if not (np.isfinite(structure.positions).all() and np.isfinite(structure.cell).all()):
        raise InputError(
            "a position or lattice vector is not a finite number",
            remedy="check where the structure comes from",
        )
    present = sorted({int(z) for z in structure.numbers})
    wanted = {(a, b): ranges.get((a, b)) for a in present for b in present if a <= b}
    if missing := [key for key, value in wanted.items() if value is None]:
        raise InputError(
            f"no range is known for the species pair {missing[0]}",
            field="range",
            remedy=f"use a model or basis trained on these elements (known: {sorted(ranges)})",
        )
    cutoff = max(SMALLEST_SEARCH, *(ranges[key] for key in wanted))
    search = NeighborList(cutoff=cutoff, full_list=True)
    i, j, shift, vectors = search.compute(
        points=structure.positions, box=structure.cell, periodic=list(structure.pbc), quantities="ijSD"
    )
    distance = np.linalg.norm(vectors, axis=1)
    everyone = np.arange(structure.n_atoms)
    i = np.concatenate([everyone, i.astype(np.int64)])
    j = np.concatenate([everyone, j.astype(np.int64)])
    shift = np.concatenate([np.zeros((structure.n_atoms, 3), np.int64), np.rint(shift).astype(np.int64)])
    distance = np.concatenate([np.zeros(structure.n_atoms), distance])
    order = np.lexsort((shift[:, 2], shift[:, 1], shift[:, 0], j, i))
    i, j, shift, distance = i[order], j[order], shift[order], distance[order]
    zi, zj = structure.numbers[i], structure.numbers[j]
    pairs: dict[SpeciesPair, PairIndex] = {}
    for a in present:
        for b in present:
            if half and a > b:
                continue
            mask = (zi == a) & (zj == b) & (distance < ranges[min(a, b), max(a, b)])
            index = PairIndex(i[mask], j[mask], shift[mask])
            pairs[a, b] = index.select(canonical_half(index, a == b)) if half else index
    return pairs
