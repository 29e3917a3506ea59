"""H of a DFT frame rebuilt from its own density: whether ingredients are right, and what they can reach."""

from __future__ import annotations

from n2amd.baseline.frame_rest import MeshFrame, kinetic_matrices
from n2amd.baseline.ingredients import Ingredients
from n2amd.baseline.mesh_potential import hartree_potential
from n2amd.baseline.nonlocal_potential import nonlocal_matrix
from n2amd.baseline.projector_table import projector_table
from n2amd.blocks.matrix import BlockMatrix
from n2amd.dataset.frame import Frame
from n2amd.orbitals.basis import Basis


def rebuilt_hamiltonian(frame: Frame, basis: Basis, ingredients: Ingredients) -> BlockMatrix:
    """H0 with the density that the frame's own H and S make, on the frame's pairs, eV.

    For the ingredients of the run it is the frame's H again, to the digits of its SCF cycle.

    Raises
    ------
    InputError
        If the frame has spins, its k points or occupations are unknown, or an element has no ingredients.
    """
    on_mesh = MeshFrame.of(frame, basis, ingredients)
    atoms = {int(z): ingredients[z] for z in set(on_mesh.structure.numbers.tolist())}
    neutral, density, core = on_mesh.fields(
        {z: [a.neutral_potential, a.density, a.core_density] for z, a in atoms.items()}
    )
    potential = neutral + hartree_potential(on_mesh.density - density, on_mesh.mesh, **on_mesh.units).numpy()
    potential += ingredients.potential_zero(on_mesh.structure)
    local = on_mesh.integrate(potential + on_mesh.exchange_correlation(core))
    pairs = frame.hamiltonian.pairs
    table = projector_table(on_mesh.basis, ingredients)
    rest = nonlocal_matrix(table, on_mesh.basis, on_mesh.structure, pairs)
    kinetic = kinetic_matrices([on_mesh], basis, ingredients)[0]
    values = {key: local.values[key] + rest.values[key] + kinetic.values[key] for key in pairs}
    return BlockMatrix(pairs, values)
