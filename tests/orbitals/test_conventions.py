"""Orbital orders of the codes: the published tables, round trips, and real data."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from n2amd.blocks.matrix import BlockMatrix, PairIndex
from n2amd.errors import InputError
from n2amd.frames.frame import Frame
from n2amd.orbitals.basis import AtomBasis, Basis, Shell
from n2amd.orbitals.conventions import (
    Code,
    atom_convention,
    from_canonical,
    shell_convention,
    to_canonical,
    two_centre_residual,
)

BASIS = Basis(
    {
        1: AtomBasis(1, (Shell(0, "1s"), Shell(1, "2p"))),
        22: AtomBasis(22, (Shell(0, "4s"), Shell(1, "3p"), Shell(2, "3d"), Shell(3, "4f"))),
    }
)


def random_matrix(n_spin: int = 1) -> BlockMatrix:
    rng = np.random.default_rng(1)
    one = PairIndex(np.array([0, 0]), np.array([1, 0]), np.zeros((2, 3), np.int64))
    counts = {z: BASIS[z].n_orbitals for z in BASIS.numbers}
    keys = [(1, 22), (22, 22)]
    values = {key: rng.normal(size=(n_spin, 2, counts[key[0]], counts[key[1]])) for key in keys}
    return BlockMatrix(dict.fromkeys(keys, one), values)


@pytest.mark.parametrize(
    ("code", "permutations"),
    [
        ("openmx", {1: [1, 2, 0], 2: [2, 4, 0, 3, 1], 3: [6, 4, 2, 0, 1, 3, 5]}),
        ("abacus", {1: [2, 0, 1], 2: [4, 2, 0, 1, 3], 3: [6, 4, 2, 0, 1, 3, 5]}),
        ("pyscf", {1: [1, 2, 0], 2: [0, 1, 2, 3, 4], 3: [0, 1, 2, 3, 4, 5, 6]}),
        ("cp2k", {1: [0, 1, 2], 2: [0, 1, 2, 3, 4]}),
        ("honpas", {1: [0, 1, 2], 2: [0, 1, 2, 3, 4]}),
    ],
)
def test_permutations(code: Code, permutations: dict[int, list[int]]) -> None:
    for l, expected in permutations.items():
        permutation, sign = shell_convention(code, l)
        assert permutation.tolist() == expected
        alternating = (-1.0) ** np.arange(-l, l + 1)
        np.testing.assert_array_equal(
            sign, alternating if code in ("abacus", "honpas") else np.ones(2 * l + 1)
        )


def test_shells_of_an_atom_follow_each_other() -> None:
    permutation, sign = atom_convention("openmx", BASIS[22])
    assert permutation.tolist() == [0, 2, 3, 1, 6, 8, 4, 7, 5, 15, 13, 11, 9, 10, 12, 14]
    assert np.all(sign == 1)


@pytest.mark.parametrize("code", get_args(Code))
def test_round_trip(code: Code) -> None:
    matrix = random_matrix(n_spin=2)
    there = to_canonical(matrix, BASIS, code)
    back = from_canonical(there, BASIS, code)
    for key, blocks in matrix.values.items():
        np.testing.assert_array_equal(back.values[key], blocks)
        np.testing.assert_allclose(np.linalg.norm(there.values[key]), np.linalg.norm(blocks))


def test_pyscf_p_shell_by_hand() -> None:
    index = PairIndex(np.array([0]), np.array([1]), np.zeros((1, 3), np.int64))
    native = np.array(
        [
            ["ss", "sx", "sy", "sz"],
            ["xs", "xx", "xy", "xz"],
            ["ys", "yx", "yy", "yz"],
            ["zs", "zx", "zy", "zz"],
        ]
    )
    codes = np.arange(16.0).reshape(4, 4)
    result = to_canonical(BlockMatrix({(1, 1): index}, {(1, 1): codes[None, None]}), BASIS, "pyscf")
    names = native.ravel()[result.values[1, 1][0, 0].astype(int)]
    assert names.tolist() == [
        ["ss", "sy", "sz", "sx"],
        ["ys", "yy", "yz", "yx"],
        ["zs", "zy", "zz", "zx"],
        ["xs", "xy", "xz", "xx"],
    ]


def test_unknown_code_and_shell() -> None:
    with pytest.raises(InputError, match="choose one of siesta"):
        shell_convention("vasp", 1)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="l = 4"):
        shell_convention("openmx", 4)


def test_two_centre_residual_of_a_real_overlap(tio2_frames: list[Frame], tio2_basis: Basis) -> None:
    frame = tio2_frames[0]
    assert two_centre_residual(frame.overlap, tio2_basis, frame.structure) < 1e-7
    native = from_canonical(frame.overlap, tio2_basis, "honpas")
    for wrong in ("canonical", "openmx", "abacus", "pyscf", "cp2k"):
        converted = to_canonical(native, tio2_basis, wrong)
        assert two_centre_residual(converted, tio2_basis, frame.structure) > 0.05, wrong


def test_hamiltonian_is_not_two_centre(tio2_frames: list[Frame], tio2_basis: Basis) -> None:
    frame = tio2_frames[0]
    assert two_centre_residual(frame.hamiltonian, tio2_basis, frame.structure) > 0.1
