"""How the elements of H0 between states change along a motion of the atoms: all of them in one pass forward.

    d<i|H0|j> = <i|d(T + V_KB)|j> + d<i|V|j>,
    dV = dV_NA + V_H[d(drho)] + K [d(rho_atoms + drho) + d(core)]

at fixed coefficients of the states, K the second derivative of the discretised exchange-correlation energy.
It is the transpose of `n2amd.baseline.zeroth_gradient`, whose one pass backward gives one element for all
motions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from n2amd.baseline.exchange_correlation_response import xc_potential_changes
from n2amd.baseline.mesh_potential import hartree_potential
from n2amd.baseline.mesh_states_change import changes_of_elements
from n2amd.baseline.multipoles import multipole_changes, superpose_multipoles
from n2amd.baseline.nonlocal_change import nonlocal_changes
from n2amd.baseline.superposition_change import superposition_changes
from n2amd.baseline.zeroth import SMALLEST_DENSITY, ZerothHamiltonian
from n2amd.blocks.csr import between_states
from n2amd.frames.mesh import Mesh
from n2amd.orbitals.two_centre import overlap_derivative
from n2amd.structure import Structure


@dataclass(frozen=True)
class MovingDensity:
    """Density coefficients of a moving structure.

    Attributes
    ----------
    coefficients
        As for `ZerothHamiltonian.matrix`, (n_total,).
    rates
        Their derivatives along the motion, (n_total,).
    """

    coefficients: NDArray[np.float64]
    rates: NDArray[np.float64]


def zeroth_changes(
    zeroth: ZerothHamiltonian,
    structure: Structure,
    velocities: NDArray[np.float64],
    density: MovingDensity,
    vectors: NDArray,
    kpoint: NDArray[np.float64],
) -> NDArray:
    """Derivatives of the elements of H0 between states, at fixed coefficients of the states.

    Parameters
    ----------
    zeroth
        H0 of the material.
    structure, velocities
        Atoms and how they move, (n_atoms, 3), A/fs.
    density
        Theirs.
    vectors
        States, (n_orbitals, w).
    kpoint
        Fractional, (3,).

    Returns
    -------
    changes
        Hermitian, (w, w), eV/fs; real where the states are and the k point is Gamma.

    Raises
    ------
    InputError
        If an element has no ingredients.
    """
    offsets = zeroth.basis.orbital_offsets(structure.numbers)
    kinetic = overlap_derivative(zeroth.kinetic, structure, velocities)
    mesh, fields, moves = _moving_potential(zeroth, structure, velocities, density)
    placed = zeroth.ingredients.on_mesh(structure)
    return (
        between_states(kinetic, offsets, vectors, kpoint)
        + nonlocal_changes(zeroth.projectors, structure, velocities, offsets, vectors, kpoint)
        + changes_of_elements(zeroth.orbitals, placed, mesh, vectors, fields, moves, kpoint)
    )


def _moving_potential(
    zeroth: ZerothHamiltonian,
    structure: Structure,
    velocities: NDArray[np.float64],
    density: MovingDensity,
) -> tuple[Mesh, NDArray[np.float64], NDArray[np.float64]]:
    """The mesh, the potential and its derivative on it, (2, n1, n2, n3), and how atoms move through it."""
    found, functions = zeroth.ingredients, zeroth.model.auxiliary.atoms
    mesh, placed, moves = found.mesh_of(structure.cell), found.on_mesh(structure), velocities
    if found.discretisation.centred:
        # the mesh goes with the centre of the atoms
        moves = moves - moves.mean(axis=0)
    atoms = zeroth.densities(structure, mesh)
    change = superpose_multipoles(placed, mesh, functions, density.coefficients)
    neutral, of_atoms, core = superposition_changes(placed, mesh, zeroth.functions_of(structure), moves)
    moved = multipole_changes(placed, mesh, functions, density.coefficients, moves)
    moved += superpose_multipoles(placed, mesh, functions, density.rates)
    # where the density was cut it does not move
    valence = np.where(atoms.density + change > SMALLEST_DENSITY, of_atoms + moved, 0.0)
    (xc,) = xc_potential_changes(
        atoms.changed(change),
        (valence + core)[None],
        mesh,
        found.functional,
        rydberg=found.rydberg,
        bohr=found.bohr,
        gradient=found.discretisation.gradient,
        digits=found.discretisation.digits,
    )
    hartree = hartree_potential(moved, mesh, rydberg=found.rydberg, bohr=found.bohr)
    fields = np.stack([zeroth.potential_of(mesh, atoms, change), neutral + hartree.numpy() + xc])
    return mesh, fields, moves
