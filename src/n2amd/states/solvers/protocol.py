"""What block shift-invert Lanczos asks of a direct solver: the plug-in point for further ones."""

from __future__ import annotations

from typing import Protocol

import torch

from n2amd.states.solvers.device_pencil import DevicePencil
from n2amd.states.solvers.pencil import Pencil


class FactorisationError(Exception):
    """H - shift S could not be factorised or inverted to the accuracy asked for; another shift may do."""


class Solver(Protocol):
    """Applies (H - shift S)^-1 to blocks of vectors, and counts the states below the shift.

    Another solver needs these five and nothing else; an installed package adds one under a name through an
    entry point of the group `n2amd.solvers`, called with the device ("cpu" or "cuda"). `prepare` is called
    for each frame; a solver that keeps an analysis of the pattern must compare the patterns, since a stale
    analysis gives silent garbage. `Refinement` is there for solutions of a factor that may be inexact.
    """

    def place(self, pencil: Pencil) -> DevicePencil:
        """Return H and S of a frame where this solver's blocks live; the factor stays."""

    def prepare(self, pencil: Pencil) -> DevicePencil:
        """Take H and S of a frame and return them where this solver's blocks live."""

    def factor(self, shift: float) -> int:
        """Factorise H - shift S (eV); return its inertia.

        Raises
        ------
        FactorisationError
            If a pivot vanishes or a value is not finite.
        """

    def solve(self, block: torch.Tensor) -> torch.Tensor:
        """Return (H - shift S)^-1 block, (n, p), float64 or complex128.

        Raises
        ------
        FactorisationError
            If the residual of the linear system stays above the solver's bound after refinement.
        """

    @property
    def inertia(self) -> int:
        """Number of negative eigenvalues of H - shift S: of states below the shift (Sylvester)."""
