"""Matrices of atom-pair blocks, M_ij(R) = <phi_i0 | M | phi_jR>, grouped by species pair.

One group holds all pairs of one species pair as one dense array, so that every kernel is a batched
operation. Hermitian matrices store each pair once: z_i < z_j, or equal species with i < j, or i = j with
R = 0 or R "positive" (first non-zero component > 0). M(k) = sum_R exp(2 pi i k.R) M(R), k fractional.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from n2amd.structure import Structure

SpeciesPair = tuple[int, int]

# by the length of the spin axis: where the adjoint finds its components, and which components S has
_ADJOINT_SPIN = {1: [0], 2: [0, 1], 4: [0, 2, 1, 3]}
_SPIN_DIAGONAL = {1: [1.0], 2: [1.0, 1.0], 4: [1.0, 0.0, 0.0, 1.0]}


@dataclass(frozen=True)
class PairIndex:
    """Indices of the pairs of one species pair.

    Attributes
    ----------
    i, j
        Atom indices, (n_pairs,).
    shift
        Lattice vector R of atom j in units of the cell, (n_pairs, 3): the bond is
        positions[j] + shift @ cell - positions[i].
    """

    i: NDArray[np.int64]
    j: NDArray[np.int64]
    shift: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.i)

    @property
    def on_site(self) -> NDArray[np.bool_]:
        """Mask of the on-site blocks (i = j, R = 0), (n_pairs,)."""
        return (self.i == self.j) & ~self.shift.any(axis=1)

    def vectors(self, bra: Structure, ket: Structure | None = None) -> NDArray[np.float64]:
        """Bond vectors (n_pairs, 3) in Angstrom, from atom i of `bra` to atom j of `ket` (default: `bra`)."""
        ket = bra if ket is None else ket
        return ket.positions[self.j] + self.shift @ ket.cell - bra.positions[self.i]

    def select(self, mask: NDArray) -> PairIndex:
        """Return the pairs chosen by a mask or an index array."""
        return PairIndex(self.i[mask], self.j[mask], self.shift[mask])

    def reversed(self) -> PairIndex:
        """Return the partners (j, i, -R)."""
        return PairIndex(self.j, self.i, -self.shift)

    def same_as(self, other: PairIndex) -> bool:
        """Return whether both list the same pairs in the same order."""
        return self is other or all(
            np.array_equal(a, b) for a, b in ((self.i, other.i), (self.j, other.j), (self.shift, other.shift))
        )


@dataclass(frozen=True)
class BlockMatrix:
    """A real-space matrix of one structure.

    Attributes
    ----------
    pairs
        Pairs per species pair (z_i, z_j).
    values
        Blocks per species pair, (n_spin, n_pairs, n_i, n_j). The spin axis is 1 (spinless), 2 (up, down) or,
        for spinors and then complex, 4 (up-up, up-down, down-up, down-down).
    hermitian
        True: z_i <= z_j and each pair is stored once, the partner M_ji(-R) = M_ij(R)^dagger is implied (for
        spinors the dagger acts on spin too).
        False: exactly the pairs listed are present (cross-time overlaps).
    """

    pairs: Mapping[SpeciesPair, PairIndex]
    values: Mapping[SpeciesPair, NDArray]
    hermitian: bool = True

    @property
    def n_spin(self) -> int:
        """Length of the leading spin axis."""
        return next(iter(self.values.values())).shape[0]

    def map(self, values: Mapping[SpeciesPair, NDArray]) -> BlockMatrix:
        """Return a matrix with the same pairs and other values."""
        return BlockMatrix(self.pairs, values, self.hermitian)


def canonical_half(pairs: PairIndex, same_species: bool) -> NDArray[np.bool_]:
    """Mask of the pairs that a Hermitian matrix stores (n_pairs,); the others are their partners.

    For two species it is all pairs of the group z_i < z_j, whose partners form the group (z_j, z_i).
    """
    if not same_species:
        return np.ones(len(pairs), dtype=bool)
    a, b, c = pairs.shift.T
    positive = (a > 0) | ((a == 0) & ((b > 0) | ((b == 0) & (c >= 0))))
    return (pairs.i < pairs.j) | ((pairs.i == pairs.j) & positive)


def adjoint(blocks: NDArray) -> NDArray:
    """Adjoint (n_spin, n_pairs, n_j, n_i) of blocks (n_spin, n_pairs, n_i, n_j), of spinors too."""
    return blocks[_ADJOINT_SPIN[len(blocks)]].conj().swapaxes(-1, -2)


def with_partners(matrix: BlockMatrix) -> BlockMatrix:
    """Write out the implied partners: the result lists every directed pair and has `hermitian=False`."""
    if not matrix.hermitian:
        return matrix
    pairs: dict[SpeciesPair, PairIndex] = {}
    values: dict[SpeciesPair, NDArray] = {}
    for (zi, zj), index in matrix.pairs.items():
        blocks = matrix.values[zi, zj]
        off = ~index.on_site
        partner, partner_blocks = index.select(off).reversed(), adjoint(blocks)[:, off]
        if zi == zj:
            pairs[zi, zj] = PairIndex(
                np.concatenate([index.i, partner.i]),
                np.concatenate([index.j, partner.j]),
                np.concatenate([index.shift, partner.shift]),
            )
            values[zi, zj] = np.concatenate([blocks, partner_blocks], axis=1)
        else:
            pairs[zi, zj], values[zi, zj] = index, blocks
            pairs[zj, zi], values[zj, zi] = partner, partner_blocks
    return BlockMatrix(pairs, values, hermitian=False)


def fold(
    matrix: BlockMatrix, offsets: NDArray[np.int64], k: NDArray[np.float64] | None = None, spin: int = 0
) -> NDArray:
    """Fold to a dense matrix at one k point.

    Parameters
    ----------
    matrix
        Real-space matrix.
    offsets
        First orbital of each atom and the total, (n_atoms + 1,), from `Basis.orbital_offsets`.
    k
        Fractional k point (3,), or None for Gamma, where a real matrix stays real.
    spin
        Index on the spin axis: 0 or 1 of a collinear matrix, one of the four quadrants of a spinor's.

    Returns
    -------
    dense
        (n, n); M(k) = sum_R exp(2 pi i k.R) M(R).
    """
    listed = _fold_listed(matrix, offsets, k, spin)
    if not matrix.hermitian:
        return listed
    mirrored = _ADJOINT_SPIN[matrix.n_spin][spin]
    partners = listed if mirrored == spin else _fold_listed(matrix, offsets, k, mirrored)
    return listed + partners.conj().T


def _fold_listed(
    matrix: BlockMatrix, offsets: NDArray[np.int64], k: NDArray[np.float64] | None, spin: int
) -> NDArray:
    """Fold the listed pairs alone, on-site blocks of a Hermitian matrix with half weight."""
    n = int(offsets[-1])
    at_gamma = k is None or not np.any(k)
    source = next(iter(matrix.values.values()))
    dense = np.zeros(n * n, dtype=source.dtype if at_gamma else np.complex128)
    for (zi, zj), index in matrix.pairs.items():
        blocks = matrix.values[zi, zj][spin]
        if matrix.hermitian:
            # adding the adjoint restores them
            blocks = blocks * np.where(index.on_site, 0.5, 1.0)[:, None, None]
        if not at_gamma:
            blocks = blocks * np.exp(2j * np.pi * (index.shift @ np.asarray(k)))[:, None, None]
        rows = offsets[index.i][:, None, None] + np.arange(blocks.shape[1])[None, :, None]
        columns = offsets[index.j][:, None, None] + np.arange(blocks.shape[2])[None, None, :]
        target = (rows * n + columns).ravel()
        if np.iscomplexobj(dense):
            dense += np.bincount(target, blocks.real.ravel(), n * n)
            if np.iscomplexobj(blocks):
                dense += 1j * np.bincount(target, blocks.imag.ravel(), n * n)
        else:
            dense += np.bincount(target, blocks.ravel(), n * n)
    return dense.reshape(n, n)


def fold_mesh(
    matrix: BlockMatrix, offsets: NDArray[np.int64], kpoints: NDArray[np.float64], spin: int = 0
) -> NDArray[np.complex128]:
    """Fold to dense matrices at many k points: `fold` for each of them, in one product per atom pair.

    Parameters
    ----------
    matrix, offsets, spin
        As for `fold`.
    kpoints
        Fractional k points, (n_k, 3).

    Returns
    -------
    dense
        (n_k, n, n).
    """
    listed = _mesh_of_listed(matrix, offsets, kpoints, spin)
    if not matrix.hermitian:
        return listed
    mirrored = _ADJOINT_SPIN[matrix.n_spin][spin]
    partners = listed if mirrored == spin else _mesh_of_listed(matrix, offsets, kpoints, mirrored)
    return listed + partners.conj().swapaxes(-1, -2)


def _mesh_of_listed(
    matrix: BlockMatrix, offsets: NDArray[np.int64], kpoints: NDArray[np.float64], spin: int
) -> NDArray[np.complex128]:
    """Fold the listed pairs alone, on-site blocks of a Hermitian matrix with half weight."""
    n = int(offsets[-1])
    dense = np.zeros((len(kpoints), n, n), dtype=np.complex128)
    for key, index in matrix.pairs.items():
        order = np.lexsort((index.j, index.i))
        i, j = index.i[order], index.j[order]
        phases = np.exp(2j * np.pi * (kpoints @ index.shift[order].T))
        if matrix.hermitian:
            # adding the adjoint restores them
            phases[:, index.on_site[order]] *= 0.5
        blocks = matrix.values[key][spin][order]
        elements = blocks.reshape(len(order), -1).astype(np.complex128)
        borders = np.flatnonzero(np.diff(i, prepend=-1) | np.diff(j, prepend=-1)).tolist()
        for begin, end in zip(borders, [*borders[1:], len(order)]):
            rows, columns = (slice(*offsets[atom : atom + 2]) for atom in (i[begin], j[begin]))
            summed = phases[:, begin:end] @ elements[begin:end]
            dense[:, rows, columns] += summed.reshape(-1, *blocks.shape[1:])
    return dense


def fold_spinor(
    matrix: BlockMatrix, offsets: NDArray[np.int64], kpoints: NDArray[np.float64]
) -> NDArray[np.complex128]:
    """Fold a spinor's four quadrants, or an overlap for each spin, to one matrix at each k point.

    Parameters
    ----------
    matrix
        Spinor matrix (n_spin = 4), or one that knows no spin (n_spin = 1) and repeats for up and down.
    offsets
        As for `fold`.
    kpoints
        Fractional k points, (n_k, 3).

    Returns
    -------
    dense
        (n_k, 2 n, 2 n), all orbitals with spin up, then all with spin down.
    """
    if matrix.n_spin == 1:
        up = fold_mesh(matrix, offsets, kpoints)
        return np.block([[up, np.zeros_like(up)], [np.zeros_like(up), up]])
    upup, updown, downup, downdown = (fold_mesh(matrix, offsets, kpoints, part) for part in range(4))
    return np.block([[upup, updown], [downup, downdown]])


def inner_product(a: BlockMatrix, b: BlockMatrix) -> float:
    """Frobenius inner product Re <A, B> per cell and summed over spin, implied partners counted.

    Raises
    ------
    ValueError
        If the two matrices do not list the same pairs.
    """
    _require_same_pairs(a, b)
    total = 0.0
    for key, index in a.pairs.items():
        weight = np.where(index.on_site, 1.0, 2.0) if a.hermitian else np.ones(len(index))
        product = (a.values[key].conj() * b.values[key]).real.sum(axis=(-1, -2))
        total += float((product * weight).sum())
    return total


def gauge_shift(hamiltonian: BlockMatrix, overlap: BlockMatrix) -> float:
    """Return mu = <H, S> / <S, S>, eV: the least-squares multiple of S in H, rotation invariant."""
    spread = _on_spin(overlap, hamiltonian.n_spin)
    return inner_product(hamiltonian, spread) / inner_product(spread, spread)


def add_overlap(hamiltonian: BlockMatrix, overlap: BlockMatrix, shift: float) -> BlockMatrix:
    """Return H + shift * S: the same physics with every eigenvalue moved by `shift` (eV)."""
    _require_same_pairs(hamiltonian, overlap)
    spread = _on_spin(overlap, hamiltonian.n_spin)
    return hamiltonian.map(
        {key: blocks + shift * spread.values[key] for key, blocks in hamiltonian.values.items()}
    )


def spin_channel(matrix: BlockMatrix, spin: int) -> BlockMatrix:
    """Return one component of the spin axis as a matrix without spin; its blocks are views."""
    return matrix.map({key: blocks[spin : spin + 1] for key, blocks in matrix.values.items()})


def _on_spin(overlap: BlockMatrix, n_spin: int) -> BlockMatrix:
    """Return the overlap, which knows no spin, on the spin axis of a Hamiltonian."""
    diagonal = np.array(_SPIN_DIAGONAL[n_spin])[:, None, None, None]
    return overlap.map({key: diagonal * blocks for key, blocks in overlap.values.items()})


def _require_same_pairs(a: BlockMatrix, b: BlockMatrix) -> None:
    same_groups = a.hermitian == b.hermitian and a.pairs.keys() == b.pairs.keys()
    if not same_groups or not all(index.same_as(b.pairs[key]) for key, index in a.pairs.items()):
        raise ValueError("the two matrices do not list the same pairs")
