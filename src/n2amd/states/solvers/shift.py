"""Where to put a shift: in the gap, found by counting states."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from n2amd.states.solvers.device_pencil import DevicePencil
from n2amd.states.solvers.pencil import Pencil
from n2amd.states.solvers.protocol import FactorisationError, Solver

#: Counts at most before a search is given up.
_LARGEST_SEARCH = 60
_FIRST_STEP_EV = 0.5
_NARROWEST_EV = 1e-5


class CountingSolver:
    """A solver that remembers how often it factorised and which band edges it was used to find."""

    def __init__(self, solver: Solver) -> None:
        self._solver = solver
        self.factorisations = 0
        self._shift: float | None = None
        self.edges: tuple[float, float] | None = None

    @property
    def inertia(self) -> int:
        """Of the last factorisation."""
        return self._solver.inertia

    def prepare(self, pencil: Pencil) -> DevicePencil:
        """Pass a frame on."""
        self._shift = None
        return self._solver.prepare(pencil)

    def place(self, pencil: Pencil) -> DevicePencil:
        """Pass a frame on."""
        return self._solver.place(pencil)

    def factor(self, shift: float) -> int:
        """Factorise and count it; where the last factor was of the same shift, it is kept."""
        if shift != self._shift:
            self._shift = None
            self.factorisations += 1
            self._solver.factor(shift)
            self._shift = shift
        return self._solver.inertia

    def solve(self, block: torch.Tensor) -> torch.Tensor:
        """Pass a block on."""
        return self._solver.solve(block)


def find_shift(
    solver: Solver,
    low: int,
    high: int,
    occupied: int,
    on_site: NDArray[np.float64],
    guess: float | None = None,
) -> float:
    """Energy with `occupied` states below it, or nearly so.

    The count as a function of energy is bracketed and then bisected, mostly three to eight factorisations.

    Parameters
    ----------
    solver
        Prepared with a frame.
    low, high
        Window of states: the energy ends up inside, `occupied` exactly wherever the gap is not narrower than
        0.01 meV.
    occupied
        States wanted below.
    on_site
        H_ii / S_ii, (n,), eV: the `occupied`-th is the first guess where there is none.
    guess
        First guess, eV.

    Raises
    ------
    FactorisationError
        If no such energy is found.
    """
    energy = float(np.sort(on_site)[min(occupied, len(on_site) - 1)]) if guess is None else guess
    below: float | None = None
    above: float | None = None
    nearest: tuple[int, float] | None = None
    step = _FIRST_STEP_EV
    for _ in range(_LARGEST_SEARCH):
        try:
            count = solver.factor(energy)
        except FactorisationError:
            energy += _NARROWEST_EV * 3  # on an eigenvalue
            continue
        if count == occupied:
            return energy
        if nearest is None or abs(count - occupied) < abs(nearest[0] - occupied):
            nearest = count, energy
        if count < occupied:
            below = energy
        else:
            above = energy
        if below is not None and above is not None:
            if above - below < _NARROWEST_EV:
                break
            energy = (below + above) / 2
        else:
            energy += step if above is None else -step
            step *= 2
    if nearest is not None and low < nearest[0] < high:
        return nearest[1]
    raise FactorisationError(f"no energy with {occupied} states below it was found")
