"""Differentiable folding of predicted blocks to a dense matrix at one k point."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from n2amd.blocks.matrix import PairIndex, SpeciesPair


def fold_tensors(
    numbers: NDArray[np.int64],
    offsets: NDArray[np.int64],
    kpoint: NDArray[np.float64],
    site: Mapping[int, Tensor],
    pair: Mapping[SpeciesPair, Tensor],
    pairs: Mapping[SpeciesPair, PairIndex],
) -> Tensor:
    """Return M(k) = sum_R exp(2 pi i k.R) M(R) of Hermitian blocks, (n, n), complex.

    Parameters
    ----------
    numbers
        Atomic numbers, (n_atoms,).
    offsets
        First orbital of each atom and the total, (n_atoms + 1,).
    kpoint
        Fractional, (3,).
    site, pair
        Blocks as the network gives them: on-site per element, off-site per species pair, each pair once.
    pairs
        The off-site pairs, in the order of `pair`.
    """
    n = int(offsets[-1])
    like = next(iter(site.values()))
    where, real, imaginary = [], [], []

    def place(blocks: Tensor, i: NDArray[np.int64], j: NDArray[np.int64], phase: NDArray) -> None:
        row = offsets[i][:, None, None] + np.arange(blocks.shape[1])[None, :, None]
        column = offsets[j][:, None, None] + np.arange(blocks.shape[2])[None, None, :]
        where.append(torch.from_numpy((row * n + column).ravel()))
        cosine, sine = (torch.as_tensor(part, dtype=blocks.dtype, device=blocks.device) for part in phase)
        real.append((blocks * cosine[:, None, None]).flatten())
        imaginary.append((blocks * sine[:, None, None]).flatten())

    for z, blocks in site.items():
        atoms = np.flatnonzero(numbers == z)
        half = np.full(len(atoms), 0.5)  # the adjoint added below restores the other half
        place(blocks, atoms, atoms, np.stack([half, 0 * half]))
    for key, blocks in pair.items():
        angle = 2 * np.pi * (pairs[key].shift @ kpoint)
        place(blocks, pairs[key].i, pairs[key].j, np.stack([np.cos(angle), np.sin(angle)]))
    target = torch.cat(where).to(like.device)
    flat = [like.new_zeros(n * n).index_add(0, target, torch.cat(part)) for part in (real, imaginary)]
    half_matrix = torch.complex(*flat).reshape(n, n)
    return half_matrix + half_matrix.mH
