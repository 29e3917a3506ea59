"""Couplings <i|d/dt j> of a moving structure from a model's dH/dt and dS/dt: all pairs of a window at once.

    <i|d/dt j> = c_i^dagger [dH/dt - (E_i + E_j)/2 dS/dt] c_j / (E_j - E_i) + c_i^dagger [S> - S<] c_j / 2,

the formula of `n2amd.couplings.vectors` along the velocities: dS/dt = S> + S<, S>_ab = <a|db/dt>.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from n2amd.blocks.csr import between_states
from n2amd.network.hamiltonian_change import hamiltonian_changes
from n2amd.network.predict import HamiltonianPredictor
from n2amd.orbitals.overlap_fit import LimitedTable
from n2amd.orbitals.two_centre import OverlapTable, overlap_derivative
from n2amd.states.cross_time import OverlapKind
from n2amd.states.velocity import couplings_of_elements
from n2amd.structure import Structure


@dataclass(frozen=True)
class ModelVelocityCouplings:
    """Couplings of a model's states along the motion of the atoms: a `n2amd.states.velocity.Coupler`.

    Attributes
    ----------
    predictor
        With networks in float64.
    kind
        Whether orbitals that ride on their atoms count ("exact").
    """

    predictor: HamiltonianPredictor
    kind: OverlapKind

    @classmethod
    def of(cls, predictor: HamiltonianPredictor, kind: OverlapKind) -> ModelVelocityCouplings:
        """Copy a model's networks to float64.

        Raises
        ------
        InputError
            If couplings are to be exact and overlaps between displaced atoms are not known.
        """
        predictor.cross_overlap(kind)  # refuses
        return cls(predictor.in_double_precision(), kind)

    def velocity_couplings(
        self,
        structure: Structure,
        velocities: NDArray[np.float64],
        energies: NDArray[np.float64],
        vectors: NDArray,
        kpoint: NDArray[np.float64],
    ) -> NDArray:
        """Couplings between the states of one structure; see `n2amd.states.velocity.Coupler`."""
        slopes = hamiltonian_changes(self.predictor, structure, velocities, vectors, kpoint)
        table = self.predictor.table
        if isinstance(table, LimitedTable):
            table = table.table
        symmetric, antisymmetric = _overlap_parts(
            table, structure, velocities, vectors, kpoint, exact=self.kind == "exact"
        )
        return couplings_of_elements(energies, slopes, symmetric, antisymmetric)


def _overlap_parts(
    table: OverlapTable,
    structure: Structure,
    velocities: NDArray[np.float64],
    vectors: NDArray,
    kpoint: NDArray[np.float64],
    *,
    exact: bool,
) -> tuple[NDArray, NDArray]:
    """c^dagger [S> + S<] c and c^dagger [S> - S<] c / 2 (zero if not `exact`), (w, w) each, 1/fs."""
    offsets = table.basis.orbital_offsets(structure.numbers)
    if not exact:
        symmetric = between_states(overlap_derivative(table, structure, velocities), offsets, vectors, kpoint)
        return symmetric, np.zeros_like(symmetric)
    moving_ket = overlap_derivative(table, structure, np.zeros_like(velocities), structure, velocities)
    ahead = between_states(moving_ket, offsets, vectors, kpoint)
    return ahead + ahead.conj().T, (ahead - ahead.conj().T) / 2
