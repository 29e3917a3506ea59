"""From a structure to H(R) and S(R): H0 and the networks for one, the two-centre tables for the other."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from n2amd.baseline.density_change import elements_of_changes
from n2amd.baseline.model_density import require_electrons
from n2amd.blocks.matrix import BlockMatrix, PairIndex, SpeciesPair
from n2amd.blocks.pair_codes import lay_out
from n2amd.blocks.pairs import find_pairs
from n2amd.config.states import CHANNELS, Channel
from n2amd.errors import InputError
from n2amd.network.charge_states import NEUTRAL, ChargeStates
from n2amd.network.checkpoint import HamiltonianModel, load_model
from n2amd.network.doubt import DensityDoubt
from n2amd.network.one_pass import density_draws, predict_density, predict_pairs
from n2amd.network.precision import require_full_precision
from n2amd.orbitals.basis import Basis
from n2amd.orbitals.overlap_fit import LimitedTable, OverlapLimits
from n2amd.orbitals.two_centre import OverlapTable, overlap
from n2amd.states.cross_time import CrossOverlap, OverlapKind
from n2amd.states.false_states import TrainedStates
from n2amd.structure import Structure


@dataclass(frozen=True)
class HamiltonianPredictor:
    """A trained model with the overlap tables of its basis.

    Attributes
    ----------
    model
        H0 and networks, in evaluation mode.
    table
        Two-centre overlap tables; limited where the radial functions were recovered from overlaps.
    training
        What the model file tells of its training.
    """

    model: HamiltonianModel
    table: OverlapTable | LimitedTable
    training: dict[str, Any]

    @property
    def basis(self) -> Basis:
        """Orbital basis."""
        return self.model.basis

    @property
    def trained_states(self) -> TrainedStates:
        """States near the gap of the training frames.

        Without a pair network the place of the gap is no sign of false states, which there are none of: it
        moves with the share of vacuum in the cell.
        """
        middle = None if self.model.pair is None else self.training.get("middle_of_gap_eV")
        return TrainedStates(self.training.get("norm_near_gap"), middle)

    @property
    def ranges(self) -> dict[SpeciesPair, float]:
        """Range of the predicted H per species pair, Angstrom."""
        ranges: dict[SpeciesPair, float] = {}
        if self.model.zeroth is not None:
            ranges.update(self.model.zeroth.ranges)
        if self.model.pair is not None:
            for key, reach in self.model.pair.architecture.ranges.items():
                ranges[key] = max(ranges.get(key, 0.0), reach)
        return ranges

    def refined(self, factor: float) -> HamiltonianPredictor:
        """Return the predictor with H0 on a mesh so many times finer, along each vector, than the code's.

        Raises
        ------
        InputError
            If the model has no H0.
        """
        if self.model.zeroth is None:
            raise InputError(
                f"{factor:g}, but the model has no H0, so there is no mesh to refine",
                field="states.mesh_refinement",
                remedy="leave it out",
            )
        finer = self.model.zeroth.ingredients.on_finer_mesh(factor)
        zeroth = replace(self.model.zeroth, ingredients=finer)
        return replace(self, model=replace(self.model, zeroth=zeroth))

    def in_double_precision(self) -> HamiltonianPredictor:
        """Return the predictor with copies of its networks in float64, for derivatives of H."""
        density, pair = deepcopy(self.model.density), deepcopy(self.model.pair)
        doubled = replace(self.model, density=density and density.double(), pair=pair and pair.double())
        return replace(self, model=doubled)

    @property
    def states(self) -> ChargeStates:
        """Charge and total spin of the cells that it was trained on."""
        stored = self.training.get("charge_states")
        return NEUTRAL if stored is None else ChargeStates.from_document(stored)

    @property
    def n_spin(self) -> int:
        """Length of the spin axis of the predicted H."""
        return 2 if self.states.spin else 1

    def electrons_in(self, structure: Structure, spin: Channel | None) -> float:
        """Return the electrons of a cell in its charge state, or those of a spin channel.

        Raises
        ------
        InputError
            If the charge of the cell is unknown, or a channel is asked for that the model does not have.
        """
        state = self.states.state_of(structure.numbers)
        electrons = self.basis.valence_electrons(structure.numbers) + state.excess
        if spin is None:
            return electrons
        if state.moment is None:
            raise InputError(
                f"spin {spin} of a model that knows no spin",
                field="states.spin",
                remedy="leave it out, or use a model of spin-polarised runs",
            )
        return (electrons + (state.moment if spin == "up" else -state.moment)) / 2

    def electrons_of_spins(self, structure: Structure) -> tuple[float, ...]:
        """Electrons of each channel of the predicted H: (all,) without spin, or (up, down).

        Raises
        ------
        InputError
            If the charge of the cell is unknown.
        """
        channels = CHANNELS if self.states.spin else (None,)
        return tuple(self.electrons_in(structure, channel) for channel in channels)

    def require_no_spin(self, what: str) -> None:
        """Refuse a model with collinear spins for what is known without them alone.

        Raises
        ------
        InputError
            Naming `what`.
        """
        if self.states.spin:
            raise InputError(
                f"{what}: not known for a model with collinear spins",
                field="spin",
                remedy="use `n2amd hamiltonian predict` or `evaluate`, or a model without spin",
            )

    def density(self, structure: Structure) -> NDArray[np.float64]:
        """Density coefficients that H0 of a structure is made of, (n_total,), or (2, n_total) with spin.

        With collinear spins they are those of the density and of the magnetisation rho_up - rho_down.

        Raises
        ------
        ValueError
            If the model has no H0.
        InputError
            If it does not know an element or the cell's charge, or its density does not hold its electrons.
        """
        if self.model.zeroth is None:
            raise ValueError("a model without H0 predicts no density")
        if self.model.density is None:
            return self.model.zeroth.model.spherical(structure.numbers)
        state = self.states.state_of(structure.numbers)
        coefficients = predict_density(self.model.density, structure, state)
        auxiliary, numbers = self.model.zeroth.model.auxiliary, structure.numbers
        if state.moment is None:
            require_electrons(auxiliary, numbers, coefficients, state.excess)
        else:
            require_electrons(auxiliary, numbers, coefficients[0], state.excess)
            require_electrons(auxiliary, numbers, coefficients[1], state.moment)
        return coefficients

    def density_on_mesh(self, structure: Structure) -> NDArray[np.float64]:
        """Predicted density beyond that of neutral atoms on the DFT code's mesh, (n1, n2, n3), 1/A^3.

        With collinear spins (2, n1, n2, n3): that, and the magnetisation.
        """
        coefficients, zeroth = self.density(structure), self.model.zeroth
        assert zeroth is not None
        mesh = zeroth.ingredients.mesh_of(structure.cell)
        return zeroth.density_functions(zeroth.ingredients.on_mesh(structure), mesh, coefficients)

    @property
    def doubt(self) -> DensityDoubt | None:
        """How well the density network knows its last layer; None where the model does not tell."""
        return self.model.doubt

    @property
    def usual_spread(self) -> float:
        """Spread of the band edges of the frames that the model was validated on, eV.

        Raises
        ------
        ValueError
            If the model has no draws.
        """
        if self.model.doubt is None:
            raise ValueError("a model without draws has no doubt")
        return self.model.doubt.spread_eV

    def draws(self, structure: Structure) -> NDArray[np.float64]:
        """Density coefficients of a structure for each draw of the network's last layer, (K, n_total).

        With collinear spins (K, 2, n_total), of density and magnetisation.

        Raises
        ------
        ValueError
            If the model has no draws.
        """
        if self.model.density is None or self.model.doubt is None:
            raise ValueError("a model without draws has no doubt")
        state = self.states.state_of(structure.numbers)
        return density_draws(self.model.density, self.model.doubt, structure, state)

    def doubt_elements(
        self,
        structure: Structure,
        vectors: NDArray,
        kpoint: NDArray[np.float64] | None = None,
        spin: Channel | None = None,
    ) -> NDArray:
        """Changes of the matrix elements between states for each draw, to first order, (K, w, w), eV.

        Parameters
        ----------
        structure
            Atoms.
        vectors
            States, (n_orbitals, w).
        kpoint
            Fractional; None: Gamma.
        spin
            Channel that they are of; None without spin, or where both are alike: of a cell without a moment.

        Raises
        ------
        ValueError
            If the model has no draws.
        """
        draws, mean = self.draws(structure), self.density(structure)
        assert self.model.zeroth is not None
        changes, channel = draws - mean, CHANNELS.index(spin or "up")
        return elements_of_changes(self.model.zeroth, structure, mean, changes, vectors, kpoint, spin=channel)

    def hamiltonian(
        self, structure: Structure, pairs: Mapping[SpeciesPair, PairIndex] | None = None
    ) -> BlockMatrix:
        """Predict H(R), Hermitian half, eV; with collinear spins up and down on the spin axis.

        Parameters
        ----------
        structure
            Atoms.
        pairs
            Pairs wanted, with every on-site pair; default: all within the model's range. A model without H0
            gives its own.

        Raises
        ------
        InputError
            If the structure has an element that the model does not know.
        """
        zeroth, pair = self.model.zeroth, self.model.pair
        if zeroth is None:
            assert pair is not None
            return predict_pairs(pair, structure)
        chosen = find_pairs(structure, self.ranges, half=True) if pairs is None else pairs
        density = self.model.density
        # what a network of float32 knows of the density is not worth more
        single = density is not None and next(density.parameters()).dtype == torch.float32
        dtype = np.float32 if single else np.float64
        h0 = zeroth.matrix(structure, self.density(structure), chosen, dtype)
        if pair is None:
            return h0
        rest = lay_out(predict_pairs(pair, structure), h0)
        return h0.map({key: blocks + rest.values[key] for key, blocks in h0.values.items()})

    def predict(self, structure: Structure) -> tuple[BlockMatrix, BlockMatrix]:
        """Return H(R) and S(R) of a structure (Hermitian halves; their pairs differ)."""
        return self.hamiltonian(structure), overlap(self.table, structure)

    def cross_overlap(self, kind: OverlapKind) -> CrossOverlap:
        """Return the function that gives S between two geometries.

        Raises
        ------
        InputError
            If couplings are to be exact and S(t, t + dt) is not known.
        """
        if kind == "exact" and isinstance(self.table, LimitedTable):
            self.table.limits.require_between_times()
        return partial(overlap, self.table)


def load_predictor(path: str | Path, device: str = "cpu") -> HamiltonianPredictor:
    """Load a model file for prediction.

    Raises
    ------
    InputError
        If the file is not a whole model, or its basis has no radial functions.
    """
    require_full_precision()
    model, training = load_model(path, device)
    table = OverlapTable.from_basis(model.basis)
    if (limits := training.get("overlap_limits")) is None:
        return HamiltonianPredictor(model, table, training)
    limited = LimitedTable(table, OverlapLimits.from_document(limits))
    return HamiltonianPredictor(model, limited, training)
