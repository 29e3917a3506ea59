"""Posterior of the density network's last layers, calibrated on frames that it was not trained on.

The temperature that multiplies the covariance is not known beforehand: it makes the mean square of error over
spread of the validation frames' levels one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from n2amd.network.density_model import DensityNetwork
from n2amd.network.density_training import DensitySample, loss_scales, magnetic_scale
from n2amd.network.doubt import DensityDoubt, n_weights, weight_changes

#: Draws that are kept.
N_DRAWS = 16
#: Prior: precision of every weight over the mean curvature of the loss. Weaker ones leave directions free
#: that no training frame tells of (a layer refitted with 1e-3 was worse on unseen frames); stronger ones see
#: too little difference between frames. A few validation frames cannot tell: their likelihood is flat in it.
PRIOR = 1e-2
#: Spreads below this (eV) are taken as this.
_SMALLEST = 1e-9


@dataclass(frozen=True)
class _Levels:
    """Response of one frame's levels to the weights (n_levels, n_weights) and their errors, eV."""

    response: Tensor
    errors: Tensor
    edges: list[int]


class _Scales(NamedTuple):
    """What errors count against: of density and magnetisation, an atom, and of states, eV^2."""

    density: float
    magnetic: float
    states: float


def _size(network: DensityNetwork) -> int:
    """Weights of the last layers of all heads."""
    return n_weights(network) * (2 if network.architecture.spin else 1)


def _jacobians(network: DensityNetwork, sample: DensitySample) -> list[Tensor]:
    """Derivatives of each field's coefficients with its own head's weights, (n_total, n_weights) each."""
    heads = (None,) if sample.magnetic is None else (None, sample.moment)
    return [weight_changes(network, sample.graph, sample.waves, None, moment) for moment in heads]


def _of_states(response: Tensor, jacobians: Sequence[Tensor], size: int) -> Tensor:
    """Derivatives of elements between states with all weights, (n_elements, size).

    A frame without spins knows the first head's weights alone.
    """
    fields = response.split([len(jacobian) for jacobian in jacobians], dim=1)
    known = torch.cat([field @ jacobian for field, jacobian in zip(fields, jacobians)], dim=1)
    return torch.nn.functional.pad(known, (0, size - known.shape[1]))


def _curvature(
    network: DensityNetwork, sample: DensitySample, scales: _Scales, state_weight: float
) -> Tensor:
    """Curvature of a frame's part of the loss with the last layers' weights, (n, n)."""
    size, n = _size(network), n_weights(network)
    curvature = torch.zeros(size, size, dtype=torch.float64)
    jacobians = [jacobian.float() for jacobian in _jacobians(network, sample)]
    for head, (jacobian, scale) in enumerate(zip(jacobians, (scales.density, scales.magnetic))):
        own = slice(head * n, (head + 1) * n)
        curvature[own, own] = (jacobian.T @ (sample.matrix @ jacobian)).double() / scale
    if len(sample.wanted):
        states = _of_states(sample.response, jacobians, size).double()
        share = state_weight * sample.n_atoms / len(sample.wanted)
        curvature += share / scales.states * states.T @ states
    return curvature


@torch.no_grad()
def _levels(network: DensityNetwork, sample: DensitySample) -> _Levels:
    (c,) = network.coefficients(sample.graph, [sample.waves], [sample.excess], [sample.moment])
    rows = list(sample.levels or sample.edges)
    wanted = sample.response[rows].double()
    response = _of_states(wanted, _jacobians(network, sample), _size(network))
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
    of_density, of_states = loss_scales(network, train)
    scales = _Scales(of_density, magnetic_scale(network, train), of_states)
    curvature = torch.zeros(_size(network), _size(network), dtype=torch.float64)
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
    noise, magnetic = scales.density * temperature**2, None
    if network.architecture.spin:
        magnetic = scales.magnetic * temperature**2
    drawn = (temperature * draws).float()
    return DensityDoubt(drawn, PRIOR, temperature, spread, len(errors), noise, magnetic)


def _spread(changes: Tensor) -> Tensor:
    """Root mean square over draws, (n, K) to (n,)."""
    return changes.square().mean(dim=1).sqrt().clamp_min(_SMALLEST)


def _rms(values: Tensor) -> float:
    return max(float(values.square().mean().sqrt()), _SMALLEST)
