"""A basis whose radial functions no file gives: recovered from a data set's overlaps, with errors and limits.

The error is measured on frames that were held out. Where no frame says anything, at distances that no bond
has and between an atom and its own displaced image, it is the doubt of `n2amd.orbitals.radial_recovery`; the
fit answers where that is small and refuses elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from n2amd.blocks.matrix import BlockMatrix, SpeciesPair
from n2amd.errors import ComputationError, InputError
from n2amd.orbitals.basis import Basis
from n2amd.orbitals.overlap_samples import OverlapSamples, collect
from n2amd.orbitals.radial_recovery import Recovery, recover
from n2amd.orbitals.two_centre import OverlapTable
from n2amd.structure import Structure

#: Largest difference from the overlaps of held-out frames.
LARGEST_ERROR = 1e-5
#: Largest doubt where nothing can be compared: 0.03 meV in a coupling at 1 fs.
LARGEST_DOUBT = 1e-4
#: Overlaps with its own displaced image must be known up to here, Angstrom, for S(t, t + dt).
LONGEST_STEP = 0.1
#: Distances at which doubt is looked at, Angstrom.
MOVED = np.array([0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5])
APART = 0.05


@dataclass(frozen=True)
class PairLimits:
    """What a species pair's overlaps are known from.

    Attributes
    ----------
    distances
        Number of different distances in the data.
    shortest
        Shortest of them, Angstrom; None where atoms of the two elements never overlap in the data.
    known_from
        Distance from which on doubt is below `LARGEST_DOUBT`, Angstrom.
    """

    distances: int
    shortest: float | None
    known_from: float


@dataclass(frozen=True)
class OverlapLimits:
    """How good recovered radial functions are, and where.

    Attributes
    ----------
    held_out_frames
        Frames that the errors were measured on.
    largest_error, mean_error
        Differences from the overlaps between two atoms of those frames.
    on_site_error
        Largest difference on one atom.
    pairs
        Limits per species pair (z_i <= z_j).
    moved_doubt
        Doubt of the overlap of an atom with its own image displaced by up to `LONGEST_STEP`, per element.
    moved_to
        Displacement up to which that is known, per element, Angstrom.
    """

    held_out_frames: int
    largest_error: float
    mean_error: float
    on_site_error: float
    pairs: Mapping[SpeciesPair, PairLimits]
    moved_doubt: Mapping[int, float]
    moved_to: Mapping[int, float]

    @property
    def between_times(self) -> bool:
        """Tell whether S(t, t + dt) can be given."""
        return all(limit >= LONGEST_STEP for limit in self.moved_to.values())

    def require_between_times(self, file: str | Path | None = None) -> None:
        """Refuse where S(t, t + dt) cannot be given.

        Raises
        ------
        InputError
            Naming the element, its doubt and what to do.
        """
        if self.between_times:
            return
        z = max(self.moved_doubt, key=lambda number: self.moved_doubt[number])
        raise InputError(
            f"the overlaps of the data do not determine those of element {z} with its own image displaced by "
            f"up to {LONGEST_STEP:g} A (doubt {self.moved_doubt[z]:.0e}, at most {LARGEST_DOUBT:g} will do), "
            "which S(t, t + dt) needs",
            file=file,
            field="couplings.overlap",
            remedy="set couplings.overlap to electron-translation-free, which needs S at one time only, add "
            "frames with shorter bonds, or give the code's radial functions (.ion.xml, .pao)",
        )

    def to_document(self) -> dict[str, Any]:
        """Plain types, for JSON and for the model file."""
        return asdict(self) | {
            "pairs": {f"{a}-{b}": asdict(limits) for (a, b), limits in self.pairs.items()},
            "moved_doubt": {str(z): value for z, value in self.moved_doubt.items()},
            "moved_to": {str(z): value for z, value in self.moved_to.items()},
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> OverlapLimits:
        """Inverse of `to_document`."""
        pairs = {
            (int(a), int(b)): PairLimits(**limits)
            for (a, b), limits in ((name.split("-"), found) for name, found in document["pairs"].items())
        }
        per_element = {
            name: {int(z): value for z, value in document[name].items()}
            for name in ("moved_doubt", "moved_to")
        }
        return cls(**{**document, "pairs": pairs, **per_element})


@dataclass(frozen=True)
class OverlapFit:
    """A basis with recovered radial functions and their limits."""

    basis: Basis
    limits: OverlapLimits

    def to_document(self) -> dict[str, Any]:
        """Layout of `overlap.json`."""
        return {"basis": json.loads(self.basis.to_json()), "limits": self.limits.to_document()}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> OverlapFit:
        """Inverse of `to_document`.

        Raises
        ------
        InputError
            If it is not the document of a fit.
        """
        try:
            basis = Basis.from_json(json.dumps(document["basis"]))
            return cls(basis, OverlapLimits.from_document(document["limits"]))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"not the result of an overlap fit ({error})",
                field="limits",
                remedy="pass the file that `n2amd overlap fit` wrote",
            ) from None


@dataclass(frozen=True)
class LimitedTable:
    """Overlaps of recovered radial functions; refuses bonds of which the data say too little.

    It takes the place of an `OverlapTable` where matrices are made, within one geometry and between two.
    """

    table: OverlapTable
    limits: OverlapLimits

    @property
    def ranges(self) -> Mapping[SpeciesPair, float]:
        """Range per species pair (z_i <= z_j), Angstrom."""
        return self.table.ranges

    def evaluate(self, key: SpeciesPair, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Blocks (n_pairs, n_i, n_j) of bond vectors (n_pairs, 3), Angstrom.

        Raises
        ------
        ComputationError
            If the data do not determine the overlap at a distance.
        """
        distance = np.linalg.norm(vectors, axis=1)
        known_from = self.limits.pairs[min(key), max(key)].known_from
        moved_to = self.limits.moved_to[key[0]] if key[0] == key[1] else -1.0
        unknown = (distance < known_from) & (distance > moved_to)
        if unknown.any():
            raise ComputationError(
                f"{unknown.sum()} bonds of elements {key}, the shortest of {distance[unknown].min():.3f} A, "
                "are too short for the radial functions that were recovered from the data (known from "
                f"{known_from:.2f} A on); add frames with such bonds to the data set, or give the code's "
                "radial functions (.ion.xml, .pao)"
            )
        return self.table.evaluate(key, vectors)


