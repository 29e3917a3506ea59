"""Between the irreducible parts of an atom-pair block and its matrix elements.

A block <a, m1 | H | b, m2> of shells (l1, l2) is sum_L C(l1 m1, l2 m2, L M) x_LM with x_L of parity
(-1)^(l1 + l2): natural where l1 + l2 + L is even, unnatural otherwise. The map is orthonormal.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

from n2amd.network.features import Channels, Features
from n2amd.orbitals.basis import AtomBasis


@lru_cache(maxsize=128)
def coupling(l1: int, l2: int) -> Tensor:
    """Orthogonal map from the parts L = |l1 - l2|..l1 + l2 to the block, (sum of 2L + 1, (2l1+1)(2l2+1))."""
    from e3nn import o3  # here, because importing it takes as long as torch and only pair networks need it

    rows = [
        o3.wigner_3j(l1, l2, L, dtype=torch.float64).permute(2, 0, 1).reshape(2 * L + 1, -1)
        * (2 * L + 1) ** 0.5
        for L in range(abs(l1 - l2), l1 + l2 + 1)
    ]
    return torch.cat(rows)


class BlockAssembly(nn.Module):
    """Assemble blocks (n_pairs, n_i, n_j) of one species pair from irreducible parts, and back.

    Attributes
    ----------
    channels
        Layout of the irreducible parts: channel k of (L, parity) belongs to the k-th shell pair, in row-major
        order of (shell of i, shell of j), that has such a part.
    """

    gather: Tensor
    place: Tensor

    def __init__(self, bra: AtomBasis, ket: AtomBasis, l_max: int) -> None:
        super().__init__()
        self.shape = (bra.n_orbitals, ket.n_orbitals)
        counts = {1: [0] * (l_max + 1), -1: [0] * (l_max + 1)}
        self.parts: list[tuple[int, int, int, int]] = []  # shell of i, shell of j, L, parity
        position: dict[tuple[int, int, int], tuple[int, int]] = {}
        for a, shell_a in enumerate(bra.shells):
            for b, shell_b in enumerate(ket.shells):
                for L in range(abs(shell_a.l - shell_b.l), shell_a.l + shell_b.l + 1):
                    parity = 1 if (shell_a.l + shell_b.l + L) % 2 == 0 else -1
                    position[a, b, L] = (parity, counts[parity][L])
                    counts[parity][L] += 1
                    self.parts.append((a, b, L, parity))
        self.channels = Channels(tuple(counts[1]), tuple(counts[-1]))
        start, flat_start = {}, 0
        for L in range(l_max + 1):
            start[L] = flat_start
            flat_start += self.channels.total(L) * (2 * L + 1)

        # one gather orders the parts by kind of shell pair (l1, l2), small matrices couple, one gather places
        self.kinds: list[tuple[int, int, int]] = []
        gather: list[Tensor] = []
        placed: list[Tensor] = []
        kinds = sorted({(s.l, t.l) for s in bra.shells for t in ket.shells})
        for l1, l2 in kinds:
            members = [
                (a, b)
                for a, s in enumerate(bra.shells)
                for b, t in enumerate(ket.shells)
                if (s.l, t.l) == (l1, l2)
            ]
            self.kinds.append((l1, l2, len(members)))
            self.register_buffer(f"coupling_{l1}_{l2}", coupling(l1, l2).float(), False)
            for a, b in members:
                for L in range(abs(l1 - l2), l1 + l2 + 1):
                    parity, k = position[a, b, L]
                    channel = k if parity == 1 else self.channels.natural[L] + k
                    gather.append(start[L] + channel * (2 * L + 1) + torch.arange(2 * L + 1))
                rows = bra.offsets[a] + torch.arange(2 * l1 + 1)
                columns = ket.offsets[b] + torch.arange(2 * l2 + 1)
                placed.append((rows[:, None] * self.shape[1] + columns[None]).reshape(-1))
        order = torch.cat(placed)
        self.register_buffer("gather", torch.cat(gather), False)
        self.register_buffer("place", torch.argsort(order), False)

    def forward(self, x: Features) -> Tensor:
        """Blocks (n_pairs, n_i, n_j) from irreducible parts in the lab frame."""
        n = len(x[0])
        flat = torch.cat([f.flatten(1) for f in x], dim=1)[:, self.gather]
        elements, start = [], 0
        for l1, l2, members in self.kinds:
            size = (2 * l1 + 1) * (2 * l2 + 1)
            parts = flat[:, start : start + members * size].reshape(n, members, size)
            elements.append((parts @ getattr(self, f"coupling_{l1}_{l2}")).flatten(1))
            start += members * size
        return torch.cat(elements, dim=1)[:, self.place].reshape(n, *self.shape)

    def decompose(self, blocks: Tensor) -> Features:
        """Inverse of `forward`: irreducible parts of blocks (n_pairs, n_i, n_j)."""
        n = len(blocks)
        elements = blocks.flatten(1)[:, torch.argsort(self.place)]
        flat = torch.empty_like(elements)
        start = 0
        for l1, l2, members in self.kinds:
            size = (2 * l1 + 1) * (2 * l2 + 1)
            piece = elements[:, start : start + members * size].reshape(n, members, size)
            matrix = getattr(self, f"coupling_{l1}_{l2}").to(blocks.dtype)
            flat[:, self.gather[start : start + members * size]] = (piece @ matrix.T).flatten(1)
            start += members * size
        sizes = [self.channels.total(L) * (2 * L + 1) for L in range(self.channels.l_max + 1)]
        return [
            part.reshape(n, self.channels.total(L), 2 * L + 1)
            for L, part in enumerate(flat.split(sizes, dim=1))
        ]
