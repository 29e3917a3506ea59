"""The parts of the energy that are integrals over the mesh: neutral atoms, Hartree, exchange and correlation.

E = int V_NA drho + 1/2 int V_H[drho] drho + E_xc[rho + core],   drho = rho - rho_atoms
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from n2amd.baseline.energy_gradient import EnergyGradient
from n2amd.baseline.mesh_integrals import density_on_mesh
from n2amd.baseline.mesh_integrals_gradient import density_gradient
from n2amd.baseline.mesh_potential import hartree_potential, xc_potential
from n2amd.baseline.mesh_strain import hartree_strain, xc_strain
from n2amd.baseline.superposition_gradient import superposition_gradient
from n2amd.baseline.zeroth import NeutralAtoms, ZerothHamiltonian
from n2amd.blocks.matrix import BlockMatrix
from n2amd.frames.mesh import Mesh
from n2amd.structure import Structure


@dataclass(frozen=True)
class MeshEnergy:
    """A density on the code's mesh, what it feels, and its energies.

    Attributes
    ----------
    structure
        Atoms, moved so that the mesh starts at the corner of the cell.
    mesh
        The code's.
    atoms
        Neutral atoms on it.
    density
        Valence electrons, (n_spin, n1, n2, n3), 1/A^3.
    change
        Their sum less the neutral atoms' electrons, (n1, n2, n3), 1/A^3.
    hartree_field, xc_field
        Potentials of the change, (n1, n2, n3), and of the density with the core, (n_spin, n1, n2, n3); eV.
    neutral, hartree, exchange_correlation
        Energies: int V_NA drho, 1/2 int V_H drho, E_xc; eV. SIESTA calls them DEna, DUscf, Exc.
    """

    structure: Structure
    mesh: Mesh
    atoms: NeutralAtoms
    density: NDArray[np.float64]
    change: NDArray[np.float64]
    hartree_field: NDArray[np.float64]
    xc_field: NDArray[np.float64]
    neutral: float
    hartree: float
    exchange_correlation: float

    @property
    def potential(self) -> NDArray[np.float64]:
        """V_NA + V_H + V_xc, (n_spin, n1, n2, n3), eV."""
        return self.atoms.potential + self.hartree_field + self.xc_field

    @property
    def energy(self) -> float:
        """Sum of the three, eV."""
        return self.neutral + self.hartree + self.exchange_correlation


def mesh_energy(zeroth: ZerothHamiltonian, structure: Structure, density: BlockMatrix) -> MeshEnergy:
    """Energies of a density matrix on the mesh.

    Parameters
    ----------
    zeroth
        Orbitals and ingredients.
    structure
        Atoms.
    density
        Real, Hermitian half; one spin component with both spins in it, or two.
    """
    found = zeroth.ingredients
    mesh, moved = found.mesh_of(structure.cell), found.on_mesh(structure)
    rydberg, bohr = found.rydberg, found.bohr
    atoms = zeroth.densities(structure, mesh)
    valence = density_on_mesh(zeroth.orbitals, moved, mesh, density)
    change = valence.sum(axis=0) - atoms.density
    hartree = hartree_potential(change, mesh, rydberg=rydberg, bohr=bohr).numpy()
    total = _with_core(valence, atoms.core)
    xc_energy, xc = xc_potential(
        total[0] if len(total) == 1 else total,
        mesh,
        found.functional,
        rydberg=rydberg,
        bohr=bohr,
        gradient=found.discretisation.gradient,
        digits=found.discretisation.digits,
    )
    element = mesh.volume_element
    return MeshEnergy(
        moved,
        mesh,
        atoms,
        valence,
        change,
        hartree,
        xc.numpy().reshape(total.shape),
        float(np.vdot(atoms.potential, change)) * element,
        float(np.vdot(hartree, change)) * element / 2,
        xc_energy,
    )


def mesh_energy_gradient(
    zeroth: ZerothHamiltonian, mesh_energy: MeshEnergy, density: BlockMatrix
) -> EnergyGradient:
    """Energy on the mesh with its derivatives, for a fixed density matrix.

    Orbitals, neutral atoms and cores move through the points of the mesh: the egg-box effect is in these
    forces as it is in the energy.

    Parameters
    ----------
    zeroth, density
        As for `mesh_energy`.
    mesh_energy
        Of the density.
    """
    state, found = mesh_energy, zeroth.ingredients
    rydberg, bohr = found.rydberg, found.bohr
    of_orbitals = density_gradient(zeroth.orbitals, state.structure, state.mesh, density, state.potential)
    # dE/dV_NA, dE/drho_atoms and dE/dcore at every point; each spin has half of the core
    fields = np.stack(
        [state.change, -state.atoms.potential - state.hartree_field, state.xc_field.mean(axis=0)]
    )
    of_atoms = superposition_gradient(
        state.structure, state.mesh, zeroth.functions_of(state.structure), fields
    )
    strain = state.neutral * np.eye(3)
    strain += hartree_strain(state.change, state.mesh, state.hartree, rydberg=rydberg, bohr=bohr)
    strain += xc_strain(
        _with_core(state.density, state.atoms.core),
        state.mesh,
        found.functional,
        state.exchange_correlation,
        rydberg=rydberg,
        bohr=bohr,
        scheme=found.discretisation.gradient,
    )
    rest = EnergyGradient(state.energy, np.zeros_like(of_atoms.forces), strain)
    return of_orbitals + of_atoms + rest


def _with_core(valence: NDArray[np.float64], core: NDArray[np.float64]) -> NDArray[np.float64]:
    """Density of each spin with its share of the core; rounding may have left it negative somewhere."""
    return np.maximum(valence, 0.0) + core / len(valence)
