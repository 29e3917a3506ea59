"""Block Lanczos on (H - shift S)^-1 S in the inner product of S.

The operator is Hermitian in that inner product; its eigenvalue of a state at E is 1 / (E - shift). The
states below the shift are the most negative ones, from the nearest on, those above the most positive: "the k
nearest to the shift" would take them from the denser side. With the inertia at the shift, each has its
absolute index.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from n2amd.states.solvers.device_pencil import DevicePencil
from n2amd.states.solvers.protocol import FactorisationError, Solver

#: Directions of a new block shorter than this, relative to the block, are rounding.
_NEGLIGIBLE = 1e-11
#: Largest estimated residual of a state that is roughly known, eV.
_ROUGH_EV = 0.1


@dataclass(frozen=True)
class Side:
    """How many states are wanted below and above the shift."""

    below: int
    above: int


@dataclass(frozen=True)
class Space:
    """States on both sides of a shift, from the nearest outwards, roughly known.

    Attributes
    ----------
    vectors
        (n, K), S-orthonormal.
    below
        Those below the shift.
    reach
        Distance from the shift, below and above it, within which there are no other states, eV.
    """

    vectors: torch.Tensor
    below: int
    reach: tuple[float, float]


@dataclass(frozen=True)
class Anchor:
    """A frame whose factor a solver holds, and the states around its gap.

    Attributes
    ----------
    shift, inertia
        Energy of the factor, eV, and states below it.
    space
        States on both sides of it.
    """

    shift: float
    inertia: int
    space: Space


@dataclass(frozen=True)
class Ritz:
    """Approximate states from the nearest below the shift and above it, ascending.

    Attributes
    ----------
    vectors
        (n, below + above), purified by one further application of the operator.
    energies
        (below + above,), eV, before the final Rayleigh-Ritz step.
    residual
        Largest estimate of ||(H - E S) c|| among them, eV.
    steps
        Blocks that the operator was applied to.
    converged
        Whether the residual is below the tolerance.
    space
        These and all others that are roughly known, where they were asked for.
    """

    vectors: torch.Tensor
    energies: torch.Tensor
    residual: float
    steps: int
    converged: bool
    space: Space | None = None


class _Basis:
    """S-orthonormal vectors Q and S Q, stored as rows, and the operator's matrix T between them."""

    def __init__(self, n: int, size: int, like: torch.Tensor) -> None:
        self.q = torch.empty(size, n, dtype=like.dtype, device=like.device)
        self.s_q = torch.empty_like(self.q)
        self.t = torch.zeros(size, size, dtype=like.dtype, device=like.device)
        self.count = 0

    def append(self, block: torch.Tensor, s_block: torch.Tensor) -> None:
        end = self.count + block.shape[1]
        self.q[self.count : end], self.s_q[self.count : end] = block.mT, s_block.mT
        self.count = end

    def project_out(self, block: torch.Tensor, s_block: torch.Tensor) -> torch.Tensor:
        """Remove the basis from a block and S block in place; return what was removed, (count, p)."""
        q, s_q = self.q[: self.count], self.s_q[: self.count]
        removed = s_q.conj() @ block
        block.addmm_(q.mT, removed, alpha=-1)
        s_block.addmm_(s_q.mT, removed, alpha=-1)
        again = q.conj() @ s_block
        block.addmm_(q.mT, again, alpha=-1)
        s_block.addmm_(s_q.mT, again, alpha=-1)
        return removed + again

    def eigenpairs(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Eigenvalues, ascending, and eigenvectors of T."""
        t = self.t[: self.count, : self.count]
        # each block's column holds what lies above the diagonal; below is the adjoint of later blocks
        upper = torch.triu(t, 1)
        return torch.linalg.eigh(upper + upper.mH + torch.diag(t.diagonal().real.to(t.dtype)))


def s_orthonormal(
    block: torch.Tensor, s_block: torch.Tensor, at_most: int | None = None
) -> tuple[torch.Tensor, ...]:
    """S-orthonormalise a block; directions that are rounding are dropped.

    Parameters
    ----------
    block, s_block
        X and S X, (n, p).
    at_most
        Directions kept at most, the longest ones: as many as there is room for beside a basis.

    Returns
    -------
    block, s_block, factor
        X, S X, (n, r), and R, (r, p), with block = X R.
    """
    if at_most == 0:
        return block[:, :0], s_block[:, :0], torch.zeros_like(block[:0])
    total = None
    for _ in range(2):
        if not block.shape[1]:
            break
        gram = block.mH @ s_block
        gram = (gram + gram.mH) / 2
        scale = gram.diagonal().real.clamp_min(1e-300).sqrt()
        values, vectors = torch.linalg.eigh(gram / torch.outer(scale, scale))
        kept = values > _NEGLIGIBLE**2 * values[-1]
        if not bool(torch.isfinite(values).all()):
            raise FactorisationError("a block of vectors is not finite")
        if at_most is not None:
            kept[:-at_most] = False
        values, vectors = values[kept].sqrt(), vectors[:, kept]
        turn = (vectors / scale[:, None]) / values
        factor = ((vectors * scale[:, None]) * values).mH
        block, s_block = block @ turn, s_block @ turn
        total = factor if total is None else factor @ total
    return block, s_block, torch.zeros_like(block[:0]) if total is None else total


def start_block(pencil: DevicePencil, width: int, warm: torch.Tensor | None = None) -> torch.Tensor:
    """Return (n, width) vectors: the warm ones first, then random ones, the same at each call."""
    generator = torch.Generator().manual_seed(0)
    random = torch.randn(pencil.n, width, dtype=torch.float64, generator=generator)
    block = random.to(pencil.device, pencil.dtype)
    if warm is not None:
        kept = min(width, warm.shape[1])
        block[:, :kept] = warm[:, :kept].to(block)
    return block


def lanczos(
    solver: Solver,
    pencil: DevicePencil,
    shift: float,
    side: Side,
    start: torch.Tensor,
    *,
    tolerance: float,
    largest_basis: int,
    keep_space: bool = False,
) -> Ritz | None:
    """Iterate until the wanted states have residuals below the tolerance.

    Parameters
    ----------
    solver
        Factorised at `shift`.
    pencil
        H and S where the solver's blocks live.
    shift
        eV.
    side
        States wanted.
    start
        First block, (n, p); p must be at least the multiplicity of any level.
    tolerance
        Largest estimated residual, eV.
    largest_basis
        Vectors at most.
    keep_space
        Whether to return what is roughly known of other states, too.

    Returns
    -------
    ritz
        Not converged if the basis is full before; None if it does not even hold as many states.

    Raises
    ------
    FactorisationError
        If a linear system cannot be solved or a value is not finite.
    """
    wanted = side.below + side.above
    basis = _Basis(pencil.n, min(largest_basis + start.shape[1], pencil.n + start.shape[1]), start)
    block, s_block, _ = s_orthonormal(start, pencil.overlap(start))
    steps = 0
    while True:
        begin, steps = basis.count, steps + 1
        basis.append(block, s_block)
        image = solver.solve(s_block)
        s_image = pencil.overlap(image)
        removed = basis.project_out(image, s_image)
        basis.t[: basis.count, begin : basis.count] = removed
        room = pencil.n - basis.count
        block, s_block, factor = s_orthonormal(image, s_image, room)
        # cancellation in a nearly converged block leaves parts along the basis
        basis.project_out(block, s_block)
        block, s_block, again = s_orthonormal(block, s_block, room)
        factor = again @ factor
        full = basis.count + block.shape[1] > min(largest_basis, pencil.n) or not block.shape[1]
        ritz = _ritz(basis, factor, begin, side) if basis.count >= wanted else None
        if ritz is not None and (full or ritz[2] <= tolerance):
            theta, y, estimate = ritz
            # one more, free, application of the operator (Ericsson and Ruhe 1980)
            x = basis.q[: basis.count].mT @ y + block @ ((factor @ y[begin:]) / theta)
            space = _space(basis, factor, begin) if keep_space else None
            return Ritz(x, shift + 1 / theta, estimate, steps, estimate <= tolerance, space)
        if full:
            break
    return None


def _ritz(
    basis: _Basis, factor: torch.Tensor, begin: int, side: Side
) -> tuple[torch.Tensor, torch.Tensor, float] | None:
    """Wanted eigenvalues of T and their vectors, energies ascending, and the largest estimated residual."""
    m = basis.count
    theta, y = basis.eigenpairs()
    if int((theta < 0).sum()) < side.below or int((theta > 0).sum()) < side.above:
        return None
    # the nearest below are the first, the nearest above the last
    low = torch.arange(side.below - 1, -1, -1, device=theta.device)
    high = torch.arange(m - 1, m - 1 - side.above, -1, device=theta.device)
    chosen = torch.cat([low, high])
    theta, y = theta[chosen], y[:, chosen]
    remainder = (factor @ y[begin:]).norm(dim=0).real
    return theta, y, float((remainder / theta**2).max())


def _space(basis: _Basis, factor: torch.Tensor, begin: int) -> Space:
    """Ritz vectors from the shift outwards, on each side up to the first that is not even roughly known."""
    theta, y = basis.eigenpairs()
    known = (factor @ y[begin:]).norm(dim=0).real <= _ROUGH_EV * theta**2
    below, above = known & (theta < 0), known & (theta > 0)
    # states below are the first ones, those above the last ones, the nearest outermost
    n_below = int(below.long().cumprod(0).sum())
    n_above = int(above.flip(0).long().cumprod(0).sum())
    m = len(theta)
    chosen = torch.cat([torch.arange(n_below), torch.arange(m - n_above, m)]).to(theta.device)
    vectors = basis.q[:m].mT @ y[:, chosen]
    if len(chosen) == len(vectors):
        return Space(vectors, n_below, (math.inf, math.inf))
    below_end = -1 / float(theta[n_below - 1]) if n_below else 0.0
    above_end = 1 / float(theta[m - n_above]) if n_above else 0.0
    return Space(vectors, n_below, (below_end, above_end))


def rayleigh_ritz(
    pencil: DevicePencil, vectors: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Best states within a space of vectors.

    Parameters
    ----------
    vectors
        (n, w), linearly independent.

    Returns
    -------
    energies, states, overlap_states, residuals
        E ascending, (w,); C and S C, (n, w), S-orthonormal; ||(H - E S) c||, (w,), eV.
    """
    x, _, _ = s_orthonormal(vectors, pencil.overlap(vectors))
    h_x = pencil.hamiltonian(x)
    reduced = x.mH @ h_x
    energies, turn = torch.linalg.eigh((reduced + reduced.mH) / 2)
    x, h_x = x @ turn, h_x @ turn
    s_x = pencil.overlap(x)
    return energies, x, s_x, (h_x - s_x * energies).norm(dim=0).real
