"""Error of the Hamiltonian seen by the electronic states: the loss of training stage 2.

With all DFT eigenvectors C(k) of a frame, W = C^dagger dH C is the model's error between states: W_ii is the
band-energy error to first order, W_ij the error of the mixing, which is what enters the couplings. Each state
is weighted by w = E_0 / (E_0 + |E - E_gap|): full weight around the gap, and for the states far above just
enough to keep them there. That matters because overlap matrices of good bases are nearly singular (smallest
eigenvalue 2e-4 in rutile): elements that are right to 1 meV can still drop such a state from 90 eV into the
gap. Being linear in dH, the loss needs no derivative of an eigensolver and has no trouble with degeneracies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from n2amd.blocks.matrix import SpeciesPair, fold
from n2amd.network.data import Sample
from n2amd.network.dense import fold_tensors

#: E_0 of the weights, eV.
WEIGHT_SCALE_EV = 3.0


@dataclass(frozen=True)
class States:
    """Weighted DFT states of one sample at one k point.

    Attributes
    ----------
    weighted
        w C, (n, n), complex64.
    norm
        Sum of w_i w_j.
    kpoint
        Fractional, (3,).
    """

    weighted: Tensor
    norm: float
    kpoint: np.ndarray


def solve_states(sample: Sample, kpoint: np.ndarray) -> States:
    """Solve the DFT eigenproblem of the whole Hamiltonian in float64 and weight its states."""
    frame = sample.whole
    energies, vectors = scipy.linalg.eigh(
        fold(frame.hamiltonian, sample.offsets, kpoint), fold(frame.overlap, sample.offsets, kpoint)
    )
    middle = 0.5 * (energies[frame.n_occupied - 1] + energies[min(frame.n_occupied, len(energies) - 1)])
    weight = WEIGHT_SCALE_EV / (WEIGHT_SCALE_EV + np.abs(energies - middle))
    weighted = torch.from_numpy((vectors * weight).astype(np.complex64))
    return States(weighted, float(weight.sum() ** 2), np.asarray(kpoint, dtype=float))


def state_error(
    samples: Sequence[Sample],
    states: Sequence[States],
    site_error: Mapping[int, Tensor],
    pair_error: Mapping[SpeciesPair, Tensor],
) -> Tensor:
    """Weighted mean of |C^dagger dH C| over all pairs of states and over the batch, eV.

    Parameters
    ----------
    samples, states
        The samples of the batch and their DFT states.
    site_error, pair_error
        Blocks of dH in the order of the batch's output.
    """
    total = next(iter(site_error.values())).new_zeros(())
    site_parts = {
        z: e.split([len(s.targets.site.get(z, ())) for s in samples]) for z, e in site_error.items()
    }
    pair_parts = {
        k: e.split([len(s.targets.pair.get(k, ())) for s in samples]) for k, e in pair_error.items()
    }
    for number, (sample, state) in enumerate(zip(samples, states)):
        error = fold_tensors(
            sample.frame.structure.numbers,
            sample.offsets,
            state.kpoint,
            {z: parts[number] for z, parts in site_parts.items()},
            {key: parts[number] for key, parts in pair_parts.items() if key in sample.pairs},
            sample.pairs,
        )
        weighted = state.weighted.to(error.device)
        between = weighted.mH @ error @ weighted
        total = total + torch.view_as_real(between).square().sum(-1).add(1e-12).sqrt().sum() / state.norm
    return total / len(samples)
