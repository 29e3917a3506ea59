"""Overlaps O(t, t+dt) = C(t)^dagger S(t, t+dt) C(t+dt) between the states of two geometries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from n2amd.blocks.matrix import BlockMatrix
from n2amd.errors import InputError
from n2amd.states.solver import WindowStates
from n2amd.structure import Structure

OverlapKind = Literal["exact", "electron-translation-free"]
#: S(bra geometry, ket geometry) with every directed pair, as `n2amd.orbitals.two_centre.overlap` gives it.
CrossOverlap = Callable[[Structure, Structure], BlockMatrix]

#: Atoms that move further than this between two frames (Angstrom) are not on one trajectory.
_LARGEST_STEP = 1.0


def check_consecutive(bra: Structure, ket: Structure, frame: int | str) -> None:
    """Raise `InputError` unless `ket` can be the geometry one time step after `bra`."""
    if not np.array_equal(bra.numbers, ket.numbers):
        raise InputError(
            "the atoms differ from those of the next frame",
            frame=frame,
            remedy="pass consecutive frames of one cell",
        )
    step = np.linalg.norm(ket.positions - bra.positions, axis=1)
    if step.max() > _LARGEST_STEP:
        raise InputError(
            f"atom {int(step.argmax())} moves by {step.max():.2f} A to the next frame",
            frame=frame,
            field="positions",
            remedy="pass consecutive frames with unwrapped positions and a time step of about 1 fs",
        )


def window_overlap(
    before: WindowStates,
    after: WindowStates,
    kind: OverlapKind,
    cross: NDArray | scipy.sparse.csr_array | None = None,
) -> NDArray:
    """Overlap of two frames' states, (w, w).

    Parameters
    ----------
    before, after
        States at t and t + dt.
    kind
        "exact": with S(t, t+dt), eq. 6 of the N2AMD paper. "electron-translation-free": with the mean of
        S(t) and S(t+dt), which drops C^dagger A C, A = (<m|d_t n> - <d_t m|n>) dt / 2, to second order in dt.
    cross
        S(t, t+dt) at the k point, (n, n); needed for "exact".
    """
    if kind == "exact":
        if cross is None:
            raise ValueError("the exact overlap needs S(t, t+dt)")
        return before.coefficients.conj().T @ (cross @ after.coefficients)
    bra = before.overlap_coefficients.conj().T @ after.coefficients
    ket = before.coefficients.conj().T @ after.overlap_coefficients
    return (bra + ket) / 2


def frame_overlap(
    before: tuple[Structure, WindowStates],
    after: tuple[Structure, WindowStates],
    kind: OverlapKind,
    cross_overlap: CrossOverlap,
    folded: Callable[[BlockMatrix], NDArray | scipy.sparse.csr_array],
) -> NDArray:
    """`window_overlap` of two (geometry, states) pairs; evaluates S(t, t+dt) only where it is needed.

    `folded` folds it to the k point (`FrameSolver.folded`).
    """
    (bra, states_before), (ket, states_after) = before, after
    cross = folded(cross_overlap(bra, ket)) if kind == "exact" else None
    return window_overlap(states_before, states_after, kind, cross)
