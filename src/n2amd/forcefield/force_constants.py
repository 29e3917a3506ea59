"""Effective harmonic force constants of a supercell, from displacements and forces; and their frequencies.

F = -Phi u is fitted to frames at a temperature (O. Hellman, I. A. Abrikosov and S. I. Simak, Phys. Rev. B 84,
180301 (2011)), Phi symmetric and invariant under the space group of the ideal cell. Fitted alike to the
forces of DFT and of a force field on the same frames, two such matrices tell how far the phonons of the two
differ, without a displacement calculation by DFT.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from n2amd.errors import InputError
from n2amd.structure import Structure
from n2amd.units import AMU_A2_FS2_IN_EV, LIGHT_CM_FS

#: How far an atom of a frame may be from the site it belongs to, and the cell from the ideal one, Angstrom.
LARGEST_DISPLACEMENT = 0.9
LARGEST_CELL_DIFFERENCE = 0.02
#: Tolerance of the search for symmetries, Angstrom.
SYMMETRY_TOLERANCE = 1e-3
#: Directions whose mean square displacement is this part of the largest one count as never displaced.
SMALLEST_SPREAD = 1e-7


@dataclass(frozen=True)
class Operation:
    """One space-group operation of a supercell: atom k goes to the site `image[k]`, turned by `rotation`."""

    rotation: NDArray[np.float64]
    image: NDArray[np.int64]


@dataclass(frozen=True)
class HarmonicFit:
    """Force constants and how well they reproduce the forces.

    Attributes
    ----------
    force_constants
        Phi, (3 n_atoms, 3 n_atoms), eV/A^2.
    explained
        Share of the mean square of the forces' fluctuations that -Phi u explains.
    """

    force_constants: NDArray[np.float64]
    explained: float


def operations_of(ideal: Structure) -> list[Operation]:
    """Find the space group of a supercell, its translations included.

    Parameters
    ----------
    ideal
        Atoms at their ideal sites.
    """
    fractional = ideal.positions @ np.linalg.inv(ideal.cell)
    kinds, counts = np.unique(ideal.numbers, return_counts=True)
    fewest = np.flatnonzero(ideal.numbers == kinds[counts.argmin()])
    operations = []
    for turn in _lattice_rotations(ideal.cell):
        # x' = W x in fractional coordinates is r' = L^T W L^-T r for lattice vectors in the rows of L
        rotation = ideal.cell.T @ turn @ np.linalg.inv(ideal.cell.T)
        turned = fractional @ turn.T
        for target in fewest:
            image = _image(fractional, turned + fractional[target] - turned[fewest[0]], ideal)
            if image is not None:
                operations.append(Operation(rotation, image))
    return operations


def _lattice_rotations(cell: NDArray[np.float64]) -> list[NDArray[np.int64]]:
    """Integer matrices of small elements that keep all lengths and angles of a lattice."""
    grids = np.meshgrid(*[np.arange(-1, 2)] * 9, indexing="ij")
    turns = np.stack(grids, axis=-1).reshape(-1, 3, 3)
    metric = cell @ cell.T
    error = np.abs(turns.transpose(0, 2, 1) @ metric @ turns - metric).max(axis=(1, 2))
    return list(turns[error < 2 * SYMMETRY_TOLERANCE * np.sqrt(metric.max())])


def _image(
    fractional: NDArray[np.float64], moved: NDArray[np.float64], ideal: Structure
) -> NDArray[np.int64] | None:
    """Site that each moved atom falls on; None where one falls on none of its element."""
    apart = moved[:, None] - fractional[None]
    distance = np.linalg.norm((apart - np.round(apart)) @ ideal.cell, axis=-1)
    distance[ideal.numbers[:, None] != ideal.numbers[None]] = np.inf
    sites = distance.argmin(axis=1).astype(np.int64)
    return sites if distance.min(axis=1).max() < SYMMETRY_TOLERANCE else None


def same_cell(ideal: Structure, frame: Structure) -> bool:
    """Whether a frame has the cell of the ideal structure."""
    return bool(np.abs(frame.cell - ideal.cell).max() <= LARGEST_CELL_DIFFERENCE)


def match_sites(ideal: Structure, frame: Structure) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Tell which atom of a frame belongs to each ideal site.

    Returns
    -------
    atom
        Index in the frame of the atom at each site, (n_atoms,).
    displacement
        Of that atom from the site, (n_atoms, 3), Angstrom.

    Raises
    ------
    InputError
        If the cells or the elements differ, or an atom is nearer to another atom's site.
    """
    remedy = "pass frames of this supercell, near the ideal structure"
    if frame.n_atoms != ideal.n_atoms or not same_cell(ideal, frame):
        raise InputError("the frame has another cell than the structure", field="frames", remedy=remedy)
    inverse = np.linalg.inv(ideal.cell)
    apart = (frame.positions[None] - ideal.positions[:, None]) @ inverse
    apart = (apart - np.round(apart)) @ ideal.cell
    distance = np.linalg.norm(apart, axis=-1)
    distance[ideal.numbers[:, None] != frame.numbers[None]] = np.inf
    atom = distance.argmin(axis=1)
    sites = np.arange(ideal.n_atoms)
    if len(set(atom)) < len(atom) or not (distance[sites, atom] < LARGEST_DISPLACEMENT).all():
        raise InputError("the atoms of the frame have left their sites", field="frames", remedy=remedy)
    return atom.astype(np.int64), apart[sites, atom]


