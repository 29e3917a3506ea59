"""From a structure to H(R) and S(R): the network for one, the two-centre tables for the other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from n2amd.blocks.matrix import BlockMatrix, SpeciesPair
from n2amd.blocks.pairs import find_pairs
from n2amd.network.checkpoint import load_model
from n2amd.network.data import assemble
from n2amd.network.graph import build_graph, off_site
from n2amd.network.model import HamiltonianNetwork
from n2amd.network.precision import require_full_precision
from n2amd.orbitals.basis import Basis
from n2amd.orbitals.overlap_fit import LimitedTable, OverlapLimits
from n2amd.orbitals.two_centre import OverlapTable, overlap
from n2amd.states.cross_time import CrossOverlap, OverlapKind
from n2amd.structure import Structure


@dataclass(frozen=True)
class HamiltonianPredictor:
    """A trained network with the overlap tables of its basis.

    Attributes
    ----------
    model
        The network, in evaluation mode.
    table
        Two-centre overlap tables; limited where the radial functions were recovered from overlaps.
    training
        What the model file tells of its training.
    """

    model: HamiltonianNetwork
    table: OverlapTable | LimitedTable
    training: dict[str, Any]

    @property
    def basis(self) -> Basis:
        """Orbital basis."""
        return self.model.basis

    @property
    def ranges(self) -> dict[SpeciesPair, float]:
        """Range of the predicted H per species pair (z_i <= z_j), Angstrom."""
        return dict(self.model.architecture.ranges)

    def hamiltonian(self, structure: Structure) -> BlockMatrix:
        """Predict H(R), Hermitian half, eV; on-site blocks first in every group.

        Raises
        ------
        InputError
            If the structure has an element that the model does not know.
        """
        parameter = next(self.model.parameters())
        pairs = off_site(find_pairs(structure, self.model.architecture.ranges, half=True))
        graph = build_graph(
            structure, self.model.numbers, self.model.architecture.message_cutoff, pairs, parameter.dtype
        )
        with torch.no_grad():
            site, pair = self.model(graph.to(parameter.device))
        atoms_of = {z: np.flatnonzero(structure.numbers == z) for z in site}
        cpu_site = {z: blocks.cpu() for z, blocks in site.items()}
        return assemble(pairs, atoms_of, cpu_site, {key: blocks.cpu() for key, blocks in pair.items()})

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
    model, state = load_model(path, device)
    table = OverlapTable.from_basis(model.basis)
    if (limits := state["training"].get("overlap_limits")) is None:
        return HamiltonianPredictor(model, table, state["training"])
    limited = LimitedTable(table, OverlapLimits.from_document(limits))
    return HamiltonianPredictor(model, limited, state["training"])
