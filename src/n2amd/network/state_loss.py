"""Error of the Hamiltonian seen by the electronic states: the loss of training stage 2.

With all DFT eigenvectors C(k) of a frame, W = C^dagger dH C is the model's error between states: W_ii is the
band-energy error to first order, W_ij the error of the mixing, which is what enters the couplings. Each state
is weighted by w = E_0 / (E_0 + |E - E_gap|): full weight around the gap, and for the states far above just
enough to keep them there. That matters because overlap matrices of good bases are nearly singular (smallest
eigenvalue 3e-4 in rutile): elements that are right to 1 meV can still drop such a state from 90 eV into the
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

#: E_0 of the weights, eV.
WEIGHT_SCALE_EV = 3.0


@dataclass(frozen=True)
class States:
    """Weighted DFT states of one sample at one k point.

    Attributes
    ----------
    bra
        w C, (n, n), complex64.
    norm
        Sum of w_i w_j.
    kpoint
        Fractional, (3,).
    """

    bra: Tensor
    norm: float
    kpoint: np.ndarray


def orbital_offsets(sample: Sample) -> np.ndarray:
    """First orbital of each atom and the total, from the sample's on-site blocks, (n_atoms + 1,)."""
    size = {z: blocks.shape[1] for z, blocks in sample.targets.site.items()}
    return np.concatenate([[0], np.cumsum([size[int(z)] for z in sample.frame.structure.numbers])])


def solve_states(sample: Sample, kpoint: np.ndarray) -> States:
    """Solve the DFT eigenproblem in float64 and weight its states."""
    frame, offsets = sample.frame, orbital_offsets(sample)
    energies, vectors = scipy.linalg.eigh(
        fold(frame.hamiltonian, offsets, kpoint), fold(frame.overlap, offsets, kpoint)
    )
    middle = 0.5 * (energies[frame.n_occupied - 1] + energies[min(frame.n_occupied, len(energies) - 1)])
    weight = WEIGHT_SCALE_EV / (WEIGHT_SCALE_EV + np.abs(energies - middle))
    bra = torch.from_numpy((vectors * weight).astype(np.complex64))
    return States(bra, float(weight.sum() ** 2), np.asarray(kpoint, dtype=float))


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
    total = torch.zeros((), device=next(iter(site_error.values())).device)
    site_start = dict.fromkeys(site_error, 0)
    pair_start = dict.fromkeys(pair_error, 0)
    for sample, state in zip(samples, states):
        offsets, numbers = orbital_offsets(sample), sample.frame.structure.numbers
        rows, real, imaginary = [], [], []

        def place(
            blocks: Tensor, i: np.ndarray, j: np.ndarray, phase: np.ndarray, offsets: np.ndarray
        ) -> None:
            row = offsets[i][:, None, None] + np.arange(blocks.shape[1])[None, :, None]
            column = offsets[j][:, None, None] + np.arange(blocks.shape[2])[None, None, :]
            rows.append(torch.from_numpy((row * offsets[-1] + column).ravel()))  # noqa: B023
            factor = torch.from_numpy(phase.astype(np.complex64)).to(blocks.device)[:, None, None]
            real.append((blocks * factor.real).flatten())  # noqa: B023
            imaginary.append((blocks * factor.imag).flatten())  # noqa: B023

        for z, target in sample.targets.site.items():
            start = site_start[z]
            site_start[z] = stop = start + len(target)
            atoms = np.flatnonzero(numbers == z)
            place(site_error[z][start:stop], atoms, atoms, np.full(len(atoms), 0.5), offsets)
        for key, target in sample.targets.pair.items():
            start = pair_start[key]
            pair_start[key] = stop = start + len(target)
            index = sample.frame.hamiltonian.pairs[key].select(sample.pair_rows[key])
            phase = np.exp(2j * np.pi * (index.shift @ state.kpoint))
            place(pair_error[key][start:stop], index.i, index.j, phase, offsets)
        n = int(offsets[-1])
        where = torch.cat(rows).to(total.device)
        flat = [
            torch.zeros(n * n, device=total.device).index_add(0, where, torch.cat(v))
            for v in (real, imaginary)
        ]
        half = torch.complex(*flat).reshape(n, n)
        bra = state.bra.to(total.device)
        window = bra.mH @ (half + half.mH) @ bra
        total = total + torch.view_as_real(window).square().sum(-1).add(1e-12).sqrt().sum() / state.norm
    return total / len(samples)
