"""The lattice vector R of every element of H and S.

SIESTA names the image of the column's atom only modulo the auxiliary supercell. Where the file has the bond
vectors (HSX of version 0) they give R; elsewhere R is that of the nearest of the images that the column may
stand for, which SIESTA makes the supercell large enough to tell apart. A run with Gamma only has no auxiliary
supercell: it can be read where the cell is so large that one image of each pair interacts, and no more.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.dft.siesta.constants import Constants
from n2amd.dft.siesta.matrices import SparseMatrices
from n2amd.dft.siesta.tables import OrbitalTable
from n2amd.errors import InputError
from n2amd.structure import Structure

#: Largest disagreement between the bonds or positions in the file of the matrices and those of XV, Angstrom.
BOND_TOLERANCE = 1e-3
# two cells each way, for lattices whose vectors are not the shortest ones
_NEIGHBOURS = np.array(list(product(range(-2, 3), repeat=3)))


def lattice_vectors(
    folder: Path,
    matrices: SparseMatrices,
    structure: Structure,
    table: OrbitalTable | None,
    constants: Constants,
    reach: NDArray[np.float64] | None,
) -> NDArray[np.int64]:
    """Find R of every element.

    Parameters
    ----------
    folder
        Frame folder, for messages.
    matrices, structure, constants
        The run.
    table
        LABEL.ORB_INDX, where there is one.
    reach
        For each atom, its largest orbital radius plus that of any projector, Angstrom, (n_atoms,); None where
        they are unknown. Two atoms further apart than the sum of theirs do not interact.

    Returns
    -------
    shifts
        (n_elements, 3).

    Raises
    ------
    InputError
        If the geometry is another one than that of the matrices, or several images are folded into one.
    """
    i = matrices.orbital_atom[matrices.row]
    j = matrices.orbital_atom[matrices.column_orbital]
    shifts = _image_shifts(folder, matrices, table)
    if matrices.bonds is not None:
        given = None if shifts is None else shifts[matrices.image]
        return _from_bonds(folder, matrices.bonds * constants.bohr, i, j, given, structure)
    if shifts is None:
        if matrices.n_images > 1:
            raise InputError(
                f"the lattice vectors of the {matrices.n_images} cells of the supercell are unknown",
                file=folder,
                field="HSX",
                remedy="copy LABEL.ORB_INDX from the run",
            )
        shifts = np.zeros((1, 3), dtype=np.int64)
    keys = (i * structure.n_atoms + j) * matrices.n_images + matrices.image
    unique, element = np.unique(keys, return_inverse=True)
    atoms, image = np.divmod(unique, matrices.n_images)
    pairs = np.stack(np.divmod(atoms, structure.n_atoms), axis=-1)
    period = np.ptp(shifts, axis=0) + 1
    nearest, second = nearest_images(structure, pairs, shifts[image], period)
    if matrices.n_images == 1:
        _require_one_image(folder, structure, pairs, second, reach)
    return nearest[element]


def _image_shifts(
    folder: Path, matrices: SparseMatrices, table: OrbitalTable | None
) -> NDArray[np.int64] | None:
    """Lattice vector of each image (n_images, 3) from the file or ORB_INDX.

    They must agree for the images that H has elements of; the file lists the others in any order.
    """
    from_file = matrices.geometry.shifts if matrices.geometry is not None else None
    if table is None or len(table.shift) != matrices.n_images * matrices.n_orbitals:
        return from_file
    from_table = table.shift.reshape(matrices.n_images, matrices.n_orbitals, 3)
    used = np.unique(matrices.image)
    if np.ptp(from_table, axis=1).any() or (
        from_file is not None and not np.array_equal(from_table[used, 0], from_file[used])
    ):
        raise InputError(
            "ORB_INDX lists the cells of the supercell in another order than the file of the matrices",
            file=folder,
            field="ORB_INDX",
            remedy="use the ORB_INDX of the run",
        )
    return from_table[:, 0] if from_file is None else from_file


def nearest_images(
    structure: Structure, pairs: NDArray[np.int64], shifts: NDArray[np.int64], period: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Find the nearest of the images R + n period of atom pairs.

    Parameters
    ----------
    structure
        Atoms and cell.
    pairs, shifts
        Atoms i and j (n_pairs, 2), and R (n_pairs, 3).
    period
        Cells in the auxiliary supercell along each lattice vector, (3,).

    Returns
    -------
    nearest
        R of the nearest image, (n_pairs, 3).
    second
        Distance of the next nearest, Angstrom, (n_pairs,).
    """
    bond = structure.positions[pairs[:, 1]] - structure.positions[pairs[:, 0]] + shifts @ structure.cell
    home = -np.rint(bond @ np.linalg.inv(structure.cell * period[:, None])).astype(np.int64)
    candidates = shifts[:, None] + (home[:, None] + _NEIGHBOURS) * period
    moved = bond[:, None] + (candidates - shifts[:, None]) @ structure.cell
    distances = np.linalg.norm(moved, axis=-1)
    # R itself where two are equally near
    distances -= 1e-6 * (candidates == shifts[:, None]).all(axis=-1)
    order = np.argsort(distances, axis=1)[:, :2]
    everyone = np.arange(len(pairs))
    return candidates[everyone, order[:, 0]], distances[everyone, order[:, 1]]


