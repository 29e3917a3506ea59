"""H0 of any structure from atoms and a model density, without a DFT run.

    H0 = T + V_KB + <V_NA + V_H[rho - rho_atoms] + V_xc[rho + core]>

with rho = rho_atoms + spherical charge transfer of each species + multipoles that a network predicts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from n2amd.baseline.auxiliary import AuxiliaryBasis
from n2amd.baseline.kinetic import kinetic_table
from n2amd.baseline.mesh_integrals import potential_matrix
from n2amd.baseline.mesh_kernels import Real
from n2amd.baseline.mesh_potential import hartree_potential, xc_potential
from n2amd.baseline.model_density import ModelDensity
from n2amd.baseline.multipoles import superpose_multipoles
from n2amd.baseline.neutral_pairs import NeutralPairs
from n2amd.baseline.nonlocal_potential import nonlocal_matrix
from n2amd.baseline.projector_table import ProjectorTable, interaction_ranges, projector_table
from n2amd.baseline.superposition import superpose
from n2amd.blocks.matrix import BlockMatrix, PairIndex, SpeciesPair
from n2amd.blocks.pairs import find_pairs
from n2amd.frames.ingredients import Ingredients
from n2amd.frames.mesh import Mesh
from n2amd.orbitals.basis import Basis, RadialFunction
from n2amd.orbitals.two_centre import OverlapTable
from n2amd.structure import Structure

#: Electrons per A^3 below which a model density is cut: it may dip below zero in empty space.
SMALLEST_DENSITY = 1e-12


@dataclass(frozen=True)
class ZerothHamiltonian:
    """Everything that H0 needs, made once for a material.

    Attributes
    ----------
    basis, ingredients
        Orbitals and the rest of what the DFT code knew.
    model
        Functions that densities are written in, and average atoms.

    Examples
    --------
    >>> h0 = ZerothHamiltonian(basis, ingredients, model)         # doctest: +SKIP
    >>> h0.matrix(structure, h0.model.spherical(structure.numbers))  # doctest: +SKIP
    """

    basis: Basis
    ingredients: Ingredients
    model: ModelDensity

    @classmethod
    def of_neutral_atoms(cls, basis: Basis, ingredients: Ingredients) -> ZerothHamiltonian:
        """Make one without density functions: the density comes from elsewhere or is neutral atoms'."""
        return cls(basis, ingredients, ModelDensity(AuxiliaryBasis({}), {}))

    @cached_property
    def orbitals(self) -> Basis:
        """The basis on uniform grids."""
        return self.ingredients.orbitals(self.basis)

    @cached_property
    def kinetic(self) -> OverlapTable:
        """Two-centre table of T."""
        return kinetic_table(self.basis, self.ingredients.rydberg, self.ingredients.bohr)

    @cached_property
    def overlap(self) -> OverlapTable:
        """Two-centre table of S."""
        return OverlapTable.from_basis(self.basis)

    @cached_property
    def projectors(self) -> ProjectorTable:
        """Two-centre tables <orbital | projector>."""
        return projector_table(self.orbitals, self.ingredients)

    @cached_property
    def neutral_pairs(self) -> NeutralPairs:
        """Energies of neutral atoms in each other's field."""
        return NeutralPairs.of(self.ingredients)

    @cached_property
    def ranges(self) -> dict[SpeciesPair, float]:
        """Range of H0 per species pair, Angstrom."""
        return interaction_ranges(self.orbitals, self.ingredients)

    def functions_of(self, structure: Structure) -> dict[int, list[RadialFunction | None]]:
        """Potential, density and core of a neutral atom of each element of a structure."""
        atoms = {int(z): self.ingredients[z] for z in np.unique(structure.numbers)}
        return {z: [a.neutral_potential, a.density, a.core_density] for z, a in atoms.items()}

    def densities(self, structure: Structure, mesh: Mesh) -> NeutralAtoms:
        """Potential, density and core of neutral atoms on the mesh."""
        found = superpose(self.ingredients.on_mesh(structure), mesh, self.functions_of(structure))
        potential, density, core = found
        potential += self.ingredients.potential_zero(structure)
        return NeutralAtoms(potential, density, core)

    def potential(
        self, structure: Structure, coefficients: NDArray[np.float64]
    ) -> tuple[Mesh, NDArray[np.float64]]:
        """Potential V_NA + V_H + V_xc of a model density, (n1, n2, n3), or (2, n1, n2, n3) of both spins, eV.

        Parameters
        ----------
        structure
            Atoms.
        coefficients
            Of the density functions, (n_total,), see `AuxiliaryBasis.offsets`; with collinear spins those of
            the density and of the magnetisation rho_up - rho_down, (2, n_total).
        """
        mesh = self.ingredients.mesh_of(structure.cell)
        structure = self.ingredients.on_mesh(structure)
        atoms = self.densities(structure, mesh)
        change = self.density_functions(structure, mesh, coefficients)
        return mesh, self.potential_of(mesh, atoms, change)

    def density_functions(
        self, placed: Structure, mesh: Mesh, coefficients: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Density of the functions of atoms placed on a mesh, (n1, n2, n3) or (2, n1, n2, n3), 1/A^3."""
        atoms = self.model.auxiliary.atoms
        if coefficients.ndim == 1:
            return superpose_multipoles(placed, mesh, atoms, coefficients)
        return np.stack([superpose_multipoles(placed, mesh, atoms, row) for row in coefficients])

    def potential_of(
        self, mesh: Mesh, atoms: NeutralAtoms, change: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Potential of neutral atoms and a change of their density (and of both spins) on the mesh, eV."""
        rydberg, bohr = self.ingredients.rydberg, self.ingredients.bohr
        rules = self.ingredients.discretisation
        _, xc = xc_potential(
            atoms.changed(change),
            mesh,
            self.ingredients.functional,
            rydberg=rydberg,
            bohr=bohr,
            gradient=rules.gradient,
            digits=rules.digits,
        )
        charge = change if change.ndim == 3 else change[0]
        hartree = hartree_potential(charge, mesh, rydberg=rydberg, bohr=bohr)
        potential = xc.numpy()
        potential += hartree.numpy()
        potential += atoms.potential
        return potential

    def matrix(
        self,
        structure: Structure,
        coefficients: NDArray[np.float64],
        pairs: Mapping[SpeciesPair, PairIndex] | None = None,
        dtype: Real = np.float64,
    ) -> BlockMatrix:
        """H0 of a structure, eV.

        Parameters
        ----------
        structure, coefficients
            Atoms and their density.
        pairs
            Hermitian half of pairs wanted; default: all that H0 connects.
        dtype
            Precision of orbitals at the points of the mesh, see `potential_matrix`.
        """
        chosen = find_pairs(structure, self.ranges, half=True) if pairs is None else pairs
        mesh, potential = self.potential(structure, coefficients)
        return self.assemble(structure, mesh, potential, chosen, dtype)

    def assemble(
        self,
        structure: Structure,
        mesh: Mesh,
        potential: NDArray[np.float64],
        pairs: Mapping[SpeciesPair, PairIndex],
        dtype: Real = np.float64,
    ) -> BlockMatrix:
        """T + V_KB + <potential> on the given pairs, eV."""
        structure = self.ingredients.on_mesh(structure)
        local = potential_matrix(self.orbitals, structure, mesh, potential, pairs, dtype=dtype)
        rest = nonlocal_matrix(self.projectors, self.basis, structure, pairs)
        for key, index in pairs.items():
            blocks = local.values[key]
            blocks += rest.values[key]
            blocks += self.kinetic.evaluate(key, index.vectors(structure))
        return BlockMatrix(pairs, local.values)


@dataclass(frozen=True)
class NeutralAtoms:
    """Superposed neutral atoms on a mesh, (n1, n2, n3) each: potential (eV), density and core (1/A^3)."""

    potential: NDArray[np.float64]
    density: NDArray[np.float64]
    core: NDArray[np.float64]

    def changed(self, change: NDArray[np.float64]) -> NDArray[np.float64]:
        """Density with the core once the atoms' has changed, (n1, n2, n3), 1/A^3.

        Where a model density dips below zero, in empty space, there is none. With a magnetisation, `change`
        is (2, n1, n2, n3), and so are the densities of spin up and down, with half of the core each.
        """
        if change.ndim == 4:
            both = self.density + change[0]
            spins = np.stack([both + change[1], both - change[1]]) / 2
            np.maximum(spins, SMALLEST_DENSITY / 2, out=spins)
            spins += self.core / 2
            return spins
        density = self.density + change
        np.maximum(density, SMALLEST_DENSITY, out=density)
        density += self.core
        return density
