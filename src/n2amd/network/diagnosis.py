"""What is wrong with a network that is not good enough: sentences with a figure and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from n2amd.network.cells import SAME_G, TrainingCells

#: DFT's elements beyond the model's range that matter: ten times what the range is cut at.
RANGE_EV = 1e-3
#: Jump of the energy zero between frames beyond which it is none of the geometry's doing.
GAUGE_EV = 0.5
#: Overlaps from tables must be DFT's to this; those of recovered radial functions to the second.
OVERLAP, OVERLAP_RECOVERED = 1e-5, 1e-4
#: Independent training frames of a cell size without which long waves of the density are a guess.
INDEPENDENT_FRAMES = 6
#: Growth of an error from the smallest to the largest cell judged that is more than scatter.
GROWTH = 1.5


@dataclass(frozen=True)
class Evidence:
    """What one frame tells.

    Attributes
    ----------
    name, n_atoms
        Of the frame.
    smallest_g
        Shortest reciprocal vector of its cell, 1/Angstrom.
    beyond_max, beyond_rms
        DFT's elements beyond the model's range, eV.
    raw_shift
        DFT's energy zero minus the model's, eV.
    overlap_error
        Largest difference between S of the model's tables and the frame's.
    overlap_is_recovered
        Whether the tables were recovered from overlaps.
    mae, gap_error
        Mean absolute error of H, absolute error of the gap, eV.
    false_states
        States near the gap that are made of nearly empty directions.
    """

    name: str
    n_atoms: int
    smallest_g: float
    beyond_max: float
    beyond_rms: float
    raw_shift: float
    overlap_error: float
    overlap_is_recovered: bool
    mae: float
    gap_error: float
    false_states: int


@dataclass(frozen=True)
class Finding:
    """Something that is wrong.

    Attributes
    ----------
    kind
        range, gauge, overlap, false states, extrapolation, too little data, growth or small cells.
    sentence, remedy
        What was found, with the figure, and what to do.
    figure
        The number by which it was found; its unit is in the sentence.
    """

    kind: str
    sentence: str
    figure: float
    remedy: str

    def __str__(self) -> str:
        return f"{self.sentence}; {self.remedy}"


def diagnose(frames: Sequence[Evidence], cells: TrainingCells | None) -> list[Finding]:
    """Name what is wrong, the causes that make all else meaningless first.

    Parameters
    ----------
    frames
        Evidence of the frames judged, at least one.
    cells
        What the network was trained on; None where that is unknown.
    """
    found = [_overlap(frames), _gauge(frames), _range(frames), _false_states(frames)]
    if cells is not None:
        found += [_extrapolation(frames, cells), _too_little(frames, cells), _small(frames, cells)]
    found.append(_growth(frames))
    return [finding for finding in found if finding is not None]


def _overlap(frames: Sequence[Evidence]) -> Finding | None:
    worst = max(frames, key=lambda f: f.overlap_error)
    limit = OVERLAP_RECOVERED if worst.overlap_is_recovered else OVERLAP
    if worst.overlap_error <= limit:
        return None
    return Finding(
        "overlap",
        f"S of the model's tables differs from DFT's by up to {worst.overlap_error:.1e} in {worst.name} "
        f"(more than {limit:.0e}): states of the model are those of another basis",
        worst.overlap_error,
        "check that the radial functions are those of this DFT run (`n2amd dataset check`), or fit them anew "
        "(`n2amd overlap fit`)",
    )


def _gauge(frames: Sequence[Evidence]) -> Finding | None:
    middle = float(np.median([f.raw_shift for f in frames]))
    worst = max(frames, key=lambda f: abs(f.raw_shift - middle))
    jump = abs(worst.raw_shift - middle)
    if jump <= GAUGE_EV:
        return None
    return Finding(
        "gauge",
        f"the energy zero of {worst.name} against the model's is {1e3 * jump:.0f} meV from the other frames' "
        f"(median {1e3 * middle:.0f} meV)",
        1e3 * jump,
        "use frames of one code, one version and one treatment of the potential's zero (surfaces, charged "
        "cells and other pseudopotentials have others); gaps and couplings do not feel it, levels do",
    )


def _range(frames: Sequence[Evidence]) -> Finding | None:
    worst = max(frames, key=lambda f: f.beyond_max)
    if worst.beyond_max <= RANGE_EV:
        return None
    return Finding(
        "range",
        f"DFT has elements of up to {1e3 * worst.beyond_max:.2g} meV (rms {1e3 * worst.beyond_rms:.2g}) "
        f"beyond the model's range, in {worst.name}",
        1e3 * worst.beyond_max,
        "train with frames that hold these bonds, so that the range is taken longer, or judge frames of the "
        "same basis",
    )


def _false_states(frames: Sequence[Evidence]) -> Finding | None:
    having = [f for f in frames if f.false_states]
    if not having:
        return None
    return Finding(
        "false states",
        f"{len(having)} of {len(frames)} frames have states near the gap that are made of nearly empty "
        f"directions of the basis ({having[0].name}: {having[0].false_states})",
        len(having),
        "train with more band steps, which hold these directions up, and on frames with such short bonds; or "
        "give the run's pseudopotentials, so that the kinetic energy is not learned",
    )


def _extrapolation(frames: Sequence[Evidence], cells: TrainingCells) -> Finding | None:
    beyond = [f for f in frames if f.n_atoms > cells.largest or f.smallest_g < SAME_G * cells.smallest_g]
    if not beyond:
        return None
    worst = min(beyond, key=lambda f: f.smallest_g)
    return Finding(
        "extrapolation",
        f"{len(beyond)} of {len(frames)} frames are of cells beyond the trained ones ({worst.n_atoms} atoms, "
        f"shortest reciprocal vector {worst.smallest_g:.2f} 1/A; trained on up to {cells.largest} atoms, "
        f"{cells.smallest_g:.2f} 1/A): waves of the density this long were in no training frame",
        worst.smallest_g,
        f"this is the right test; if the error is too large, add at least {INDEPENDENT_FRAMES} independent "
        "frames of such cells to the training data",
    )


def _too_little(frames: Sequence[Evidence], cells: TrainingCells) -> Finding | None:
    largest = max(f.n_atoms for f in frames)
    count = cells.independent_from(min(largest, cells.largest))
    if count >= INDEPENDENT_FRAMES:
        return None
    return Finding(
        "too little data",
        f"{count} independent frames of {min(largest, cells.largest)} atoms or more were trained on (frames "
        f"that are a moment of motion apart count once), fewer than {INDEPENDENT_FRAMES}",
        count,
        f"add independent frames of the largest cell: {INDEPENDENT_FRAMES} at least, better twenty",
    )


def _small(frames: Sequence[Evidence], cells: TrainingCells) -> Finding | None:
    largest = max(f.n_atoms for f in frames)
    if largest > cells.largest:
        return None
    return Finding(
        "small cells",
        f"no frame judged (up to {largest} atoms) is larger than the trained ones (up to {cells.largest}): "
        "the errors in larger cells are not known",
        largest,
        "judge it on larger cells: `n2amd hamiltonian evaluate --on larger.h5`",
    )


def _growth(frames: Sequence[Evidence]) -> Finding | None:
    sizes = sorted({f.n_atoms for f in frames})
    if len(sizes) < 2:
        return None
    (small_h, small_gap), (large_h, large_gap) = (
        np.mean([(f.mae, f.gap_error) for f in frames if f.n_atoms == n], axis=0)
        for n in (sizes[0], sizes[-1])
    )
    growth = max(large_h / max(small_h, 1e-6), large_gap / max(small_gap, 1e-3))
    if growth <= GROWTH:
        return None
    return Finding(
        "growth",
        f"from {sizes[0]} to {sizes[-1]} atoms the error of H goes from {1e3 * small_h:.2f} to "
        f"{1e3 * large_h:.2f} meV, that of the gap from {1e3 * small_gap:.0f} to {1e3 * large_gap:.0f} meV",
        float(growth),
        "add independent frames of large cells to the training data; judge by the largest cell, not by the "
        "mean over all",
    )
