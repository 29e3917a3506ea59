"""H(R) from H(k) on a mesh: the inverse Fourier transform with Wigner-Seitz images.

A mesh of N1 x N2 x N3 points knows H(R) modulo N R. Each pair of atoms gets the image that brings them
closest, shared equally where several do: H(k) is then exact on the mesh, and in between as soon as the
supercell holds the range of H.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

from n2amd.structure import Structure

#: Images whose bonds differ by less than this share an element, Angstrom.
TIE = 1e-4
Mesh = tuple[int, int, int]


def supercell_radius(cell: NDArray[np.float64], mesh: Mesh) -> float:
    """Distance within which a mesh tells a pair from its images: half the supercell's shortest vector, A."""
    vectors = _multiples(2) @ (np.array(mesh)[:, None] * cell)
    lengths = np.linalg.norm(vectors, axis=1)
    return float(lengths[lengths > 0].min()) / 2


def mesh_for(cell: NDArray[np.float64], radius: float) -> Mesh:
    """Smallest mesh whose supercell has this radius (Angstrom); the shortest direction grows first."""
    mesh = np.ones(3, dtype=int)
    while supercell_radius(cell, (int(mesh[0]), int(mesh[1]), int(mesh[2]))) < radius:
        lengths = mesh * np.linalg.norm(cell, axis=1)
        mesh[lengths < lengths.min() + 1e-3] += 1
    return int(mesh[0]), int(mesh[1]), int(mesh[2])


def _multiples(reach: int) -> NDArray[np.int64]:
    return np.array(list(product(range(-reach, reach + 1), repeat=3)))


def to_real_space(
    matrices: NDArray[np.complex128],
    kpoints: NDArray[np.float64],
    weights: NDArray[np.float64],
    mesh: Mesh,
    structure: Structure,
    offsets: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Transform a matrix that has time-reversal symmetry, M(-k) = M(k)*.

    Parameters
    ----------
    matrices
        M(k), (n_k, n, n).
    kpoints, weights
        One of each pair k and -k of a Gamma-centred mesh, fractional, (n_k, 3); weights (n_k,), sum 1.
    mesh
        The mesh.
    structure
        Atoms, wrapped into one cell.
    offsets
        First orbital of each atom and the total, (n_atoms + 1,).

    Returns
    -------
    images, values
        Lattice vectors R, (n_R, 3), and M(R), real, (n_R, n, n), zero where a pair has no such image.
    """
    size = np.array(mesh)
    residues = np.array(list(product(*(range(n) for n in mesh))))
    phases = np.exp(-2j * np.pi * residues @ kpoints.T) * weights
    periodic = np.real(np.tensordot(phases, matrices, axes=1))
    candidates = residues[:, None] + size * _multiples(2)
    shifts = candidates @ structure.cell
    found: dict[tuple[int, int, int], NDArray[np.float64]] = {}
    for i, j in product(range(structure.n_atoms), repeat=2):
        rows, columns = slice(*offsets[i : i + 2]), slice(*offsets[j : j + 2])
        lengths = np.linalg.norm(structure.positions[j] - structure.positions[i] + shifts, axis=-1)
        nearest = lengths < lengths.min(axis=1, keepdims=True) + TIE
        share = 1.0 / nearest.sum(axis=1)
        for residue, candidate in np.argwhere(nearest):
            image = tuple(int(x) for x in candidates[residue, candidate])
            target = found.setdefault(image, np.zeros(matrices.shape[1:]))  # type: ignore[arg-type]
            target[rows, columns] = share[residue] * periodic[residue, rows, columns]
    images = sorted(found)
    return np.array(images), np.array([found[image] for image in images])


def wrap(structure: Structure) -> tuple[Structure, NDArray[np.int64]]:
    """Bring every atom into the cell.

    Returns
    -------
    wrapped, translations
        The structure, and n of every atom, (n_atoms, 3): position = wrapped position + n @ cell.
    """
    translations = np.floor(structure.positions @ np.linalg.inv(structure.cell)).astype(np.int64)
    return structure.with_positions(structure.positions - translations @ structure.cell), translations


def unwrap(
    images: NDArray[np.int64],
    values: NDArray[np.float64],
    translations: NDArray[np.int64],
    offsets: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Count the lattice vectors of a matrix between atoms where they were before `wrap`: R + n_i - n_j.

    Parameters
    ----------
    images, values
        Lattice vectors (n_R, 3) and matrices (..., n_R, n, n) of the wrapped atoms.
    translations
        n of every atom, (n_atoms, 3).
    offsets
        First orbital of each atom and the total, (n_atoms + 1,).

    Returns
    -------
    images, values
        The same matrices on the images between unwrapped atoms.
    """
    moves = translations[:, None] - translations
    everywhere = np.unique((images[:, None, None] + moves).reshape(-1, 3), axis=0)
    number = {tuple(image): n for n, image in enumerate(everywhere.tolist())}
    moved = np.zeros((*values.shape[:-3], len(everywhere), *values.shape[-2:]))
    for i, j in product(range(len(translations)), repeat=2):
        rows, columns = slice(*offsets[i : i + 2]), slice(*offsets[j : j + 2])
        target = [number[tuple(image)] for image in (images + moves[i, j]).tolist()]
        moved[..., target, rows, columns] = values[..., rows, columns]
    return everywhere, moved
