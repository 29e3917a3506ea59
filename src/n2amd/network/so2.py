"""The O(3)-exact SO(2) linear map in the bond frame.

In the frame of a bond only rotations about it and mirrors through it are left. Under them the components +-m
of natural features (n) and of unnatural features (u) pair up: P = (n_+, u_-) and Q = (n_-, -u_+) transform
alike, so one real matrix per m serves both and the map is exact under inversions too. For m = 0 natural and
unnatural parts are even and odd under the mirrors and have a matrix each. Cost O(l^3) against O(l^6) of a
Clebsch-Gordan product (Passaro and Zitnick 2023, arXiv:2302.03655).
"""

from __future__ import annotations

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
        n_in, n_out, u_out = self.inputs.natural, self.outputs.natural, self.outputs.unnatural
        l_max = self.inputs.l_max
        natural = [f[:, :n] for f, n in zip(x, n_in)]
        unnatural = [f[:, n:] for f, n in zip(x, n_in)]
        # per l, parity and m the part that goes there
        n_parts: list[dict[int, Tensor]] = [{} for _ in range(l_max + 1)]
        u_parts: list[dict[int, Tensor]] = [{} for _ in range(l_max + 1)]

        def put(parts: list[dict[int, Tensor]], sizes: tuple[int, ...], m: int, values: Tensor) -> None:
            for l, part in enumerate(values.split(sizes[abs(m) :], dim=1), start=abs(m)):
                parts[l][m] = part

        even = torch.cat([f[:, :, l] for l, f in enumerate(natural)], dim=1)
        odd = torch.cat([f[:, :, l] for l, f in enumerate(unnatural)], dim=1)
        put(n_parts, n_out, 0, even @ self.natural)
        put(u_parts, u_out, 0, odd @ self.unnatural)
        n_parts[0][0] = n_parts[0][0] + self.bias

        for m, weight in enumerate(self.weights, start=1):
            ls, columns = range(m, l_max + 1), sum(n_out[m:])
            rows = sum(n_in[m:])
            p = [natural[l][:, :, l + m] for l in ls] + [unnatural[l][:, :, l - m] for l in ls]
            # the minus signs of u_+ are those of rows and columns of the matrix
            q = [natural[l][:, :, l - m] for l in ls] + [unnatural[l][:, :, l + m] for l in ls]
            p_out = torch.cat(p, dim=1) @ weight
            q_out = torch.cat(q, dim=1) @ (weight * signs(weight, rows, columns))
            put(n_parts, n_out, m, p_out[:, :columns])
            put(u_parts, u_out, -m, p_out[:, columns:])
            put(n_parts, n_out, -m, q_out[:, :columns])
            put(u_parts, u_out, m, q_out[:, columns:])
        return [_join(n_parts[l], u_parts[l], l) for l in range(l_max + 1)]


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
