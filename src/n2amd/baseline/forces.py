"""Forces and stress of a converged frame: derivatives of the free energy that its density matrix has.

The density matrix is stationary but for the orbitals' overlap, hence

    F = -dE/dR at fixed D + sum W_ij dS_ij/dR,   W = sum_n f_n e_n c_n c_n^dagger

(J. M. Soler et al., J. Phys. Condens. Matter 14, 2745 (2002), sec. 7).

The mesh is fixed in space, so that energies and forces change a little where a whole crystal is moved by
a part of its step (the egg-box effect: 30 meV/A rms in rutile at 200 Ry). A mean over a few places of the
mesh, SIESTA's GridCellSampling, leaves most of it out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from n2amd.baseline.bond_energy import bond_energy
from n2amd.baseline.density_matrix import filled_states, matrix_of_states
from n2amd.baseline.mesh_energy import mesh_energy_gradient
from n2amd.baseline.total_energy import TotalEnergy, energy_parts
from n2amd.baseline.zeroth import ZerothHamiltonian
from n2amd.blocks.matrix import BlockMatrix
from n2amd.errors import InputError
from n2amd.frames.frame import Frame
from n2amd.structure import Structure

#: Places of the mesh that a mean may be taken over, by their number, in steps of the mesh: along a diagonal
#: of its cell, which leaves harmonics whose indices have a sum divisible by that number. Left of 29, 15, 34
#: meV/A (rms; two 6-atom frames of rutile, one of 48 atoms): with two places 5, 3, 7, with four 3, 3, 5.
PLACES: Mapping[int, tuple[tuple[float, float, float], ...]] = {
    1: ((0.0, 0.0, 0.0),),
    2: ((0.0, 0.0, 0.0), (0.5, 0.5, 0.5)),
    4: ((0.0, 0.0, 0.0), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), (0.75, 0.75, 0.75)),
}


@dataclass(frozen=True)
class EnergyForces:
    """Energy, forces and stress of a cell.

    Attributes
    ----------
    energy
        Its parts, eV.
    forces
        (n_atoms, 3), eV/A. Their sum is not removed: the mesh does not move with the atoms.
    stress
        Derivative of the free energy with respect to strain, divided by the volume, (3, 3), eV/A^3.
    """

    energy: TotalEnergy
    forces: NDArray[np.float64]
    stress: NDArray[np.float64]


def energy_forces(
    zeroth: ZerothHamiltonian,
    structure: Structure,
    density: BlockMatrix,
    energy_weighted: BlockMatrix,
    smearing: float = 0.0,
    place: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> EnergyForces:
    """Energy, forces and stress of a self-consistent density matrix.

    Parameters
    ----------
    zeroth
        Orbitals and ingredients; its model density is not used.
    structure
        Atoms; all three directions are periodic.
    density, energy_weighted
        D and W (eV), real Hermitian halves, n_spin 1 (with both spins in it) or 2.
    smearing
        Minus temperature times entropy, eV.
    place
        By how much the atoms are moved against the mesh, in its steps.

    Raises
    ------
    InputError
        If a matrix is complex or an element has no ingredients.
    """
    if any(place):
        steps = structure.cell / np.array(zeroth.ingredients.mesh_of(structure.cell).shape)[:, None]
        structure = structure.with_positions(structure.positions + np.array(place) @ steps)
    parts = energy_parts(zeroth, structure, density, smearing)
    negative = {key: -values for key, values in energy_weighted.values.items()}
    pulay = bond_energy(zeroth.overlap, structure, energy_weighted.map(negative))
    total = parts.kinetic + parts.nonlocal_ + parts.pairs
    total += mesh_energy_gradient(zeroth, parts.mesh, density)
    total += replace(pulay, energy=0.0)
    # rotations leave the energy alone, but for the mesh, which is kept in mind by no code
    stress = (total.strain + total.strain.T) / (2 * parts.mesh.mesh.volume)
    return EnergyForces(parts.total, total.forces, stress)


def mean_of(found: Sequence[EnergyForces]) -> EnergyForces:
    """Return the mean of several energies, forces and stresses of one cell."""
    names = [field.name for field in fields(TotalEnergy)]
    energy = TotalEnergy(**{name: float(np.mean([getattr(f.energy, name) for f in found])) for name in names})
    forces, stress = (np.mean([getattr(f, name) for f in found], axis=0) for name in ("forces", "stress"))
    return EnergyForces(energy, forces, stress)


def frame_energy_forces(zeroth: ZerothHamiltonian, frame: Frame) -> EnergyForces:
    """Energy, forces and stress of a frame; parameters and errors as for `frame_at_places`."""
    return frame_at_places(zeroth, frame, 1)[0]


def frame_at_places(zeroth: ZerothHamiltonian, frame: Frame, sampling: int) -> list[EnergyForces]:
    """Energies, forces and stresses of a frame at places of the mesh, from the density matrix of its H and S.

    Parameters
    ----------
    zeroth
        Orbitals and ingredients of the frame's run; its model density is not used.
    frame
        Converged, spinless or with collinear spins of one Fermi level.
    sampling
        Number of places; the first is that of the frame.

    Raises
    ------
    InputError
        If the frame has spinors, unknown k points or smearing, an element no ingredients, or H0 is not the
        whole of the frame's H (hybrids), or made of ingredients that were fitted to H alone, or of a code
        whose energies are put together otherwise.
    """
    if note := frame.origin.get("h0"):
        raise InputError(
            f"H0 gives no energies and forces of this frame: {note}",
            frame=frame.name,
            field="h0",
            remedy="take those of the DFT code",
        )
    if not zeroth.ingredients.discretisation.energies:
        raise InputError(
            f"no total energies and forces are made of the parts of {zeroth.ingredients.scheme}",
            frame=frame.name,
            field="ingredients",
            remedy="take those of the DFT code",
        )
    states = filled_states(frame, zeroth.basis)
    pairs = frame.hamiltonian.pairs
    density, weighted = (
        matrix_of_states(states, frame, zeroth.basis, pairs, energy_weighted=weighted)
        for weighted in (False, True)
    )
    return [
        energy_forces(zeroth, frame.structure, density, weighted, states.smearing_energy, place)
        for place in PLACES[sampling]
    ]
