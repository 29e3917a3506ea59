"""Band structures of a real-space (H, S) along a path of k points, and their edges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from n2amd.blocks.matrix import BlockMatrix, fold, fold_spinor
from n2amd.errors import ComputationError, InputError

#: Gaps at one k point this near to the smallest of all, eV, make it direct.
DIRECT = 1e-3
#: Energies at two k points that are the same, eV.
SAME = 1e-4
#: Orbitals beyond which dense matrices take too long and too much memory.
MOST_ORBITALS = 5000


@dataclass(frozen=True)
class BandEdges:
    """Edges of the gap on a set of k points.

    Attributes
    ----------
    vbm, cbm
        Highest energy of the occupied bands, lowest of the others, eV.
    at_vbm, at_cbm
        Where: indices of k points; the same one of a direct gap.
    is_direct
        Whether a gap at one k point is as small as the smallest between two.
    """

    vbm: float
    cbm: float
    at_vbm: int
    at_cbm: int
    is_direct: bool

    @property
    def gap(self) -> float:
        """Gap, eV; negative where bands overlap."""
        return self.cbm - self.vbm


def band_edges(energies: NDArray[np.float64], n_occupied: int) -> BandEdges:
    """Find the edges of bands (n_k, n), eV, of which the lowest `n_occupied` are filled.

    Raises
    ------
    InputError
        If all bands are filled.
    """
    if n_occupied >= energies.shape[1]:
        raise InputError(
            f"{n_occupied} occupied bands of {energies.shape[1]}: there are no empty ones",
            field="n_electrons",
            remedy="use a model with more orbitals, or check its valence charges",
        )
    upper, lower = energies[:, n_occupied - 1], energies[:, n_occupied]
    here, vbm, cbm = lower - upper, float(upper.max()), float(lower.min())
    if here.min() < cbm - vbm + DIRECT:
        k = _first_lowest(here)
        return BandEdges(vbm, cbm, k, k, True)
    return BandEdges(vbm, cbm, _first_lowest(-upper), _first_lowest(lower), False)


def _first_lowest(energies: NDArray[np.float64]) -> int:
    """First k point of those that have the lowest energy: a path passes equivalent points."""
    return int(np.flatnonzero(energies < energies.min() + SAME)[0])


def require_dense(n_orbitals: int) -> None:
    """Refuse matrices that are too large to be diagonalised whole.

    Raises
    ------
    InputError
        If there are more than `MOST_ORBITALS`.
    """
    if n_orbitals > MOST_ORBITALS:
        raise InputError(
            f"{n_orbitals} orbitals, and whole spectra are computed of up to {MOST_ORBITALS}",
            field="structure",
            remedy="take a smaller cell, or the states around the gap alone (n2amd states solve, block_si)",
        )


def followed_vectors(hamiltonian: BlockMatrix) -> tuple[bool, bool, bool]:
    """Lattice vectors along which H reaches other cells, so that its bands depend on k; the rest are flat."""
    reached = np.zeros(3, dtype=bool)
    for index in hamiltonian.pairs.values():
        reached |= (index.shift != 0).any(axis=0)
    a, b, c = reached.tolist()
    return a, b, c


def band_structure(
    hamiltonian: BlockMatrix,
    overlap: BlockMatrix,
    offsets: NDArray[np.int64],
    kpoints: NDArray[np.float64],
    spin: int = 0,
    report: Callable[[int, int], None] | None = None,
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
        Index on the Hamiltonian's spin axis, unless that of spinors, whose bands hold one electron each.
    report
        Called with (k points done, all).

    Returns
    -------
    energies
        (n_k, n_orbitals), of spinors twice as many, eV, ascending.

    Raises
    ------
    ComputationError
        If S(k) is not positive definite.
    """
    spinors = hamiltonian.n_spin == 4
    bands = np.empty((len(kpoints), (2 if spinors else 1) * int(offsets[-1])))
    for done, (row, k) in enumerate(zip(bands, kpoints), 1):
        try:
            if spinors:
                h, s = (fold_spinor(matrix, offsets, k[None])[0] for matrix in (hamiltonian, overlap))
            else:
                h, s = fold(hamiltonian, offsets, k, spin), fold(overlap, offsets, k)
            row[:] = scipy.linalg.eigh(h, s, eigvals_only=True)
        except (np.linalg.LinAlgError, ValueError) as error:
            raise ComputationError(
                f"band energies at k = {np.round(k, 4).tolist()} could not be computed ({error}); "
                "check that the overlap is positive definite and the matrices are finite"
            ) from error
        if report is not None:
            report(done, len(kpoints))
    return bands
