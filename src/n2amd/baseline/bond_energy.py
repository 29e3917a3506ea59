"""Energies that are sums over bonds: of a density matrix with a two-centre table, and of neutral atoms.

Two neutral atoms, each a local pseudopotential's charge with its electrons, attract and repel each other only
where they overlap (J. M. Soler et al., J. Phys. Condens. Matter 14, 2745 (2002), sec. 5).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import cumulative_simpson, simpson

from n2amd.baseline.energy_gradient import EnergyGradient
from n2amd.baseline.ingredients import AtomIngredients, Ingredients
from n2amd.baseline.kinetic import kinetic_table
from n2amd.blocks.matrix import BlockMatrix, PairIndex
from n2amd.blocks.pairs import find_pairs
from n2amd.orbitals.basis import AtomBasis, Basis, RadialFunction, Shell
from n2amd.orbitals.bessel_transform import interpolate
from n2amd.orbitals.two_centre import OverlapTable
from n2amd.structure import Structure

#: Points of integrals over r for one of the radial function's own.
OVERSAMPLING = 20


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


@dataclass(frozen=True)
class NeutralPairs:
    """Electrostatic energy of neutral atoms as a function of their distance.

    Attributes
    ----------
    table
        Of the energies of every two elements, eV; at distance zero twice an atom's own energy.
    ions
        Energy of the charge of each element's local pseudopotential in its own field, eV.
    """

    table: OverlapTable
    ions: Mapping[int, float]

    @classmethod
    def of(cls, ingredients: Ingredients) -> NeutralPairs:
        """Tabulate int V_a rho_b, with the charge that makes V_b: -nabla^2 V / (4 pi e^2).

        The quadrature is that of the kinetic energy, with V_NA as an orbital of l = 0.
        """
        coulomb = 2 * ingredients.rydberg * ingredients.bohr
        # an orbital is R Y_00: V / sqrt(4 pi e^2) = R Y_00
        scale = 1 / math.sqrt(coulomb)
        atoms = {}
        for z, atom in ingredients.atoms.items():
            potential = atom.neutral_potential
            radial = RadialFunction(potential.step, scale * potential.values, potential.cutoff)
            atoms[z] = AtomBasis(z, (Shell(0, "V_NA", radial),))
        # <-nabla^2>, without a unit of energy
        table = kinetic_table(Basis(atoms), 1.0, 1.0)
        return cls(table, {z: _ion_energy(atom, coulomb) for z, atom in ingredients.atoms.items()})

    def energy(self, structure: Structure) -> EnergyGradient:
        """Energy of all neutral atoms in each other's and their own field, a cell of them."""
        total = EnergyGradient.zero(structure.n_atoms)
        for key, index in find_pairs(structure, self.table.ranges, half=True).items():
            vectors = index.vectors(structure)
            weights = counted(index)[:, None, None] / 2
            energy = float(np.vdot(weights, self.table.evaluate(key, vectors)))
            slopes = self.table.contracted_gradient(key, vectors, weights)
            total += EnergyGradient.of_bonds(energy, index, vectors, slopes, structure.n_atoms)
        return total

    def of_ions(self, numbers: NDArray[np.int64]) -> float:
        """Energy of the charges of the local pseudopotentials, each in its own field alone."""
        return float(sum(self.ions[int(z)] for z in numbers))


def _ion_energy(atom: AtomIngredients, coulomb: float) -> float:
    """Energy of the local pseudopotential's charge in its own field, eV.

    It is what makes V_NA less the atom's electrons n: U[V_NA] - int V_NA n + U[n].
    """
    potential, density = atom.neutral_potential, atom.density
    r = _fine(potential)
    whole = simpson((interpolate(potential)(r, 1) * r) ** 2, x=r) / (2 * coulomb)
    r = _fine(density)
    shells = 4 * math.pi * interpolate(density)(r) * r**2
    inside = r < potential.cutoff
    between = simpson(shells * np.where(inside, interpolate(potential)(r), 0.0), x=r)
    enclosed = cumulative_simpson(shells, x=r, initial=0.0)
    electrons = coulomb * simpson(np.divide(shells * enclosed, r, out=np.zeros_like(r), where=r > 0), x=r)
    return float(whole - between + electrons)


def _fine(radial: RadialFunction) -> NDArray[np.float64]:
    """Distances up to the end of a function, several in each of its intervals."""
    n = len(radial.values) - 1
    return np.linspace(0.0, min(radial.cutoff, radial.step * n), OVERSAMPLING * n + 1)
