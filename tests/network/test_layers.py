from __future__ import annotations

import numpy as np
import pytest
import torch
from e3nn import o3

from n2amd.network.features import (
    Channels,
    EquivariantLinear,
    EquivariantNorm,
    Features,
    Gate,
    rotate,
    rotate_back,
)
from n2amd.network.graph import Bonds
from n2amd.network.layers import BondGeometry, Interaction
from n2amd.network.radial import cubic_splines, envelope
from n2amd.network.shell_blocks import BlockAssembly, coupling
from n2amd.network.so2 import SO2Linear
from n2amd.network.wigner import bond_wigner, wigner_matrices

CHANNELS = Channels.both((5, 4, 3, 2, 2))


def random_features(n: int, channels: Channels, dtype=torch.float64) -> Features:
    return [torch.randn(n, channels.total(l), 2 * l + 1, dtype=dtype) for l in range(channels.l_max + 1)]


def transform(x: Features, channels: Channels, rotation: torch.Tensor, inversion: bool) -> Features:
    """Act with an element of O(3): D_l, and the parity of each channel."""
    result = []
    for l, feature in enumerate(
        rotate(x, [m.to(x[0]) for m in wigner_matrices(rotation[None], channels.l_max)])
    ):
        sign = torch.ones(channels.total(l), 1, dtype=x[0].dtype)
        if inversion:
            sign[: channels.natural[l]] = (-1.0) ** l
            sign[channels.natural[l] :] = -((-1.0) ** l)
        result.append(feature * sign)
    return result


@pytest.mark.parametrize("inversion", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_so2_convolution_is_equivariant_under_o3(inversion, dtype, tolerance):
    torch.manual_seed(0)
    rotation = o3.rand_matrix(dtype=torch.float64)
    axes = torch.cat([torch.eye(3), -torch.eye(3)]).double()
    directions = torch.cat(
        [axes, torch.nn.functional.normalize(torch.randn(30, 3, dtype=torch.float64), dim=1)]
    )
    layer = SO2Linear(CHANNELS, CHANNELS).to(dtype)
    x = random_features(len(directions), CHANNELS, dtype)

    def convolve(features, directions):
        wigner = [m.to(dtype) for m in bond_wigner(directions, CHANNELS.l_max)]
        return rotate_back(layer(rotate(features, wigner)), wigner)

    moved = directions @ rotation.T * (-1 if inversion else 1)
    left = convolve(transform(x, CHANNELS, rotation, inversion), moved)
    right = transform(convolve(x, directions), CHANNELS, rotation, inversion)
    scale = max(part.abs().max() for part in right)
    assert max((a - b).abs().max() for a, b in zip(left, right)) < tolerance * scale


def test_so2_convolution_does_not_depend_on_the_roll_of_the_frame():
    torch.manual_seed(1)
    layer = SO2Linear(CHANNELS, CHANNELS).double()
    directions = torch.nn.functional.normalize(torch.randn(10, 3, dtype=torch.float64), dim=1)
    wigner = bond_wigner(directions, CHANNELS.l_max)
    angle = torch.tensor(0.7).double()
    c, s = angle.cos(), angle.sin()
    roll = torch.stack([c, -s, 0 * c, s, c, 0 * c, 0 * c, 0 * c, 1 + 0 * c]).reshape(1, 3, 3)
    rolled = [r @ w for r, w in zip(wigner_matrices(roll, CHANNELS.l_max), wigner)]
    x = random_features(10, CHANNELS)
    for a, b in zip(*(rotate_back(layer(rotate(x, w)), w) for w in (wigner, rolled))):
        torch.testing.assert_close(a, b, atol=1e-12, rtol=0)


def test_so2_mixes_every_part_it_may():
    """One real matrix a |m| over both parities: natural and unnatural parts do talk to each other."""
    torch.manual_seed(2)
    layer = SO2Linear(CHANNELS, CHANNELS).double()
    x = random_features(4, CHANNELS)
    silent = [torch.cat([f[:, :n], 0 * f[:, n:]], dim=1) for f, n in zip(x, CHANNELS.natural)]
    out = layer(silent)
    assert all(out[l][:, CHANNELS.natural[l] :].abs().max() > 1e-3 for l in range(1, 5))


@pytest.mark.parametrize("inversion", [False, True])
def test_node_layers_are_equivariant(inversion):
    torch.manual_seed(3)
    gate = Gate(CHANNELS)
    layers = [EquivariantNorm(CHANNELS), EquivariantLinear(CHANNELS, gate.inputs), gate]
    layers = [layer.double() for layer in layers]
    rotation = o3.rand_matrix(dtype=torch.float64)

    def run(x):
        for layer in layers:
            x = layer(x)
        return x

    x = random_features(7, CHANNELS)
    left = run(transform(x, CHANNELS, rotation, inversion))
    right = transform(run(x), CHANNELS, rotation, inversion)
    for a, b in zip(left, right):
        torch.testing.assert_close(a, b, atol=1e-12, rtol=0)


def test_gate_refuses_pseudoscalars():
    with pytest.raises(ValueError, match="pseudoscalar"):
        Gate(Channels((2, 1), (1, 1)))


@pytest.mark.parametrize("l1", [0, 1, 2, 3])
@pytest.mark.parametrize("l2", [0, 1, 2, 3])
def test_coupling_is_orthogonal(l1, l2):
    matrix = coupling(l1, l2)
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(len(matrix)).double(), atol=1e-12, rtol=0)


