"""Derivative couplings d_ij = <i|grad_A j> of a predicted H, a vector for each atom, without differences.

With c^dagger S c = 1, H c = E S c and orbitals that move with their atoms,

    d_ij = c_i^dagger [dH - (E_i + E_j)/2 dS] c_j / (E_j - E_i) + c_i^dagger [S> - S<] c_j / 2,

where S>_ab = <a|db>, S<_ab = <da|b> and dS = S> + S<. It is the usual form with E_j dS and the one-sided S>
(B. H. Lengsfield, D. R. Yarkony, Adv. Chem. Phys. 82, 1 (1992); E. Abad et al., J. Chem. Phys. 138, 154106
(2013)), written so that d_ij = -d_ji* term by term. The last term comes from orbitals riding on their atoms
(S. Fatehi, J. E. Subotnik, J. Phys. Chem. Lett. 3, 2039 (2012)).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from n2amd.blocks.matrix import BlockMatrix, PairIndex, SpeciesPair
from n2amd.config.states import StatesSettings
from n2amd.errors import InputError
from n2amd.network.hamiltonian_gradient import Weights, hamiltonian_gradients
from n2amd.network.predict import HamiltonianPredictor
from n2amd.orbitals.basis import Basis
from n2amd.orbitals.overlap_fit import LimitedTable
from n2amd.orbitals.two_centre import OverlapTable, overlapping_pairs
from n2amd.states.frame_solver import FrameSolver
from n2amd.states.window import occupied_bands
from n2amd.structure import Structure

#: Levels closer than this are one, eV: no coupling between its states is defined.
DEGENERATE_EV = 1e-6


@dataclass(frozen=True)
class NacVectors:
    """Derivative couplings of pairs of states of one structure.

    Attributes
    ----------
    structure
        Atoms.
    kpoint
        Fractional, (3,).
    n_occupied
        Doubly occupied bands: the VBM is n_occupied - 1.
    bands
        States i and j of each pair, 0-based from the lowest, (n_pairs, 2).
    energies
        Theirs, (n_pairs, 2), eV.
    nac
        d_ij, (n_pairs, n_atoms, 3), 1/A; real where the states are. The sign (the phase) of a pair is that
        of the states, which is free.
    riding
        The part of it that comes from orbitals riding on their atoms, which an electron-translation-free
        coupling leaves out, (n_pairs, n_atoms, 3), 1/A.
    level_sizes
        States of the degenerate level that each state belongs to, (n_pairs, 2): where it is not 1 the vectors
        of a level's states turn into each other.
    """

    structure: Structure
    kpoint: NDArray[np.float64]
    n_occupied: int
    bands: NDArray[np.int64]
    energies: NDArray[np.float64]
    nac: NDArray
    riding: NDArray
    level_sizes: NDArray[np.int64]

    @property
    def translation_error(self) -> NDArray:
        """Sum over atoms of d_ij less -<i|nabla|j>, (n_pairs, 3), 1/A: zero but for H's mesh."""
        return (self.nac - self.riding).sum(axis=1)

    def along(self, velocities: NDArray[np.float64]) -> NDArray:
        """Couplings sum_A d_ij . v_A of velocities (n_atoms, 3), A/fs: (n_pairs,), 1/fs."""
        return np.einsum("pac,ac->p", self.nac, velocities)


