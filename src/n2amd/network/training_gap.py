"""Where the gap of the training frames is: the first guess for the gap of cells too large to search."""

from __future__ import annotations

from collections.abc import Sequence

import scipy.linalg

from n2amd.blocks.matrix import fold
from n2amd.frames.frame import Frame
from n2amd.orbitals.basis import Basis


def middle_of_gap(frames: Sequence[Frame], basis: Basis) -> float | None:
    """Mean of the edges of the largest frame at Gamma, eV; None for open shells, spins and spinors."""
    frame = max(frames, key=lambda frame: frame.structure.n_atoms)
    occupied, remainder = divmod(round(frame.n_electrons), 2)
    offsets = basis.orbital_offsets(frame.structure.numbers)
    if frame.hamiltonian.n_spin != 1 or remainder or not 0 < occupied < offsets[-1]:
        return None
    h, s = (fold(matrix, offsets) for matrix in (frame.hamiltonian, frame.overlap))
    edges = scipy.linalg.eigh(h, s, eigvals_only=True, subset_by_index=(occupied - 1, occupied))
    return float(edges.mean())
