"""States of a window from the factor and the states of a similar frame, without a factor of their own.

The states around the gap of one frame, roughly known in some number, span a space in which H and S of a
neighbouring frame are diagonalised. What the states lack lies mostly outside of it, and is the solution of
Jacobi and Davidson's correction equation (Sleijpen and van der Vorst, SIAM J. Matrix Anal. Appl. 17, 401
(1996)), (H - E S) z = -r orthogonal to the wanted states, here by conjugate residuals, each step of which is
brought near by the other frame's (H - shift S)^-1. Corrections are added to the states, not to the space:
new directions would bring Ritz values of their own into the gap.

No factor means no count. That no state is missing rests on three things: states below the shift are as many
in the space as before; the change of H - shift S relative to itself, rho, is far below 1, so that its inertia
cannot have changed; and states that the space lacks, which were farther from the shift than its reach, are
still outside the window, having moved by a share of rho at most.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from n2amd.states.solvers.certificate import (
    Certificate,
    CertificateError,
    CertifiedStates,
    Tolerances,
    check_errors,
    check_sides,
    measure,
)
from n2amd.states.solvers.device_pencil import DevicePencil
from n2amd.states.solvers.lanczos import Anchor, rayleigh_ritz
from n2amd.states.solvers.protocol import Solver

#: Columns of a block are a multiple of this: see `Options.width`.
_MULTIPLE = 12
#: States beyond each end of the window that are corrected, roughly, with it.
_GUARDS = 3
#: Rounds of corrections and steps in each, before the frame is given a factor of its own.
_ROUNDS, _STEPS = 5, 18
#: What one round can gain: residuals fall to this share of their square (eV), whatever the corrections.
_QUADRATIC = 0.02
#: Largest change of H - shift S relative to itself; some 0.05 per fs in rutile at 300 K.
LARGEST_CHANGE = 0.5


@dataclass(frozen=True)
class _Pairs:
    """Ritz pairs of a space, ascending: E (K,), X, H X and S X (n, K)."""

    energies: torch.Tensor
    x: torch.Tensor
    h_x: torch.Tensor
    s_x: torch.Tensor

    def residuals(self, chosen: torch.Tensor) -> torch.Tensor:
        """(H - E S) x of some of them, (n, c)."""
        return self.h_x[:, chosen] - self.s_x[:, chosen] * self.energies[chosen]


def correct_states(
    solver: Solver,
    pencil: DevicePencil,
    anchor: Anchor,
    low: int,
    high: int,
    *,
    tolerance: float,
    accepted: Tolerances,
) -> CertifiedStates:
    """Find the states `low` <= index < `high` of a frame that is similar to another one.

    Parameters
    ----------
    solver
        Holds the factor of the other frame.
    pencil
        H and S of this one, where the solver's blocks live (`Solver.place`).
    anchor
        The other frame.
    tolerance
        Residual at which corrections end, eV.
    accepted
        Errors that the certificate allows.

    Returns
    -------
    states
        Their certificate has the shift and the inertia of the other frame, and no factorisation.

    Raises
    ------
    CertificateError
        If the frames differ too much, or the states cannot be corrected or told from others: the frame needs
        a factor of its own.
    FactorisationError
        If a value is not finite.
    """
    change = relative_change(solver, pencil, anchor.shift)
    if not change < LARGEST_CHANGE:
        raise CertificateError(
            f"H - shift S differs by {change:.2g} of itself from that of the frame whose factor is used"
        )
    pairs = _ritz_pairs(pencil, anchor.space.vectors)
    rough, steps = pairs.energies, 0
    for number in range(_ROUNDS + 1):
        ends = _places(pairs, anchor, low, high)
        residual = pairs.residuals(torch.arange(*ends, device=rough.device)).norm(dim=0).max()
        if residual <= tolerance:
            break
        if number == _ROUNDS or not torch.isfinite(residual):
            raise CertificateError(
                f"{steps} corrections by the factor of another frame leave a residual of {residual:.1e} eV"
            )
        # the states beside the window once, so that their order is known
        chosen = _block(ends, 0 if number else _GUARDS, len(rough)).to(rough.device)
        goal = max(tolerance / 2, _QUADRATIC * float(residual) ** 2)
        correction, used = _corrections(solver, pencil, pairs, chosen, goal)
        x = pairs.x.clone()
        x[:, chosen] += correction
        pairs, steps = _ritz_pairs(pencil, x, pairs, chosen), steps + used
    _check_order(rough, pairs.energies, ends, anchor, change)
    return _certified(pencil, pairs.x[:, slice(*ends)], anchor, low, steps, accepted)


def relative_change(solver: Solver, pencil: DevicePencil, shift: float, rounds: int = 3) -> float:
    """Estimate the largest |eigenvalue| of A^-1 (A' - A), A the factor's H - shift S and A' this frame's.

    In the space of a few powers of it on random vectors, the same ones at each call (block Arnoldi): an
    estimate from below, by up to a third in rutile. Where the true value is below 1 no eigenvalue of
    A + t (A' - A) passes zero for 0 <= t <= 1, so that both have one inertia.

    Parameters
    ----------
    solver
        Holds the factor of A.
    pencil
        H and S of this frame, (n, n).
    shift
        eV.
    rounds
        Powers: each costs the solution of one block of 12 columns.

    Returns
    -------
    change
        Dimensionless.
    """
    generator = torch.Generator().manual_seed(2)
    block = torch.randn(pencil.n, _MULTIPLE, dtype=torch.float64, generator=generator)
    block = torch.linalg.qr(block.to(pencil.device, pencil.dtype))[0]
    basis, images = block[:, :0], block[:, :0]
    for _ in range(rounds):
        basis = torch.cat([basis, block], dim=1)
        image = solver.solve(pencil.hamiltonian(block) - shift * pencil.overlap(block)) - block
        images = torch.cat([images, image], dim=1)
        for _ in range(2):
            image = image - basis @ (basis.mH @ image)
        block = torch.linalg.qr(image)[0]
    return float(torch.linalg.eigvals((basis.mH @ images).cpu()).abs().max())


def _ritz_pairs(
    pencil: DevicePencil,
    x: torch.Tensor,
    before: _Pairs | None = None,
    changed: torch.Tensor | None = None,
) -> _Pairs:
    """Diagonalise H in a space; products are made again of the changed columns alone."""
    if before is None or changed is None:
        h_x, s_x = pencil.hamiltonian(x), pencil.overlap(x)
    else:
        h_x, s_x = before.h_x.clone(), before.s_x.clone()
        columns = x[:, changed].contiguous()
        h_x[:, changed], s_x[:, changed] = pencil.hamiltonian(columns), pencil.overlap(columns)
    gram = x.mH @ s_x
    lower, failed = torch.linalg.cholesky_ex((gram + gram.mH) / 2)
    if failed:
        raise CertificateError("states corrected by the factor of another frame are linearly dependent")
    reduced = x.mH @ h_x
    half = torch.linalg.solve_triangular(lower, (reduced + reduced.mH) / 2, upper=False)
    whole = torch.linalg.solve_triangular(lower, half.mH, upper=False)
    energies, turn = torch.linalg.eigh((whole + whole.mH) / 2)
    turn = torch.linalg.solve_triangular(lower.mH, turn, upper=True)
    return _Pairs(energies, x @ turn, h_x @ turn, s_x @ turn)


def _places(pairs: _Pairs, anchor: Anchor, low: int, high: int) -> tuple[int, int]:
    """Places of the window in the space."""
    below = int((pairs.energies < anchor.shift).sum())
    if below != anchor.space.below:
        raise CertificateError(
            f"{below} states of the space lie below the shift {anchor.shift:.4f} eV, "
            f"{anchor.space.below} in the frame whose factor is used"
        )
    first, last = below + low - anchor.inertia, below + high - anchor.inertia
    if not 0 <= first < last <= len(pairs.energies):
        raise CertificateError("the space of the other frame does not hold the window")
    return first, last


def _block(ends: tuple[int, int], guards: int, count: int) -> torch.Tensor:
    """Places of the window and of some states beside it, as many as are multiplied fast."""
    first, last = max(ends[0] - guards, 0), min(ends[1] + guards, count)
    below = True
    while (last - first) % _MULTIPLE and (first > 0 or last < count):
        if (below and first > 0) or last == count:
            first -= 1
        else:
            last += 1
        below = not below
    return torch.arange(first, last)


def _corrections(
    solver: Solver, pencil: DevicePencil, pairs: _Pairs, chosen: torch.Tensor, goal: float
) -> tuple[torch.Tensor, int]:
    """Solve (H - E S) z = -r beside the chosen states, each column by conjugate residuals; and steps taken.

    Directions are brought near by two inverses: that of the factor outside the space, and within it that of
    the other states' distances.
    """
    rest = torch.ones(len(pairs.energies), dtype=torch.bool, device=chosen.device)
    rest[chosen] = False
    x_rest, s_rest = pairs.x[:, rest], pairs.s_x[:, rest]
    x, s_x = pairs.x[:, chosen], pairs.s_x[:, chosen]
    energies = pairs.energies[chosen]
    distances = pairs.energies[rest][:, None] - energies
    left = -pairs.residuals(chosen)
    correction = torch.zeros_like(left)
    directions: list[tuple[torch.Tensor, torch.Tensor]] = []
    step = 0
    while step < _STEPS and float(left.norm(dim=0).max()) > goal:
        step += 1
        # 1. a direction: the inverse on what is left, outside the space and inside
        inside = x_rest.mH @ left
        outside = solver.solve(left - s_rest @ inside)
        outside = outside - pairs.x @ (pairs.s_x.mH @ outside)
        direction = outside + x_rest @ (inside / distances)
        # 2. its image, beside the chosen states
        image = pencil.hamiltonian(direction) - pencil.overlap(direction) * energies
        image = image - s_x @ (x.mH @ image)
        # 3. apart from those before; column by column
        for one, its_image in directions:
            share = (its_image.conj() * image).sum(dim=0)
            direction, image = direction - one * share, image - its_image * share
        size = image.norm(dim=0).clamp_min(1e-300)
        direction, image = direction / size, image / size
        directions.append((direction, image))
        # 4. the longest step that helps
        share = (image.conj() * left).sum(dim=0)
        correction, left = correction + direction * share, left - image * share
    return correction, step


def _check_order(
    rough: torch.Tensor, energies: torch.Tensor, ends: tuple[int, int], anchor: Anchor, change: float
) -> None:
    """Raise where a state that was not corrected, or is not in the space, may belong to the window."""
    chosen = _block(ends, _GUARDS, len(rough))
    first, last = int(chosen[0]), int(chosen[-1]) + 1
    # states left as they were are off by as much as the corrected ones have moved, and again as much
    moved = 2 * float((rough[first:last] - energies[first:last]).abs().max())
    lowest, highest = float(energies[ends[0]]), float(energies[ends[1] - 1])
    floor, ceiling = (
        anchor.shift + sign * (1 - change) * reach for sign, reach in zip((-1, 1), anchor.space.reach)
    )
    if first > 0:
        floor = max(floor, float(energies[first - 1]) + moved)
    if last < len(energies):
        ceiling = min(ceiling, float(energies[last]) - moved)
    if not floor < lowest <= highest < ceiling:
        raise CertificateError(
            f"states outside the window ({lowest:.3f} to {highest:.3f} eV) are only known to lie below "
            f"{floor:.3f} or above {ceiling:.3f} eV"
        )


def _certified(
    pencil: DevicePencil, x: torch.Tensor, anchor: Anchor, low: int, steps: int, accepted: Tolerances
) -> CertifiedStates:
    energies, states, overlap_states, _ = rayleigh_ritz(pencil, x)
    if len(energies) != x.shape[1]:
        raise CertificateError("the states found are linearly dependent")
    residual, error = measure(pencil, energies, states, overlap_states)
    check_errors(residual, error, accepted)
    check_sides(energies, anchor.shift, anchor.inertia - low)
    certificate = Certificate(anchor.shift, anchor.inertia, residual, error, False, steps, 0)
    return CertifiedStates(energies, states, overlap_states, certificate)
