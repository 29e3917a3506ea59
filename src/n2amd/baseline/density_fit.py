"""Fit of a density on the mesh by atom-centred functions, in reciprocal space.

The norm of a difference d of two densities weighs the potential it makes:

    |d|^2 = (1 / Omega) sum_G w(G) |d(G)|^2,    w = LOW / G^4 + COULOMB / G^2 + DIRECT

1 / G^4 is the square of the Hartree potential, which H feels at small G; 1 / G^2 is the Coulomb energy, and
the constant keeps the density itself, which the exchange-correlation potential sees. G = 0 is charge: it is
conserved exactly, not fitted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfftn
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.blas import ssyrk

from n2amd.baseline.auxiliary import L_MAX, AuxiliaryBasis
from n2amd.frames.mesh import Mesh
from n2amd.orbitals.harmonics import solid_components
from n2amd.structure import Structure

#: Longest wave vector of the fit, 1/Angstrom.
LONGEST_WAVE = 11.0
#: Weights of the norm: of 1/G^4 (1/A^4), 1/G^2 (1/A^2) and 1.
LOW, COULOMB, DIRECT = 1.0, 0.2, 0.01
#: Regularisation of the fit, relative to the functions' norms.
RIDGE = 1e-4


@dataclass(frozen=True)
class PlaneWaves:
    """Wave vectors of a mesh inside a sphere, one of each pair +-G, without G = 0.

    Attributes
    ----------
    rows
        Places in the flattened real Fourier transform of a field on the mesh, (n,).
    vectors, lengths
        (n, 3) and (n,), 1/Angstrom.
    multiplicity
        2 where -G is meant too, (n,).
    volume
        Of the cell, A^3.
    """

    rows: NDArray[np.int64]
    vectors: NDArray[np.float64]
    lengths: NDArray[np.float64]
    multiplicity: NDArray[np.float64]
    volume: float

    @classmethod
    def of(cls, mesh: Mesh, longest: float = LONGEST_WAVE) -> PlaneWaves:
        """Wave vectors up to a length."""
        n1, n2, n3 = mesh.shape
        counts = (np.fft.fftfreq(n1, 1 / n1), np.fft.fftfreq(n2, 1 / n2), np.arange(n3 // 2 + 1))
        # only the part of the box that the sphere can reach is looked at
        reach = [int(longest * np.linalg.norm(a) / (2 * np.pi)) + 1 for a in mesh.cell]
        near = [np.flatnonzero(np.abs(c) <= r) for c, r in zip(counts, reach)]
        grid = np.stack(np.meshgrid(*near, indexing="ij"), -1).reshape(-1, 3)
        integers = np.stack([c[g] for c, g in zip(counts, grid.T)], -1)
        vectors = integers @ mesh.reciprocal
        lengths = np.linalg.norm(vectors, axis=1)
        keep = (lengths < longest) & (lengths > 0)
        rows = (grid[:, 0] * n2 + grid[:, 1]) * (n3 // 2 + 1) + grid[:, 2]
        edge = (integers[:, 2] == 0) | ((n3 % 2 == 0) & (integers[:, 2] == n3 // 2))
        return cls(rows[keep], vectors[keep], lengths[keep], np.where(edge, 1.0, 2.0)[keep], mesh.volume)

    def transform(self, field: NDArray) -> NDArray:
        """Fourier integrals int f(r) exp(-iGr) dr of a field on the mesh, (n,), in the field's precision."""
        return np.asarray(rfftn(field).ravel()[self.rows] * (self.volume / field.size))


def norm_weights(waves: PlaneWaves, low: float = LOW) -> NDArray[np.float64]:
    """w(G) of the norm with multiplicity and volume: |d|^2 = sum of weights |d(G)|^2, (n_waves,)."""
    square = waves.lengths**2
    return (low / square**2 + COULOMB / square + DIRECT) * waves.multiplicity / waves.volume


def waves_of_functions(
    structure: Structure, auxiliary: AuxiliaryBasis, waves: PlaneWaves
) -> Iterator[NDArray[np.complex128]]:
    """Fourier integrals of the functions of each atom in turn, (n_functions, n_waves).

    f_lm(G) = (-i)^l F(G) Y_lm(G) exp(-i G r_a), with F the form factor.
    """
    at_origin = _functions_at_origin(structure, auxiliary, waves)
    for z, position in zip(structure.numbers, structure.positions):
        yield at_origin[int(z)] * np.exp(-1j * (waves.vectors @ position))


def _functions_at_origin(
    structure: Structure, auxiliary: AuxiliaryBasis, waves: PlaneWaves
) -> dict[int, NDArray[np.complex128]]:
    """Fourier integrals of the functions of each element, centred at the origin, (n_functions, n_waves)."""
    directions = waves.vectors / waves.lengths[:, None]
    harmonics = np.stack(solid_components(L_MAX, *np.ascontiguousarray(directions.T)))
    at_origin = {}
    for z in {int(z) for z in structure.numbers}:
        parts = [
            (-1j) ** shell.l * factor(waves.lengths) * harmonics[shell.l**2 : (shell.l + 1) ** 2]
            for shell, factor in zip(auxiliary.atoms[z], auxiliary.form_factors[z])
        ]
        at_origin[z] = np.concatenate(parts)
    return at_origin


