"""Energy of a density matrix with a two-centre matrix: a sum over bonds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from n2amd.baseline.energy_gradient import EnergyGradient
from n2amd.blocks.matrix import BlockMatrix, PairIndex
from n2amd.orbitals.two_centre import OverlapTable
from n2amd.structure import Structure


def bond_energy(table: OverlapTable, structure: Structure, weights: BlockMatrix) -> EnergyGradient:
    """Energy sum_ij,R D_ij(R) M_ij(R) of a two-centre matrix M, for fixed D.

    Parameters
    ----------
    table
        Of M, e.g. of the kinetic energy, eV.
    structure
        Atoms.
    weights
        D, Hermitian half; spins are added.
    """
    total = EnergyGradient.zero(structure.n_atoms)
    for key, index in weights.pairs.items():
        vectors = index.vectors(structure)
        twice = counted(index)[:, None, None] * weights.values[key].sum(axis=0)
        energy = float(np.vdot(twice, table.evaluate(key, vectors)))
        slopes = table.contracted_gradient(key, vectors, twice)
        total += EnergyGradient.of_bonds(energy, index, vectors, slopes, structure.n_atoms)
    return total


def counted(index: PairIndex) -> NDArray[np.float64]:
    """How often each pair of a Hermitian half counts, (n_pairs,): 1 on site, else 2."""
    return np.where(index.on_site, 1.0, 2.0)
