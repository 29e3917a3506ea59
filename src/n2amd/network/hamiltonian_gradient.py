"""How weighted sums of elements of a predicted H change when the atoms move: one backward pass for each.

H = H0[density coefficients] + pair network. H0 is differentiated in closed form with the positions and with
the coefficients, the networks are by torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from n2amd.baseline.bond_energy import counted
from n2amd.baseline.zeroth_gradient import zeroth_gradients
from n2amd.blocks.matrix import BlockMatrix, PairIndex, SpeciesPair
from n2amd.blocks.pairs import find_pairs
from n2amd.network.density_model import DensityNetwork
from n2amd.network.model import HamiltonianNetwork
from n2amd.network.one_pass import density_inputs, pair_inputs
from n2amd.network.predict import HamiltonianPredictor
from n2amd.structure import Structure

#: Weights on any pairs of the Hermitian half: real, n_spin = 1.
Weights = Callable[[Mapping[SpeciesPair, PairIndex]], BlockMatrix]


def hamiltonian_gradients(
    predictor: HamiltonianPredictor, structure: Structure, weights: Sequence[Weights]
) -> list[NDArray[np.float64]]:
    """Derivatives of sum_ij,R w_ij(R) H_ij(R) with respect to the positions, for each set of weights.

    Parameters
    ----------
    predictor
        With networks in float64 (`HamiltonianPredictor.in_double_precision`) where digits matter.
    structure
        Atoms.
    weights
        Implied partners count.

    Returns
    -------
    gradients
        One for each, (n_atoms, 3), eV/A.

    Raises
    ------
    InputError
        If the structure has an element that the model does not know, or the model has spins.
    """
    predictor.require_no_spin("derivatives of H")
    totals = [np.zeros((structure.n_atoms, 3)) for _ in weights]
    model = predictor.model
    if model.zeroth is not None:
        pairs = find_pairs(structure, predictor.ranges, half=True)
        coefficients = predictor.density(structure)
        found = zeroth_gradients(model.zeroth, structure, coefficients, [w(pairs) for w in weights])
        totals = [total + gradient.positions for total, gradient in zip(totals, found)]
        if model.density is not None:
            rows = [gradient.coefficients for gradient in found]
            totals = [a + b for a, b in zip(totals, _of_density(model.density, structure, rows))]
    if model.pair is not None:
        totals = [a + b for a, b in zip(totals, _of_pairs(model.pair, structure, weights))]
    return totals


def _of_density(
    network: DensityNetwork, structure: Structure, rows: Sequence[NDArray[np.float64]]
) -> list[NDArray[np.float64]]:
    """Derivatives of row . coefficients with respect to the positions."""
    graph, waves = density_inputs(network, structure)
    positions = graph.positions.clone().requires_grad_()
    (coefficients,) = network.coefficients(graph.at(positions), [waves])
    sums = [coefficients @ torch.as_tensor(row, device=coefficients.device) for row in rows]
    return _backward(sums, positions)


def _of_pairs(
    network: HamiltonianNetwork, structure: Structure, weights: Sequence[Weights]
) -> list[NDArray[np.float64]]:
    """Derivatives of weighted sums of the pair network's blocks with respect to the positions."""
    pairs, graph = pair_inputs(network, structure)
    positions = graph.positions.clone().requires_grad_()
    site, pair = network(graph.at(positions))
    on_site = {(z, z): _on_site(np.flatnonzero(structure.numbers == z)) for z in site}
    sums = []
    for w in weights:
        parts = [(w(on_site).values[z, z][0], blocks) for z, blocks in site.items()]
        off_site = w(pairs)
        for key, blocks in pair.items():
            twice = counted(pairs[key])[:, None, None]
            parts.append((twice * off_site.values[key][0], blocks))
        sums.append(sum((_inner(values, blocks) for values, blocks in parts), positions.new_zeros(())))
    return _backward(sums, positions)


def _on_site(atoms: NDArray[np.int64]) -> PairIndex:
    return PairIndex(atoms, atoms, np.zeros((len(atoms), 3), dtype=np.int64))


def _inner(weights: NDArray[np.float64], blocks: Tensor) -> Tensor:
    return (torch.as_tensor(weights, dtype=blocks.dtype, device=blocks.device) * blocks).sum()


def _backward(sums: Sequence[Tensor], positions: Tensor) -> list[NDArray[np.float64]]:
    """Derivatives of several sums of one graph with respect to the positions, (n_atoms, 3) each."""
    found = []
    for k, total in enumerate(sums):
        (gradient,) = torch.autograd.grad(total, positions, retain_graph=k + 1 < len(sums))
        found.append(gradient.double().cpu().numpy())
    return found
