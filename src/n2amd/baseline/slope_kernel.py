"""The mesh and the exchange-correlation kernel for potentials of small changes of the density.

Slopes need less than energies: products of states and potentials of density functions are wanted up to
`LONGEST_WAVE` only, so that the mesh may be coarser than the DFT code's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from n2amd.baseline.density_fit import LONGEST_WAVE
from n2amd.baseline.mesh_potential import local_spin_kernel, local_xc_kernel
from n2amd.baseline.zeroth import ZerothHamiltonian
from n2amd.frames.mesh import Mesh, coarser
from n2amd.structure import Structure

#: Longest wave of the mesh over that of the fit. On TiO2 slopes of levels are within 6e-4 of the whole mesh's
#: (1.3 times: 3e-3; 1.1 times: 2e-2), at a quarter of the time.
REFINEMENT = 1.45


def slope_kernel(
    zeroth: ZerothHamiltonian, structure: Structure, coefficients: NDArray[np.float64]
) -> tuple[Mesh, NDArray[np.float64]]:
    """Mesh for slopes and dV_xc/drho on it, in the local density approximation.

    Parameters
    ----------
    zeroth
        H0 of the material.
    structure
        Atoms.
    coefficients
        Of their density, (n_total,), or of density and magnetisation, (2, n_total).

    Returns
    -------
    mesh
        Of the structure's cell; nowhere finer than the DFT code's.
    kernel
        (n1, n2, n3), eV A^3; with a magnetisation (2, 2, n1, n2, n3), see `local_spin_kernel`.
    """
    ingredients = zeroth.ingredients
    mesh = coarser(ingredients.mesh_of(structure.cell), REFINEMENT * LONGEST_WAVE)
    atoms = zeroth.densities(structure, mesh)
    placed = ingredients.on_mesh(structure)
    change = zeroth.density_functions(placed, mesh, coefficients)
    kernel = local_xc_kernel if coefficients.ndim == 1 else local_spin_kernel
    return mesh, kernel(atoms.changed(change), rydberg=ingredients.rydberg, bohr=ingredients.bohr)