def test_blocks_and_parts_are_inverse_and_transform_alike(basis):
    torch.manual_seed(4)
    assembly = BlockAssembly(basis[22], basis[8], 4).double()
    blocks = torch.randn(6, *assembly.shape, dtype=torch.float64)
    parts = assembly.decompose(blocks)
    torch.testing.assert_close(assembly(parts), blocks, atol=1e-6, rtol=0)
    rotation = o3.rand_matrix(dtype=torch.float64)
    for inversion in (False, True):
        d = {}
        for z in (22, 8):
            matrices = wigner_matrices(rotation[None], 2)
            d[z] = torch.block_diag(
                *(matrices[s.l][0] * (-1 if inversion else 1) ** s.l for s in basis[z].shells)
            )
        moved = assembly(transform(parts, assembly.channels, rotation, inversion))
        torch.testing.assert_close(moved, d[22] @ blocks @ d[8].T, atol=1e-6, rtol=0)


def test_splines_and_envelope_end_with_two_derivatives():
    h = 1e-4
    x = torch.tensor([1 - 2 * h, 1 - h, 1.0, 1 + h], dtype=torch.float64)
    for value in (envelope(x), cubic_splines(x, 8).abs().sum(1)):
        assert value[2] == 0
        assert value[3] == 0
        second = (value[0] - 2 * value[1] + value[2]) / h**2
        assert abs(second) < 1.0  # goes to zero with h; a kink would give 1/h
    inside = torch.linspace(0.0, 0.7, 50, dtype=torch.float64)
    total = cubic_splines(inside, 20)[5:].sum(1)
    torch.testing.assert_close(total[10:], torch.ones_like(total[10:]), atol=1e-12, rtol=0)


@pytest.fixture
def threads():
    """Set the number of threads for a test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize(
    "widths", [(6, 5, 4, 3, 2), (24, 20, 16), (3, 0, 2, 0)], ids=["narrow", "wide", "with gaps"]
)
def test_compiled_messages_and_their_derivatives_are_those_of_tensor_operations(widths, n_threads, threads):
    torch.manual_seed(3)
    threads(n_threads)
    channels, rng = Channels.both(widths), np.random.default_rng(3)
    layer = Interaction(channels, n_edge=9, radial_hidden=8, neighbours=12.0)
    for weight in layer.parameters():  # biases too
        torch.nn.init.normal_(weight, std=0.3)
    x = [torch.randn(7, channels.total(l), 2 * l + 1, requires_grad=True) for l in range(len(widths))]
    # more bonds than a batch and than one thread takes, and an atom without any
    n = 1550
    i, j = (torch.from_numpy(rng.integers(0, 6, size=n)) for _ in range(2))
    directions = torch.nn.functional.normalize(torch.randn(n, 3), dim=1)
    geometry = BondGeometry(
        torch.ones(n), bond_wigner(directions, channels.l_max), torch.randn(n, 9), torch.rand(n)
    )
    bonds = Bonds(i, j, torch.zeros(n, 3))
    targets = [torch.randn_like(f) for f in x]

    def values_and_derivatives(messages):
        found = messages(x, bonds, geometry)
        scalar = sum((f * t).sum() for f, t in zip(found, targets))
        wanted = [*x, *layer.convolution.parameters()]
        derivatives = torch.autograd.grad(scalar, wanted, allow_unused=True)
        return [*found, *(torch.zeros_like(w) if d is None else d for d, w in zip(derivatives, wanted))]

    expected = values_and_derivatives(layer.messages_by_tensors)
    found = values_and_derivatives(layer._messages)
    with torch.no_grad():
        found += layer._messages(x, bonds, geometry)
    expected += expected[: len(widths)]
    assert len(found) == len(expected)
    for a, b in zip(expected, found):
        assert a.shape == b.shape
        largest = float(a.detach().abs().max()) if a.numel() else 0.0
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-5 * max(1.0, largest))
