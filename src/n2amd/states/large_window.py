"""States of a window of a large cell: sparse matrices in, certified states out."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from n2amd.config.states import StatesSettings
from n2amd.errors import ComputationError
from n2amd.states.gauge import canonical_gauge
from n2amd.states.solver import WindowStates, check_finite, coefficient_norms
from n2amd.states.solvers.block_si import Options, Target, solve_states
from n2amd.states.solvers.certificate import CertificateError, CertifiedStates, Tolerances
from n2amd.states.solvers.correction import correct_states
from n2amd.states.solvers.lanczos import Anchor
from n2amd.states.solvers.pencil import Pencil
from n2amd.states.solvers.protocol import FactorisationError, Solver
from n2amd.states.solvers.registry import choose_solver
from n2amd.states.window import StateWindow

log = logging.getLogger(__name__)

#: Residual at which the iteration stops, as a share of what is accepted, and at most, eV.
_SHARE, _AT_MOST = 0.01, 1e-7


@dataclass(frozen=True)
class HeldFactor:
    """A solver that holds the factor of a frame, and what of it similar frames are solved from."""

    solver: Solver
    anchor: Anchor


def solve_large_window(
    hamiltonian: scipy.sparse.csr_array,
    overlap: scipy.sparse.csr_array,
    window: StateWindow,
    shift: float | None,
    settings: StatesSettings,
    *,
    offsets: NDArray[np.int64] | None = None,
    frame: int | str | None = None,
    count_ends: bool = False,
    solver: Solver | None = None,
    keep: bool = False,
) -> tuple[WindowStates, HeldFactor | None]:
    """Solve H C = S C E for the states of the window by block shift-invert Lanczos.

    The result depends on the matrices, the window and the shift alone: every frame starts from the same
    random vectors.

    Parameters
    ----------
    hamiltonian, overlap
        Hermitian, both halves, on one pattern (`fold_csr`), (n, n), eV and 1.
    window
        The states.
    shift
        Where the gap is expected, eV; None: it is searched for.
    settings
        Tolerance, device, direct solver.
    offsets
        First orbital of each atom and the total; makes products on a GPU faster.
    frame
        Named in errors.
    count_ends
        Whether states are also counted at both ends of the window.
    solver
        Direct solver, default: the one of the settings.
    keep
        Whether to return the factor, for similar frames.

    Returns
    -------
    states, factor
        The factor is None where it was not asked for or serves no other frame.

    Raises
    ------
    ComputationError
        If a matrix holds NaN or infinity, or no attempt gives certified states.
    """
    place = _place(frame)
    check_finite(hamiltonian.data, overlap.data, place)
    pencil = Pencil.from_csr(hamiltonian, overlap, offsets)
    target = Target(window.low, window.high, window.n_occupied)
    solver = solver or choose_solver(settings)
    options = _options(settings)
    try:
        found = solve_states(solver, pencil, target, shift, options=options, count_ends=count_ends, keep=keep)
    except (CertificateError, FactorisationError) as error:
        raise ComputationError(
            f"{place}the states around the gap could not be certified: {error}; check the geometry and that "
            "the overlap is positive definite, or set states.solver to dense"
        ) from error
    held = None if found.anchor is None else HeldFactor(solver, found.anchor)
    return _window_states(found), held


def solve_near(
    hamiltonian: scipy.sparse.csr_array,
    overlap: scipy.sparse.csr_array,
    window: StateWindow,
    held: HeldFactor,
    settings: StatesSettings,
    *,
    offsets: NDArray[np.int64] | None = None,
    frame: int | str | None = None,
) -> WindowStates | None:
    """Solve for the states of the window by the factor of a similar frame (`correct_states`).

    Parameters
    ----------
    held
        The factor.
    hamiltonian, overlap, window, settings, offsets, frame
        As for `solve_large_window`.

    Returns
    -------
    states
        None where the frame needs a factor of its own.

    Raises
    ------
    ComputationError
        If a matrix holds NaN or infinity.
    """
    check_finite(hamiltonian.data, overlap.data, _place(frame))
    pencil = Pencil.from_csr(hamiltonian, overlap, offsets)
    options = _options(settings)
    try:
        found = correct_states(
            held.solver,
            held.solver.place(pencil),
            held.anchor,
            window.low,
            window.high,
            tolerance=options.tolerance,
            accepted=options.accepted,
        )
    except (CertificateError, FactorisationError) as error:
        log.debug("%sa factor of its own: %s", _place(frame), error)
        return None
    return _window_states(found)


def _place(frame: int | str | None) -> str:
    return "" if frame is None else f"frame {frame}: "


def _options(settings: StatesSettings) -> Options:
    accepted = settings.residual_tolerance_eV
    return Options(tolerance=min(_SHARE * accepted, _AT_MOST), accepted=Tolerances(accepted))


def _window_states(found: CertifiedStates) -> WindowStates:
    """Gauge, and numpy on the processor."""
    energies, states, overlap_states = (
        tensor.cpu().numpy() for tensor in (found.energies, found.states, found.overlap_states)
    )
    turn = canonical_gauge(states, energies)
    coefficients = states @ turn
    certificate = found.certificate
    return WindowStates(
        energies,
        np.ascontiguousarray(coefficients),
        overlap_states @ turn,
        residual=certificate.residual,
        orthonormality_error=certificate.orthonormality_error,
        coefficient_norms=coefficient_norms(coefficients),
        inertia=certificate.inertia,
        shift=certificate.shift,
        ends_counted=certificate.ends_counted,
    )
