"""A synthetic crystal with s to f shells: two-centre overlap, Hamiltonian of any spin, its bands."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from n2amd.blocks.matrix import BlockMatrix, fold, with_partners
from n2amd.frames.frame import BandReference, Frame
from n2amd.orbitals.basis import AtomBasis, Basis, RadialFunction, Shell
from n2amd.orbitals.two_centre import OverlapTable, overlap
from n2amd.structure import Structure

KPOINTS = np.array([[0.0, 0.0, 0.0], [0.25, 0.0, 0.5], [0.125, -0.25, 0.375]])
WEIGHTS = np.array([0.25, 0.5, 0.25])
#: l and exponent (1/A^2) of the Gaussian shells.
EXPONENTS = {
    16: [(0, 1.1), (0, 2.6), (1, 1.4), (2, 1.7)],
    42: [(0, 1.2), (1, 1.3), (1, 2.9), (2, 1.5), (3, 2.0)],
}
VALENCE = {16: 6.0, 42: 4.0}
STEP, CUTOFF = 0.02, 3.0


def structure() -> Structure:
    """Three atoms, one of them outside the cell and one on its border."""
    cell = np.array([[3.4, 0.2, 0.0], [-1.6, 3.0, 0.1], [0.3, -0.2, 4.6]])
    fractional = np.array([[-0.38, 0.61, 1.72], [0.0, 0.13, 0.24], [0.47, 0.0, 0.5]])
    return Structure(cell, fractional @ cell, np.array([42, 16, 16]))


def basis(*, radial: bool = True) -> Basis:
    atoms = {}
    r = np.arange(0.0, CUTOFF + STEP / 2, STEP)
    for z, shells in EXPONENTS.items():
        made = []
        for n, (l, exponent) in enumerate(shells):
            zeta = 1 + sum(other == l for other, _ in shells[:n])
            values = np.exp(-exponent * r**2) - np.exp(-exponent * CUTOFF**2)
            values /= np.sqrt(np.trapezoid(values**2 * r ** (2 * l + 2), r))
            function = RadialFunction(STEP, values, CUTOFF) if radial else None
            made.append(Shell(l, f"{'spdf'[l]} z{zeta}", function))
        atoms[z] = AtomBasis(z, tuple(made), VALENCE[z])
    return Basis(atoms)


@cache
def _overlap() -> BlockMatrix:
    return overlap(OverlapTable.from_basis(basis()), structure())


def frame(n_spin: int = 1) -> Frame:
    """A frame in canonical order with the bands of its own lattice sums."""
    s = _overlap()
    return with_bands(
        Frame(
            name="crystal",
            structure=structure(),
            hamiltonian=s.map({key: _hamiltonian(key, blocks, n_spin) for key, blocks in s.values.items()}),
            overlap=s,
            n_electrons=16.0,
            energy=-123.456,
            fermi_level=None,
        )
    )


def _hamiltonian(key: tuple[int, int], blocks: NDArray, n_spin: int) -> NDArray:
    s = blocks[0]
    weights = {z: np.random.default_rng(z).normal(size=(2, basis()[z].n_orbitals)) for z in key}
    e_i, e_j = (-9.0 + 4.0 * weights[z][0] for z in key)
    a_i, a_j = (weights[z][1] for z in key)
    energy = s * (e_i[:, None] + e_j[None, :]) / 2
    if n_spin == 1:
        return energy[None]
    if n_spin == 2:
        return np.stack([energy, energy + 0.4 * s * (a_i[:, None] + a_j[None, :])])
    current = 0.3j * s * (a_i[:, None] - a_j[None, :])
    flip = (0.2 + 0.15j) * a_i[:, None] * s
    flop = (0.2 - 0.15j) * s * a_j[None, :]
    return np.stack([energy + current, flip, flop, energy + 0.5 * s - current])


def energies(of: Frame, atoms: Basis, k: NDArray) -> NDArray[np.float64]:
    """Bands of (H, S) at one k point, (1 or 2 spins, n_bands)."""
    offsets = atoms.orbital_offsets(of.structure.numbers)
    s = fold(of.overlap, offsets, k)
    h = [fold(of.hamiltonian, offsets, k, spin) for spin in range(of.hamiltonian.n_spin)]
    if len(h) == 4:
        return scipy.linalg.eigvalsh(np.block([h[:2], h[2:]]), np.kron(np.eye(2), s))[None]
    return np.array([scipy.linalg.eigvalsh(part, s) for part in h])


def with_bands(of: Frame) -> Frame:
    bands = np.array([energies(of, basis(), k) for k in KPOINTS])
    return replace(of, bands=BandReference(KPOINTS, WEIGHTS, bands))


def band_error(of: Frame, atoms: Basis) -> float:
    """Largest difference between (H, S) and the bands of a frame, over all bands that it has, eV."""
    assert of.bands is not None
    n = of.bands.energies.shape[-1]
    ours = np.array([energies(of, atoms, k)[:, :n] for k in of.bands.kpoints])
    return float(np.abs(ours - of.bands.energies).max())


def dense_by_lattice_vector(matrix: BlockMatrix, atoms: Basis, numbers: NDArray, shifts: NDArray) -> dict:
    """M(R) of every spin component over all orbitals, R counted between atoms moved by -shifts."""
    offsets = atoms.orbital_offsets(numbers)
    dense: dict[tuple[int, ...], NDArray] = {}
    listed = with_partners(matrix)
    for key, index in listed.pairs.items():
        for n, (i, j, R) in enumerate(zip(index.i, index.j, index.shift)):
            at = tuple(int(x) for x in R + shifts[j] - shifts[i])
            block = listed.values[key][:, n]
            whole = dense.setdefault(at, np.zeros((len(block), offsets[-1], offsets[-1]), block.dtype))
            whole[:, offsets[i] : offsets[i + 1], offsets[j] : offsets[j + 1]] = block
    return dense
