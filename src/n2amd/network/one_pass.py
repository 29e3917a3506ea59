"""One pass of a network over a structure: what goes in, and what comes out."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from n2amd.blocks.matrix import BlockMatrix, PairIndex, SpeciesPair
from n2amd.blocks.pairs import find_pairs
from n2amd.network.charge_states import PLAIN, ChargeState
from n2amd.network.data import assemble
from n2amd.network.density_model import DensityNetwork
from n2amd.network.doubt import DensityDoubt, weight_changes
from n2amd.network.ewald import FieldWaves
from n2amd.network.graph import Graph, build_graph, off_site
from n2amd.network.model import HamiltonianNetwork
from n2amd.structure import Structure


@torch.no_grad()
def predict_density(
    network: DensityNetwork, structure: Structure, state: ChargeState = PLAIN
) -> NDArray[np.float64]:
    """Density coefficients of a structure, (n_total,), or with a magnetisation's, (2, n_total).

    Raises
    ------
    InputError
        If the structure has an element that the model does not know.
    """
    graph, waves = density_inputs(network, structure)
    (coefficients,) = network.coefficients(graph, [waves], [state.excess], [state.moment])
    return coefficients.cpu().numpy()


def density_inputs(network: DensityNetwork, structure: Structure) -> tuple[Graph, FieldWaves]:
    """Graph and waves of a structure, where the network is and in its precision."""
    parameter = next(network.parameters())
    cutoff = network.architecture.message_cutoff
    graph = build_graph(structure, network.numbers, cutoff, {}, parameter.dtype).to(parameter.device)
    return graph, FieldWaves.of(structure).to(parameter.device)


@torch.no_grad()
def density_draws(
    network: DensityNetwork, doubt: DensityDoubt, structure: Structure, state: ChargeState = PLAIN
) -> NDArray[np.float64]:
    """Density coefficients of a structure for each draw of the last layer, (K, n_total).

    With a magnetisation's (K, 2, n_total). One pass of message passing a head; the numbers of electrons are
    exact in each.

    Raises
    ------
    InputError
        If the structure has an element that the model does not know.
    """
    graph, waves = density_inputs(network, structure)
    (mean,) = network.coefficients(graph, [waves], [state.excess], [state.moment])
    of_density, of_magnetisation = doubt.of_heads(network)
    changes = weight_changes(network, graph, waves, of_density).T
    if state.moment is not None:
        magnetic = weight_changes(network, graph, waves, of_magnetisation, state.moment).T
        changes = torch.stack([changes, magnetic], dim=1)
    return (mean + changes).cpu().numpy()


@torch.no_grad()
def predict_pairs(network: HamiltonianNetwork, structure: Structure) -> BlockMatrix:
    """Blocks of the pair network, Hermitian half, eV; on-site blocks first in every group.

    Raises
    ------
    InputError
        If the structure has an element that the model does not know.
    """
    pairs, graph = pair_inputs(network, structure)
    site, pair = network(graph)
    atoms_of = {z: np.flatnonzero(structure.numbers == z) for z in site}
    cpu_site = {z: blocks.cpu() for z, blocks in site.items()}
    return assemble(pairs, atoms_of, cpu_site, {key: blocks.cpu() for key, blocks in pair.items()})


def pair_inputs(
    network: HamiltonianNetwork, structure: Structure
) -> tuple[dict[SpeciesPair, PairIndex], Graph]:
    """Off-site pairs of a structure that the network predicts, and their graph, where the network is."""
    parameter = next(network.parameters())
    pairs = off_site(find_pairs(structure, network.architecture.ranges, half=True))
    cutoff = network.architecture.message_cutoff
    graph = build_graph(structure, network.numbers, cutoff, pairs, parameter.dtype)
    return pairs, graph.to(parameter.device)
