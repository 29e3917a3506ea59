"""What is known without DFT: the nearly empty directions of the basis lie high in energy.

A combination v of orbitals with v^dagger S v ~ 1e-3 is a function of almost no norm that oscillates between
the atoms; its energy v^dagger H v / v^dagger S v is kinetic, tens of eV above the gap, in every frame alike
(rutile: at least 54 eV below s = 1e-3, whatever the geometry, cell and k point). An error of a few meV in the
elements can bring such a state down into the gap. S is known exactly for any geometry, so the network can be
held to the floor on geometries that no DFT was done for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from n2amd.blocks.matrix import fold
from n2amd.blocks.pairs import find_pairs
from n2amd.network.data import Sample
from n2amd.network.dense import fold_tensors
from n2amd.network.graph import build_graph, off_site
from n2amd.network.model import HamiltonianNetwork
from n2amd.orbitals.two_centre import OverlapTable, overlap
from n2amd.structure import Structure

#: Eigenvalues of S below which a direction counts as nearly empty; each has a floor of its own.
THRESHOLDS = (1e-3, 2e-3, 4e-3)
#: The network is held to this part of the floor: what lies above it is the business of the DFT frames.
MARGIN = 0.7
#: Random displacement of the geometries that are made up, Angstrom.
DISPLACEMENT_A = 0.06


@dataclass(frozen=True)
class Floor:
    """Energy that the nearly empty space below a threshold must not fall under, eV."""

    threshold: float
    energy: float


def _empty_directions(overlap_matrix: NDArray, threshold: float) -> NDArray:
    """Directions of S below the threshold, normalised to v^dagger S v = 1, (n, n_empty)."""
    values, vectors = np.linalg.eigh(overlap_matrix)
    empty = values < threshold
    return vectors[:, empty] / np.sqrt(np.clip(values[empty], 1e-12, None))


def measure_floors(samples: Sequence[Sample], kpoints: Sequence[NDArray[np.float64]]) -> list[Floor]:
    """Take the floors from DFT's own H and S; thresholds without any direction are left out."""
    lowest: dict[float, float] = {}
    for sample in samples:
        for k in kpoints:
            s = fold(sample.frame.overlap, sample.offsets, k)
            h = fold(sample.frame.hamiltonian, sample.offsets, k)
            for threshold in THRESHOLDS:
                v = _empty_directions(s, threshold)
                if v.shape[1]:
                    energy = float(np.linalg.eigvalsh(v.conj().T @ h @ v)[0])
                    lowest[threshold] = min(lowest.get(threshold, np.inf), energy)
    return [Floor(threshold, MARGIN * energy) for threshold, energy in lowest.items()]


def displaced(structure: Structure, rng: np.random.Generator) -> Structure:
    """Make up a geometry near a known one."""
    return structure.with_positions(
        structure.positions + rng.normal(scale=DISPLACEMENT_A, size=structure.positions.shape)
    )


def floor_violation(
    model: HamiltonianNetwork,
    table: OverlapTable,
    structure: Structure,
    kpoint: NDArray[np.float64],
    floors: Sequence[Floor],
) -> Tensor:
    """Return how far the model's nearly empty states lie below their floors: mean of (1 - E / floor)_+.

    Parameters
    ----------
    model
        The network (its prediction with the reference).
    table
        Two-centre tables of the basis.
    structure, kpoint
        Any geometry, any fractional k point.
    floors
        From `measure_floors`, positive energies.
    """
    parameter = next(model.parameters())
    pairs = off_site(find_pairs(structure, model.architecture.ranges, half=True))
    graph = build_graph(structure, model.numbers, model.architecture.message_cutoff, pairs, parameter.dtype)
    site, pair = model(graph.to(parameter.device))
    offsets = model.basis.orbital_offsets(structure.numbers)
    s = fold(overlap(table, structure), offsets, kpoint)
    h = fold_tensors(structure.numbers, offsets, kpoint, site, pair, pairs).to(torch.complex128)
    total, count = h.real.new_zeros(()), 0
    for floor in floors:
        v = torch.from_numpy(_empty_directions(s, floor.threshold).astype(np.complex128)).to(h.device)
        if v.shape[1]:
            energies = torch.linalg.eigvalsh(v.mH @ h @ v)
            total = total + (1 - energies / floor.energy).clamp(min=0).sum()
            count += v.shape[1]
    return total / max(count, 1)
