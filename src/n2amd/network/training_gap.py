"""The gap of the training frames: a first guess for cells too large to search, a measure for false states."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from n2amd.blocks.matrix import fold
from n2amd.blocks.zone_corners import INVARIANT
from n2amd.frames.frame import Frame
from n2amd.orbitals.basis import Basis

#: States on each side of the gap that count as near it.
NEAR_GAP = 4


def middle_of_gap(frames: Sequence[Frame], basis: Basis) -> float | None:
    """Mean of the edges of the largest frame at Gamma, eV; None for open shells, spins and spinors."""
    frame = max(frames, key=lambda frame: frame.structure.n_atoms)
    occupied = _closed_shell(frame, basis)
    if occupied is None:
        return None
    h, s = _folded(frame, basis, INVARIANT[0])
    edges = scipy.linalg.eigh(h, s, eigvals_only=True, subset_by_index=(occupied - 1, occupied))
    return float(edges.mean())


def norm_near_gap(frames: Sequence[Frame], basis: Basis) -> float | None:
    """Largest sum of |c|^2 of states near the gap, at Gamma and the zone's corners; None as for the gap.

    Corners are looked at of the smallest frame alone: larger cells fold them to Gamma.
    """
    smallest = min(frames, key=lambda frame: frame.structure.n_atoms)
    largest = 0.0
    for frame in frames:
        occupied = _closed_shell(frame, basis)
        if occupied is None:
            return None
        n_orbitals = int(basis.orbital_offsets(frame.structure.numbers)[-1])
        wanted = (max(occupied - NEAR_GAP, 0), min(occupied + NEAR_GAP, n_orbitals) - 1)
        for k in INVARIANT if frame is smallest else INVARIANT[:1]:
            h, s = _folded(frame, basis, k)
            vectors = scipy.linalg.eigh(h, s, subset_by_index=wanted)[1]
            largest = max(largest, float(np.sum(vectors**2, axis=0).max()))
    return largest


def _closed_shell(frame: Frame, basis: Basis) -> int | None:
    """Doubly occupied bands; None where there are none, or spins."""
    occupied, remainder = divmod(round(frame.n_electrons), 2)
    n_orbitals = basis.orbital_offsets(frame.structure.numbers)[-1]
    if frame.hamiltonian.n_spin != 1 or remainder or not 0 < occupied < n_orbitals:
        return None
    return occupied


def _folded(
    frame: Frame, basis: Basis, kpoint: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """H and S of a spinless frame at a k point where they are real."""
    offsets = basis.orbital_offsets(frame.structure.numbers)
    return fold(frame.hamiltonian, offsets, kpoint).real, fold(frame.overlap, offsets, kpoint).real
