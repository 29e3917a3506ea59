"""The density matrix of a DFT frame, from its own H and S, k mesh and smearing.

With it every part of H0 can be checked: sum D T is the code's kinetic energy, sum D V_KB its non-local one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from n2amd.baseline.scf_kpoints import scf_kpoints
from n2amd.baseline.smearing import FAR, Smearing
from n2amd.blocks.matrix import BlockMatrix, PairIndex, SpeciesPair, fold_mesh
from n2amd.blocks.zone_corners import is_invariant
from n2amd.errors import InputError
from n2amd.frames.channels import electrons_of_spins
from n2amd.frames.frame import Frame
from n2amd.orbitals.basis import Basis

#: Bands that are computed beyond those that are known to be needed.
EMPTY_BANDS = 4


@dataclass(frozen=True)
class FilledStates:
    """States of a frame on the k points of its SCF cycle, and how they are filled.

    Attributes
    ----------
    kpoints, weights
        Fractional, (n_k, 3); sum to 1, (n_k,).
    levels
        (n_k, n_spin, n_bands), eV: at least all that hold an electron.
    vectors
        Of each spin and k point, (n_orbitals, n_bands).
    occupations
        0 to 1 (Methfessel and Paxton: a little outside), (n_k, n_spin, n_bands).
    fermi_levels
        Of each spin, (n_spin,), eV; different where the run fixed the moment.
    smearing_energy
        Minus temperature times entropy, eV a cell; of Methfessel and Paxton its generalisation.
    """

    kpoints: NDArray[np.float64]
    weights: NDArray[np.float64]
    levels: NDArray[np.float64]
    vectors: Sequence[Sequence[NDArray]]
    occupations: NDArray[np.float64]
    fermi_levels: NDArray[np.float64]
    smearing_energy: float


def density_matrix(
    frame: Frame,
    basis: Basis,
    *,
    kpoints: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
    smearing: Smearing | None = None,
    pairs: Mapping[SpeciesPair, PairIndex] | None = None,
) -> BlockMatrix:
    """Density matrix D(R) = Re sum_k w exp(-2 pi i k.R) sum_n f_n c_n c_n^dagger of a frame.

    `n2amd.blocks.matrix.inner_product(D, A)` is then the expectation value of a spinless A, for D summed over
    spin. The Fermi level is the one at which the electrons come out exactly: of each spin by itself where the
    frame's moment is fixed.

    Parameters
    ----------
    frame
        Spinless or with collinear spins.
    basis
        The basis of its matrices.
    kpoints
        Fractional k points (n_k, 3) and weights (n_k,), of k and -k one is enough; None: those of the SCF
        cycle, see `n2amd.baseline.scf_kpoints`.
    smearing
        Occupation of the levels; None: what the frame's origin says.
    pairs
        Pairs wanted, the Hermitian half; None: those of the frame.

    Returns
    -------
    density
        Hermitian half; n_spin = 1 with both spins in it, or 2 (up, down).

    Raises
    ------
    InputError
        If the frame has spinors, no k points, or an unknown smearing.
    """
    states = filled_states(frame, basis, kpoints=kpoints, smearing=smearing)
    return matrix_of_states(states, frame, basis, frame.hamiltonian.pairs if pairs is None else pairs)


def filled_states(
    frame: Frame,
    basis: Basis,
    *,
    kpoints: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
    smearing: Smearing | None = None,
) -> FilledStates:
    """Solve for the states of a frame and fill them; parameters and errors as of `density_matrix`."""
    n_spin = frame.hamiltonian.n_spin
    if n_spin > 2:
        raise InputError("density matrices of spinors are not made", frame=frame.name, field="n_spin")
    if kpoints is None:
        kpoints = scf_kpoints(frame)
    points, weights = kpoints[0], kpoints[1] / kpoints[1].sum()
    smearing = smearing or Smearing.of_origin(frame.origin)
    solved = _lowest_states(frame, basis, points, smearing, 2 / n_spin * weights)
    energies = np.array([[levels for levels, _ in spin] for spin in solved])
    fermi_levels = _fermi_levels(energies, 2 / n_spin * weights, frame, smearing)
    levels = energies.swapaxes(0, 1)
    vectors = [[found for _, found in spin] for spin in solved]
    of_points = smearing.energies(levels, fermi_levels[:, None]).sum(axis=(1, 2))
    return FilledStates(
        points,
        weights,
        levels,
        vectors,
        smearing.occupations(levels, fermi_levels[:, None]),
        fermi_levels,
        2 / n_spin * float(weights @ of_points),
    )


def matrix_of_states(
    states: FilledStates,
    frame: Frame,
    basis: Basis,
    pairs: Mapping[SpeciesPair, PairIndex],
    *,
    energy_weighted: bool = False,
) -> BlockMatrix:
    """Density matrix of filled states of a frame on the given pairs.

    With `energy_weighted` each state counts with its energy: sum_n f_n e_n c_n c_n^dagger, eV.
    """
    n_spin = len(states.vectors)
    offsets = basis.orbital_offsets(frame.structure.numbers)
    values = {
        (a, b): np.zeros((n_spin, len(index), basis[a].n_orbitals, basis[b].n_orbitals))
        for (a, b), index in pairs.items()
    }
    for spin, of_points in enumerate(states.vectors):
        for n, (k, weight, vectors) in enumerate(zip(states.kpoints, 2 / n_spin * states.weights, of_points)):
            occupation = weight * states.occupations[n, spin]
            occupied = np.abs(occupation) > 1e-16
            factors = occupation * states.levels[n, spin] if energy_weighted else occupation
            chosen = vectors[:, occupied]
            _add_blocks(values, spin, pairs, offsets, k, (chosen * factors[occupied]) @ chosen.conj().T)
    return BlockMatrix(pairs, values)


def _lowest_states(
    frame: Frame,
    basis: Basis,
    points: NDArray[np.float64],
    smearing: Smearing,
    electrons: NDArray[np.float64],
) -> list[list[tuple[NDArray[np.float64], NDArray]]]:
    """Levels and vectors for each spin and k point, as many as can hold an electron."""
    offsets = basis.orbital_offsets(frame.structure.numbers)
    n_orbitals, n_spin = int(offsets[-1]), frame.hamiltonian.n_spin
    n_bands = min(n_orbitals, int(np.ceil(_bands_needed(frame, smearing))) + EMPTY_BANDS)
    while True:
        # one k point at a time, so that the matrices of one alone are in memory
        solved = [[_solve(frame, offsets, k, spin, n_bands) for k in points] for spin in range(n_spin)]
        energies = np.array([levels for spin in solved for levels, _ in spin])
        stacked = energies.reshape(n_spin, len(points), -1)
        highest = _fermi_levels(stacked, electrons, frame, smearing).max()
        if n_bands == n_orbitals or energies[:, -1].min() > highest + FAR * smearing.width:
            return solved
        n_bands = min(n_orbitals, 2 * n_bands)


def _fermi_levels(
    energies: NDArray[np.float64], electrons: NDArray[np.float64], frame: Frame, smearing: Smearing
) -> NDArray[np.float64]:
    """Fermi level of each spin, (n_spin,), for levels (n_spin, n_k, n_bands) that hold `electrons` (n_k,)."""
    n_spin = len(energies)
    if n_spin == 2 and frame.fixed_moment is not None:
        spins = zip(energies, electrons_of_spins(frame))
        return np.array([smearing.fermi_level(levels, electrons, n) for levels, n in spins])
    stacked = energies.reshape(n_spin * energies.shape[1], -1)
    level = smearing.fermi_level(stacked, np.tile(electrons, n_spin), frame.n_electrons)
    return np.full(n_spin, level)


def _bands_needed(frame: Frame, smearing: Smearing) -> float:
    """Guess how many bands can hold an electron, from the code's own eigenvalues where there are any."""
    filled = frame.n_electrons / 2
    if frame.hamiltonian.n_spin == 2 and frame.fixed_moment is not None:
        return _bands_of_spins(frame, smearing)
    if frame.bands is None or frame.fermi_level is None:
        return filled
    below = frame.bands.energies < frame.fermi_level + FAR * smearing.width
    return max(filled, int(below.sum(axis=-1).max()))


