"""What the doubt of a model makes of the states around the gap, at some moments of a trajectory.

Each draw of a model changes the matrix elements between the states of a window by <n|dV|m>. The window is
diagonalised with them: near-degenerate states mix as they would, which perturbation theory misses. Two
neighbouring frames are looked at, because couplings are differences between them; the same draw is used for
both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import h5py
import numpy as np
from numpy.typing import NDArray

from n2amd.errors import InputError
from n2amd.fields import array, number
from n2amd.structure import Structure
from n2amd.units import HBAR_EV_FS

#: A frame whose edges are this many times as doubtful as those of the validation frames is outside the
#: training data.
OUTSIDE_RATIO = 3.0
#: Overlap of an edge state with its successor below which two states change places: no coupling is made of it.
SMALLEST_OVERLAP = 0.7
_EDGES = ("vbm", "cbm", "nominal", "coupling", "nominal_coupling")


class Doubter(Protocol):
    """A model that tells how far it may be wrong."""

    @property
    def usual_spread(self) -> float:
        """Spread of the band edges of the frames that it was validated on, eV."""

    def doubt_elements(
        self, structure: Structure, vectors: NDArray, kpoint: NDArray[np.float64] | None = None
    ) -> NDArray:
        """Changes of matrix elements between states for each draw, (K, w, w), eV."""


@dataclass(frozen=True)
class StateDoubt:
    """Changes of matrix elements at p moments of a trajectory.

    Attributes
    ----------
    frame
        First of the two frames of each moment, ascending, (p,).
    elements
        Changes at both frames for each draw, between their eigenvectors, (p, 2, K, w, w), eV.
    usual_spread
        Of the band edges of the model's validation frames, eV.
    """

    frame: NDArray[np.int64]
    elements: NDArray
    usual_spread: float

    def edges(self, vbm: int) -> NDArray[np.float64]:
        """First-order changes of VBM and CBM, (p, 2, K, 2), eV; `vbm` is the place in the window."""
        return np.stack([self.elements[..., k, k].real for k in (vbm, vbm + 1)], axis=-1)

    def outside(self, vbm: int) -> NDArray[np.int64]:
        """Frames that are outside the training data."""
        spread = np.sqrt((self.edges(vbm) ** 2).mean(axis=(2, 3)))
        found = spread > OUTSIDE_RATIO * self.usual_spread
        return np.unique((self.frame[:, None] + np.arange(2))[found])


def moments(n_frames: int, samples: int) -> NDArray[np.int64]:
    """First frames of evenly spaced pairs of neighbours, at most `samples` of them."""
    return np.unique(np.rint(np.linspace(0, n_frames - 2, min(samples, n_frames - 1))).astype(np.int64))


@dataclass(frozen=True)
class EdgeDoubt:
    """Band edges and the coupling between them for each draw, at p moments.

    Attributes
    ----------
    frame
        First of the two frames of each moment, (p,).
    vbm, cbm
        Energies at both frames, (p, 2, K), eV.
    nominal
        VBM and CBM of the model itself, (p, 2, 2), eV.
    coupling
        |hbar d| between the edges, (p, K), eV; NaN where states change places.
    nominal_coupling
        Of the model itself, (p,), eV.
    """

    frame: NDArray[np.int64]
    vbm: NDArray[np.float64]
    cbm: NDArray[np.float64]
    nominal: NDArray[np.float64]
    coupling: NDArray[np.float64]
    nominal_coupling: NDArray[np.float64]


def edge_doubt(
    doubt: StateDoubt, energies: NDArray[np.float64], overlap: NDArray, vbm: int, timestep_fs: float
) -> EdgeDoubt:
    """Diagonalise the window with every draw.

    Parameters
    ----------
    doubt
        Of the trajectory.
    energies, overlap
        Levels at both frames (p, 2, w), eV, and O(t, t + dt) (p, w, w) between the eigenvectors.
    vbm
        Place of the VBM in the window.
    timestep_fs
        Between frames.
    """
    edge = slice(vbm, vbm + 2)
    levels = np.zeros((*doubt.elements.shape[:3], 2))
    coupling, nominal = np.full(doubt.elements.shape[::2][:2], np.nan), np.full(len(doubt.frame), np.nan)
    for p, elements in enumerate(doubt.elements):
        nominal[p] = _coupling(overlap[p], vbm, timestep_fs)
        for k in range(elements.shape[1]):
            turned = []
            for side in range(2):
                found, vectors = np.linalg.eigh(np.diag(energies[p, side]) + elements[side, k])
                levels[p, side, k] = found[edge]
                turned.append(vectors)
            between = turned[0].conj().T @ overlap[p] @ turned[1]
            coupling[p, k] = _coupling(between, vbm, timestep_fs)
    return EdgeDoubt(doubt.frame, levels[..., 0], levels[..., 1], energies[..., edge], coupling, nominal)


def _coupling(overlap: NDArray, vbm: int, timestep: float) -> float:
    """Hammes-Schiffer-Tully |hbar d| between the edges, whatever their phases; NaN where they are swapped."""
    kept = overlap[vbm : vbm + 2, vbm : vbm + 2]
    diagonal = np.diag(kept)
    if np.abs(diagonal).min() < SMALLEST_OVERLAP:
        return float("nan")
    kept = kept * (np.abs(diagonal) / diagonal)
    return float(np.abs(kept[0, 1] - kept[1, 0].conj())) * HBAR_EV_FS / (2 * timestep)


def join_edges(doubts: Sequence[EdgeDoubt]) -> EdgeDoubt | None:
    """Put the moments of all shards together; None where no shard holds any.

    Raises
    ------
    InputError
        If shards hold different numbers of draws.
    """
    if not doubts:
        return None
    if len({d.vbm.shape[2] for d in doubts}) > 1:
        raise InputError(
            "the shards hold the doubts of different models",
            field="doubt/elements",
            remedy="make all shards again with one model",
        )
    return EdgeDoubt(*(np.concatenate([getattr(d, name) for d in doubts]) for name in ("frame", *_EDGES)))


def write_doubt(file: h5py.File, doubt: StateDoubt | None) -> None:
    """Write the group `doubt`; nothing where there is none."""
    if doubt is not None:
        file.attrs["doubt_usual_spread_eV"] = doubt.usual_spread
        group = file.create_group("doubt")
        group["frame"], group["elements"] = doubt.frame, doubt.elements


def read_doubt(file: h5py.File, states: int) -> StateDoubt | None:
    """Read the group `doubt`, None where the file has none (made without, or by an older version).

    Raises
    ------
    InputError
        If it is of another shape or kind.
    """
    if "doubt" not in file:
        return None
    frame = array(file, "doubt/frame", (None,), "whole")
    elements = array(file, "doubt/elements", (len(frame), 2, None, states, states), "any")
    return StateDoubt(frame, elements, number(file, "doubt_usual_spread_eV", positive=True))


def write_edge_doubt(file: h5py.File, doubt: EdgeDoubt | None) -> None:
    """Write the group `doubt` of the couplings file; nothing where there is none."""
    if doubt is not None:
        group = file.create_group("doubt")
        for name in ("frame", *_EDGES):
            group[name] = getattr(doubt, name)


def read_edge_doubt(file: h5py.File) -> EdgeDoubt | None:
    """Read the group `doubt` of the couplings file, None where there is none."""
    if "doubt" not in file:
        return None
    group = file["doubt"]
    return EdgeDoubt(group["frame"][...], *(group[name][...] for name in _EDGES))
