"""Posterior of the density network's last layer, calibrated on frames that it was not trained on.

The temperature that multiplies the covariance is not known beforehand: it makes the mean square of error over
spread of the validation frames' levels one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from n2amd.network.density_model import DensityNetwork
from n2amd.network.density_training import DensitySample, loss_scales
from n2amd.network.doubt import DensityDoubt, n_weights, weight_changes

#: Draws that are kept.
N_DRAWS = 16
#: Prior: precision of every weight over the mean curvature of the loss. Weaker ones leave directions free
#: that
#: no training frame tells of (a layer refitted with 1e-3 was worse on unseen frames); stronger ones see too
#: little difference between frames. A few validation frames cannot tell: their likelihood is flat in it.
PRIOR = 1e-2
#: Spreads below this (eV) are taken as this.
_SMALLEST = 1e-9


@dataclass(frozen=True)
class _Levels:
    """Response of one frame's levels to the weights (n_levels, n_weights) and their errors, eV."""

    response: Tensor
    errors: Tensor
    edges: list[int]


def _curvature(
    network: DensityNetwork, sample: DensitySample, scales: tuple[float, float], state_weight: float
) -> Tensor:
    """Curvature of a frame's part of the loss with the last layer's weights, (n_weights, n_weights)."""
    jacobian = weight_changes(network, sample.graph, sample.waves).float()
    curvature = (jacobian.T @ (sample.matrix @ jacobian)).double() / scales[0]
    if len(sample.wanted):
        states = (sample.response @ jacobian).double()
        share = state_weight * sample.n_atoms / len(sample.wanted)
        curvature += share / scales[1] * states.T @ states
    return curvature


@torch.no_grad()
def _levels(network: DensityNetwork, sample: DensitySample) -> _Levels:
    (c,) = network.coefficients(sample.graph, [sample.waves], [sample.excess])
    rows = list(sample.levels or sample.edges)
    response = sample.response[rows].double() @ weight_changes(network, sample.graph, sample.waves)
    return _Levels(response, sample.state_errors(c)[rows], [rows.index(k) for k in sample.edges])


def level_spreads(
    network: DensityNetwork, doubt: DensityDoubt, sample: DensitySample
) -> tuple[Tensor, Tensor]:
    """Return first-order errors of a sample's levels and their spread over the draws, (n_levels,), eV."""
    levels = _levels(network, sample)
    return levels.errors, _spread(levels.response @ doubt.draws.double().T)


def density_doubt(
    network: DensityNetwork,
    train: Sequence[DensitySample],
    validation: Sequence[DensitySample],
    *,
    state_weight: float,
    seed: int,
) -> DensityDoubt:
    """Draw the last layer's weights from their calibrated posterior.

    Parameters
    ----------
    network
        Trained, on the CPU.
    train, validation
        Samples; without validation frames the training frames calibrate, which makes the doubt too small.
    state_weight
        Weight of the states' errors in the loss.
    seed
        Of the draws.
    """
    scales = loss_scales(network, train)
    curvature = torch.zeros(n_weights(network), n_weights(network), dtype=torch.float64)
    for sample in train:
        curvature += _curvature(network, sample, scales, state_weight)
    judged = [_levels(network, sample) for sample in validation or train]
    errors = torch.cat([levels.errors for levels in judged])
    response = torch.cat([levels.response for levels in judged])
    prior = PRIOR * float(curvature.diagonal().mean())
    factor = torch.linalg.cholesky(curvature + prior * torch.eye(len(curvature), dtype=torch.float64))
    white = np.random.default_rng(seed).normal(size=(len(curvature), N_DRAWS))
    draws = torch.linalg.solve_triangular(factor.T, torch.from_numpy(white), upper=True).T
    # of the draws that are kept: their spreads differ from the posterior's by chance
    temperature = _rms(errors / _spread(response @ draws.T))
    edges = torch.cat([levels.response[levels.edges] for levels in judged])
    spread = temperature * _rms(_spread(edges @ draws.T))
    noise = scales[0] * temperature**2
    return DensityDoubt((temperature * draws).float(), PRIOR, temperature, spread, len(errors), noise)


def _spread(changes: Tensor) -> Tensor:
    """Root mean square over draws, (n, K) to (n,)."""
    return changes.square().mean(dim=1).sqrt().clamp_min(_SMALLEST)


def _rms(values: Tensor) -> float:
    return max(float(values.square().mean().sqrt()), _SMALLEST)
