"""What the known parts of H0 leave of a DFT frame's H, with the frame's own density.

    H - T - <V_H[rho - rho_atoms]> = <V_NA> + V_KB + <V_xc[rho + core]>

The right-hand side is made of the pseudopotentials.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from n2amd.baseline.density_matrix import density_matrix
from n2amd.baseline.kinetic import kinetic_table
from n2amd.baseline.mesh_integrals import density_on_mesh, potential_matrix
from n2amd.baseline.mesh_potential import hartree_potential, xc_potential
from n2amd.baseline.superposition import superpose
from n2amd.blocks.matrix import BlockMatrix
from n2amd.errors import InputError
from n2amd.frames.frame import Frame
from n2amd.frames.ingredients import Ingredients
from n2amd.frames.mesh import Mesh
from n2amd.orbitals.basis import Basis, RadialFunction
from n2amd.structure import Structure


@dataclass(frozen=True)
class MeshFrame:
    """A frame and its density on the code's mesh.

    Attributes
    ----------
    frame
        As it came.
    structure
        Its atoms, moved so that the mesh starts at the corner.
    mesh
        The code's.
    basis
        Orbitals on uniform grids.
    matrix
        Density matrix, spins added.
    density
        Valence electrons, (n1, n2, n3), 1/A^3.
    scheme
        Ingredients without atoms: functional, mesh and units.
    """

    frame: Frame
    structure: Structure
    mesh: Mesh
    basis: Basis
    matrix: BlockMatrix
    density: NDArray[np.float64]
    scheme: Ingredients

    @classmethod
    def of(cls, frame: Frame, basis: Basis, scheme: Ingredients) -> MeshFrame:
        """Make the density of a spinless frame.

        Raises
        ------
        InputError
            If the frame has spins.
        """
        if frame.hamiltonian.n_spin != 1:
            raise InputError(
                "ingredients are fitted to spinless frames",
                frame=frame.name,
                field="n_spin",
                remedy="give frames of runs without spin polarization",
            )
        orbitals = scheme.orbitals(basis)
        structure = scheme.on_mesh(frame.structure)
        mesh = scheme.mesh_of(frame.structure.cell)
        matrix = density_matrix(frame, basis)
        density = density_on_mesh(orbitals, structure, mesh, matrix)[0]
        return cls(frame, structure, mesh, orbitals, matrix, density, scheme)

    @property
    def units(self) -> dict[str, float]:
        """One Rydberg and one Bohr, for potentials."""
        return {"rydberg": self.scheme.rydberg, "bohr": self.scheme.bohr}

    def integrate(self, potential: NDArray[np.float64]) -> BlockMatrix:
        """Matrix elements of one or several potentials on the frame's pairs."""
        return potential_matrix(
            self.basis, self.structure, self.mesh, potential, self.frame.hamiltonian.pairs
        )

    def fields(self, functions: Mapping[int, list[RadialFunction | None]]) -> NDArray[np.float64]:
        """Superposed functions of all atoms, (n_functions, n1, n2, n3)."""
        return superpose(self.structure, self.mesh, functions)

    def exchange_correlation(self, core: NDArray[np.float64]) -> NDArray[np.float64]:
        """V_xc of the frame's electrons and a partial core, eV."""
        density = np.maximum(self.density, 0.0) + core
        scheme = self.scheme
        _, potential = xc_potential(
            density,
            self.mesh,
            scheme.functional,
            rydberg=scheme.rydberg,
            bohr=scheme.bohr,
            gradient=scheme.discretisation.gradient,
            digits=scheme.discretisation.digits,
        )
        return potential.numpy()

    def rest(self, kinetic: BlockMatrix, atoms: NDArray[np.float64]) -> BlockMatrix:
        """H - T - <V_H[rho - atoms]>, eV."""
        hartree = self.integrate(hartree_potential(self.density - atoms, self.mesh, **self.units).numpy())
        hamiltonian = self.frame.hamiltonian
        values = {
            key: hamiltonian.values[key] - kinetic.values[key] - hartree.values[key]
            for key in hamiltonian.pairs
        }
        return BlockMatrix(hamiltonian.pairs, values)


def kinetic_matrices(frames: list[MeshFrame], basis: Basis, scheme: Ingredients) -> list[BlockMatrix]:
    """T on the pairs of every frame, by the code's own quadrature, eV."""
    table = kinetic_table(basis, scheme.rydberg, scheme.bohr)
    return [
        BlockMatrix(
            f.frame.hamiltonian.pairs,
            {
                k: table.evaluate(k, i.vectors(f.structure))[None]
                for k, i in f.frame.hamiltonian.pairs.items()
            },
        )
        for f in frames
    ]