def _bands_of_spins(frame: Frame, smearing: Smearing) -> float:
    """The same where each spin is filled by itself; without eigenvalues a fifth more than are filled."""
    spins = electrons_of_spins(frame)
    if frame.bands is None:
        return 1.2 * max(spins)
    needed = 0
    for electrons, levels in zip(spins, frame.bands.energies.swapaxes(0, 1)):
        highest = levels[:, : int(np.ceil(electrons))].max(initial=-np.inf)
        needed = max(needed, int((levels < highest + FAR * smearing.width).sum(axis=-1).max()))
    return max(*spins, needed)


def _solve(
    frame: Frame, offsets: NDArray[np.int64], k: NDArray[np.float64], spin: int, n_bands: int
) -> tuple[NDArray[np.float64], NDArray]:
    """Lowest levels (n_bands,) and their vectors (n, n_bands) at a k point."""
    hamiltonian = fold_mesh(frame.hamiltonian, offsets, k[None], spin)[0]
    overlap = fold_mesh(frame.overlap, offsets, k[None])[0]
    if is_invariant(k):  # its own mirror image: both are real
        hamiltonian, overlap = hamiltonian.real, overlap.real
    # LAPACK's driver for a subset of a generalised problem is slower than these three steps
    lower = scipy.linalg.cholesky(overlap, lower=True)
    half = scipy.linalg.solve_triangular(lower, hamiltonian, lower=True)
    reduced = scipy.linalg.solve_triangular(lower, half.conj().T, lower=True)
    levels, vectors = scipy.linalg.eigh(
        reduced, subset_by_index=(0, n_bands - 1), driver="evr", overwrite_a=True, check_finite=False
    )
    return levels, scipy.linalg.solve_triangular(lower, vectors, lower=True, trans="C")


def _add_blocks(
    values: Mapping[SpeciesPair, NDArray[np.float64]],
    spin: int,
    pairs: Mapping[SpeciesPair, PairIndex],
    offsets: NDArray[np.int64],
    k: NDArray[np.float64],
    density: NDArray,
) -> None:
    """Add Re exp(-2 pi i k.R) D(k) of one k point to the blocks."""
    n = len(density)
    real = np.isrealobj(density)
    flat = density.ravel()
    for key, index in pairs.items():
        phase = np.exp(-2j * np.pi * (index.shift @ k))[:, None, None]
        rows = offsets[index.i][:, None, None] + np.arange(values[key].shape[2])[:, None]
        columns = offsets[index.j][:, None, None] + np.arange(values[key].shape[3])
        blocks = flat[rows * n + columns]
        values[key][spin] += phase.real * blocks.real
        if not real:
            values[key][spin] -= phase.imag * blocks.imag
