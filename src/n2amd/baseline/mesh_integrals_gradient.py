"""How the energy of a density matrix in a potential on a mesh changes when orbitals move with atoms."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from n2amd.baseline.energy_gradient import EnergyGradient
from n2amd.baseline.mesh_boxes import EDGE
from n2amd.baseline.mesh_gradient_kernel import gradient_boxes, gradient_space, harmonic_gradients
from n2amd.baseline.mesh_integrals import MeshOrbitals, as_fields, real_half
from n2amd.blocks.matrix import BlockMatrix
from n2amd.errors import InputError
from n2amd.frames.mesh import Mesh
from n2amd.orbitals.basis import Basis
from n2amd.structure import Structure


def density_gradient(
    basis: Basis,
    structure: Structure,
    mesh: Mesh,
    density_matrix: BlockMatrix,
    potential: NDArray[np.float64],
    *,
    edge: int = EDGE,
) -> EnergyGradient:
    """Derivatives of int V rho, rho = sum D_ij phi_i phi_j, for fixed V and D: exact for the sum over points.

    Parameters
    ----------
    basis, structure, mesh, density_matrix, edge
        As for `n2amd.baseline.mesh_integrals.density_on_mesh`.
    potential
        One field for each spin of the density matrix, (n_spin, n1, n2, n3), or (n1, n2, n3); eV.

    Returns
    -------
    gradient
        Its energy is left at zero, and its strain is that of the orbitals, without the change of the volume.

    Raises
    ------
    InputError
        As `density_on_mesh`, or if there are not as many fields as spins.
    """
    fields = as_fields(potential, mesh)
    orbitals = MeshOrbitals.of(basis, structure, mesh, edge)
    layout = orbitals.layout(density_matrix.pairs)
    values = layout.pack(real_half(density_matrix))
    if len(values) != len(fields):
        raise InputError(
            f"{len(fields)} potentials for a density matrix of {len(values)} spins",
            field="potential",
            remedy="pass one for each spin",
        )
    work = orbitals.workspace()
    result = np.zeros((structure.n_atoms, 4, 3))
    gradient_boxes(
        0,
        orbitals.boxes.total,
        orbitals.boxes,
        orbitals.images,
        orbitals.atoms,
        orbitals.splines,
        layout.lookup,
        values,
        fields,
        mesh.volume_element,
        harmonic_gradients(),
        work,
        gradient_space(orbitals.boxes.largest, len(work.phi) // orbitals.boxes.largest),
        result,
    )
    return EnergyGradient(0.0, result[:, 0], result[:, 1:].sum(axis=0))
