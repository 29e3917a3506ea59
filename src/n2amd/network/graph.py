"""The graph of one frame, or of several side by side, as tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from n2amd.blocks.matrix import PairIndex, SpeciesPair
from n2amd.blocks.pairs import find_pairs
from n2amd.errors import InputError
from n2amd.structure import Structure


@dataclass(frozen=True)
class Bonds:
    """Directed bonds i -> j: atoms (n,), and the Cartesian lattice shift of j (n, 3), Angstrom."""

    i: Tensor
    j: Tensor
    shift: Tensor

    def __len__(self) -> int:
        return len(self.i)

    def vectors(self, positions: Tensor) -> Tensor:
        """Bond vectors from i to j, (n, 3), Angstrom."""
        return positions[self.j] + self.shift - positions[self.i]

    def with_reversed(self) -> Bonds:
        """Return the bonds followed by their reverses."""
        return Bonds(
            torch.cat([self.i, self.j]), torch.cat([self.j, self.i]), torch.cat([self.shift, -self.shift])
        )

    def part(self, some: slice) -> Bonds:
        """Return some of the bonds."""
        return Bonds(self.i[some], self.j[some], self.shift[some])

    def to(self, device: torch.device | str) -> Bonds:
        """Move to a device."""
        return Bonds(self.i.to(device), self.j.to(device), self.shift.to(device))


@dataclass(frozen=True)
class Graph:
    """Atoms and bonds that the network sees.

    Attributes
    ----------
    positions
        (n_atoms, 3), Angstrom.
    species
        Index into the model's list of atomic numbers, (n_atoms,).
    messages
        Every directed bond within the message cutoff.
    pairs
        Off-site pairs of each species pair (z_i <= z_j), each once, within the Hamiltonian's range.
    """

    positions: Tensor
    species: Tensor
    messages: Bonds
    pairs: Mapping[SpeciesPair, Bonds]

    def to(self, device: torch.device | str) -> Graph:
        """Move to a device."""
        return Graph(
            self.positions.to(device),
            self.species.to(device),
            self.messages.to(device),
            {key: bonds.to(device) for key, bonds in self.pairs.items()},
        )

    def at(self, positions: Tensor) -> Graph:
        """Return the same bonds at other positions (for derivatives)."""
        return replace(self, positions=positions)


def _bonds(index: PairIndex, cell: np.ndarray, dtype: torch.dtype) -> Bonds:
    return Bonds(
        torch.from_numpy(index.i), torch.from_numpy(index.j), torch.as_tensor(index.shift @ cell, dtype=dtype)
    )


def off_site(pairs: Mapping[SpeciesPair, PairIndex]) -> dict[SpeciesPair, PairIndex]:
    """Drop the on-site pairs."""
    return {key: index.select(~index.on_site) for key, index in pairs.items()}


def build_graph(
    structure: Structure,
    numbers: Sequence[int],
    message_cutoff: float,
    pairs: Mapping[SpeciesPair, PairIndex],
    dtype: torch.dtype = torch.float32,
) -> Graph:
    """Build the graph of one frame.

    Parameters
    ----------
    structure
        The frame.
    numbers
        Atomic numbers the model knows.
    message_cutoff
        Cutoff of message passing, Angstrom.
    pairs
        Off-site pairs wanted, from `find_pairs(..., half=True)` or a data set.
    dtype
        Floating-point type.

    Raises
    ------
    InputError
        If the structure has an element that the model does not know.
    """
    unknown = sorted({int(z) for z in structure.numbers} - set(numbers))
    if unknown:
        raise InputError(
            f"the element with Z = {unknown[0]} is not in the model (it knows Z = {sorted(numbers)})",
            field="numbers",
            remedy="train the network on data that hold this element",
        )
    present = {int(z) for z in structure.numbers}
    ranges = {(a, b): message_cutoff for a in present for b in present if a <= b}
    full = off_site(find_pairs(structure, ranges, half=False))
    message = PairIndex(
        np.concatenate([index.i for index in full.values()]),
        np.concatenate([index.j for index in full.values()]),
        np.concatenate([index.shift for index in full.values()]),
    )
    lookup = {z: k for k, z in enumerate(numbers)}
    return Graph(
        torch.as_tensor(structure.positions, dtype=dtype),
        torch.tensor([lookup[int(z)] for z in structure.numbers]),
        _bonds(message, structure.cell, dtype),
        {key: _bonds(index, structure.cell, dtype) for key, index in pairs.items()},
    )


def collate(graphs: Sequence[Graph]) -> Graph:
    """Put several graphs side by side."""
    offsets = np.cumsum([0, *(len(g.positions) for g in graphs)])

    def join(parts: Sequence[tuple[int, Bonds]]) -> Bonds:
        return Bonds(
            torch.cat([b.i + o for o, b in parts]),
            torch.cat([b.j + o for o, b in parts]),
            torch.cat([b.shift for _, b in parts]),
        )

    keys = sorted({key for g in graphs for key in g.pairs})
    return Graph(
        torch.cat([g.positions for g in graphs]),
        torch.cat([g.species for g in graphs]),
        join([(int(o), g.messages) for o, g in zip(offsets, graphs)]),
        {
            key: join([(int(o), g.pairs[key]) for o, g in zip(offsets, graphs) if key in g.pairs])
            for key in keys
        },
    )
