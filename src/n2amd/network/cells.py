"""Which cells a network was trained on: what it can know of larger ones, and which frames it has seen."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from n2amd.structure import Structure

#: Frames of one cell whose atoms differ by less than this (rms, Angstrom) are one snapshot of a trajectory.
INDEPENDENT_A = 0.1
#: Two geometries are the same if they agree to this, Angstrom.
_SAME_A = 1e-4
#: An empty layer this wide parts what is on both sides, Angstrom: the density has ended.
VACUUM_A = 7.0
#: Rounding of a reciprocal length: thermal strain is no other cell.
SAME_G = 0.97


@dataclass(frozen=True)
class CellGroup:
    """Training frames with one number of atoms.

    Attributes
    ----------
    n_atoms, n_frames
        Atoms of each; how many.
    n_independent
        Frames that are more than a moment of motion apart.
    smallest_g
        Shortest of `smallest_g` of any of them, 1/Angstrom.
    """

    n_atoms: int
    n_frames: int
    n_independent: int
    smallest_g: float


@dataclass(frozen=True)
class TrainingCells:
    """Cells and geometries of the training frames.

    Attributes
    ----------
    groups
        By number of atoms, ascending.
    geometries
        `geometry_hash` of every frame that training or validation used.
    """

    groups: tuple[CellGroup, ...]
    geometries: frozenset[str]

    @property
    def largest(self) -> int:
        """Atoms of the largest cell."""
        return self.groups[-1].n_atoms

    @property
    def smallest_g(self) -> float:
        """Shortest reciprocal vector of any cell, 1/Angstrom."""
        return min(group.smallest_g for group in self.groups)

    def independent_from(self, n_atoms: int) -> int:
        """Count the independent frames with at least so many atoms."""
        return sum(group.n_independent for group in self.groups if group.n_atoms >= n_atoms)

    @classmethod
    def of_structures(
        cls, trained: Sequence[Structure], validated: Iterable[Structure] = ()
    ) -> TrainingCells:
        """Take stock of the structures that a network was trained on, and chosen by."""
        by_size: dict[int, list[Structure]] = {}
        for structure in trained:
            by_size.setdefault(structure.n_atoms, []).append(structure)
        groups = tuple(
            CellGroup(n, len(frames), _independent(frames), min(map(smallest_g, frames)))
            for n, frames in sorted(by_size.items())
        )
        return cls(groups, frozenset(map(geometry_hash, [*trained, *validated])))

    def to_document(self) -> dict[str, Any]:
        """Plain types, for the model file (`training["cells"]`)."""
        return {"groups": [vars(group) for group in self.groups], "geometries": sorted(self.geometries)}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> TrainingCells:
        """Read what `to_document` wrote."""
        groups = tuple(CellGroup(**group) for group in document["groups"])
        return cls(groups, frozenset(document["geometries"]))


def smallest_g(structure: Structure) -> float:
    """Length of the shortest reciprocal vector (2 pi included) of the directions that atoms fill, 1/Angstrom.

    Across a layer of vacuum the density has no waves that a wider vacuum would lengthen: a sheet counts with
    its two-dimensional cell, a tube with its period, a molecule as if vacuum were all that parts it from its
    images. The vector is found among combinations of up to two of each: enough unless the cell is far from
    reduced.
    """
    filled = structure.cell[[not empty for empty in _across_vacuum(structure)]]
    if not len(filled):
        return 2 * np.pi / VACUUM_A
    reciprocal = 2 * np.pi * np.linalg.pinv(filled).T
    indices = np.array([n for n in product(range(-2, 3), repeat=len(filled)) if any(n)])
    return float(np.linalg.norm(indices @ reciprocal, axis=1).min())


def _across_vacuum(structure: Structure) -> list[bool]:
    """Say for each lattice vector whether an empty layer parts the atoms from their images along it."""
    reciprocal = np.linalg.inv(structure.cell)
    heights = 1 / np.linalg.norm(reciprocal, axis=0)
    ordered = np.sort(structure.positions @ reciprocal % 1.0, axis=0)
    empty = np.diff(np.vstack([ordered, ordered[:1] + 1.0]), axis=0).max(axis=0) * heights
    return [bool(width >= VACUUM_A) for width in empty]


def geometry_hash(structure: Structure) -> str:
    """Hash of cell, species and positions to 1e-4 Angstrom: equal for one frame in two data sets."""
    digest = hashlib.sha256(np.asarray(structure.numbers, dtype=np.int64).tobytes())
    for values in (structure.cell, structure.positions):
        # a half step aside of round numbers, on which written coordinates lie
        digest.update(np.floor(values / _SAME_A + 0.25).astype(np.int64).tobytes())
    return digest.hexdigest()


def _independent(frames: Sequence[Structure]) -> int:
    """Count frames that differ from every one counted before."""
    counted: list[Structure] = []
    for frame in frames:
        if all(frame.moved_from(other) > INDEPENDENT_A for other in counted):
            counted.append(frame)
    return len(counted)
