"""Atom-pair blocks from the orbital-wise sparse matrices of a run."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from n2amd.blocks.matrix import BlockMatrix, PairIndex, SpeciesPair, canonical_half
from n2amd.dft.siesta.constants import Constants
from n2amd.dft.siesta.matrices import SparseMatrices
from n2amd.dft.siesta.spin import ADJOINT_SPIN, spin_axis
from n2amd.structure import Structure


def gather_blocks(
    matrices: SparseMatrices, shift: NDArray[np.int64], structure: Structure, constants: Constants
) -> tuple[BlockMatrix, BlockMatrix, float]:
    """Gather orbital pairs into atom-pair blocks over the union of their sparsity, orbitals in native order.

    Parameters
    ----------
    matrices, structure, constants
        The run.
    shift
        Lattice vector R of every element, (n_elements, 3).

    Returns
    -------
    hamiltonian, overlap
        Hermitian half, (n_spin, n_pairs, n_i, n_j), eV and 1; the mean of the two copies that the file has.
    hermiticity
        Largest difference of the two copies, in H (eV) or S.
    """
    n_atoms = structure.n_atoms
    in_cell = matrices.orbital_atom
    first = np.searchsorted(in_cell, np.arange(n_atoms))
    counts = np.bincount(in_cell, minlength=n_atoms)
    i, j = in_cell[matrices.row], in_cell[matrices.column_orbital]
    reach = int(np.abs(shift).max(initial=0))
    keys = _pair_keys(i, j, shift, reach, n_atoms)
    # the mirrored key of every pair is listed too, so that a partner which the file lacks counts as zero
    partner_keys = _pair_keys(j, i, -shift, reach, n_atoms)
    unique, positions = np.unique(np.concatenate([keys, partner_keys]), return_inverse=True)
    pair_of_element = positions[: len(keys)]
    pairs = _pairs_of_keys(unique, reach, n_atoms)
    partner = np.searchsorted(unique, _pair_keys(pairs.j, pairs.i, -pairs.shift, reach, n_atoms))
    row = matrices.row - first[i]
    column = matrices.column_orbital - first[j]
    hamiltonian = spin_axis(matrices.hamiltonian) * constants.rydberg
    adjoint = [*ADJOINT_SPIN[len(hamiltonian)], len(hamiltonian)]
    values = np.concatenate([hamiltonian, matrices.overlap[None]])
    z_i, z_j = structure.numbers[pairs.i], structure.numbers[pairs.j]
    dense: dict[SpeciesPair, NDArray] = {}
    place = np.empty(len(unique), dtype=np.int64)
    for key in sorted({(int(a), int(b)) for a, b in zip(z_i, z_j)}):
        members = np.flatnonzero((z_i == key[0]) & (z_j == key[1]))
        place[members] = np.arange(len(members))
        shape = counts[pairs.i[members[0]]], counts[pairs.j[members[0]]]
        dense[key] = np.zeros((len(values), len(members), *shape), dtype=values.dtype)
        chosen = (z_i[pair_of_element] == key[0]) & (z_j[pair_of_element] == key[1])
        dense[key][:, place[pair_of_element[chosen]], row[chosen], column[chosen]] = values[:, chosen]
    half_pairs: dict[SpeciesPair, PairIndex] = {}
    half_values: dict[SpeciesPair, NDArray] = {}
    hermiticity = 0.0
    for z_pair, blocks in dense.items():
        if z_pair[0] > z_pair[1]:
            continue
        members = np.flatnonzero((z_i == z_pair[0]) & (z_j == z_pair[1]))
        index = pairs.select(members)
        mirrored = dense[z_pair[::-1]][:, place[partner[members]]][adjoint].conj().swapaxes(-1, -2)
        hermiticity = max(hermiticity, float(np.abs(blocks - mirrored).max(initial=0.0)))
        half = canonical_half(index, z_pair[0] == z_pair[1])
        half_pairs[z_pair] = index.select(half)
        half_values[z_pair] = (blocks[:, half] + mirrored[:, half]) / 2
    return (
        BlockMatrix(half_pairs, {key: blocks[:-1] for key, blocks in half_values.items()}),
        BlockMatrix(half_pairs, {key: blocks[-1:].real for key, blocks in half_values.items()}),
        hermiticity,
    )


def _pair_keys(
    i: NDArray[np.int64], j: NDArray[np.int64], shift: NDArray[np.int64], reach: int, n_atoms: int
) -> NDArray[np.int64]:
    """One integer for each (i, j, R), ordered like the tuples."""
    width = 2 * reach + 1
    a, b, c = shift.T + reach
    return (((i * n_atoms + j) * width + a) * width + b) * width + c


def _pairs_of_keys(keys: NDArray[np.int64], reach: int, n_atoms: int) -> PairIndex:
    """Inverse of `_pair_keys`."""
    width = 2 * reach + 1
    rest, c = np.divmod(keys, width)
    rest, b = np.divmod(rest, width)
    rest, a = np.divmod(rest, width)
    i, j = np.divmod(rest, n_atoms)
    return PairIndex(i, j, np.stack([a, b, c], axis=-1) - reach)