def nac_vectors(
    predictor: HamiltonianPredictor,
    structure: Structure,
    bands: Sequence[tuple[int, int]],
    settings: StatesSettings,
    frame: int | None = None,
) -> NacVectors:
    """Derivative couplings of pairs of states.

    Parameters
    ----------
    predictor
        With networks in float64 (`HamiltonianPredictor.in_double_precision`).
    structure
        Atoms of a closed shell.
    bands
        Pairs (i, j) of states, 0-based from the lowest.
    settings
        K point, solver and tolerance; which states are solved follows from the pairs.
    frame
        Number of the structure where there are several, named in errors.

    Raises
    ------
    InputError
        If there is no such state, two states of a pair are one or degenerate, or overlaps between displaced
        atoms are not known.
    """
    predictor.cross_overlap("exact")  # refuses overlaps that are not known between two geometries
    solver = _solver_for(predictor, structure, bands, settings, frame)
    # by name: of a frame with a name block_si counts the states at the window's ends, whatever its number
    states = solver.solve(structure, "asked for" if frame is None else str(frame))
    chosen = np.array(bands, dtype=np.int64)
    places = chosen - solver.window.low
    energies = states.energies[places]
    _check_levels(chosen, energies, frame)
    transitions = [
        Transition(
            states.coefficients[:, i],
            states.coefficients[:, j],
            predictor.basis,
            solver.offsets,
            solver.kpoint,
        )
        for i, j in places
    ]
    table = predictor.table.table if isinstance(predictor.table, LimitedTable) else predictor.table
    parts = [OverlapParts.of(table, structure, transition) for transition in transitions]
    nac = [
        (dh - e.mean() * part.symmetric) / (e[1] - e[0]) + part.antisymmetric
        for dh, e, part in zip(_elements_of_dh(predictor, structure, transitions), energies, parts)
    ]
    near = np.abs(states.energies[None, None] - energies[:, :, None]) < DEGENERATE_EV
    return NacVectors(
        structure,
        solver.kpoint,
        solver.window.n_occupied,
        chosen,
        energies,
        np.array(nac),
        np.array([part.antisymmetric for part in parts]),
        near.sum(axis=-1),
    )


def _solver_for(
    predictor: HamiltonianPredictor,
    structure: Structure,
    bands: Sequence[tuple[int, int]],
    settings: StatesSettings,
    frame: int | None,
) -> FrameSolver:
    """Solver of the states of all pairs, and one more on each side, where there is one."""
    basis = predictor.basis
    occupied = occupied_bands(basis.valence_electrons(structure.numbers))
    total = int(basis.orbital_counts(structure.numbers).sum())
    for pair in bands:
        for band in pair:
            if not 0 <= band < total:
                raise InputError(
                    f"there is no state {band}: {total} orbitals make the states 0 to {total - 1}",
                    frame=frame,
                    field="pair",
                    remedy=f"choose among them; the VBM is {occupied - 1}",
                )
        if pair[0] == pair[1]:
            raise InputError(
                f"state {pair[0]} is paired with itself",
                frame=frame,
                field="pair",
                remedy="choose two states",
            )
    lowest, highest = min(map(min, bands)), max(map(max, bands))
    valence = min(max(occupied - lowest, 1) + 1, occupied)
    conduction = min(max(highest - occupied + 1, 1) + 1, total - occupied)
    window = {"valence": valence, "conduction": conduction, "margin": 0, "projections": "none"}
    return FrameSolver.for_structure(predictor, settings.model_copy(update=window), structure)


def _check_levels(bands: NDArray[np.int64], energies: NDArray[np.float64], frame: int | None) -> None:
    for (i, j), e in zip(bands, energies):
        if abs(gap := e[1] - e[0]) < DEGENERATE_EV:
            raise InputError(
                f"states {i} and {j} are degenerate ({1e6 * abs(gap):.2g} ueV apart): they have no "
                "coupling that is defined",
                frame=frame,
                field="pair",
                remedy="choose states of different levels, or a geometry of lower symmetry",
            )


