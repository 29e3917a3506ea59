"""Band edges and their coupling for each draw of a model, from the doubt that the shards hold.

The window is diagonalised with the changed matrix elements of each draw: near-degenerate states mix as they
would, which perturbation theory misses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from n2amd.errors import InputError
from n2amd.fields import array
from n2amd.states.doubt import StateDoubt
from n2amd.states.store import StatesShard
from n2amd.storage import open_hdf5
from n2amd.units import HBAR_EV_FS

#: Overlap of an edge state with its successor below which two states change places: no coupling is made of
#: it.
SMALLEST_OVERLAP = 0.7
_EDGES = ("vbm", "cbm", "nominal", "coupling", "nominal_coupling")


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
    doubt: StateDoubt,
    energies: NDArray[np.float64],
    overlap: NDArray,
    edges: NDArray[np.int64],
    timestep_fs: float,
) -> EdgeDoubt:
    """Diagonalise the window with every draw.

    Parameters
    ----------
    doubt
        Of the trajectory.
    energies, overlap
        Levels at both frames (p, 2, w), eV, and O(t, t + dt) (p, w, w) between the eigenvectors.
    edges
        Places of VBM and CBM in the window, at both frames, (p, 2, 2).
    timestep_fs
        Between frames.
    """
    levels = np.zeros((*doubt.elements.shape[:3], 2))
    coupling, nominal = np.full(doubt.elements.shape[::2][:2], np.nan), np.full(len(doubt.frame), np.nan)
    for p, elements in enumerate(doubt.elements):
        nominal[p] = _coupling(overlap[p], edges[p], timestep_fs)
        for k in range(elements.shape[1]):
            turned = []
            for side in range(2):
                found, vectors = np.linalg.eigh(np.diag(energies[p, side]) + elements[side, k])
                levels[p, side, k] = found[edges[p, side]]
                turned.append(vectors)
            between = turned[0].conj().T @ overlap[p] @ turned[1]
            coupling[p, k] = _coupling(between, edges[p], timestep_fs)
    own = np.take_along_axis(energies, edges, axis=2)
    return EdgeDoubt(doubt.frame, levels[..., 0], levels[..., 1], own, coupling, nominal)


def _coupling(overlap: NDArray, edges: NDArray[np.int64], timestep: float) -> float:
    """Hammes-Schiffer-Tully |hbar d| between the edges, whatever their phases; NaN where they are swapped."""
    kept = overlap[np.ix_(*edges)]
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


def doubt_of_shards(
    shards: Sequence[StatesShard], edges: NDArray[np.int64] | None = None
) -> EdgeDoubt | None:
    """Gather the moments of all shards; None where no shard holds any.

    Parameters
    ----------
    shards
        Of the whole trajectory, in order.
    edges
        Places of VBM and CBM among the eigenstates of each frame, (F, 2), where levels of a defect lie
        between them or cross them; default: the states beside the gap.

    Raises
    ------
    InputError
        If shards hold different numbers of draws.
    """
    found = []
    for shard in shards:
        if shard.doubt is not None:
            at = shard.doubt.frame - shard.info.start
            energies = np.stack([shard.energies[at], shard.energies[at + 1]], axis=1)
            gap, first = np.array([shard.vbm, shard.vbm + 1]), shard.doubt.frame - shards[0].info.start
            places = np.broadcast_to(gap, (len(at), 2, 2))
            if edges is not None:
                places = np.stack([edges[first], edges[first + 1]], axis=1)
            timestep = shard.info.timestep_fs
            found.append(edge_doubt(shard.doubt, energies, shard.overlap[at], places, timestep))
    return join_edges(found)


def write_edge_doubt(file: h5py.File, doubt: EdgeDoubt | None) -> None:
    """Write the group `doubt` of the couplings file; nothing where there is none."""
    if doubt is not None:
        group = file.create_group("doubt")
        for name in ("frame", *_EDGES):
            group[name] = getattr(doubt, name)


def read_edge_doubt(file: h5py.File) -> EdgeDoubt | None:
    """Read the group `doubt` of the couplings file, None where there is none.

    Raises
    ------
    InputError
        If it is of another shape or kind.
    """
    if "doubt" not in file:
        return None
    vbm = array(file, "doubt/vbm", (None, 2, None))
    moments, _, draws = vbm.shape
    coupling, nominal = file["doubt/coupling"][...], file["doubt/nominal_coupling"][...]
    if coupling.shape != (moments, draws) or nominal.shape != (moments,):
        raise InputError(
            f"couplings of shape {coupling.shape} for {moments} moments and {draws} draws",
            file=file.filename,
            field="doubt/coupling",
            remedy="run `n2amd couplings assemble` again",
        )
    return EdgeDoubt(
        array(file, "doubt/frame", (moments,), "whole"),
        vbm,
        array(file, "doubt/cbm", vbm.shape),
        array(file, "doubt/nominal", (moments, 2, 2)),
        coupling,
        nominal,
    )


def read_doubt_of_edges(path: str | Path) -> EdgeDoubt | None:
    """Read the doubt that `couplings.h5` holds; None where it does not tell.

    Raises
    ------
    InputError
        As `read_edge_doubt`.
    """
    with open_hdf5(path, "couplings") as file:
        return read_edge_doubt(file)
