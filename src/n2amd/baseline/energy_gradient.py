"""A part of the energy with its derivatives: forces on the atoms, and the change when space is strained."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from n2amd.blocks.matrix import PairIndex


@dataclass(frozen=True)
class EnergyGradient:
    """A part of the energy and its derivatives; parts add up.

    Attributes
    ----------
    energy
        eV.
    forces
        Minus the derivative with respect to the positions, (n_atoms, 3), eV/A.
    strain
        Derivative with respect to the strain e of r -> (1 + e) r, of atoms and cell alike, (3, 3), eV.
    """

    energy: float
    forces: NDArray[np.float64]
    strain: NDArray[np.float64]

    @classmethod
    def zero(cls, n_atoms: int) -> EnergyGradient:
        """Nothing."""
        return cls(0.0, np.zeros((n_atoms, 3)), np.zeros((3, 3)))

    @classmethod
    def of_bonds(
        cls,
        energy: float,
        pairs: PairIndex,
        vectors: NDArray[np.float64],
        slopes: NDArray[np.float64],
        n_atoms: int,
    ) -> EnergyGradient:
        """Part that depends on bond vectors from atom i to atom j.

        Parameters
        ----------
        energy
            eV.
        pairs
            The bonds.
        vectors, slopes
            Bond vectors, Angstrom, and the derivative of the energy with respect to each, eV/A: (n_pairs, 3).
        n_atoms
            Atoms of the structure.
        """
        forces = np.zeros((n_atoms, 3))
        np.add.at(forces, pairs.i, slopes)
        np.add.at(forces, pairs.j, -slopes)
        return cls(energy, forces, slopes.T @ vectors)

    def __add__(self, other: EnergyGradient) -> EnergyGradient:
        return EnergyGradient(
            self.energy + other.energy, self.forces + other.forces, self.strain + other.strain
        )
