"""Couplings from overlaps: Hammes-Schiffer-Tully, logarithm; Loewdin's orthogonalisation."""

from __future__ import annotations

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from n2amd.units import HBAR_EV_FS


def adjoint(matrices: NDArray) -> NDArray:
    """Conjugate transpose of the last two axes."""
    return matrices.conj().swapaxes(-1, -2)


def hammes_schiffer_tully(overlap: NDArray, timestep: float) -> NDArray:
    """Return hbar d_ij at t + dt/2, (..., n, n), eV; anti-Hermitian.

    d_ij = [<i(t)|j(t+dt)> - <i(t+dt)|j(t)>] / (2 dt) (Hammes-Schiffer and Tully, J. Chem. Phys. 101, 4657
    (1994); eq. 5 of the N2AMD paper). A rotation by theta in one step is seen as sin(theta).

    Parameters
    ----------
    overlap
        Tracked overlaps O(t, t+dt), (..., n, n).
    timestep
        dt, fs.

    Examples
    --------
    Two states that turn by 1 mrad in 1 fs are coupled by 0.66 meV.

    >>> turn = np.array([[1.0, 0.001], [-0.001, 1.0]])
    >>> hammes_schiffer_tully(turn, 1.0).round(6).tolist()
    [[0.0, 0.000658], [-0.000658, 0.0]]
    """
    return HBAR_EV_FS * (overlap - adjoint(overlap)) / (2 * timestep)


def polar_factor(matrices: NDArray) -> NDArray:
    """Return the unitary matrix nearest to each matrix, (..., n, n) (symmetric orthogonalisation)."""
    left, _, right = np.linalg.svd(matrices)
    return left @ right


def logarithm(overlap: NDArray, timestep: float) -> NDArray:
    """Return hbar ln(O)/dt of the orthogonalised overlap, (n, n), eV: the constant coupling whose
    exponential is O.

    A real O stays real where it is a proper rotation; an eigenvalue -1 (a sign that tracking left open)
    makes the branch ambiguous and the result complex.

    Parameters
    ----------
    overlap
        One tracked overlap, (n, n).
    timestep
        dt, fs.
    """
    triangular, vectors = scipy.linalg.schur(polar_factor(overlap), output="complex")
    phases = np.angle(np.diagonal(triangular))
    result = (vectors * (1j * phases)) @ vectors.conj().T * HBAR_EV_FS / timestep
    if np.isrealobj(overlap) and np.abs(result.imag).max() < 1e-10 * max(1.0, np.abs(result.real).max()):
        return result.real
    return result
