"""The real-space mesh of a cell, by the rule of the DFT code whose Hamiltonian is rebuilt."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Prime factors that fast Fourier transforms like.
_PRIMES = (2, 3, 5)
#: OpenMX takes these, and numbers up to this times the one wanted.
_OPENMX_PRIMES, _OPENMX_REACH = (2, 3, 5, 7), 2


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


def mesh_of_spacing(cell: NDArray[np.float64], spacing: float) -> Mesh:
    """Mesh of a cell with points at most `spacing` apart along each vector, Angstrom."""
    shape = [math.ceil(length / spacing - 1e-9) for length in np.linalg.norm(cell, axis=1)]
    return Mesh(np.asarray(cell, dtype=np.float64), (shape[0], shape[1], shape[2]))


def coarser(mesh: Mesh, longest: float) -> Mesh:
    """Mesh of the same cell with points for waves up to `longest` (1/Angstrom), nowhere finer than it was."""
    planes = np.linalg.norm(np.linalg.inv(mesh.cell), axis=0)
    wanted = [longest / (np.pi * b) for b in planes]
    shape = [min(_fast(math.ceil(min(w, n))), n) for w, n in zip(wanted, mesh.shape)]
    return Mesh(mesh.cell, (shape[0], shape[1], shape[2]))


def siesta_mesh(cell: NDArray[np.float64], cutoff: float, bohr: float) -> Mesh:
    """Mesh that SIESTA makes for a cell: enough points for the cutoff, even 2-3-5 numbers of them.

    Parameters
    ----------
    cell
        Lattice vectors as rows, Angstrom.
    cutoff
        Plane-wave cutoff of the density, Ry.
    bohr
        One Bohr in Angstrom.
    """
    shape = [_fast(int(wanted + 1), even=True) for wanted in _points(cell, cutoff, bohr)]
    return Mesh(np.asarray(cell, dtype=np.float64), (shape[0], shape[1], shape[2]))


def openmx_mesh(cell: NDArray[np.float64], cutoff: float, bohr: float) -> Mesh:
    """Mesh that OpenMX makes for a cell: along each vector the product of 2, 3, 5, 7 next to the cutoff's.

    Nearest in the logarithm: the cutoff used may be a little lower, and numbers may be odd. Right for all
    frames of silicene and MoS2 whose logs were at hand. Parameters as for `siesta_mesh`.
    """
    shape = [_nearest_product(wanted) for wanted in _points(cell, cutoff, bohr)]
    return Mesh(np.asarray(cell, dtype=np.float64), (shape[0], shape[1], shape[2]))


def pyscf_mesh(cell: NDArray[np.float64], cutoff: float, bohr: float) -> Mesh:
    """Mesh that PySCF makes for a cell: odd numbers, all plane waves of the cutoff in the box of its own.

    Parameters as for `siesta_mesh`; the cutoff is twice PySCF's `ke_cutoff` (Hartree).
    """
    shape = [2 * math.ceil(wanted) + 1 for wanted in _waves(cell, cutoff, bohr)]
    return Mesh(np.asarray(cell, dtype=np.float64), (shape[0], shape[1], shape[2]))


def cp2k_mesh(cell: NDArray[np.float64], cutoff: float, bohr: float) -> Mesh:
    """Mesh that CP2K makes for a cell on its finest level: the next 2-3-5 numbers, even or odd.

    Parameters as for `siesta_mesh`; the cutoff is &MGRID / CUTOFF.
    """
    shape = [_fast(2 * math.floor(wanted) + 1) for wanted in _waves(cell, cutoff, bohr)]
    return Mesh(np.asarray(cell, dtype=np.float64), (shape[0], shape[1], shape[2]))


def openmx_offset(positions: NDArray[np.float64], mesh: Mesh) -> NDArray[np.float64]:
    """Shift (3,) that moves atoms so that OpenMX' mesh starts at the corner of the cell, Angstrom.

    OpenMX puts the middle of its mesh, between two points where their number is even, on the mean position of
    the atoms (unless scf.fixed.grid says where).
    """
    middle = [(n - 1) / 2 / n for n in mesh.shape]
    return np.array(middle) @ mesh.cell - positions.mean(axis=0)


def _points(cell: NDArray[np.float64], cutoff: float, bohr: float) -> list[float]:
    """Points that a plane-wave cutoff (Ry) asks for along each lattice vector."""
    lengths = 2 * np.pi * np.linalg.norm(np.linalg.inv(cell / bohr), axis=0)
    return [float(2 * math.sqrt(cutoff) / b) for b in lengths]


def _waves(cell: NDArray[np.float64], cutoff: float, bohr: float) -> list[float]:
    """Wave numbers of a cutoff (Ry) along each lattice vector, in units of 2 pi over its length."""
    return [
        float(math.sqrt(cutoff) * length / bohr / (2 * math.pi)) for length in np.linalg.norm(cell, axis=1)
    ]


def _nearest_product(wanted: float) -> int:
    """Product of 2, 3, 5 and 7 nearest to a number in the logarithm; the smaller of two equally near."""
    products = {1}
    for prime in _OPENMX_PRIMES:
        for product in list(products):
            while (product := product * prime) <= _OPENMX_REACH * wanted:
                products.add(product)
    return min(sorted(products), key=lambda n: abs(math.log(n / wanted)))


def _fast(n: int, *, even: bool = False) -> int:
    """Smallest number from n on that has no prime factor beyond 5, an even one where that is asked for."""
    step = 2 if even else 1
    n += n % step
    while True:
        rest = n
        for prime in _PRIMES:
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return n
        n += step
