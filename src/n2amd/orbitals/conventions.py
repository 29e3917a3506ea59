"""Orbital orders and signs of DFT codes, and their conversion to the canonical convention.

A code's real harmonics of one l differ from the canonical ones (m = -l..l, no Condon-Shortley sign) by a
permutation and by a sign per m:  canonical = sign * native[permutation].

The signs (-1)^m are a half turn about z: on-site blocks and crystals along the axes cannot see a missing
one. Only bonds in general directions can, which is what `two_centre_residual` measures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from n2amd.blocks.matrix import BlockMatrix
from n2amd.errors import InputError
from n2amd.orbitals.basis import AtomBasis, Basis
from n2amd.orbitals.harmonics import bond_rotation, real_wigner
from n2amd.structure import Structure

Code = Literal["siesta", "honpas", "openmx", "abacus", "pyscf", "cp2k", "deeph", "canonical"]


def _ascending(l: int) -> list[int]:
    """List m = -l..l."""
    return list(range(-l, l + 1))


def _alternating(l: int) -> list[int]:
    """List m = 0, +1, -1, +2, -2, ..."""
    return [0] + [sign * m for m in range(1, l + 1) for sign in (1, -1)]


def _cartesian_p(l: int) -> list[int]:
    """List p as x, y, z, and the other shells as m = -l..l."""
    return [1, -1, 0] if l == 1 else _ascending(l)


def _openmx(l: int) -> list[int]:
    """List p as x, y, z; d as z2, x2-y2, xy, xz, yz; f as m = 0, +1, -1, +2, -2, +3, -3."""
    if l > 3:
        raise InputError(f"OpenMX has no shells of l = {l}", field="l", remedy="use l <= 3")
    return {1: [1, -1, 0], 2: [0, 2, -2, 1, -1]}.get(l, _alternating(l))


@dataclass(frozen=True)
class _Convention:
    """The m of a code's orbitals in its own order, and whether its harmonics carry (-1)^m."""

    order: Callable[[int], list[int]]
    alternating_sign: bool = False


_CONVENTIONS: Mapping[str, _Convention] = {
    "canonical": _Convention(_ascending),
    "siesta": _Convention(_ascending, alternating_sign=True),
    "honpas": _Convention(_ascending, alternating_sign=True),
    "openmx": _Convention(_openmx),
    "abacus": _Convention(_alternating, alternating_sign=True),
    "pyscf": _Convention(_cartesian_p),
    "cp2k": _Convention(_ascending),
    "deeph": _Convention(_ascending),  # its present folders; the legacy ones are in OpenMX' order
}


def shell_convention(code: Code, l: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Permutation and sign that take one shell of a code to the canonical order.

    Returns
    -------
    permutation, sign
        (2 l + 1,) each; canonical = sign * native[permutation].

    Raises
    ------
    InputError
        If the code is unknown, or has no such shells.
    """
    if code not in _CONVENTIONS:
        known = ", ".join(get_args(Code))
        raise InputError(f"unknown DFT code {code!r}", field="code", remedy=f"choose one of {known}")
    convention = _CONVENTIONS[code]
    native = convention.order(l)
    permutation = np.array([native.index(m) for m in _ascending(l)])
    odd = np.abs(_ascending(l)) % 2
    return permutation, np.where(odd, -1.0, 1.0) if convention.alternating_sign else np.ones(2 * l + 1)


def atom_convention(code: Code, atom: AtomBasis) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Permutation and sign of all orbitals of an atom, (n_orbitals,) each; the shells keep their order."""
    permutations, signs = [], []
    for shell, start in zip(atom.shells, atom.offsets):
        permutation, sign = shell_convention(code, shell.l)
        permutations.append(start + permutation)
        signs.append(sign)
    return np.concatenate(permutations), np.concatenate(signs)


def to_canonical(matrix: BlockMatrix, basis: Basis, code: Code) -> BlockMatrix:
    """Bring a matrix from a code's orbital order and signs to the canonical convention.

    Parameters
    ----------
    matrix
        Blocks in the code's own convention, shells in the order of `basis`.
    basis
        Shells of every element.
    code
        The code that wrote the matrix.

    Returns
    -------
    matrix
        The same pairs, converted blocks.
    """
    return _convert(matrix, basis, code, inverse=False)


def from_canonical(matrix: BlockMatrix, basis: Basis, code: Code) -> BlockMatrix:
    """Inverse of `to_canonical`."""
    return _convert(matrix, basis, code, inverse=True)


def _convert(matrix: BlockMatrix, basis: Basis, code: Code, *, inverse: bool) -> BlockMatrix:
    maps = {z: atom_convention(code, basis[z]) for z in {z for key in matrix.pairs for z in key}}
    if inverse:
        backward = {z: np.argsort(permutation) for z, (permutation, _) in maps.items()}
        maps = {z: (backward[z], sign[backward[z]]) for z, (_, sign) in maps.items()}
    values = {}
    for (zi, zj), blocks in matrix.values.items():
        (rows, row_sign), (columns, column_sign) = maps[zi], maps[zj]
        values[zi, zj] = blocks[..., rows[:, None], columns] * (row_sign[:, None] * column_sign)
    return matrix.map(values)


def two_centre_residual(matrix: BlockMatrix, basis: Basis, structure: Structure) -> float:
    """Largest element of a two-centre matrix that two-centre symmetry forbids.

    Rotated to the bond frame, a block of the overlap is diagonal in |m| and, by reflection, in the sign of m
    too, with equal elements for m and -m. A wrong order or sign leaves 0.1 to 1 here.

    Parameters
    ----------
    matrix
        Overlap in the canonical convention.
    basis
        Shells of every element.
    structure
        Positions that the pairs refer to.

    Returns
    -------
    residual
        Largest absolute forbidden part over all off-site blocks; 0 if there are none.
    """
    worst = 0.0
    for (zi, zj), index in matrix.pairs.items():
        off_site = ~index.on_site
        if not off_site.any():
            continue
        rotation = bond_rotation(index.select(off_site).vectors(structure))
        blocks = matrix.values[zi, zj][:, off_site]
        wigner = {l: real_wigner(l, rotation) for l in {s.l for z in (zi, zj) for s in basis[z].shells}}
        for bra, rows in basis[zi].shell_slices():
            for ket, columns in basis[zj].shell_slices():
                turned = wigner[bra.l] @ blocks[..., rows, columns] @ wigner[ket.l].swapaxes(-1, -2)
                worst = max(worst, float(np.abs(turned - _axial_part(turned)).max()))
    return worst


def _axial_part(blocks: NDArray) -> NDArray:
    """Part of blocks (..., 2 l1 + 1, 2 l2 + 1) along z that two centres allow: equal for m and -m."""
    allowed = np.zeros_like(blocks)
    l1, l2 = blocks.shape[-2] // 2, blocks.shape[-1] // 2
    for m in range(min(l1, l2) + 1):
        mean = (blocks[..., l1 + m, l2 + m] + blocks[..., l1 - m, l2 - m]) / 2
        allowed[..., l1 + m, l2 + m] = allowed[..., l1 - m, l2 - m] = mean
    return allowed