def _require_one_image(
    folder: Path,
    structure: Structure,
    pairs: NDArray[np.int64],
    second: NDArray[np.float64],
    reach: NDArray[np.float64] | None,
) -> None:
    remedy = "run the frame again with ForceAuxCell .true., or in a larger cell"
    if reach is None:
        raise InputError(
            "a Gamma-only run without .ion.xml files: the radii needed to tell images apart are unknown",
            file=folder,
            field="Gamma",
            remedy="copy LABEL.ion.xml of every species",
        )
    excess = reach[pairs].sum(axis=1) - second
    if len(excess) and excess.max() > 0:
        worst = int(excess.argmax())
        a, b = pairs[worst] + 1
        raise InputError(
            f"the run used Gamma only and its cell is too small: two images of the pair of atoms {a} and {b} "
            f"lie within {reach[pairs[worst]].sum():.2f} A (the second at {second[worst]:.2f} A), and H "
            "holds their sum",
            file=folder,
            field="Gamma",
            remedy=remedy,
        )


def _from_bonds(
    folder: Path,
    bonds: NDArray[np.float64],
    i: NDArray[np.int64],
    j: NDArray[np.int64],
    given: NDArray[np.int64] | None,
    structure: Structure,
) -> NDArray[np.int64]:
    """R from the bond vectors (n_elements, 3) in Angstrom; `given` (n_elements, 3) is that of ORB_INDX."""
    at_home = structure.positions[j] - structure.positions[i]
    shifts = np.rint((bonds - at_home) @ np.linalg.inv(structure.cell)).astype(np.int64)
    error = float(np.abs(at_home + shifts @ structure.cell - bonds).max(initial=0.0))
    if error > BOND_TOLERANCE:
        known = at_home + (shifts if given is None else given) @ structure.cell
        raise wrong_geometry(folder, float(np.sqrt((known**2).sum() / (bonds**2).sum())), error)
    if given is not None:
        moved = shifts - given
        period = np.ptp(given, axis=0) + 1
        if np.any(moved % period):
            raise InputError(
                "ORB_INDX lists other lattice vectors than the bonds of the matrices have",
                file=folder,
                field="ORB_INDX",
                remedy="use the ORB_INDX of a run with the same cell, atoms and supercell",
            )
    return shifts


def wrong_geometry(folder: Path, ratio: float, error: float) -> InputError:
    """Return the error of an XV that is `ratio` times, and up to `error` (A) off, the matrices' geometry."""
    if abs(ratio / 0.529177 - 1) < 0.02:
        reason, remedy = "XV holds Angstrom where Bohr is expected", "restore the XV of the run"
    else:
        reason = "the geometry is not the one the matrices were computed for"
        remedy = "keep XV and the matrices of the same step (single points: MD.NumCGsteps 0)"
    return InputError(
        f"the bonds of XV are {ratio:.3f} times those of the matrices and differ by up to {error:.3g} A: "
        f"{reason}",
        file=folder,
        field="XV",
        remedy=remedy,
    )
