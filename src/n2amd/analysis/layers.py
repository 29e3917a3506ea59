"""Layers of a structure: as the user names them, or found by bonds and gaps."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from n2amd.errors import InputError
from n2amd.structure import Structure

#: Atoms closer than this times the sum of their covalent radii (Cordero et al., Dalton Trans. 2008, 2832, as
#: in ASE) are bonded.
BOND = 1.25
#: Gap along the normal beyond which atomic planes belong to different layers, Angstrom: planes of covalent
#: solids are up to 2.5 apart, van der Waals gaps 2.8 and more.
GAP = 2.6
#: Name of the atoms that the user left out.
REST = "rest"


def assign_layers(
    structure: Structure, wanted: Mapping[str, Sequence[int | str]] | None = None
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return the names of the layers and the layer of each atom, (n_atoms,).

    Parameters
    ----------
    structure
        Any frame.
    wanted
        Atoms by layer: numbers from 0, ranges "0-11" (both ends included), elements. Atoms in none of them
        are the layer "rest". None: pieces that hold together by bonds, and, where all is one piece, planes
        apart by more than `GAP`; numbered from the bottom.

    Raises
    ------
    InputError
        If an atom does not exist or is in two layers, or no second layer is found.
    """
    if wanted is not None:
        return _as_named(structure, wanted)
    label = _bonded(structure)
    if label.max() == 0:
        label = _planes(structure)
    if label.max() == 0:
        raise InputError(
            f"the {structure.n_atoms} atoms hang together: no layers are found by bonds or by gaps",
            field="analysis.layers",
            remedy='name them, e.g. {"donor": ["0-11"], "acceptor": ["Mo", "S"]}',
        )
    label = _from_the_bottom(structure, label)
    return tuple(f"layer {k + 1}" for k in range(label.max() + 1)), label


def _as_named(
    structure: Structure, wanted: Mapping[str, Sequence[int | str]]
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    label = np.full(structure.n_atoms, -1)
    for number, (name, entries) in enumerate(wanted.items()):
        for entry in entries:
            atoms = _atoms(structure, entry, name)
            if (taken := label[atoms] >= 0).any():
                atom = int(atoms[taken][0])
                raise InputError(
                    f"atom {atom} is in {list(wanted)[label[atom]]!r} and in {name!r}",
                    field="analysis.layers",
                    remedy="put every atom into one layer",
                )
            label[atoms] = number
    names = tuple(wanted)
    if (label < 0).any():
        names, label = (*names, REST), np.where(label < 0, len(names), label)
    return names, label


def _atoms(structure: Structure, entry: int | str, name: str) -> NDArray[np.int64]:
    """Atoms that one entry of a layer means."""
    from ase.data import atomic_numbers

    numbered = re.fullmatch(r"(\d+)(?:-(\d+))?", str(entry))
    if numbered:
        first = int(numbered[1])
        atoms = np.arange(first, int(numbered[2] or first) + 1)
        if len(atoms) and atoms[-1] < structure.n_atoms:
            return atoms
        found = f"{entry} is no atom or range of the {structure.n_atoms} atoms"
    else:
        atoms = np.flatnonzero(structure.numbers == atomic_numbers.get(str(entry), -1))
        if len(atoms):
            return atoms
        found = f"{entry!r} is neither a number, a range nor an element of the structure"
    raise InputError(
        found,
        field=f"analysis.layers.{name}",
        remedy="give atoms counted from 0, ranges such as 0-11, or elements",
    )


def _bonded(structure: Structure) -> NDArray[np.int64]:
    """Piece of each atom, (n_atoms,), by bonds through the periodic cell."""
    from ase.neighborlist import natural_cutoffs, neighbor_list
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    atoms = structure.to_ase()
    i, j = neighbor_list("ij", atoms, natural_cutoffs(atoms, mult=BOND))
    n = structure.n_atoms
    graph = coo_array((np.ones(len(i)), (i, j)), shape=(n, n))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def _heights(structure: Structure) -> tuple[NDArray[np.float64], float]:
    """Heights along the normal of the first two lattice vectors, and the period of the cell, Angstrom."""
    normal = np.cross(structure.cell[0], structure.cell[1])
    normal /= np.linalg.norm(normal)
    period = float(structure.cell[2] @ normal)
    height = structure.positions @ normal
    return (height % abs(period), abs(period)) if structure.pbc[2] else (height, np.inf)


def _planes(structure: Structure) -> NDArray[np.int64]:
    """Slab of each atom, (n_atoms,): atoms with no gap in height between them."""
    height, period = _heights(structure)
    order = np.argsort(height)
    gaps = np.diff(height[order], append=height[order[0]] + period)
    cuts = gaps > GAP
    # in a periodic cell one gap cuts nothing apart: what lies below is the same slab from the other side
    slab = np.concatenate([[0], np.cumsum(cuts[:-1])])
    if np.isfinite(period) and not cuts[-1]:
        slab[slab == slab.max()] = 0
    label = np.empty(len(order), dtype=np.int64)
    label[order] = slab
    return label


def _from_the_bottom(structure: Structure, label: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number pieces by their mean height; of a piece across the cell's border the mean runs around it."""
    height, period = _heights(structure)
    mean = []
    for piece in range(label.max() + 1):
        own = height[label == piece]
        if np.isfinite(period):
            angle = np.angle(np.exp(2j * np.pi * own / period).sum()) / (2 * np.pi)
            mean.append(float(angle % 1.0))
        else:
            mean.append(float(own.mean()))
    return np.argsort(np.argsort(mean, kind="stable"), kind="stable")[label]
