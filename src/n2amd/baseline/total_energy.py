"""Total energy of a density matrix, as SIESTA puts it together.

    E = T + E_NL + E_NA - E_ions + int V_NA drho + 1/2 int V_H[drho] drho + E_xc[rho + core]

E_NA is the energy of superposed neutral atoms, each a local pseudopotential's charge and its electrons; what
these charges have of it alone, E_ions, is subtracted (J. M. Soler et al., J. Phys. Condens. Matter 14, 2745
(2002), sec. 5).
"""

from __future__ import annotations

from dataclasses import dataclass

from n2amd.baseline.bond_energy import bond_energy
from n2amd.baseline.energy_gradient import EnergyGradient
from n2amd.baseline.mesh_energy import MeshEnergy, mesh_energy
from n2amd.baseline.nonlocal_energy import nonlocal_energy
from n2amd.baseline.zeroth import ZerothHamiltonian
from n2amd.blocks.matrix import BlockMatrix
from n2amd.structure import Structure


@dataclass(frozen=True)
class TotalEnergy:
    """Parts of the total energy of a cell, eV.

    Attributes
    ----------
    kinetic, nonlocal_
        Of the electrons: kinetic, and of the non-local pseudopotential. SIESTA's Ekin and Enl.
    neutral, hartree, exchange_correlation
        Integrals over the mesh: int V_NA drho, 1/2 int V_H drho, E_xc. SIESTA's DEna, DUscf, Exc.
    pairs, ions
        Energy of neutral atoms, and of the local pseudopotentials' charges alone. SIESTA's Ena, Eions.
    smearing
        Minus temperature times entropy of the occupations.
    """

    kinetic: float
    nonlocal_: float
    neutral: float
    hartree: float
    exchange_correlation: float
    pairs: float
    ions: float
    smearing: float = 0.0

    @property
    def kohn_sham(self) -> float:
        """Energy without entropy."""
        mesh = self.neutral + self.hartree + self.exchange_correlation
        return self.kinetic + self.nonlocal_ + mesh + self.pairs - self.ions

    @property
    def free(self) -> float:
        """Free energy of the electrons: what forces are the derivatives of."""
        return self.kohn_sham + self.smearing


@dataclass(frozen=True)
class EnergyParts:
    """Parts of the energy; those that are sums over bonds have their derivatives at fixed density matrix."""

    kinetic: EnergyGradient
    nonlocal_: EnergyGradient
    pairs: EnergyGradient
    mesh: MeshEnergy
    ions: float
    smearing: float

    @property
    def total(self) -> TotalEnergy:
        """Energies alone."""
        return TotalEnergy(
            self.kinetic.energy,
            self.nonlocal_.energy,
            self.mesh.neutral,
            self.mesh.hartree,
            self.mesh.exchange_correlation,
            self.pairs.energy,
            self.ions,
            self.smearing,
        )


def energy_parts(
    zeroth: ZerothHamiltonian, structure: Structure, density: BlockMatrix, smearing: float = 0.0
) -> EnergyParts:
    """Parts of the energy of a density matrix; parameters and errors as for `total_energy`."""
    pairs = zeroth.neutral_pairs
    return EnergyParts(
        bond_energy(zeroth.kinetic, structure, density),
        nonlocal_energy(zeroth.projectors, structure, density),
        pairs.energy(structure),
        mesh_energy(zeroth, structure, density),
        pairs.of_ions(structure.numbers),
        smearing,
    )


def total_energy(
    zeroth: ZerothHamiltonian, structure: Structure, density: BlockMatrix, smearing: float = 0.0
) -> TotalEnergy:
    """Total energy of a density matrix.

    Parameters
    ----------
    zeroth
        Orbitals and ingredients; its model density is not used.
    structure
        Atoms; all three directions are periodic.
    density
        Density matrix, real Hermitian half, n_spin 1 (with both spins in it) or 2.
    smearing
        Minus temperature times entropy, eV.

    Raises
    ------
    InputError
        If the density matrix is complex or an element has no ingredients.
    """
    return energy_parts(zeroth, structure, density, smearing).total
