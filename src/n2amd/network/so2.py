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
        columns: list[dict[int, Tensor]] = [{} for _ in range(l_max + 1)]

        natural = torch.cat([x[l][:, : n_in[l], l] for l in range(l_max + 1)], dim=1) @ self.natural
        unnatural = torch.cat([x[l][:, n_in[l] :, l] for l in range(l_max + 1)], dim=1) @ self.unnatural
        n_parts, u_parts = list(natural.split(n_out, dim=1)), unnatural.split(u_out, dim=1)
        n_parts[0] = n_parts[0] + self.bias
        for l in range(l_max + 1):
            columns[l][0] = torch.cat([n_parts[l], u_parts[l]], dim=1)

        for m, weight in enumerate(self.weights, start=1):
            ls = range(m, l_max + 1)
            p = [x[l][:, : n_in[l], l + m] for l in ls] + [x[l][:, n_in[l] :, l - m] for l in ls]
            q = [x[l][:, : n_in[l], l - m] for l in ls] + [-x[l][:, n_in[l] :, l + m] for l in ls]
            p_out, q_out = (torch.cat([torch.cat(p, dim=1), torch.cat(q, dim=1)]) @ weight).chunk(2)
            sizes = [*n_out[m:], *u_out[m:]]
            p_parts, q_parts = p_out.split(sizes, dim=1), q_out.split(sizes, dim=1)
            for k, l in enumerate(ls):
                columns[l][m] = torch.cat([p_parts[k], -q_parts[len(ls) + k]], dim=1)
                columns[l][-m] = torch.cat([q_parts[k], p_parts[len(ls) + k]], dim=1)
        return [torch.stack([column[m] for m in sorted(column)], dim=-1) for column in columns]