@dataclass(frozen=True)
class Transition:
    """Two states: weights of matrix elements <i|M|j> on the pairs of a real-space matrix.

    Attributes
    ----------
    bra, ket
        Coefficients of i and j, (n_orbitals,).
    basis, offsets
        Orbitals; first one of each atom and the total.
    kpoint
        Fractional, (3,).
    """

    bra: NDArray
    ket: NDArray
    basis: Basis
    offsets: NDArray[np.int64]
    kpoint: NDArray[np.float64]

    def products(self, key: SpeciesPair, index: PairIndex) -> tuple[NDArray, NDArray]:
        """Weights of M_ab(R) and of its partner M_ba(-R) in <i|M|j>, (n_pairs, n_a, n_b) each."""
        phase = 1.0
        if self.kpoint.any():
            phase = np.exp(2j * np.pi * (index.shift @ self.kpoint))[:, None, None]
        rows, columns = (
            self.offsets[atoms][:, None] + np.arange(self.basis[z].n_orbitals)
            for z, atoms in zip(key, (index.i, index.j))
        )
        direct = self.bra[rows].conj()[:, :, None] * self.ket[columns][:, None, :] * phase
        partner = self.ket[rows][:, :, None] * self.bra[columns].conj()[:, None, :] * np.conj(phase)
        return direct, partner

    def weights(self, pairs: Mapping[SpeciesPair, PairIndex], part: str = "real") -> BlockMatrix:
        """Real or imaginary part of the weights of a real Hermitian matrix, as its Hermitian half counts."""
        values = {}
        for key, index in pairs.items():
            direct, partner = self.products(key, index)
            values[key] = np.ascontiguousarray(getattr((direct + partner) / 2, part))[None]
        return BlockMatrix(dict(pairs), values)

    @property
    def parts(self) -> tuple[str, ...]:
        """Parts of the elements that are not zero."""
        real = np.isrealobj(self.bra) and np.isrealobj(self.ket) and not self.kpoint.any()
        return ("real",) if real else ("real", "imag")


def _elements_of_dh(
    predictor: HamiltonianPredictor, structure: Structure, transitions: Sequence[Transition]
) -> list[NDArray]:
    """Elements <i|grad_A H|j> at fixed coefficients, (n_atoms, 3) for each pair, eV/A."""
    weights: list[Weights] = [partial(t.weights, part=part) for t in transitions for part in t.parts]
    gradients = iter(hamiltonian_gradients(predictor, structure, weights))
    found: list[NDArray] = []
    for transition in transitions:
        real = next(gradients)
        found.append(real + 1j * next(gradients) if len(transition.parts) == 2 else real)
    return found


@dataclass(frozen=True)
class OverlapParts:
    """c_i^dagger [S> + S<] c_j and c_i^dagger [S> - S<] c_j / 2 for each atom, (n_atoms, 3), 1/A."""

    symmetric: NDArray
    antisymmetric: NDArray

    @classmethod
    def of(cls, table: OverlapTable, structure: Structure, transition: Transition) -> OverlapParts:
        """Evaluate both for one pair of states."""
        dtype = np.float64 if len(transition.parts) == 1 else np.complex128
        symmetric, antisymmetric = (np.zeros((structure.n_atoms, 3), dtype=dtype) for _ in range(2))
        for key, index in overlapping_pairs(table, structure).items():
            vectors = index.vectors(structure)
            direct, partner = transition.products(key, index)
            # the partner of a pair on one atom is itself
            share = np.where(index.on_site, 0.5, 1.0)[:, None]
            total, difference = (
                share * _contracted(table, key, vectors, w) for w in (direct + partner, direct - partner)
            )
            np.add.at(symmetric, index.j, total)
            np.add.at(symmetric, index.i, -total)
            np.add.at(antisymmetric, index.j, difference / 2)
            np.add.at(antisymmetric, index.i, difference / 2)
        return cls(symmetric, antisymmetric)


def _contracted(
    table: OverlapTable, key: SpeciesPair, vectors: NDArray[np.float64], weights: NDArray
) -> NDArray:
    """`OverlapTable.contracted_gradient` with real or complex weights."""
    if np.isrealobj(weights):
        return table.contracted_gradient(key, vectors, weights)
    real, imaginary = (
        table.contracted_gradient(key, vectors, np.ascontiguousarray(w)) for w in (weights.real, weights.imag)
    )
    return real + 1j * imaginary