def fit_force_constants(
    displacements: NDArray[np.float64], forces: NDArray[np.float64], operations: Sequence[Operation]
) -> HarmonicFit:
    """Fit Phi by least squares; uniform translations and mean forces of the symmetric sites are taken out.

    With A = sum u u^T and B = sum u F^T over all frames and their symmetry images, the symmetric Phi of least
    error solves A Phi + Phi A = -(B + B^T).

    Parameters
    ----------
    displacements, forces
        (frames, n_atoms, 3), Angstrom and eV/A, atoms in the order of the sites.
    operations
        Of the ideal supercell.

    Raises
    ------
    InputError
        If the frames and their images do not displace every direction.
    """
    u, f = (_images(values, operations) for values in (displacements, forces))
    spread = u.T @ u / len(u)
    values, vectors = np.linalg.eigh(spread)
    moved = values > SMALLEST_SPREAD * values[-1]
    if moved.sum() < u.shape[1] - 3:
        raise InputError(
            f"{len(displacements)} displaced frames reach {moved.sum()} of {u.shape[1] - 3} directions",
            field="frames",
            remedy="pass more frames, independent of each other",
        )
    cross = vectors.T @ (u.T @ f / len(u)) @ vectors
    sums = values[:, None] + values[None]
    known = moved[:, None] & moved[None]
    inner = np.where(known, -(cross + cross.T) / np.where(known, sums, 1.0), 0.0)
    phi = vectors @ inner @ vectors.T
    error = f + u @ phi
    return HarmonicFit(phi, 1.0 - float((error**2).sum() / (f**2).sum()))


def _images(values: NDArray[np.float64], operations: Sequence[Operation]) -> NDArray[np.float64]:
    """All symmetry images of vectors on atoms, flat, without translation and without their mean."""
    values = values - values.mean(axis=1, keepdims=True)
    images = np.empty((len(operations), *values.shape))
    for target, operation in zip(images, operations, strict=True):
        target[:, operation.image] = values @ operation.rotation.T
    images -= images.mean(axis=(0, 1))
    return images.reshape(-1, values.shape[1] * 3)


def wave_numbers(force_constants: NDArray[np.float64], masses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Wave numbers of the normal modes, ascending, cm^-1; imaginary frequencies are negative.

    Parameters
    ----------
    force_constants
        (3 n_atoms, 3 n_atoms), eV/A^2.
    masses
        (n_atoms,), amu.

    Returns
    -------
    NDArray
        (3 n_atoms - 3,): the three uniform translations, the nearest to zero, are left out.
    """
    root = np.sqrt(np.repeat(masses, 3))
    squares = np.linalg.eigvalsh(force_constants / np.outer(root, root)) / AMU_A2_FS2_IN_EV
    found = np.sign(squares) * np.sqrt(np.abs(squares)) / (2 * np.pi * LIGHT_CM_FS)
    return np.delete(found, np.argsort(np.abs(found))[:3])
