"""The O(3)-exact SO(2) linear map in the bond frame.

In the frame of a bond only rotations about it and mirrors through it are left. Under them the components +-m
of natural features (n) and of unnatural features (u) pair up: P = (n_+, u_-) and Q = (n_-, -u_+) transform
alike, so one real matrix per m serves both and the map is exact under inversions too. For m = 0 natural and
unnatural parts are even and odd under the mirrors and have a matrix each. Cost O(l^3) against O(l^6) of a
Clebsch-Gordan product (Passaro and Zitnick 2023, arXiv:2302.03655).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from n2amd.network.features import Channels, Features


class SO2Linear(nn.Module):
    """Mix l, parity and channels of bond-frame features at each |m|; a bias on natural scalars.

    Parameters
    ----------
    inputs, outputs
        Layouts of the input and output features (same l_max).
    """

    def __init__(self, inputs: Channels, outputs: Channels) -> None:
        super().__init__()
        if inputs.l_max != outputs.l_max:
            raise ValueError(f"l_max differs: {inputs.l_max} and {outputs.l_max}")
        self.inputs, self.outputs = inputs, outputs

        def matrix(n_in: int, n_out: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(n_in, n_out) / max(n_in, 1) ** 0.5)

        self.natural = matrix(sum(inputs.natural), sum(outputs.natural))
        self.unnatural = matrix(sum(inputs.unnatural), sum(outputs.unnatural))
        self.weights = nn.ParameterList(
            matrix(
                sum(inputs.natural[m:]) + sum(inputs.unnatural[m:]),
                sum(outputs.natural[m:]) + sum(outputs.unnatural[m:]),
            )
            for m in range(1, inputs.l_max + 1)
        )
        self.bias = nn.Parameter(torch.zeros(outputs.natural[0]))

    def forward(self, x: Features) -> Features:
        """Map bond-frame features (n_edges, channels, 2l + 1) to bond-frame features."""
        n_out, u_out = self.outputs.natural, self.outputs.unnatural
        l_max = self.inputs.l_max
        parts = [_components(f, n, u) for f, n, u in zip(x, self.inputs.natural, self.inputs.unnatural)]
        natural, unnatural = ([part[k] for part in parts] for k in (0, 1))
        # per l, parity and m the part that goes there
        n_parts: list[dict[int, Tensor]] = [{} for _ in range(l_max + 1)]
        u_parts: list[dict[int, Tensor]] = [{} for _ in range(l_max + 1)]

        even = torch.cat([f[l] for l, f in enumerate(natural)], dim=1) @ self.natural
        odd = torch.cat([f[l] for l, f in enumerate(unnatural)], dim=1) @ self.unnatural
        for l, (n, u) in enumerate(zip(even.split(n_out, dim=1), odd.split(u_out, dim=1))):
            n_parts[l][0], u_parts[l][0] = n, u
        n_parts[0][0] = n_parts[0][0] + self.bias

        for m, weight in enumerate(self.weights, start=1):
            ls, columns = range(m, l_max + 1), sum(n_out[m:])
            rows = sum(self.inputs.natural[m:])
            p = [natural[l][l + m] for l in ls] + [unnatural[l][l - m] for l in ls]
            # the minus signs of u_+ are those of rows and columns of the matrix
            q = [natural[l][l - m] for l in ls] + [unnatural[l][l + m] for l in ls]
            p_out = torch.cat(p, dim=1) @ weight
            q_out = torch.cat(q, dim=1) @ (weight * signs(weight, rows, columns))
            sizes = [*n_out[m:], *u_out[m:]]
            for sign, values in ((1, p_out.split(sizes, dim=1)), (-1, q_out.split(sizes, dim=1))):
                for l, n, u in zip(ls, values[: len(ls)], values[len(ls) :]):
                    n_parts[l][sign * m], u_parts[l][-sign * m] = n, u
        return [_join(n_parts[l], u_parts[l], l) for l in range(l_max + 1)]


def _components(x: Tensor, natural: int, unnatural: int) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """Components (n_edges, channels) of a feature's natural and unnatural channels, each 2l + 1.

    One split of the feature as it lies in memory: its derivative is one concatenation, that of slices fills
    and adds a whole feature for each.
    """
    found = x.mT.flatten(1).split([natural, unnatural] * x.shape[2], dim=1)
    return found[::2], found[1::2]


def signs(weight: Tensor, rows: int, columns: int) -> Tensor:
    """-1 where a matrix leads from natural to unnatural parts or back."""
    signs = torch.ones_like(weight)
    signs[:rows, columns:] = -1
    signs[rows:, :columns] = -1
    return signs


def _join(natural: dict[int, Tensor], unnatural: dict[int, Tensor], l: int) -> Tensor:
    """Feature (n_edges, channels, 2l + 1) of its parts, in memory component after component."""
    parts = [part for m in range(-l, l + 1) for part in (natural[m], unnatural[m])]
    channels = natural[0].shape[1] + unnatural[0].shape[1]
    return torch.cat(parts, dim=1).reshape(len(parts[0]), 2 * l + 1, channels).mT