def fit_overlap(
    basis: Basis,
    train: Iterable[tuple[Structure, BlockMatrix]],
    held_out: Iterable[tuple[Structure, BlockMatrix]],
    progress: Callable[[int], None] = lambda done: None,
) -> OverlapFit:
    """Recover the radial functions of a basis and measure how good their overlaps are.

    Parameters
    ----------
    basis
        Shells of every element.
    train, held_out
        Structures with their overlaps, to fit to and to measure errors on; each read once.
    progress
        Called with the number of frames read.

    Raises
    ------
    InputError
        If the overlaps say nothing, as those of one atom alone.
    ComputationError
        If overlaps of held-out frames are missed by more than `LARGEST_ERROR`.
    """
    counter = _Counted(progress)
    samples = collect(basis, counter(train))
    recovery = recover(basis, samples)
    off_site, on_site, frames = _errors(OverlapTable.from_basis(recovery.basis), counter(held_out))
    limits = OverlapLimits(
        held_out_frames=frames,
        largest_error=float(off_site.max(initial=0.0)),
        mean_error=float(off_site.mean()) if len(off_site) else 0.0,
        on_site_error=float(on_site.max(initial=0.0)),
        pairs={key: _pair_limits(recovery, samples, key) for key in _species_pairs(basis)},
        **_moved_limits(recovery, float(on_site.max(initial=0.0))),
    )
    if max(limits.largest_error, limits.on_site_error) > LARGEST_ERROR or recovery.rms > LARGEST_ERROR:
        worst = max(limits.largest_error, limits.on_site_error, recovery.rms)
        which = f"{frames} held-out frames" if frames else "the frames themselves"
        raise ComputationError(
            f"no radial functions were found that give the overlaps: those of {which} are missed "
            f"by up to {worst:.1e}, must be at most {LARGEST_ERROR:g}; add frames with other "
            "distances, or give the code's radial functions (.ion.xml, .pao)"
        )
    return OverlapFit(recovery.basis, limits)


def held_out_frames(n_frames: int) -> list[int]:
    """Frames to measure errors on: every fifth, at least one of several, none of one."""
    return list(range(4, n_frames, 5)) or ([n_frames - 1] if n_frames > 1 else [])


@dataclass
class _Counted:
    """Pass frames through and report how many went by."""

    progress: Callable[[int], None]
    done: int = 0

    def __call__(
        self, frames: Iterable[tuple[Structure, BlockMatrix]]
    ) -> Iterator[tuple[Structure, BlockMatrix]]:
        for frame in frames:
            yield frame
            self.done += 1
            self.progress(self.done)


def _species_pairs(basis: Basis) -> Iterable[SpeciesPair]:
    return combinations_with_replacement(basis.numbers, 2)


def _errors(
    table: OverlapTable, frames: Iterable[tuple[Structure, BlockMatrix]]
) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Absolute differences from given overlaps, between two atoms (within range) and on one; frames read."""
    off_site, on_site, count = [np.zeros(0)], [np.zeros(0)], 0
    for structure, matrix in frames:
        count += 1
        for key, index in matrix.pairs.items():
            vectors = index.vectors(structure)
            error = np.abs(table.evaluate(key, vectors) - matrix.values[key][0])
            within = np.linalg.norm(vectors, axis=1) < table.ranges[min(key), max(key)]
            off_site.append(error[within & ~index.on_site].ravel())
            off_site.append(error[~within].reshape(-1).max(initial=0.0, keepdims=True))
            on_site.append(error[index.on_site].ravel())
    return np.concatenate(off_site), np.concatenate(on_site), count


def _pair_limits(recovery: Recovery, samples: OverlapSamples, key: SpeciesPair) -> PairLimits:
    radii = [max(r for (z, _), r in recovery.cutoffs.items() if z == number) for number in key]
    distances = np.arange(APART, sum(radii), APART)
    doubtful = np.flatnonzero(recovery.doubt(key, distances) > LARGEST_DOUBT)
    known_from = float(distances[doubtful[-1]] + APART) if len(doubtful) else 0.0
    found = samples.pairs.get(key)
    if found is None:
        return PairLimits(0, None, known_from)
    return PairLimits(len(found.distances), float(found.distances[0]), known_from)


def _moved_limits(recovery: Recovery, on_site_error: float) -> dict[str, dict[int, float]]:
    """`moved_doubt` and `moved_to` of `OverlapLimits`."""
    doubt, reach = {}, {}
    for z in recovery.basis.numbers:
        found = recovery.doubt((z, z), MOVED) + on_site_error
        doubt[z] = float(found[MOVED <= LONGEST_STEP].max())
        known = int(np.argmax(np.append(found > LARGEST_DOUBT, True)))
        reach[z] = float(MOVED[known - 1]) if known else 0.0
    return {"moved_doubt": doubt, "moved_to": reach}
