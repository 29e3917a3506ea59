"""A periodic arrangement of atoms, as it is passed between stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ase import Atoms


@dataclass(frozen=True)
class Structure:
    """Cell, positions and species of one frame.

    Attributes
    ----------
    cell
        Lattice vectors as rows, (3, 3), Angstrom.
    positions
        Cartesian positions, (n_atoms, 3), Angstrom; never wrapped: pair shifts refer to these.
    numbers
        Atomic numbers, (n_atoms,).
    pbc
        Periodicity along the three lattice vectors.
    """

    cell: NDArray[np.float64]
    positions: NDArray[np.float64]
    numbers: NDArray[np.int64]
    pbc: tuple[bool, bool, bool] = (True, True, True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "cell", np.ascontiguousarray(self.cell, dtype=np.float64).reshape(3, 3))
        positions = np.ascontiguousarray(self.positions, dtype=np.float64)
        object.__setattr__(self, "positions", positions)
        object.__setattr__(self, "numbers", np.ascontiguousarray(self.numbers, dtype=np.int64))
        object.__setattr__(self, "pbc", tuple(bool(p) for p in self.pbc))
        if positions.shape != (len(self.numbers), 3):
            raise ValueError(f"{len(self.numbers)} atomic numbers for positions of shape {positions.shape}")

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.numbers)

    @property
    def volume(self) -> float:
        """Cell volume in cubic Angstrom."""
        return float(abs(np.linalg.det(self.cell)))

    def with_positions(self, positions: NDArray[np.float64]) -> Structure:
        """Return the same cell and species at other positions (n_atoms, 3), Angstrom."""
        return Structure(self.cell, positions, self.numbers, self.pbc)

    def moved_from(self, other: Structure) -> float:
        """Root mean square displacement of the atoms from those of another frame, Angstrom.

        Images of an atom are the same atom, and a shift of all is no motion; infinite between frames of other
        atoms, order of atoms or cell (1e-3 Angstrom).
        """
        same = np.array_equal(self.numbers, other.numbers) and np.allclose(self.cell, other.cell, atol=1e-3)
        if not same:
            return float("inf")
        fractional = (self.positions - other.positions) @ np.linalg.inv(self.cell)
        moved = (fractional - np.rint(fractional)) @ self.cell
        return float(np.sqrt(((moved - moved.mean(axis=0)) ** 2).sum(axis=1).mean()))

    def supercell(self, repeats: Sequence[int]) -> Structure:
        """Repeat the cell; atoms are ordered cell by cell, the order inside a cell kept.

        Examples
        --------
        >>> chain = Structure(np.eye(3), np.zeros((1, 3)), np.array([14]))
        >>> chain.supercell((2, 1, 1)).positions.tolist()
        [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
        """
        n = np.asarray(repeats, dtype=int)
        grid = np.stack(np.meshgrid(*(np.arange(k) for k in n), indexing="ij"), -1).reshape(-1, 3)
        positions = (self.positions[None] + (grid @ self.cell)[:, None]).reshape(-1, 3)
        return Structure(self.cell * n[:, None], positions, np.tile(self.numbers, len(grid)), self.pbc)

    def to_ase(self) -> Atoms:
        """Return the structure as `ase.Atoms`."""
        from ase import Atoms

        return Atoms(numbers=self.numbers, positions=self.positions, cell=self.cell, pbc=self.pbc)

    @classmethod
    def from_ase(cls, atoms: Atoms) -> Structure:
        """Build a structure from `ase.Atoms`."""
        pbc = tuple(bool(p) for p in atoms.pbc)
        # copies: a calculator or integrator moves the atoms in place
        return cls(atoms.cell.array.copy(), atoms.get_positions(), atoms.get_atomic_numbers(), pbc)  # type: ignore[arg-type]
