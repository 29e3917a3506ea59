"""How the elements of a predicted H between states change along a motion of the atoms: one pass forward.

H = H0[density coefficients] + pair network. H0 is differentiated in closed form, the networks by torch in
forward mode.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd import forward_ad

from n2amd.baseline.model_density import require_electrons
from n2amd.baseline.zeroth_change import MovingDensity, zeroth_changes
from n2amd.blocks.csr import between_states
from n2amd.blocks.matrix import BlockMatrix
from n2amd.network.data import assemble
from n2amd.network.density_model import DensityNetwork
from n2amd.network.model import HamiltonianNetwork
from n2amd.network.one_pass import density_inputs, pair_inputs
from n2amd.network.predict import HamiltonianPredictor
from n2amd.structure import Structure

Key = TypeVar("Key")


def hamiltonian_changes(
    predictor: HamiltonianPredictor,
    structure: Structure,
    velocities: NDArray[np.float64],
    vectors: NDArray,
    kpoint: NDArray[np.float64],
) -> NDArray:
    """Elements <i|dH/dt|j> between states, at fixed coefficients of the states.

    Parameters
    ----------
    predictor
        With networks in float64 (`HamiltonianPredictor.in_double_precision`).
    structure, velocities
        Atoms and how they move, (n_atoms, 3), A/fs.
    vectors
        States, (n_orbitals, w).
    kpoint
        Fractional, (3,).

    Returns
    -------
    changes
        Hermitian, (w, w), eV/fs.

    Raises
    ------
    InputError
        If the structure has an element that the model does not know, or the model has spins.
    """
    predictor.require_no_spin("changes of H in time")
    model, width = predictor.model, vectors.shape[1]
    total: NDArray = np.zeros((width, width), dtype=vectors.dtype)
    if model.zeroth is not None:
        if model.density is None:
            fixed = predictor.density(structure)
            density = MovingDensity(fixed, np.zeros_like(fixed))
        else:
            density = _moving_density(model.density, structure, velocities)
        total = total + zeroth_changes(model.zeroth, structure, velocities, density, vectors, kpoint)
    if model.pair is not None:
        blocks = _pair_rates(model.pair, structure, velocities)
        offsets = predictor.basis.orbital_offsets(structure.numbers)
        total = total + between_states(blocks, offsets, vectors, kpoint)
    return total


def _moving_density(
    network: DensityNetwork, structure: Structure, velocities: NDArray[np.float64]
) -> MovingDensity:
    """Density coefficients and their derivatives with time."""
    graph, waves = density_inputs(network, structure)

    def coefficients(positions: Tensor) -> dict[str, Tensor]:
        (found,) = network.coefficients(graph.at(positions), [waves])
        return {"coefficients": found}

    value, rate = _rates(coefficients, graph.positions, velocities)["coefficients"]
    require_electrons(network.auxiliary, structure.numbers, value.numpy())
    return MovingDensity(value.numpy(), rate.numpy())


def _pair_rates(
    network: HamiltonianNetwork, structure: Structure, velocities: NDArray[np.float64]
) -> BlockMatrix:
    """Derivative of the pair network's blocks with time."""
    pairs, graph = pair_inputs(network, structure)

    def blocks(positions: Tensor) -> dict[int | tuple[int, int], Tensor]:
        site, pair = network(graph.at(positions))
        return {**site, **pair}

    rates = _rates(blocks, graph.positions, velocities)
    site = {key: rate for key, (_, rate) in rates.items() if isinstance(key, int)}
    atoms_of = {z: np.flatnonzero(structure.numbers == z) for z in site}
    pair = {key: rate for key, (_, rate) in rates.items() if not isinstance(key, int)}
    return assemble(pairs, atoms_of, site, pair)


@torch.no_grad()
def _rates(
    function: Callable[[Tensor], dict[Key, Tensor]], positions: Tensor, velocities: NDArray[np.float64]
) -> dict[Key, tuple[Tensor, Tensor]]:
    """A network's outputs and their derivatives along the velocities, on the processor.

    Raises
    ------
    ValueError
        If the network is not in float64: compiled messages of float32 pass no derivatives on.
    """
    if positions.dtype != torch.float64:
        raise ValueError(f"derivatives of a network in {positions.dtype}")
    direction = torch.tensor(velocities, dtype=positions.dtype, device=positions.device)
    with forward_ad.dual_level():
        outputs = function(forward_ad.make_dual(positions, direction))
        found = {}
        for key, value in outputs.items():
            primal, tangent = forward_ad.unpack_dual(value)
            rate = torch.zeros_like(primal) if tangent is None else tangent
            found[key] = primal.cpu(), rate.cpu()
    return found
