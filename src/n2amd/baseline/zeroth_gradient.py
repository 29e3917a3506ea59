"""How sums of weighted elements of H0 change when the atoms move, and with the density: exact derivatives.

    W = sum_ij,R w_ij(R) H0_ij(R),   n = sum w phi_i phi_j on the mesh,

    dW = w . d(T + V_KB)  +  sum over points of V dn + n dV_NA + K n d(rho_atoms + core) + (K n + V_H[n]) drho

with K the second derivative of the discretised exchange-correlation energy. Orbitals, neutral atoms, cores
and density functions move through the points of the mesh, so that the egg-box effect is in these derivatives
as it is in H0. With the weights of a pair of states they are <i|dH0|j> at fixed coefficients of the states.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from n2amd.baseline.bond_energy import bond_energy
from n2amd.baseline.exchange_correlation_response import xc_potential_changes
from n2amd.baseline.mesh_integrals import density_on_mesh
from n2amd.baseline.mesh_integrals_gradient import density_gradient
from n2amd.baseline.mesh_potential import hartree_potential
from n2amd.baseline.multipoles import multipole_gradient, project_multipoles, superpose_multipoles
from n2amd.baseline.nonlocal_energy import nonlocal_energy
from n2amd.baseline.superposition_gradient import superposition_gradient
from n2amd.baseline.zeroth import SMALLEST_DENSITY, NeutralAtoms, ZerothHamiltonian
from n2amd.blocks.matrix import BlockMatrix
from n2amd.frames.mesh import Mesh
from n2amd.structure import Structure


@dataclass(frozen=True)
class ZerothGradient:
    """Derivatives of a weighted sum of elements of H0.

    Attributes
    ----------
    positions
        With respect to the positions at fixed density coefficients, (n_atoms, 3), eV/A.
    coefficients
        With respect to the density coefficients, (n_total,), eV.
    """

    positions: NDArray[np.float64]
    coefficients: NDArray[np.float64]


def zeroth_gradients(
    zeroth: ZerothHamiltonian,
    structure: Structure,
    coefficients: NDArray[np.float64],
    weights: Sequence[BlockMatrix],
) -> list[ZerothGradient]:
    """Derivatives of sum_ij,R w_ij(R) H0_ij(R) for each set of weights.

    Parameters
    ----------
    zeroth
        H0 of the material.
    structure, coefficients
        Atoms and their density, as for `ZerothHamiltonian.matrix`.
    weights
        Real, Hermitian half, n_spin = 1, on the pairs that H0 is wanted for; implied partners count.

    Raises
    ------
    InputError
        If an element has no ingredients, or weights are complex.
    """
    field = _Field.of(zeroth, structure, coefficients)
    found = []
    for w in weights:
        bonds = bond_energy(zeroth.kinetic, structure, w) + nonlocal_energy(zeroth.projectors, structure, w)
        of_mesh, of_coefficients = field.derivatives(w)
        found.append(ZerothGradient(of_mesh - bonds.forces, of_coefficients))
    return found


@dataclass(frozen=True)
class _Field:
    """A density and its potential on the mesh.

    Attributes
    ----------
    zeroth, coefficients
        H0 and the density's coefficients.
    structure, mesh
        Atoms, placed on the code's mesh.
    atoms
        Neutral atoms on it.
    change
        Density beyond theirs, (n1, n2, n3).
    potential
        (n1, n2, n3), eV.
    """

    zeroth: ZerothHamiltonian
    coefficients: NDArray[np.float64]
    structure: Structure
    mesh: Mesh
    atoms: NeutralAtoms
    change: NDArray[np.float64]
    potential: NDArray[np.float64]

    @classmethod
    def of(cls, zeroth: ZerothHamiltonian, structure: Structure, coefficients: NDArray[np.float64]) -> _Field:
        mesh = zeroth.ingredients.mesh_of(structure.cell)
        placed = zeroth.ingredients.on_mesh(structure)
        atoms = zeroth.densities(structure, mesh)
        change = superpose_multipoles(placed, mesh, zeroth.model.auxiliary.atoms, coefficients)
        potential = zeroth.potential_of(mesh, atoms, change)
        return cls(zeroth, coefficients, placed, mesh, atoms, change, potential)

    def derivatives(self, weights: BlockMatrix) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Derivatives of the elements of the potential with positions and with density coefficients."""
        zeroth, structure, mesh = self.zeroth, self.structure, self.mesh
        orbitals = zeroth.orbitals
        product = density_on_mesh(orbitals, structure, mesh, weights)[0]
        of_orbitals = density_gradient(orbitals, structure, mesh, weights, self.potential)
        kernel, by_density, by_change = self._responses(product)
        of_atoms = superposition_gradient(
            structure, mesh, zeroth.functions_of(structure), np.stack([product, by_density, kernel])
        )
        functions, volume = zeroth.model.auxiliary.atoms, mesh.volume_element
        moved = multipole_gradient(structure, mesh, functions, self.coefficients, by_change) * volume
        positions = moved - of_orbitals.forces - of_atoms.forces
        if zeroth.ingredients.discretisation.centred:
            # the mesh goes with the centre of the atoms
            positions = positions - positions.mean(axis=0)
        return positions, project_multipoles(structure, mesh, functions, by_change) * volume

    def _responses(
        self, product: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Derivatives of the element with the core, the atoms' density and its change at each point."""
        found = self.zeroth.ingredients
        (kernel,) = xc_potential_changes(
            self.atoms.changed(self.change),
            product[None],
            self.mesh,
            found.functional,
            rydberg=found.rydberg,
            bohr=found.bohr,
            gradient=found.discretisation.gradient,
            digits=found.discretisation.digits,
        )
        # where the density was cut it does not move
        by_density = np.where(self.atoms.density + self.change > SMALLEST_DENSITY, kernel, 0.0)
        hartree = hartree_potential(product, self.mesh, rydberg=found.rydberg, bohr=found.bohr)
        return kernel, by_density, by_density + hartree.numpy()
