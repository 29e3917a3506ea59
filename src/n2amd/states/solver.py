"""Generalised eigenproblem H c = E S c in a window of states, dense and in float64."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from n2amd.errors import ComputationError
from n2amd.states.gauge import canonical_gauge
from n2amd.states.window import StateWindow

#: Largest accepted |C^dagger S C - 1|.
ORTHONORMALITY_TOLERANCE = 1e-10


@dataclass(frozen=True)
class WindowStates:
    """Eigenpairs of one frame.

    Attributes
    ----------
    energies
        Ascending, (w,), eV.
    coefficients, overlap_coefficients
        C and S C, (n, w); real at Gamma, complex elsewhere.
    residual
        Largest ||(H - E S) c||, eV.
    orthonormality_error
        Largest element of |C^dagger S C - 1|.
    coefficient_norms
        Sum over orbitals of |c|^2 of each state, (w,). A few in a sound frame; 1/s for a state made of
        directions with S = s ~ 1e-3, which has no business near the gap.
    inertia, shift
        States counted below an energy (eV), by block shift-invert Lanczos; -1 and NaN where LAPACK's own
        bisection gives the states their index.
    ends_counted
        Whether states were also counted at both ends of the window.
    weights
        Of each state on the sites asked for (`n2amd.states.projection`), (w, g).
    """

    energies: NDArray[np.float64]
    coefficients: NDArray
    overlap_coefficients: NDArray
    residual: float
    orthonormality_error: float
    coefficient_norms: NDArray[np.float64]
    inertia: int = -1
    shift: float = math.nan
    ends_counted: bool = False
    weights: NDArray[np.float32] | None = None

    @property
    def coefficient_norm(self) -> float:
        """Largest of `coefficient_norms`."""
        return float(self.coefficient_norms.max())


def coefficient_norms(coefficients: NDArray) -> NDArray[np.float64]:
    """Sum over orbitals of |c|^2 of each state, (w,)."""
    return (np.abs(coefficients) ** 2).sum(axis=0)


def check_finite(hamiltonian: NDArray, overlap: NDArray, place: str) -> None:
    """Raise `ComputationError` if elements are NaN or infinite; `place` begins the sentence."""
    for name, matrix in (("Hamiltonian", hamiltonian), ("overlap", overlap)):
        if not np.isfinite(matrix).all():
            raise ComputationError(
                f"{place}the {name} holds {int((~np.isfinite(matrix)).sum())} elements that are not finite; "
                "check the geometry for atoms on top of each other, and the model"
            )


def solve_window(
    hamiltonian: NDArray,
    overlap: NDArray,
    window: StateWindow,
    *,
    residual_tolerance: float = 1e-5,
    frame: int | str | None = None,
) -> WindowStates:
    """Solve H C = S C E for the states of the window.

    LAPACK's subset driver (`gvx`: Cholesky reduction, tridiagonalisation, bisection and inverse iteration for
    the wanted states only) is used: at 720 orbitals and 16 states it needs half the time of all states.

    Parameters
    ----------
    hamiltonian, overlap
        Dense Hermitian matrices at one k point, (n, n), eV and 1.
    window
        The states.
    residual_tolerance
        Largest accepted residual, eV.
    frame
        Named in errors.

    Returns
    -------
    states
        In a gauge that does not depend on the eigensolver (`canonical_gauge`).

    Raises
    ------
    ComputationError
        If a matrix holds NaN or infinity, S is not positive definite, or the result misses a tolerance.
    """
    place = "" if frame is None else f"frame {frame}: "
    check_finite(hamiltonian, overlap, place)
    try:
        energies, coefficients = scipy.linalg.eigh(
            hamiltonian,
            overlap,
            subset_by_index=(window.low, window.high - 1),
            driver="gvx",
            check_finite=False,
        )
    except np.linalg.LinAlgError as error:
        raise ComputationError(place + _reason(overlap, error)) from error
    coefficients = coefficients @ canonical_gauge(coefficients, energies)
    overlap_coefficients = overlap @ coefficients
    residual = np.linalg.norm(hamiltonian @ coefficients - overlap_coefficients * energies, axis=0).max()
    deviation = coefficients.conj().T @ overlap_coefficients - np.eye(len(window))
    states = WindowStates(
        energies,
        coefficients,
        overlap_coefficients,
        residual=float(residual),
        orthonormality_error=float(np.abs(deviation).max()),
        coefficient_norms=coefficient_norms(coefficients),
    )
    _check(states, residual_tolerance, place)
    return states


def _reason(overlap: NDArray, error: Exception) -> str:
    smallest = float(scipy.linalg.eigvalsh(overlap, subset_by_index=(0, 0))[0])
    if smallest <= 0:
        return (
            f"the overlap is not positive definite (smallest eigenvalue {smallest:.3e}); "
            "check the geometry for atoms too close together, and the range of the overlap"
        )
    return f"the eigensolver failed ({error}; smallest eigenvalue of the overlap {smallest:.3e})"


def _check(states: WindowStates, residual_tolerance: float, place: str) -> None:
    if states.residual > residual_tolerance:
        raise ComputationError(
            f"{place}the residual is {states.residual:.1e} eV (tolerance {residual_tolerance:.0e}); "
            "check that the matrices are Hermitian, or raise states.residual_tolerance_eV"
        )
    if states.orthonormality_error > ORTHONORMALITY_TOLERANCE:
        raise ComputationError(
            f"{place}eigenvectors are S-orthonormal only to {states.orthonormality_error:.1e} "
            f"(tolerance {ORTHONORMALITY_TOLERANCE:.0e}); "
            "the overlap is close to singular: check the geometry"
        )
