"""Atom-pair blocks from matrices listed orbital by orbital, M_ab(R), as CP2K and ABACUS write them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from n2amd.blocks.hermitian import hermitian_halves
from n2amd.blocks.matrix import BlockMatrix, PairIndex, SpeciesPair
from n2amd.dft.images import image_translations, refer_to_positions
from n2amd.orbitals.basis import Basis
from n2amd.structure import Structure


@dataclass(frozen=True)
class Elements:
    """Elements <a in cell 0 | M | b in cell R> of a matrix over the orbitals of the cell.

    Attributes
    ----------
    row, column
        Orbitals a and b, 0-based, (n_elements,).
    shift
        Lattice vector R, (n_elements, 3).
    values
        (n_elements,), real or complex.
    """

    row: NDArray[np.int64]
    column: NDArray[np.int64]
    shift: NDArray[np.int64]
    values: NDArray

    def __len__(self) -> int:
        return len(self.row)

    def select(self, mask: NDArray) -> Elements:
        """Return the elements chosen by a mask."""
        return Elements(self.row[mask], self.column[mask], self.shift[mask], self.values[mask])

    def scaled(self, factor: float) -> Elements:
        """Return the elements in another unit."""
        return Elements(self.row, self.column, self.shift, factor * self.values)


def complete_triangle(elements: Elements) -> Elements:
    """Add what is left out where only the upper triangle of every M(R) is listed: M_ba(-R) = M_ab(R)^*.

    Other matrices are returned as they are.
    """
    above = elements.row < elements.column
    if np.any(elements.row > elements.column) or not above.any():
        return elements
    upper = elements.select(above)
    return Elements(
        np.concatenate([elements.row, upper.column]),
        np.concatenate([elements.column, upper.row]),
        np.concatenate([elements.shift, -upper.shift]),
        np.concatenate([elements.values, upper.values.conj()]),
    )


def split_spinor(elements: Elements) -> list[Elements]:
    """Split a matrix over spinor orbitals, up and down next to each other, into uu, ud, du, dd."""
    row, row_spin = np.divmod(elements.row, 2)
    column, column_spin = np.divmod(elements.column, 2)
    orbital = Elements(row, column, elements.shift, elements.values)
    return [
        orbital.select((row_spin == bra) & (column_spin == ket))
        for bra, ket in ((0, 0), (0, 1), (1, 0), (1, 1))
    ]


def gather_blocks(
    hamiltonian: Sequence[Elements],
    overlap: Elements,
    structure: Structure,
    basis: Basis,
    origin: float | None,
) -> tuple[BlockMatrix, BlockMatrix, float]:
    """Gather the elements of H and S into Hermitian halves on the same pairs, orbitals in native order.

    Parameters
    ----------
    hamiltonian
        One matrix for each component of the spin axis (1, 2 or 4), eV.
    overlap
        The overlap of the orbitals, without spin.
    structure
        Positions that the pairs of the result refer to.
    basis
        Shells of every element: the orbitals of an atom follow each other, atom after atom.
    origin
        The code counts R between atoms wrapped into the cell [origin, origin + 1), fractional; None: between
        the positions as they are.

    Returns
    -------
    hamiltonian, overlap, hermiticity
        See `hermitian_halves`.
    """
    listed = [_directed_blocks(part, structure, basis) for part in ([overlap], hamiltonian)]
    if origin is not None:
        translations = image_translations(listed[0], structure, origin)
        listed = [refer_to_positions(matrix, translations) for matrix in listed]
    halves, hermiticity = hermitian_halves(listed)
    return halves[1], halves[0], hermiticity


def _directed_blocks(components: Sequence[Elements], structure: Structure, basis: Basis) -> BlockMatrix:
    """Blocks of every directed pair that any of the spin components has."""
    counts = basis.orbital_counts(structure.numbers)
    offsets = basis.orbital_offsets(structure.numbers)
    atom = np.repeat(np.arange(structure.n_atoms), counts)
    reach = max(int(np.abs(part.shift).max(initial=0)) for part in components)
    width = 2 * reach + 1

    def keys(part: Elements) -> NDArray[np.int64]:
        a, b, c = part.shift.T + reach
        pair = atom[part.row] * structure.n_atoms + atom[part.column]
        return ((pair * width + a) * width + b) * width + c

    unique, position = np.unique(np.concatenate([keys(part) for part in components]), return_inverse=True)
    pair, rest = np.divmod(unique, width**3)
    i, j = np.divmod(pair, structure.n_atoms)
    shift = np.stack([rest // width**2, rest // width % width, rest % width], axis=-1) - reach
    z_i, z_j = structure.numbers[i], structure.numbers[j]
    dtype = np.result_type(np.float64, *(part.values for part in components))
    pairs: dict[SpeciesPair, PairIndex] = {}
    values: dict[SpeciesPair, NDArray] = {}
    positions = np.split(position, np.cumsum([len(part) for part in components])[:-1])
    for zi, zj in sorted({(int(a), int(b)) for a, b in zip(z_i, z_j)}):
        members = np.flatnonzero((z_i == zi) & (z_j == zj))
        place = np.full(len(unique), -1)
        place[members] = np.arange(len(members))
        pairs[zi, zj] = PairIndex(i[members], j[members], shift[members])
        blocks = np.zeros((len(components), len(members), basis[zi].n_orbitals, basis[zj].n_orbitals), dtype)
        for spin, (part, at) in enumerate(zip(components, positions)):
            mine = place[at] >= 0
            row, column = part.row[mine], part.column[mine]
            target = (place[at[mine]], row - offsets[atom[row]], column - offsets[atom[column]])
            blocks[spin][target] = part.values[mine]
        values[zi, zj] = blocks
    return BlockMatrix(pairs, values, hermitian=False)
