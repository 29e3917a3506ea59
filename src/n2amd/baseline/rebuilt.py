"""H of a DFT frame rebuilt from its own density: whether ingredients are right, and what they can reach."""

from __future__ import annotations

from n2amd.baseline.density_matrix import density_matrix
from n2amd.baseline.mesh_energy import mesh_energy
from n2amd.baseline.zeroth import ZerothHamiltonian
from n2amd.blocks.matrix import BlockMatrix
from n2amd.frames.frame import Frame
from n2amd.frames.ingredients import Ingredients
from n2amd.orbitals.basis import Basis


def rebuilt_hamiltonian(frame: Frame, basis: Basis, ingredients: Ingredients) -> BlockMatrix:
    """H0 with the density that the frame's own H and S make, on the frame's pairs and spins, eV.

    For the ingredients of the run it is the frame's H again, to the digits of its SCF cycle.

    Raises
    ------
    InputError
        If the frame has spinors, its k points or occupations are unknown, or an element has no ingredients.
    """
    zeroth = ZerothHamiltonian.of_neutral_atoms(basis, ingredients)
    on_mesh = mesh_energy(zeroth, frame.structure, density_matrix(frame, basis))
    return zeroth.assemble(frame.structure, on_mesh.mesh, on_mesh.potential, frame.hamiltonian.pairs)
