"""The real-space mesh of a cell, by the rule of the DFT code whose Hamiltonian is rebuilt."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Prime factors that fast Fourier transforms like.
_PRIMES = (2, 3, 5)


@dataclass(frozen=True)
class Mesh:
    """Uniform mesh of a cell; point (n1, n2, n3) lies at sum_i n_i / shape_i * cell[i].

    Attributes
    ----------
    cell
        Lattice vectors as rows, (3, 3), Angstrom.
    shape
        Points along each.
    """

    cell: NDArray[np.float64]
    shape: tuple[int, int, int]

    @property
    def n_points(self) -> int:
        """Points of the cell."""
        return math.prod(self.shape)

    @property
    def volume(self) -> float:
        """Volume of the cell, A^3."""
        return float(abs(np.linalg.det(self.cell)))

    @property
    def volume_element(self) -> float:
        """Volume of a point, A^3."""
        return self.volume / self.n_points

    @property
    def reciprocal(self) -> NDArray[np.float64]:
        """Reciprocal lattice vectors as rows, 2 pi included, (3, 3), 1/A."""
        return np.asarray(2 * np.pi * np.linalg.inv(self.cell).T, dtype=np.float64)


def siesta_mesh(cell: NDArray[np.float64], cutoff: float, bohr: float) -> Mesh:
    """Mesh that SIESTA makes for a cell: enough points for the cutoff, an even 2-3-5 number along each vector.

    Parameters
    ----------
    cell
        Lattice vectors as rows, Angstrom.
    cutoff
        Plane-wave cutoff of the density, Ry.
    bohr
        One Bohr in Angstrom.
    """
    lengths = 2 * np.pi * np.linalg.norm(np.linalg.inv(cell / bohr), axis=0)
    shape = [_fast_even(int(2 * math.sqrt(cutoff) / b + 1)) for b in lengths]
    return Mesh(np.asarray(cell, dtype=np.float64), (shape[0], shape[1], shape[2]))


def _fast_even(n: int) -> int:
    """Smallest even number from n on that has no prime factor beyond 5."""
    n += n % 2
    while True:
        rest = n
        for prime in _PRIMES:
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return n
        n += 2