@dataclass(frozen=True)
class Design:
    """Density functions of a structure in the coordinates of the norm: |sum c f|^2 = |c @ rows|^2.

    Attributes
    ----------
    waves
        Wave vectors.
    weights
        Of the norm, `norm_weights`, (n_waves,).
    rows
        Real parts and then imaginary ones of the Fourier integrals, times sqrt(w), (n_functions, 2 n_waves).
    """

    waves: PlaneWaves
    weights: NDArray[np.float64]
    rows: NDArray[np.float32]

    @classmethod
    def of(cls, structure: Structure, auxiliary: AuxiliaryBasis, waves: PlaneWaves) -> Design:
        """Functions of all atoms of a structure."""
        weights = norm_weights(waves)
        at_origin = {
            z: (block * np.sqrt(weights)).astype(np.complex64)
            for z, block in _functions_at_origin(structure, auxiliary, waves).items()
        }
        offsets, n = auxiliary.offsets(structure.numbers), len(weights)
        rows = np.empty((offsets[-1], 2 * n), dtype=np.float32)
        for atom, (z, position) in enumerate(zip(structure.numbers, structure.positions)):
            block = at_origin[int(z)] * np.exp(-1j * (waves.vectors @ position)).astype(np.complex64)
            own = slice(offsets[atom], offsets[atom + 1])
            rows[own, :n], rows[own, n:] = block.real, block.imag
        return cls(waves, weights, rows)

    def coordinates(self, density: NDArray[np.complex128]) -> NDArray[np.float64]:
        """Coordinates of a density from its Fourier integrals (n_waves,): (2 n_waves,)."""
        weighted = density * np.sqrt(self.weights)
        return np.concatenate([weighted.real, weighted.imag])

    def integrals(self, fields: NDArray[np.complex128]) -> NDArray[np.float32]:
        """Integrals int f(r) v(r) dr with real fields, of their Fourier integrals (n_fields, n_waves).

        Returns
        -------
        integrals
            (n_fields, n_functions), without G = 0.
        """
        weighted = fields * (self.waves.multiplicity / self.waves.volume / np.sqrt(self.weights))
        parts = np.concatenate([weighted.real, weighted.imag], axis=1).astype(np.float32)
        return np.asarray(parts @ self.rows.T)


@dataclass(frozen=True)
class NormalEquations:
    """Quadratic form of a fit: |d - sum c f|^2 = norm - 2 c.right + c.matrix c.

    Attributes
    ----------
    matrix
        Gram matrix of the functions, (n, n), float32.
    right
        Products with the density, (n,).
    norm
        |d|^2.
    """

    matrix: NDArray[np.float32]
    right: NDArray[np.float64]
    norm: float

    def solve(
        self, charges: NDArray[np.float64], excess: float = 0.0, ridge: float = RIDGE
    ) -> NDArray[np.float64]:
        """Coefficients of the regularised fit that holds the right number of electrons.

        Parameters
        ----------
        charges
            Electrons of a unit of each coefficient, (n,).
        excess
            Electrons that the fit must hold.
        ridge
            Regularisation, relative to the functions' norms.

        Returns
        -------
        coefficients
            (n,).
        """
        scale = np.sqrt(np.diag(self.matrix)).astype(np.float64)
        scaled = self.matrix / scale[:, None] / scale
        scaled[np.diag_indices(len(scale))] += ridge
        factor = cho_factor(scaled, lower=True, overwrite_a=True, check_finite=False)
        both = np.stack([self.right / scale, charges / scale], axis=1)
        free, along = cho_solve(factor, both, check_finite=False).T / scale
        return free - along * (charges @ free - excess) / (charges @ along)

    def unexplained(self, coefficients: NDArray[np.float64]) -> float:
        """Share of |d|^2 that coefficients (n,) leave."""
        c = coefficients.astype(np.float32)
        quadratic = float(c @ (self.matrix @ c))
        return (self.norm - 2 * float(coefficients @ self.right) + quadratic) / self.norm


def normal_equations_of(design: Design, coefficients: NDArray[np.float64]) -> NormalEquations:
    """Set up the fit of a density that is made of the functions themselves.

    Parameters
    ----------
    design
        The functions.
    coefficients
        Of the density, (n_functions,).
    """
    matrix = _gram(design.rows)
    right = matrix.astype(np.float64) @ coefficients
    return NormalEquations(matrix, right, float(coefficients @ right))


def normal_equations(
    design: Design, density: NDArray[np.complex128], gram: NDArray[np.float32] | None = None
) -> NormalEquations:
    """Set up the fit of a density.

    Parameters
    ----------
    design
        The functions.
    density
        Fourier integrals of the density to fit, (n_waves,).
    gram
        Their Gram matrix, where another fit by them has made it.
    """
    wanted = design.coordinates(density)
    right = (design.rows @ wanted.astype(np.float32)).astype(np.float64)
    return NormalEquations(_gram(design.rows) if gram is None else gram, right, float(wanted @ wanted))


def _gram(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    upper = ssyrk(1.0, rows.T, trans=1, lower=0)
    # block by block: the matrix is large, and all of it at once would be copied several times
    for start in range(0, len(upper), 512):
        stop = min(start + 512, len(upper))
        upper[stop:, start:stop] = upper[start:stop, stop:].T
        square = upper[start:stop, start:stop]
        square[...] = np.triu(square) + np.triu(square, 1).T
    return upper
