"""Training samples: the graph of a frame and its gauge-aligned Hamiltonian."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from n2amd.blocks.matrix import BlockMatrix, PairIndex, SpeciesPair, add_overlap, gauge_shift
from n2amd.errors import InputError
from n2amd.frames.frame import Frame
from n2amd.network.graph import Graph, build_graph, collate

#: Blocks whose largest element stays below this (eV) lie beyond the Hamiltonian's range.
RANGE_THRESHOLD_EV = 1e-4


@dataclass(frozen=True)
class Targets:
    """Blocks in the order of the network's output, eV."""

    site: Mapping[int, Tensor]
    pair: Mapping[SpeciesPair, Tensor]


@dataclass(frozen=True)
class Sample:
    """One frame for training.

    Attributes
    ----------
    frame
        The DFT frame with its Hamiltonian, or what H0 leaves of it, gauge-aligned.
    whole
        The same frame with its whole Hamiltonian: its states tell which errors matter.
    graph
        Float32 graph; its pairs are the frame's own off-site pairs within range.
    targets
        Aligned H, float64.
    pair_rows, site_rows
        Positions of `graph.pairs`, and of the on-site blocks of each element, on the frame's pair axis.
    """

    frame: Frame
    whole: Frame
    graph: Graph
    targets: Targets
    pair_rows: Mapping[SpeciesPair, NDArray[np.int64]]
    site_rows: Mapping[int, NDArray[np.int64]]

    @cached_property
    def pairs(self) -> dict[SpeciesPair, PairIndex]:
        """The off-site pairs within range, in the order of `targets.pair`."""
        return {key: self.frame.hamiltonian.pairs[key].select(rows) for key, rows in self.pair_rows.items()}

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """First orbital of each atom and the total, (n_atoms + 1,)."""
        size = {z: blocks.shape[1] for z, blocks in self.targets.site.items()}
        return np.concatenate([[0], np.cumsum([size[int(z)] for z in self.frame.structure.numbers])])


def align_gauge(frames: Sequence[Frame]) -> list[Frame]:
    """Remove the frame-to-frame part of mu = <H, S> / <S, S>; the mean over frames stays in H."""
    shifts = [gauge_shift(f.hamiltonian, f.overlap) for f in frames]
    mean = float(np.mean(shifts))
    return [align_to(f, mean, mu) for f, mu in zip(frames, shifts)]


def align_to(frame: Frame, target: float, shift: float | None = None) -> Frame:
    """Return the frame with its gauge moved to mu = `target` (eV)."""
    mu = gauge_shift(frame.hamiltonian, frame.overlap) if shift is None else shift
    return replace(frame, hamiltonian=add_overlap(frame.hamiltonian, frame.overlap, target - mu))


def hamiltonian_ranges(
    frames: Sequence[Frame], threshold: float = RANGE_THRESHOLD_EV
) -> dict[SpeciesPair, float]:
    """Range of H per species pair, Angstrom: just beyond its longest bond above the threshold."""
    ranges: dict[SpeciesPair, float] = {}
    for frame in frames:
        for key, index in frame.hamiltonian.pairs.items():
            distance = np.linalg.norm(index.vectors(frame.structure), axis=1)
            largest = np.abs(frame.hamiltonian.values[key]).max(axis=(0, 2, 3), initial=0.0)
            reach = distance[(largest > threshold) & ~index.on_site]
            if len(reach):
                ranges[key] = max(ranges.get(key, 0.0), float(reach.max()))
    # the margin gives thermal bonds that no training frame had their smooth way to zero
    return {key: round(value + 0.2, 3) for key, value in sorted(ranges.items())}


def make_sample(
    frame: Frame,
    numbers: Sequence[int],
    message_cutoff: float,
    ranges: Mapping[SpeciesPair, float],
    whole: Frame | None = None,
) -> Sample:
    """Build the graph and targets of one (aligned) frame.

    `whole` is the frame with its whole Hamiltonian where `frame` holds a part of it.

    Raises
    ------
    InputError
        If the frame is spin-polarised or has an element without orbitals in the model.
    """
    if frame.hamiltonian.n_spin != 1:
        raise InputError(
            f"the Hamiltonian has {frame.hamiltonian.n_spin} spin components, the network predicts 1",
            frame=frame.name,
            field="hamiltonian",
            remedy="train each spin channel as a functional of its own",
        )
    pair_rows, site_rows, chosen = {}, {}, {}
    pair_targets, site_targets = {}, {}
    for key, index in frame.hamiltonian.pairs.items():
        blocks = frame.hamiltonian.values[key][0]
        if key[0] == key[1]:
            on_site = np.flatnonzero(index.on_site)
            site_rows[key[0]] = on_site[np.argsort(index.i[on_site])]
            site_targets[key[0]] = torch.from_numpy(blocks[site_rows[key[0]]])
        if key not in ranges:
            continue
        distance = np.linalg.norm(index.vectors(frame.structure), axis=1)
        pair_rows[key] = np.flatnonzero(~index.on_site & (distance < ranges[key]))
        chosen[key] = index.select(pair_rows[key])
        pair_targets[key] = torch.from_numpy(blocks[pair_rows[key]])
    graph = build_graph(frame.structure, numbers, message_cutoff, chosen, torch.float32)
    return Sample(frame, whole or frame, graph, Targets(site_targets, pair_targets), pair_rows, site_rows)


def collate_samples(samples: Sequence[Sample]) -> tuple[Graph, Targets]:
    """Put samples side by side, in the order the network writes its output."""
    graph = collate([s.graph for s in samples])
    return graph, join_targets([s.targets for s in samples])


def join_targets(parts: Sequence[Targets]) -> Targets:
    """Concatenate targets frame after frame."""
    site_keys = sorted({z for t in parts for z in t.site})
    pair_keys = sorted({k for t in parts for k in t.pair})
    return Targets(
        {z: torch.cat([t.site[z] for t in parts if z in t.site]) for z in site_keys},
        {k: torch.cat([t.pair[k] for t in parts if k in t.pair]) for k in pair_keys},
    )


def assemble(
    structure_pairs: Mapping[SpeciesPair, PairIndex],
    atoms_of: Mapping[int, NDArray[np.int64]],
    site: Mapping[int, Tensor],
    pair: Mapping[SpeciesPair, Tensor],
) -> BlockMatrix:
    """Turn the network's output into a `BlockMatrix` (on-site blocks first), float64.

    Parameters
    ----------
    structure_pairs
        The off-site pairs that were predicted.
    atoms_of
        Atoms of each element, in the order of `site`.
    site, pair
        The network's blocks, eV.
    """
    pairs: dict[SpeciesPair, PairIndex] = {}
    values: dict[SpeciesPair, NDArray] = {}
    for key in sorted(set(structure_pairs) | {(z, z) for z in atoms_of}):
        a, b = key
        indices = [structure_pairs[key]] if key in structure_pairs else []
        blocks = [pair[key].double().numpy()] if key in structure_pairs else []
        if a == b and a in atoms_of:
            atoms = atoms_of[a]
            indices.insert(0, PairIndex(atoms, atoms, np.zeros((len(atoms), 3), dtype=np.int64)))
            blocks.insert(0, site[a].double().numpy())
        pairs[key] = PairIndex(
            np.concatenate([p.i for p in indices]),
            np.concatenate([p.j for p in indices]),
            np.concatenate([p.shift for p in indices]),
        )
        values[key] = np.concatenate(blocks)[None]
    return BlockMatrix(pairs, values)
