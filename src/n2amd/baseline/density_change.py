"""Matrix elements between states of the potentials that small changes of the density make, to first order.

    <n|dV|m> = int psi_n* psi_m (v_H[drho] + f_xc drho) dr

With collinear spins f_xc of the states' channel has two parts, for changes of the density and of the
magnetisation. One potential a change, whatever the number of states. f_xc is that of the local density
approximation, as in `n2amd.baseline.state_response`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from n2amd.baseline.density_fit import PlaneWaves, norm_weights, waves_of_functions
from n2amd.baseline.mesh_states import states_on_mesh
from n2amd.baseline.slope_kernel import slope_kernel
from n2amd.baseline.zeroth import ZerothHamiltonian
from n2amd.frames.mesh import Mesh
from n2amd.structure import Structure

#: Points of the mesh whose products of states are held at a time.
_BLOCK = 1 << 16


def elements_of_changes(
    zeroth: ZerothHamiltonian,
    structure: Structure,
    coefficients: NDArray[np.float64],
    changes: NDArray[np.float64],
    vectors: NDArray,
    kpoint: NDArray[np.float64] | None = None,
    *,
    spin: int = 0,
) -> NDArray:
    """First-order changes of matrix elements between states with the density.

    Parameters
    ----------
    zeroth
        H0 of the material.
    structure
        Atoms.
    coefficients
        Of the density that the states were solved with, (n_total,), or of density and magnetisation,
        (2, n_total).
    changes
        Of the coefficients, (K, n_total) or (K, 2, n_total), neutral as a whole.
    vectors
        States, (n_orbitals, w).
    kpoint
        Fractional, (3,); None: Gamma.
    spin
        Channel of the states, 0 or 1, where there is a magnetisation.

    Returns
    -------
    elements
        Hermitian, (K, w, w), eV; real where the states are.
    """
    ingredients = zeroth.ingredients
    mesh, kernel = slope_kernel(zeroth, structure, coefficients)
    structure = ingredients.on_mesh(structure)
    waves = PlaneWaves.of(mesh)
    states = states_on_mesh(zeroth.orbitals, structure, mesh, vectors, kpoint)
    states = states.reshape(len(states), -1)
    hartree = 8 * np.pi * ingredients.rydberg * ingredients.bohr / waves.lengths**2
    fields = changes[:, None] if changes.ndim == 2 else changes
    kernels = kernel[None] if kernel.ndim == 3 else kernel[spin]
    elements = []
    for density, *magnetisation in zip(
        *(_waves_of(zeroth, structure, waves, field) for field in fields.swapaxes(0, 1))
    ):
        potential = _on_mesh(hartree * density, waves, mesh) + kernels[0] * _on_mesh(density, waves, mesh)
        for change in magnetisation:
            potential += kernels[1] * _on_mesh(change, waves, mesh)
        elements.append(_between(states, potential.ravel()) * mesh.volume_element)
    return np.array(elements)


def gram_of_changes(
    zeroth: ZerothHamiltonian, structure: Structure, changes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Scalar products of changes of the density in the norm of its fit, (K, K).

    Parameters
    ----------
    zeroth, structure
        H0 of the material; atoms.
    changes
        Of the coefficients, (K, n_total).
    """
    mesh = zeroth.ingredients.mesh_of(structure.cell)
    waves = PlaneWaves.of(mesh)
    components = _waves_of(zeroth, structure, waves, changes) * np.sqrt(norm_weights(waves))
    return (components.conj() @ components.T).real


def _waves_of(
    zeroth: ZerothHamiltonian, structure: Structure, waves: PlaneWaves, rows: NDArray[np.float64]
) -> NDArray[np.complex128]:
    """Fourier integrals of the densities that rows of coefficients stand for, (n_rows, n_waves)."""
    auxiliary = zeroth.model.auxiliary
    offsets = auxiliary.offsets(structure.numbers)
    total = np.zeros((len(rows), len(waves.rows)), dtype=np.complex128)
    for atom, block in enumerate(waves_of_functions(structure, auxiliary, waves)):
        total += rows[:, offsets[atom] : offsets[atom + 1]] @ block
    return total


def _on_mesh(components: NDArray[np.complex128], waves: PlaneWaves, mesh: Mesh) -> NDArray[np.float64]:
    """Field of Fourier integrals, inverse of `PlaneWaves.transform`."""
    n1, n2, n3 = mesh.shape
    spectrum = np.zeros(n1 * n2 * (n3 // 2 + 1), dtype=np.complex128)
    spectrum[waves.rows] = components * (mesh.n_points / waves.volume)
    return np.fft.irfftn(spectrum.reshape(n1, n2, -1), s=mesh.shape, axes=(0, 1, 2))


def _between(states: NDArray, potential: NDArray[np.float64]) -> NDArray:
    """Sum over points of psi_n* V psi_m, (w, w)."""
    total = np.zeros((len(states), len(states)), dtype=states.dtype)
    for start in range(0, states.shape[1], _BLOCK):
        part = states[:, start : start + _BLOCK]
        total += (part.conj() * potential[start : start + _BLOCK]) @ part.T
    return total
