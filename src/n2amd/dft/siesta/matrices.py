"""H and S of a run as its binary file holds them, whichever of the formats that is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Species:
    """One species of the file's own tables: its label, valence charge, and shells as (l, label)."""

    label: str
    valence: float
    shells: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Geometry:
    """Cell, atoms and auxiliary supercell that the matrices were computed for, where the file has them.

    Attributes
    ----------
    cell
        Lattice vectors as rows, (3, 3), Bohr.
    positions
        (n_atoms, 3), Bohr.
    shifts
        Lattice vector of each image of the cell in the auxiliary supercell, (n_images, 3).
    """

    cell: NDArray[np.float64]
    positions: NDArray[np.float64]
    shifts: NDArray[np.int64]


@dataclass(frozen=True)
class SparseMatrices:
    """H and S in the file's own units, orbital order and spin components.

    H[mu, nu + R] belongs to row mu of the cell and to column nu + image * n_orbitals of the auxiliary
    supercell. The zero of energy is that of LABEL.EIG in every format: none is shifted by the Fermi level.

    Attributes
    ----------
    n_orbitals, n_images
        Orbitals in the cell, and cells in the auxiliary supercell.
    row, column
        Orbital in the cell and orbital in the supercell, 0-based, (n_elements,).
    hamiltonian
        (n_components, n_elements), Ry: 1 component, 2 (collinear), 4 (non-collinear) or 8 (spin-orbit).
    overlap
        (n_elements,).
    n_electrons
        Electrons in the cell.
    orbital_atom
        Atom of each orbital, 0-based, (n_orbitals,).
    double_precision
        Whether H and S are float64 in the file.
    fermi_level
        Ry, where the file has it.
    bonds
        From the row's atom to the column's, (n_elements, 3), Bohr, where the file has them.
    geometry
        Where the file has it.
    species, atom_species
        Species tables, and the index of each atom's species (n_atoms,), where the file has them.
    """

    n_orbitals: int
    n_images: int
    row: NDArray[np.int64]
    column: NDArray[np.int64]
    hamiltonian: NDArray[np.float64]
    overlap: NDArray[np.float64]
    n_electrons: float
    orbital_atom: NDArray[np.int64]
    double_precision: bool
    fermi_level: float | None = None
    bonds: NDArray[np.float64] | None = None
    geometry: Geometry | None = None
    species: tuple[Species, ...] = ()
    atom_species: NDArray[np.int64] | None = None

    @property
    def n_atoms(self) -> int:
        """Atoms in the cell."""
        return int(self.orbital_atom[-1]) + 1

    @property
    def image(self) -> NDArray[np.int64]:
        """Image of the cell that each element's column lies in, (n_elements,)."""
        return self.column // self.n_orbitals

    @property
    def column_orbital(self) -> NDArray[np.int64]:
        """Orbital in the cell that each element's column repeats, (n_elements,)."""
        return self.column % self.n_orbitals
