"""A reproducible choice of the phases that an eigensolver leaves open."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Levels closer than this (eV) are one level: any rotation among them is a solution too.
DEGENERATE_EV = 1e-6
#: Coefficients within this fraction of the largest count as equally large: rounding must not pick the pivot.
_TIE = 1e-3


def canonical_gauge(coefficients: NDArray, energies: NDArray[np.float64]) -> NDArray:
    """Return the rotation U that makes C U independent of the eigensolver's choice of phases.

    A single level gets its largest coefficient real and positive. A degenerate level of m states is rotated
    so that its m pivot rows (chosen by their norm over the level, which no rotation changes) become lower
    triangular with a positive diagonal.

    Parameters
    ----------
    coefficients
        Eigenvectors as columns, (n, w).
    energies
        Ascending energies, (w,), eV.

    Returns
    -------
    rotation
        (w, w), unitary and block diagonal over the levels.
    """
    w = len(energies)
    rotation = np.zeros((w, w), dtype=coefficients.dtype)
    starts = np.flatnonzero(np.diff(energies, prepend=-np.inf) > DEGENERATE_EV)
    for start, stop in zip(starts, [*starts[1:], w]):
        rows = coefficients[:, start:stop].copy()
        for column in range(start, stop):
            weight = np.sum(np.abs(rows) ** 2, axis=1)
            pivot = int(np.argmax(weight >= (1 - _TIE) * weight.max()))
            direction = rows[pivot].conj() / np.sqrt(weight[pivot])
            rotation[start:stop, column] = direction
            rows -= np.outer(rows @ direction, direction.conj())
    return rotation
