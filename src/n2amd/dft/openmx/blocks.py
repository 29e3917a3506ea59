"""Atom-pair blocks from the neighbour lists of .scfout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.blocks.matrix import BlockMatrix, PairIndex, SpeciesPair, adjoint, canonical_half
from n2amd.dft.openmx.scfout import REMEDY, Scfout
from n2amd.errors import InputError
from n2amd.units import OPENMX_HARTREE_EV


def gather_blocks(
    path: Path, contents: Scfout, numbers: NDArray[np.int64]
) -> tuple[BlockMatrix, BlockMatrix, float]:
    """Gather the blocks of H and S by species pair, orbitals in native order.

    Parameters
    ----------
    path
        The file, for messages.
    contents
        What it holds.
    numbers
        Atomic numbers, (n_atoms,); atoms of one element have equal orbitals.

    Returns
    -------
    hamiltonian, overlap
        Hermitian half, eV and 1: the mean of the two copies that the file has.
    hermiticity
        Largest difference of the two copies, in H (eV) or S.

    Raises
    ------
    InputError
        If a pair is listed twice, or without its partner.
    """
    partner = _partners(path, contents)
    first = np.cumsum(contents.sizes) - contents.sizes
    pairs = PairIndex(contents.i, contents.j, contents.shift)
    z_i, z_j = numbers[contents.i], numbers[contents.j]
    half_pairs: dict[SpeciesPair, PairIndex] = {}
    hamiltonian: dict[SpeciesPair, NDArray] = {}
    overlap: dict[SpeciesPair, NDArray] = {}
    hermiticity = 0.0
    for key in sorted({(int(a), int(b)) for a, b in zip(z_i, z_j) if a <= b}):
        members = np.flatnonzero((z_i == key[0]) & (z_j == key[1]))
        members = members[canonical_half(pairs.select(members), key[0] == key[1])]
        shape = int(contents.orbitals[contents.i[members[0]]]), int(contents.orbitals[contents.j[members[0]]])
        listed = first[members][:, None] + np.arange(shape[0] * shape[1])
        mirrored = first[partner[members]][:, None] + np.arange(shape[0] * shape[1])
        half_pairs[key] = pairs.select(members)
        for result, spin_blocks in ((hamiltonian, _hamiltonian), (overlap, _overlap)):
            ours = spin_blocks(contents, listed, mirrored, shape)
            theirs = adjoint(spin_blocks(contents, mirrored, listed, shape[::-1]))
            hermiticity = max(hermiticity, float(np.abs(ours - theirs).max(initial=0.0)))
            result[key] = (ours + theirs) / 2
    return BlockMatrix(half_pairs, hamiltonian), BlockMatrix(half_pairs, overlap), hermiticity


def _overlap(
    contents: Scfout, listed: NDArray[np.int64], mirrored: NDArray[np.int64], shape: tuple[int, int]
) -> NDArray:
    return contents.overlap[listed].reshape(1, len(listed), *shape)


def _hamiltonian(
    contents: Scfout, listed: NDArray[np.int64], mirrored: NDArray[np.int64], shape: tuple[int, int]
) -> NDArray:
    """Blocks (n_spin, n_pairs, n_i, n_j) in eV; `mirrored` are the elements of the partners.

    The file has up-up, down-down and up-down of a spinor; down-up is the adjoint of the partner's up-down.
    """
    real, imaginary = contents.hamiltonian, contents.imaginary
    if contents.spin != 3:
        return OPENMX_HARTREE_EV * real[:, listed].reshape(len(real), len(listed), *shape)
    up_down = real[2] + 1j * (real[3] + imaginary[2])
    up, down, across = (
        block.reshape(len(listed), *shape)
        for block in (
            real[0, listed] + 1j * imaginary[0, listed],
            real[1, listed] + 1j * imaginary[1, listed],
            up_down[listed],
        )
    )
    back = up_down[mirrored].reshape(len(listed), *shape[::-1]).conj().swapaxes(-1, -2)
    return OPENMX_HARTREE_EV * np.stack([up, across, back, down])


def _partners(path: Path, contents: Scfout) -> NDArray[np.int64]:
    """Position of the pair (j, i, -R) of every pair (i, j, R), (n_pairs,)."""
    forward = np.column_stack([contents.i, contents.j, contents.shift])
    backward = np.column_stack([contents.j, contents.i, -contents.shift])
    unique, position = np.unique(np.concatenate([forward, backward]), axis=0, return_inverse=True)
    here, there = np.split(position.ravel(), 2)
    place = np.full(len(unique), -1)
    place[here] = np.arange(len(here))
    partner = place[there]
    if len(np.unique(here)) != len(here) or (partner < 0).any():
        raise InputError(
            "a pair of atoms is listed twice, or without its partner",
            file=path,
            field="neighbours",
            remedy=REMEDY,
        )
    return partner
