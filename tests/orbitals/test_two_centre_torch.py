"""The torch kernel against the numpy one, and its derivatives against the analytic ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from n2amd.errors import InputError
from n2amd.frames.frame import Frame
from n2amd.orbitals.basis import Basis
from n2amd.orbitals.two_centre import OverlapTable, overlap, overlap_derivative, overlapping_pairs
from n2amd.orbitals.two_centre_torch import TorchOverlapTable

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.fixture(scope="module")
def table(gaussian_basis: Basis) -> OverlapTable:
    return OverlapTable.from_basis(gaussian_basis)


def bonds(n: int, seed: int = 0) -> np.ndarray:
    random = 1.5 * np.random.default_rng(seed).normal(size=(n, 3))
    return np.concatenate([random, [[0, 0, 0], [0, 0, -1.0], [0, 1e-3, 0], [50.0, 0, 0]]])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("key", [(1, 1), (1, 6), (6, 1), (6, 6)])
def test_equals_the_numpy_kernel(table: OverlapTable, key: tuple[int, int], device: str) -> None:
    v = bonds(200)
    on_device = TorchOverlapTable.from_table(table, device)
    np.testing.assert_allclose(on_device.evaluate(key, v), table.evaluate(key, v), atol=1e-14)


@pytest.mark.parametrize("key", [(1, 6), (6, 1), (6, 6)])
def test_three_derivatives_agree(table: OverlapTable, key: tuple[int, int]) -> None:
    """Reverse mode, forward mode and the analytic gradient, at a zero bond too."""
    on_torch = TorchOverlapTable.from_table(table)
    v, u = bonds(6), np.random.default_rng(1).normal(size=(10, 3))
    vectors, directions = torch.from_numpy(v), torch.from_numpy(u)
    blocks, forward = torch.func.jvp(lambda x: on_torch.blocks(key, x), (vectors,), (directions,))
    np.testing.assert_allclose(forward, table.derivative(key, v, u), atol=1e-12)
    np.testing.assert_allclose(forward, np.einsum("pa,paij->pij", u, table.gradient(key, v)), atol=1e-12)
    vectors.requires_grad_()
    weights = torch.from_numpy(np.random.default_rng(2).normal(size=blocks.shape))
    (reverse,) = torch.autograd.grad((on_torch.blocks(key, vectors) * weights).sum(), vectors)
    expected = np.einsum("pij,paij->pa", weights.numpy(), table.gradient(key, v))
    np.testing.assert_allclose(reverse, expected, atol=1e-12)
    away = vectors.detach()[:4].requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: on_torch.blocks(key, x), (away,), check_forward_ad=True, fast_mode=True, atol=1e-6
    )


def test_whole_matrices(tio2_frames: list[Frame], tio2_basis: Basis) -> None:
    """`overlap` takes either table; blocks as functions of positions give dS/dt by forward mode."""
    table = OverlapTable.from_basis(tio2_basis)
    on_torch = TorchOverlapTable.from_table(table)
    now = tio2_frames[0].structure
    rng = np.random.default_rng(3)
    later = now.with_positions(now.positions + 0.02 * rng.normal(size=now.positions.shape))
    v_bra, v_ket = rng.normal(size=(2, *now.positions.shape))
    reference, computed = overlap(table, now, later), overlap(on_torch, now, later)
    rate = overlap_derivative(table, now, v_bra, later, v_ket)
    pairs, cell = overlapping_pairs(table, now, later), torch.from_numpy(now.cell)
    blocks, forward = torch.func.jvp(
        lambda bra, ket: on_torch.overlap_blocks(pairs, bra, ket, cell),
        (torch.from_numpy(now.positions), torch.from_numpy(later.positions)),
        (torch.from_numpy(v_bra), torch.from_numpy(v_ket)),
    )
    for key, values in reference.values.items():
        np.testing.assert_allclose(computed.values[key], values, atol=1e-14)
        np.testing.assert_allclose(blocks[key], values[0], atol=1e-14)
        np.testing.assert_allclose(forward[key], rate.values[key][0], atol=1e-11)


def test_unknown_species(table: OverlapTable) -> None:
    with pytest.raises(InputError, match=r"no two-centre functions are known for the species pair \(1, 8\)"):
        TorchOverlapTable.from_table(table).evaluate((1, 8), np.ones((1, 3)))
