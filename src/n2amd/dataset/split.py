"""Which frames train, validate and test: the same rule for the force field and the Hamiltonian network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from n2amd.errors import InputError


@dataclass(frozen=True)
class Split:
    """Disjoint frame indices, ascending; together all frames."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def split_indices(n: int, validation_fraction: float, test_fraction: float, seed: int) -> Split:
    """Split n frames at random, reproducibly.

    Parameters
    ----------
    n
        Number of frames.
    validation_fraction, test_fraction
        Parts held out; each set gets at least one frame.
    seed
        Seed of the shuffle.

    Returns
    -------
    split
        Ascending indices of the three sets.

    Raises
    ------
    InputError
        If a fraction is not between 0 and 1, or too few frames are left to train on.
    """
    for field, fraction in (("validation_fraction", validation_fraction), ("test_fraction", test_fraction)):
        if not 0 < fraction < 1:
            raise InputError(f"{fraction} is not between 0 and 1", field=field, remedy="choose e.g. 0.1")
    validation, test = max(1, round(n * validation_fraction)), max(1, round(n * test_fraction))
    if n - validation - test < 1:
        raise InputError(
            f"{n} frames cannot give {validation} for validation, {test} for the test and one for training",
            field="validation_fraction",
            remedy="add frames (at least 3) or hold out smaller fractions",
        )
    order = np.random.default_rng(seed).permutation(n)
    held_out = validation + test
    return Split(np.sort(order[held_out:]), np.sort(order[:validation]), np.sort(order[validation:held_out]))
