"""Densities of states, whole and on groups of orbitals, of all states on a mesh of k points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from n2amd.blocks.matrix import BlockMatrix, fold, fold_spinor
from n2amd.errors import ComputationError
from n2amd.states.projection import Partition, Projection, Sites, site_weights
from n2amd.states.solver import check_finite

#: Gaussians are cut this many widths from their centre.
REACH = 6.0
#: States whose Gaussians are added up at a time.
_AT_ONCE = 2000


def density_of_states(
    energies: NDArray[np.float64],
    grid: NDArray[np.float64],
    width: float,
    weights: NDArray[np.float64] | None = None,
    shares: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Density of states of bands, broadened by Gaussians.

    Parameters
    ----------
    energies
        (n_k, n), eV.
    grid
        Energies it is wanted at, ascending, (m,), eV.
    width
        Standard deviation of the Gaussians, eV.
    weights
        Of the k points, (n_k,), adding up to 1; default: all the same.
    shares
        Part of every state on each of g groups, (n_k, n, g).

    Returns
    -------
    density
        States (one a band, whatever its spins) per cell and eV: (m,), or (m, g) where there are shares.
    """
    n_k = len(energies)
    counted = np.full(n_k, 1 / n_k) if weights is None else weights
    near = (energies > grid[0] - REACH * width) & (energies < grid[-1] + REACH * width)
    centres = energies[near]
    heights = np.broadcast_to(counted[:, None], energies.shape)[near][:, None]
    if shares is not None:
        heights = heights * shares[near]
    found = np.zeros((len(grid), heights.shape[1]))
    for first in range(0, len(centres), _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        x = (grid[:, None] - centres[None, part]) / width
        found += np.exp(-0.5 * x * x) @ heights[part]
    found /= np.sqrt(2 * np.pi) * width
    return found if shares is not None else found[:, 0]


@dataclass(frozen=True)
class MeshStates:
    """All states on a mesh of k points.

    Attributes
    ----------
    kpoints, weights
        Fractional, (n_k, 3), of k and -k one; weights that add up to 1, (n_k,).
    energies
        (n_k, n_orbitals), of spinors twice as many, ascending, eV.
    projection
        Weight of every state on the sites, a k point a frame; None where it was not asked for.
    """

    kpoints: NDArray[np.float64]
    weights: NDArray[np.float64]
    energies: NDArray[np.float64]
    projection: Projection | None = None


def states_at(
    hamiltonian: BlockMatrix, overlap: BlockMatrix, offsets: NDArray[np.int64], k: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray, NDArray]:
    """Energies (n,), eV, states (n, n), c^dagger S c = 1, and S (n, n) at one k point.

    Of spinors all three have 2 n rows: the orbitals with spin up, then those with spin down.

    Raises
    ------
    ComputationError
        If matrices are not finite or S is not positive definite.
    """
    if hamiltonian.n_spin == 4:
        h, s = (fold_spinor(matrix, offsets, k[None])[0] for matrix in (hamiltonian, overlap))
    else:
        h, s = (fold(matrix, offsets, k) for matrix in (hamiltonian, overlap))
    place = f"k = {np.round(k, 4).tolist()}: "
    check_finite(h, s, place)
    try:
        energies, states = scipy.linalg.eigh(h, s, driver="gvd", check_finite=False)
    except np.linalg.LinAlgError as error:
        raise ComputationError(
            f"{place}the states could not be computed ({error}); check that no atoms are too close together"
        ) from error
    return energies, states, s


def mesh_states(
    hamiltonian: BlockMatrix,
    overlap: BlockMatrix,
    offsets: NDArray[np.int64],
    mesh: tuple[NDArray[np.float64], NDArray[np.float64]],
    sites: tuple[Sites, NDArray[np.int64]] | None = None,
    partition: Partition = "mulliken",
    report: Callable[[int, int], None] | None = None,
) -> MeshStates:
    """Solve for all states at the k points of a mesh.

    Parameters
    ----------
    hamiltonian, overlap, offsets
        As for `n2amd.states.bands.band_structure`.
    mesh
        K points (n_k, 3), fractional, and their weights (n_k,).
    sites
        What weights are wanted on, and the first orbital of each (`first_orbitals`).
    partition
        Mulliken's weights or Loewdin's.
    report
        Called with (k points done, all).
    """
    kpoints, counted = mesh
    n, spins = int(offsets[-1]), 2 if hamiltonian.n_spin == 4 else 1
    energies = np.empty((len(kpoints), spins * n))
    weights: list[NDArray[np.float32]] = []
    for row, k in enumerate(kpoints):
        energies[row], states, s = states_at(hamiltonian, overlap, offsets, k)
        if sites is not None:
            starts = np.concatenate([sites[1] + n * spin for spin in range(spins)])
            found = site_weights(states, s @ states, s, starts, partition)
            weights.append(found.reshape(len(found), spins, -1).sum(axis=1))
        if report is not None:
            report(row + 1, len(kpoints))
    projection = None if sites is None else Projection(sites[0], partition, np.array(weights))
    return MeshStates(kpoints, counted, energies, projection)
