"""Matrices at Gamma alone: codes write the sum of M(R) over all images, which a large cell undoes.

Where every pair of atoms has one image within reach of its orbitals, the sum is that image's block. Whether
it is, the overlaps of the basis' own radial functions tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.blocks.matrix import with_partners
from n2amd.dft.orbital_matrices import Elements
from n2amd.errors import InputError
from n2amd.orbitals.basis import Basis
from n2amd.orbitals.two_centre import OverlapTable, overlap
from n2amd.structure import Structure

#: Largest overlap with a second image of an atom; H there is smaller than some 10 eV times this.
LARGEST_OVERLAP = 1e-5


@dataclass(frozen=True)
class Wording:
    """What a code calls things, for messages.

    Attributes
    ----------
    cause
        Why the matrices are sums over images.
    field, again
        Keyword of the input that makes them so, and how to run without it.
    basis_file, basis_field, basis_remedy
        Where radial functions come from, the keyword that names them, and what to do where they are missing.
    """

    cause: str
    field: str
    again: str
    basis_file: str
    basis_field: str
    basis_remedy: str


def nearest_images(structure: Structure) -> NDArray[np.int64]:
    """Lattice vector R of the image of atom j that is nearest to atom i, (n_atoms, n_atoms, 3)."""
    fractional = structure.positions @ np.linalg.inv(structure.cell)
    bonds = fractional[None] - fractional[:, None]
    first = -np.rint(bonds).astype(np.int64)
    best, shortest = first, np.full(bonds.shape[:2], np.inf)
    for step in product((-1, 0, 1), repeat=3):  # the nearest in fractional terms is not, in a skewed cell
        shift = first + np.array(step)
        length = np.linalg.norm((bonds + shift) @ structure.cell, axis=-1)
        closer = length < shortest - 1e-9
        shortest = np.where(closer, length, shortest)
        best = np.where(closer[..., None], shift, best)
    return best


def check_one_image(folder: Path, structure: Structure, basis: Basis, wording: Wording) -> NDArray[np.int64]:
    """Return `nearest_images`, after making sure that no orbital reaches a second image.

    Raises
    ------
    InputError
        If the cell is too small for that, or the radial functions are not known.
    """
    if any(shell.radial is None for atom in basis.atoms.values() for shell in atom.shells):
        raise InputError(
            f"the matrices are sums over images ({wording.cause}), and without the {wording.basis_file} it "
            "is not known whether the cell is large enough to tell these apart",
            file=folder,
            field=wording.basis_field,
            remedy=wording.basis_remedy,
        )
    images = nearest_images(structure)
    worst, where = 0.0, (0, 0)
    own = with_partners(overlap(OverlapTable.from_basis(basis), structure))
    for key, pairs in own.pairs.items():
        other = (pairs.shift != images[pairs.i, pairs.j]).any(axis=1)
        size = np.abs(own.values[key][0]).max(axis=(1, 2)) * other
        if len(size) and size.max() > worst:
            worst, where = float(size.max()), (int(pairs.i[size.argmax()]), int(pairs.j[size.argmax()]))
    if worst > LARGEST_OVERLAP:
        raise InputError(
            f"the matrices are sums over images ({wording.cause}), and the cell is too small to tell these "
            f"apart: atom {where[0] + 1} overlaps by {worst:.1g} with a second image of atom {where[1] + 1}, "
            f"{LARGEST_OVERLAP:g} is allowed",
            file=folder,
            field=wording.field,
            remedy=f"{wording.again}, or in a larger cell",
        )
    return images


def unfold(elements: Elements, images: NDArray[np.int64], basis: Basis, numbers: NDArray) -> Elements:
    """Give every element of a sum over images the lattice vector of the image that is in reach.

    Parameters
    ----------
    elements
        Of the sum, all R = 0.
    images
        From `check_one_image`.
    basis, numbers
        The orbitals of an atom follow each other, atom after atom.
    """
    atom = np.repeat(np.arange(len(numbers)), basis.orbital_counts(numbers))
    shift = images[atom[elements.row], atom[elements.column]]
    return Elements(elements.row, elements.column, shift, elements.values)
