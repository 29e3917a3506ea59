"""Solutions of linear systems held against their residual, and refined where a factor is not exact."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from n2amd.states.solvers.device_pencil import DevicePencil
from n2amd.states.solvers.protocol import FactorisationError

#: Applies the inverse that a factor gives to a block of vectors.
Inverse = Callable[[torch.Tensor], torch.Tensor]


class Refinement:
    """Looks at the first solution of each factor, and refines those of an inexact one.

    A residual costs as much as a solution. It is looked at once for each factor, through one random
    combination of the columns, whose expected square is that of the whole residual; after that the residuals
    of the states tell.

    Parameters
    ----------
    tolerance
        Largest residual of a linear system that is accepted, relative to its right-hand side. Times the
        distance from the shift (some eV) it is what states are off by, eV: far below what they are checked
        against in the end.
    always
        Whether every solution is refined: the factor is known to be inexact.
    """

    #: Refinements tried before a factor is given up.
    _REFINEMENTS = 12

    def __init__(self, tolerance: float = 1e-8, *, always: bool = False) -> None:
        self.tolerance, self.always = tolerance, always
        self._pencil: DevicePencil | None = None
        self._shift = 0.0
        self._exact = False

    def begin(self, pencil: DevicePencil, shift: float) -> None:
        """Take note of a new factor, of H - shift S (eV)."""
        self._pencil, self._shift, self._exact = pencil, shift, False

    def solve(self, inverse: Inverse, block: torch.Tensor) -> torch.Tensor:
        """Return the solution of (H - shift S) x = block, (n, p), by the inverse of the factor.

        Raises
        ------
        FactorisationError
            If the residual stays above the tolerance.
        """
        x = inverse(block)
        if self._exact:
            return x
        if not self.always:
            weights = _probe(block)
            left = self._residual((x @ weights)[:, None], (block @ weights)[:, None])
            # nan compares as false: it must not pass
            self._exact = bool(left.norm() <= self.tolerance * block.norm(dim=0).min())
            if self._exact:
                return x
        return self._refined(inverse, x, block)

    def _refined(self, inverse: Inverse, x: torch.Tensor, block: torch.Tensor) -> torch.Tensor:
        size, before = block.norm(dim=0), math.inf
        for _ in range(self._REFINEMENTS):
            left = self._residual(x, block)
            relative = float((left.norm(dim=0) / size).max())
            if relative <= self.tolerance:
                return x
            if not relative < before:
                break
            x, before = x + inverse(left), relative
        raise FactorisationError(
            f"linear systems at the shift {self._shift:.6f} eV keep a relative residual of {relative:.1e}"
        )

    def _residual(self, x: torch.Tensor, block: torch.Tensor) -> torch.Tensor:
        assert self._pencil is not None, "begin first"
        return block - self._pencil.hamiltonian(x) + self._shift * self._pencil.overlap(x)


def _probe(block: torch.Tensor) -> torch.Tensor:
    """Weights of a random combination of columns, the same ones at each call."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(block.shape[1], dtype=torch.float64, generator=generator).to(block.device, block.dtype)
