"""Meshes of k points with Gamma in them, and points off a mesh."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray


def half_mesh(mesh: tuple[int, int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """List a Gamma-centred mesh, one of k and -k, which have equal bands.

    Returns
    -------
    kpoints, weights
        Fractional in (-1/2, 1/2], (n, 3); weights that sum to 1, (n,).
    """
    size = np.array(mesh)
    weight: dict[tuple[int, ...], int] = {}
    for k in product(*(range(n) for n in mesh)):
        partner = tuple(int(x) for x in -np.array(k) % size)
        chosen = min(k, partner)
        weight[chosen] = weight.get(chosen, 0) + 1
    numbers = np.array(list(weight))
    centred = np.where(numbers > size / 2, numbers - size, numbers)
    return centred / size, np.array(list(weight.values())) / size.prod()


def off_mesh_points(mesh: tuple[int, int, int]) -> NDArray[np.float64]:
    """Two k points (2, 3) far from a mesh: half a step away in every direction, and a general one."""
    return np.array([0.5 / np.array(mesh), [0.137, 0.271, -0.319]])
