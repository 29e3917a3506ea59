"""Unitary matrices from those that are not quite: overlaps between two times, blocks cut out of propagators.

Loewdin's symmetric orthogonalisation is the answer as long as the states at both times are nearly the same
ones. Where a state leaves the set and another enters it, as when the outermost one swaps with a neighbour
that is not kept, the matrix is singular there, and Loewdin's answer turns all other states: the polar factor
of [[1, e], [-e', d]] is a rotation by arctan((e + e') / (1 + d)), twice the mean of e and e' at d = 0 (it
makes rates four times too fast, and depends on the noise in d). So the state that leaves first hands its
place to the one that enters.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from n2amd.couplings.nac import polar_factor

#: Norm, squared, that a row or column must have lost before its state is taken to have left, or entered.
_LEFT = 0.5


def nearest_unitary(matrices: NDArray) -> NDArray:
    """Unitary matrices nearest to the given ones, with states that left and entered paired, (..., n, n).

    Any unitary change of basis on either side that keeps to states which stay changes the result as it
    changes the matrix; so do phases of all states.

    Parameters
    ----------
    matrices
        (F, n, n), real or complex, singular values at most one: overlaps <i(t)|j(t+dt)>, or blocks of
        unitary matrices. Singular ones are allowed.
    """
    return polar_factor(hand_over(matrices))


def hand_over(matrices: NDArray) -> NDArray:
    """Put the missing norm where the row of a state that left meets the column of one that entered.

    The phase is that of the element which stands there, however small, so that phases of the states do not
    matter; the k-th state that left is paired with the k-th that entered.

    Parameters
    ----------
    matrices
        As for `nearest_unitary`.
    """
    weight = np.abs(matrices) ** 2
    lost, gained = 1.0 - weight.sum(axis=-1), 1.0 - weight.sum(axis=-2)
    result = matrices
    for index in np.flatnonzero((lost > _LEFT).any(axis=-1)):
        if result is matrices:
            result = matrices.copy()
        leaving, entering = np.argsort(-lost[index]), np.argsort(-gained[index])
        count = int((lost[index] > _LEFT).sum())
        # as many enter as leave; the most complete ones first, in the order of their columns
        for row, column in zip(np.sort(leaving[:count]), np.sort(entering[:count])):
            element = matrices[index, row, column]
            phase = element / abs(element) if element != 0 else 1.0
            result[index, row, column] = phase * np.sqrt(
                max(lost[index, row], 0.0) * max(gained[index, column], 0.0)
            )
    return result
