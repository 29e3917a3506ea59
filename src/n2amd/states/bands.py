"""Band structures of a real-space (H, S) along a path of k points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from n2amd.blocks.matrix import BlockMatrix, fold
from n2amd.errors import ComputationError, InputError
from n2amd.structure import Structure

#: Relative tolerance of the lattice's symmetry: thermal strain of about 1 % still counts as the ideal
#: lattice.
_LATTICE_TOLERANCE = 0.05


@dataclass(frozen=True)
class BandPath:
    """K points along special points.

    Attributes
    ----------
    kpoints
        Fractional, (n_k, 3).
    distance
        Length along the path, (n_k,), 1/Angstrom (2 pi included).
    labels
        (index, name) of the special points.
    """

    kpoints: NDArray[np.float64]
    distance: NDArray[np.float64]
    labels: tuple[tuple[int, str], ...]


def band_path(structure: Structure, labels: Sequence[str] | None = None, n_points: int = 100) -> BandPath:
    """Lay k points along special points of the lattice (Setyawan and Curtarolo 2010, as named in ASE).

    Parameters
    ----------
    structure
        Its cell and periodicity define the lattice.
    labels
        Special points, e.g. ["G", "X", "M", "G"]; "," makes a break. Default: the lattice's standard path.
    n_points
        K points along the whole path.

    Raises
    ------
    InputError
        If a label is not a special point of this lattice.
    """
    cell = structure.to_ase().cell
    try:
        path = cell.bandpath(
            path=None if labels is None else "".join(labels),
            npoints=n_points,
            pbc=structure.pbc,
            eps=_LATTICE_TOLERANCE,
        )
    except (KeyError, ValueError, RuntimeError) as error:
        known = sorted(
            cell.get_bravais_lattice(eps=_LATTICE_TOLERANCE, pbc=structure.pbc).get_special_points()
        )
        raise InputError(
            f"no path along {list(labels or [])} ({error})",
            field="band_path",
            remedy=f"choose among the special points of this lattice: {', '.join(known)}",
        ) from error
    distance, ticks, names = path.get_linear_kpoint_axis()
    indices = np.searchsorted(distance, ticks - 1e-9)
    shown = tuple((int(i), str(name)) for i, name in zip(indices, names))
    return BandPath(np.asarray(path.kpts), np.asarray(distance), shown)


def band_structure(
    hamiltonian: BlockMatrix,
    overlap: BlockMatrix,
    offsets: NDArray[np.int64],
    kpoints: NDArray[np.float64],
    spin: int = 0,
) -> NDArray[np.float64]:
    """Eigenvalues of H(k) c = E S(k) c at each k point.

    Parameters
    ----------
    hamiltonian, overlap
        Real-space matrices of one structure; eV and 1.
    offsets
        First orbital of each atom and the total, (n_atoms + 1,).
    kpoints
        Fractional, (n_k, 3).
    spin
        Index on the Hamiltonian's spin axis.

    Returns
    -------
    energies
        (n_k, n_orbitals), eV, ascending.

    Raises
    ------
    ComputationError
        If S(k) is not positive definite.
    """
    bands = np.empty((len(kpoints), int(offsets[-1])))
    for row, k in zip(bands, kpoints):
        try:
            row[:] = scipy.linalg.eigh(
                fold(hamiltonian, offsets, k, spin), fold(overlap, offsets, k), eigvals_only=True
            )
        except (np.linalg.LinAlgError, ValueError) as error:
            raise ComputationError(
                f"band energies at k = {np.round(k, 4).tolist()} could not be computed ({error}); "
                "check that the overlap is positive definite and the matrices are finite"
            ) from error
    return bands
