"""States of a window by block shift-invert Lanczos, tried again until they are certified.

The states of a frame depend on its (H, S), on the window and on the first shift alone: the start vectors are
random and always the same, nothing is carried over from other frames unless the caller passes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch

from n2amd.states.solvers.certificate import (
    Certificate,
    CertificateError,
    CertifiedStates,
    Tolerances,
    check_count,
    check_errors,
    check_sides,
    counting_energy,
    measure,
)
from n2amd.states.solvers.device_pencil import DevicePencil
from n2amd.states.solvers.lanczos import Anchor, Ritz, Side, Space, lanczos, rayleigh_ritz, start_block
from n2amd.states.solvers.pencil import Pencil
from n2amd.states.solvers.protocol import FactorisationError, Solver
from n2amd.states.solvers.shift import CountingSolver, find_shift

#: A shift that happens to be too near to an eigenvalue is moved by this, eV.
_NUDGE_EV = 0.02
#: Distance of a one-sided shift from its band edge, as a share of the gap.
_ONE_SIDED = 0.1


@dataclass(frozen=True)
class Target:
    """States `low` <= index < `high` of all, `occupied` of them below the gap."""

    low: int
    high: int
    occupied: int


@dataclass(frozen=True)
class Options:
    """How to look for states.

    Attributes
    ----------
    width
        Vectors of a block: more than any level is degenerate. A multiple of 12: products with so many columns
        are up to twice as fast on CPUs as with 32 (8,640 orbitals, AVX-512).
    tolerance
        Estimated residual at which the iteration stops, eV.
    largest_basis
        Vectors at most, of one shift.
    guard
        States found beyond each end of the window, and cut off.
    accepted
        Errors that a certificate allows.
    """

    width: int = 24
    tolerance: float = 1e-7
    largest_basis: int = 2400
    guard: int = 1
    accepted: Tolerances = field(default_factory=Tolerances)


@dataclass(frozen=True)
class _Attempt:
    """One way to look for the states: at these shifts (eV), warm or not, with so much wider blocks."""

    shifts: tuple[float, ...]
    warm: bool = False
    wider: int = 1


def solve_states(
    solver: Solver,
    pencil: Pencil,
    target: Target,
    shift: float | None = None,
    *,
    warm: torch.Tensor | None = None,
    options: Options | None = None,
    count_ends: bool = False,
    keep: bool = False,
) -> CertifiedStates:
    """Find and certify the states of a window.

    Parameters
    ----------
    solver
        Direct solver of shifted systems.
    pencil
        H and S.
    target
        Which states.
    shift
        Where the gap is expected, eV; None: it is searched for.
    warm
        States of a similar frame, (n, w), to start from.
    options
        How to look for them.
    count_ends
        Count states at both ends of the window too: two more factorisations.
    keep
        Whether similar frames are to be solved by this factor (`anchor`).

    Raises
    ------
    CertificateError
        If every attempt (at the shift, cold, at another shift, with a wider block, from two shifts) fails.
    """
    options = options or Options()
    counting = CountingSolver(solver)
    device = counting.prepare(pencil)
    if shift is None:
        shift = find_shift(counting, target.low, target.high, target.occupied, pencil.on_site_energies())
    failures: list[str] = []
    for attempt in _attempts(counting, pencil, target, shift, warm is not None, failures):
        try:
            found = _attempt(counting, device, target, attempt, warm, options, keep=keep)
            if count_ends:
                found = _with_counted_ends(counting, found, target, options)
                if found.space is not None:
                    counting.factor(found.certificate.shift)
            return _cut(found, target, options, counting.factorisations)
        except (FactorisationError, CertificateError) as error:
            failures.append(str(error))
    raise CertificateError("; then ".join(dict.fromkeys(failures)))


def _attempts(
    solver: CountingSolver, pencil: Pencil, target: Target, shift: float, warm: bool, failures: list[str]
) -> Iterator[_Attempt]:
    """Each is looked at only after those before failed."""
    if warm:
        yield _Attempt((shift,), warm=True)
    yield _Attempt((shift,))
    yield _Attempt((shift + _NUDGE_EV,))
    on_site = pencil.on_site_energies()
    try:
        between = find_shift(solver, target.low, target.high, target.occupied, on_site, shift)
    except FactorisationError as error:
        failures.append(str(error))
        return
    yield _Attempt((between,), wider=2)
    edges = solver.edges
    if edges is not None:
        gap = edges[1] - edges[0]
        yield _Attempt((edges[0] + _ONE_SIDED * gap, edges[1] - _ONE_SIDED * gap), wider=2)


@dataclass(frozen=True)
class _Found:
    """States from `first` on, guard states included, and the place in the spectrum they were counted from."""

    first: int
    energies: torch.Tensor
    states: torch.Tensor
    overlap_states: torch.Tensor
    certificate: Certificate
    space: Space | None


def _attempt(
    solver: CountingSolver,
    pencil: DevicePencil,
    target: Target,
    attempt: _Attempt,
    warm: torch.Tensor | None,
    options: Options,
    *,
    keep: bool = False,
) -> _Found:
    low, high = max(target.low - options.guard, 0), min(target.high + options.guard, pencil.n)
    # a small matrix has room for several blocks only if they are narrow
    width = min(attempt.wider * options.width, max(1, pencil.n // 8))
    parts: list[Ritz] = []
    shift, inertia = 0.0, 0
    for number, shift in enumerate(attempt.shifts):
        inertia = solver.factor(shift)
        if not low < inertia < high:
            raise CertificateError(
                f"{inertia} states lie below the shift {shift:.4f} eV, outside the window {low} to {high - 1}"
            )
        side = Side(inertia - low, high - inertia)
        if len(attempt.shifts) == 2:
            # the lower shift looks down, the upper one up, each from the gap
            side = Side(side.below, 0) if number == 0 else Side(0, side.above)
        start = start_block(pencil, width, warm if attempt.warm else None)
        ritz = lanczos(
            solver,
            pencil,
            shift,
            side,
            start,
            tolerance=options.tolerance,
            largest_basis=attempt.wider * options.largest_basis,
            keep_space=keep and len(attempt.shifts) == 1,
        )
        if ritz is None:
            raise CertificateError(f"fewer states than asked for were found around {shift:.4f} eV")
        solver.edges = _edges(ritz, side, solver.edges)
        if not ritz.converged:
            raise CertificateError(
                f"{ritz.steps} blocks of {width} from {shift:.4f} eV leave a residual of "
                f"{ritz.residual:.1e} eV"
            )
        parts.append(ritz)
    vectors = torch.cat([part.vectors for part in parts], dim=1)
    if vectors.shape[1] != high - low:
        raise CertificateError("states were counted differently at the two shifts: some lie between them")
    energies, states, overlap_states, _ = rayleigh_ritz(pencil, vectors)
    if len(energies) != high - low:
        raise CertificateError("the states found are linearly dependent")
    residual, error = measure(pencil, energies, states, overlap_states)
    check_errors(residual, error, options.accepted)
    check_sides(energies, shift, inertia - low)
    certificate = Certificate(
        shift, inertia, residual, error, False, sum(part.steps for part in parts), solver.factorisations
    )
    return _Found(low, energies, states, overlap_states, certificate, parts[-1].space)


def _edges(ritz: Ritz, side: Side, before: tuple[float, float] | None) -> tuple[float, float] | None:
    """Highest state below the shift and lowest above, as far as they are known."""
    if not (side.below and side.above):
        return before
    return float(ritz.energies[side.below - 1]), float(ritz.energies[side.below])


def _with_counted_ends(solver: CountingSolver, found: _Found, target: Target, options: Options) -> _Found:
    """Count the states below both ends of the window."""
    lower = max(target.low - 1 - found.first, 0)
    upper = min(target.high - 1 - found.first, len(found.energies) - 2)
    for outermost, inwards in ((lower, 1), (upper, -1)):
        place, energy = counting_energy(found.energies, outermost, inwards)
        check_count(found.first + place + 1, solver.factor(energy), energy)
    return replace(found, certificate=replace(found.certificate, ends_counted=True))


def _cut(found: _Found, target: Target, options: Options, factorisations: int) -> CertifiedStates:
    kept = slice(target.low - found.first, target.high - found.first)
    certificate = replace(found.certificate, factorisations=factorisations)
    anchor = None if found.space is None else Anchor(certificate.shift, certificate.inertia, found.space)
    return CertifiedStates(
        found.energies[kept], found.states[:, kept], found.overlap_states[:, kept], certificate, anchor
    )
