"""Gap and coupling of the band edges along a trajectory, in energy order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.errors import InputError
from n2amd.hopping.pairs import SAME_LEVEL_EV
from n2amd.hopping.path import Carrier, ClassicalPath
from n2amd.hopping.path import read_window as path_of_window
from n2amd.units import BOLTZMANN_EV_K


@dataclass(frozen=True)
class EdgeSeries:
    """Highest valence and lowest conduction state of every frame.

    Tracked states may change places in energy; here each frame has its own edges, as in a table of gaps.

    Attributes
    ----------
    timestep_fs
        Time between frames.
    gap
        Conduction minus valence edge, (F,), eV.
    coupling
        hbar d between the edges of frame t at t + dt/2, (F - 1,), eV (complex off Gamma); the root of the
        mean square where an edge is degenerate.
    """

    timestep_fs: float
    gap: NDArray[np.float64]
    coupling: NDArray

    @property
    def nac_rms(self) -> float:
        """Root mean square of the coupling over time, eV."""
        return float(np.sqrt(np.mean(np.abs(self.coupling) ** 2)))

    @property
    def nac_mean(self) -> float:
        """Mean absolute coupling over time, eV."""
        return float(np.mean(np.abs(self.coupling)))


def read_window(file: str | Path, carrier: Carrier = "electron") -> ClassicalPath:
    """Read every state of `couplings.h5`, valence and conduction, as one path.

    The dynamics follow a carrier on its own side of the gap; rates across the gap need both sides. States are
    those of electrons or of holes here, not of pairs.

    Raises
    ------
    InputError
        If the file is not a whole couplings file or its numbers cannot be right.
    """
    path = path_of_window(file)
    if carrier == "hole":
        path = replace(path, carrier="hole", start=path.final, final=path.start)
    return path


def sides(path: ClassicalPath) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the columns of the carrier's own side of the gap and of the side it recombines to.

    Levels of a defect are on neither.
    """
    own = path.above_gap if path.carrier == "electron" else ~path.above_gap
    bands = np.ones(path.states, dtype=bool) if path.level is None else ~path.level
    return np.flatnonzero(own & bands), np.flatnonzero(~own & bands)


def edge_series(path: ClassicalPath, file: str | Path | None = None) -> EdgeSeries:
    """Pick the band edges of every frame.

    Parameters
    ----------
    path
        The whole window, with `nac`.
    file
        Named in errors.

    Raises
    ------
    InputError
        If the gap closes, or there are no couplings.
    """
    if path.nac is None:
        raise InputError(
            "there are no couplings", file=file, field="nac", remedy="assemble the couplings again"
        )
    own, other = sides(path)
    # sign +1: an electron's own side is above the gap; a hole's below
    nearest = _lowest(path.sign * path.energies, own, path.start)
    facing = _lowest(-path.sign * path.energies, other, path.final)
    frames = np.arange(len(path.energies))
    gap = path.sign * (path.energies[frames, nearest] - path.energies[frames, facing])
    if gap.min() <= 0:
        raise InputError(
            f"the gap is {gap.min():.4f} eV",
            file=file,
            frame=int(gap.argmin()),
            field="energies",
            remedy="a closed gap has no recombination lifetime: check the states and the electron count",
        )
    coupling = path.nac[frames[:-1], facing[:-1], nearest[:-1]]
    start, final = (weights[:-1] for weights in band_edge_weights(path, None))
    shared = ((start > 0).sum(axis=1) > 1) | ((final > 0).sum(axis=1) > 1)
    square = np.einsum("tj,tji,ti->t", final, np.abs(path.nac) ** 2, start)
    return EdgeSeries(path.timestep_fs, gap, np.where(shared, np.sqrt(square), coupling))


def _lowest(energies: NDArray[np.float64], columns: NDArray[np.int64], edge: int) -> NDArray[np.int64]:
    """Column of the lowest state of every frame, (F,); the path's edge where rounding alone is lower."""
    lowest = columns[np.argmin(energies[:, columns], axis=1)]
    tied = energies[:, edge] - energies[np.arange(len(energies)), lowest] <= SAME_LEVEL_EV
    return np.where(tied, edge, lowest)


def tracked_edges(path: ClassicalPath) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights that put carrier and partner into the start and the final state of the path, (F, n) each.

    States that are degenerate with them share evenly: which of them is in the column is a choice of basis.
    Of Kramers pairs both states of the final one are open to the carrier, as the dynamics have it; so are
    both spins.
    """
    weights = []
    for columns, edge in zip(sides(path), (path.start, path.final)):
        full = np.zeros_like(path.energies)
        full[:, columns] = np.abs(path.energies[:, columns] - path.energies[:, [edge]]) <= SAME_LEVEL_EV
        weights.append(full / full.sum(axis=1, keepdims=True))
    return weights[0], path.open_spins * weights[1]


def within_window(path: ClassicalPath, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights of the states of a path as weights of all states that it is propagated in, (F, w)."""
    if path.source is None:
        return weights
    full = np.zeros((len(weights), path.source.window.states))
    full[:, path.source.columns] = weights
    return full


def band_edge_weights(
    path: ClassicalPath, temperature_K: float | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the Boltzmann weights of carrier and partner in every frame, (F, n) each.

    The carrier sits on its own side of the gap, the empty state it falls into (for an electron: the hole)
    on the other; each weighted by the distance to its band edge. Without a temperature both are at the edge,
    shared evenly by states that are degenerate there. Of Kramers pairs, and of two spins, both states are
    open to the carrier.
    """
    own, other = sides(path)
    weights = []
    for columns, sign in ((own, path.sign), (other, -path.sign)):
        energy = sign * path.energies[:, columns]
        above = energy - energy.min(axis=1, keepdims=True)
        factor = (above <= SAME_LEVEL_EV).astype(float)
        if temperature_K is not None:
            factor = np.exp(-above / (BOLTZMANN_EV_K * temperature_K))
        full = np.zeros_like(path.energies)
        full[:, columns] = factor / factor.sum(axis=1, keepdims=True)
        weights.append(full)
    return weights[0], path.open_spins * weights[1]
