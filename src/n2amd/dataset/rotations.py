"""Do frames that are rotations of each other have rotated matrices?

M(R x) = D M D^T, D the rotation of the real harmonics: the test of a converter's orbital order and signs that
needs neither bands nor radial functions. It is run on a few copies of one geometry, turned at will.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from n2amd.blocks.matrix import BlockMatrix, with_partners
from n2amd.errors import InputError
from n2amd.frames.frame import Frame
from n2amd.orbitals.basis import Basis
from n2amd.orbitals.harmonics import real_wigner
from n2amd.structure import Structure

#: Distance up to which a rotated atom, or a rotated bond, is the other frame's, Angstrom.
SAME_PLACE = 1e-3


@dataclass(frozen=True)
class Rotated:
    """How far a frame is from the rotated first one.

    Attributes
    ----------
    name
        Of the frame.
    angle
        Of the rotation, degrees.
    hamiltonian_error, overlap_error
        Largest element of M(R x) - D M D^T, eV and 1.
    compared, alone
        Blocks that were compared, and blocks (with a pair in one of the frames only) that were not.
    """

    name: str
    angle: float
    hamiltonian_error: float
    overlap_error: float
    compared: int
    alone: int


def rotation_between(first: Structure, second: Structure) -> NDArray[np.float64]:
    """Return the proper rotation Q (3, 3) with x_2 = Q x_1 up to a translation; cells may turn along or not.

    Raises
    ------
    InputError
        If there is none, or the atoms stand on a line, which leaves it open.
    """
    remedy = "pass frames that are rotations of one geometry, with equal orders of the atoms"
    if not np.array_equal(first.numbers, second.numbers):
        raise InputError("the frames have other atoms", field="structure", remedy=remedy)
    turned = np.allclose(first.cell @ first.cell.T, second.cell @ second.cell.T, atol=SAME_PLACE)
    fixed = np.allclose(first.cell, second.cell, atol=SAME_PLACE)
    a, b = first.positions - first.positions[0], second.positions - second.positions[0]
    if turned and not fixed:
        a, b = np.vstack([a, first.cell]), np.vstack([b, second.cell])
    if np.linalg.matrix_rank(a, tol=0.1) < 2:
        raise InputError("atoms on a line do not tell their rotation", field="structure", remedy=remedy)
    u, _, v = np.linalg.svd(b.T @ a)
    rotation = u @ np.diag([1.0, 1.0, np.linalg.det(u @ v)]) @ v
    distance = float(np.linalg.norm(a @ rotation.T - b, axis=1).max())
    if distance > SAME_PLACE:
        raise InputError(f"no rotation: atoms stay {distance:.3g} A apart", field="structure", remedy=remedy)
    return rotation


def compare(first: Frame, second: Frame, basis: Basis) -> Rotated:
    """Compare the matrices of a frame with the rotated ones of the first.

    Raises
    ------
    InputError
        If the geometries are no rotations of each other, or H is that of a spinor, which turns too.
    """
    if first.hamiltonian.n_spin == 4:
        raise InputError(
            "spinors turn with the frame, which is not compared here",
            field="spin",
            remedy="compare runs without spin-orbit coupling",
        )
    rotation = rotation_between(first.structure, second.structure)
    error, compared, alone = {}, 0, 0
    for name in ("overlap", "hamiltonian"):
        error[name], compared, alone = _difference(
            getattr(first, name), getattr(second, name), first.structure, second.structure, basis, rotation
        )
    cosine = np.clip(0.5 * (np.trace(rotation) - 1.0), -1.0, 1.0)
    return Rotated(
        second.name,
        float(np.degrees(np.arccos(cosine))),
        error["hamiltonian"],
        error["overlap"],
        compared,
        alone,
    )


def _difference(
    first: BlockMatrix,
    second: BlockMatrix,
    at_first: Structure,
    at_second: Structure,
    basis: Basis,
    rotation: NDArray[np.float64],
) -> tuple[float, int, int]:
    """Largest difference, and the number of pairs that are in both matrices and in one of them."""
    largest, compared, alone = 0.0, 0, 0
    one, other = with_partners(first), with_partners(second)
    for (zi, zj), pairs in one.pairs.items():
        bra, ket = (_turn([shell.l for shell in basis[z].shells], rotation) for z in (zi, zj))
        there = other.pairs.get((zi, zj))
        if there is None:
            alone += len(pairs)
            continue
        expected = pairs.vectors(at_first) @ rotation.T
        found = there.vectors(at_second)
        matched = 0
        for p, (i, j, vector) in enumerate(zip(pairs.i, pairs.j, expected)):
            candidates = np.flatnonzero((there.i == i) & (there.j == j))
            distance = np.linalg.norm(found[candidates] - vector, axis=1)
            if len(candidates) == 0 or distance.min() > 3 * SAME_PLACE:
                continue
            q = candidates[distance.argmin()]
            rotated = bra @ one.values[zi, zj][:, p] @ ket.T
            largest = max(largest, float(np.abs(other.values[zi, zj][:, q] - rotated).max()))
            matched += 1
        compared += matched
        alone += len(pairs) + len(there) - 2 * matched
    return largest, compared, alone


def _turn(ls: Sequence[int], rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotation of all orbitals of an atom."""
    return scipy.linalg.block_diag(*(real_wigner(l, rotation) for l in ls))
