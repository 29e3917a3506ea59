"""Populations and states on atoms, species, layers and orbitals, from the weights that states carry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from n2amd.analysis.layers import assign_layers
from n2amd.analysis.populations import Run, read_run
from n2amd.couplings.projection import Projection
from n2amd.couplings.store import Couplings, read_couplings
from n2amd.errors import InputError
from n2amd.hopping.path import read_couplings as read_path
from n2amd.provenance import sha256_of_files
from n2amd.storage import open_hdf5

#: What weights are summed over: an element, an atom, a layer, an element's s, p, d or f orbitals, or one of
#: its shells.
By = Literal["species", "atom", "layer", "orbital", "shell"]
LETTERS = "spdfghi"
Layers = Mapping[str, Sequence[int | str]] | None


@dataclass(frozen=True)
class Groups:
    """Groups of sites.

    Attributes
    ----------
    names
        Of the groups, (m,).
    member
        Group of each site, (g,).
    """

    names: tuple[str, ...]
    member: NDArray[np.int64]


def groups_of(projection: Projection, by: By, layers: Layers = None) -> Groups:
    """Group the sites of a projection.

    Parameters
    ----------
    projection
        Weights of atoms or shells.
    by
        Kind of group.
    layers
        Atoms by layer, see `n2amd.analysis.layers.assign_layers`.

    Raises
    ------
    InputError
        If orbitals are asked for where only whole atoms have weights, or there are no such layers.
    """
    from ase.data import chemical_symbols

    sites = projection.sites
    if by in ("orbital", "shell") and sites.level == "atoms":
        raise InputError(
            "the states have weights on whole atoms only",
            field="states.projections",
            remedy="set it to shells and make states and couplings again",
        )
    if by == "layer":
        names, label = assign_layers(sites.structure, layers)
        return Groups(names, label[sites.atom])
    symbol = [chemical_symbols[z] for z in sites.structure.numbers[sites.atom]]
    name = {
        "species": lambda site: symbol[site],
        "atom": lambda site: f"{symbol[site]} {sites.atom[site]}",
        "orbital": lambda site: f"{symbol[site]} {LETTERS[sites.shell_l[site]]}",
        "shell": lambda site: f"{symbol[site]} {sites.shell[site]}",
    }[by]
    found = [name(site) for site in range(len(symbol))]
    names = tuple(dict.fromkeys(found))
    return Groups(names, np.array([names.index(entry) for entry in found]))


def shares(projection: Projection, groups: Groups) -> NDArray[np.float64]:
    """Weight of every state on every group, (F, states, m); they add up to one over the groups."""
    parts = [projection.weights[:, :, groups.member == k].sum(axis=2) for k in range(len(groups.names))]
    return np.stack(parts, axis=2).astype(np.float64)


def read_weighted(file: str | Path) -> tuple[Couplings, Projection]:
    """Read `couplings.h5` with the weights of its states.

    Raises
    ------
    InputError
        If it holds none.
    """
    couplings = read_couplings(file)
    if couplings.projection is None:
        raise InputError(
            "the states have no weights on atoms or orbitals",
            file=file,
            field="projection",
            remedy="set states.projections to shells (or atoms) and make states and couplings again",
        )
    return couplings, couplings.projection


@dataclass(frozen=True)
class _Populations:
    """What a populations file holds of states and times.

    Attributes
    ----------
    population
        (samples, T, n).
    steps
        Of the stored times, (T,).
    start_frames
        (samples,).
    final
        Column that is recombined to.
    bands
        Band of every state by particle, (n,): "electron " and "hole " of a pair, else "".
    """

    population: NDArray[np.float64]
    steps: NDArray[np.int64]
    start_frames: NDArray[np.int64]
    final: int
    bands: Mapping[str, NDArray[np.int64]]


def _read_populations(file: Path, couplings: Path) -> _Populations:
    with open_hdf5(file, "n2amd/populations") as source:
        if str(source.attrs["inputs_sha256"]) != sha256_of_files([couplings]):
            raise InputError(
                f"it was not made from {couplings}", file=file, remedy="pass the couplings of this run"
            )
        names = {"electron ": "electron_band", "hole ": "hole_band"}
        if source.attrs["carrier"] != "pair":
            names = {"": "band_index"}
        return _Populations(
            source["population"][()].astype(np.float64),
            np.rint(source["time"][()] / float(source.attrs["timestep_fs"])).astype(np.int64),
            source["initial/frame"][()],
            int(source.attrs["final_state"]),
            {particle: source[name][()] for particle, name in names.items()},
        )


def project_run(file: Path, couplings: Path, by: By, layers: Layers = None) -> Run:
    """Populations of a run on groups of sites instead of states.

    P_G(t) = sum_i p_i(t) w_iG(frame(t)), averaged over initial conditions, each with the frames it runs
    through from its own start, head to tail. What has recombined stands in a column of its own; of a pair,
    electron and hole are projected one by one.

    Parameters
    ----------
    file
        Populations.
    couplings
        The file they were made from, with weights.
    by, layers
        See `groups_of`.

    Raises
    ------
    InputError
        If the couplings are not those of the run, or hold no weights.
    """
    window, projection = read_weighted(couplings)
    run, stored = read_run(file), _read_populations(file, couplings)
    groups = groups_of(projection, by, layers)
    weight = shares(projection, groups)
    path = read_path(couplings, "electron")
    frames = np.stack([path.frames_along(int(start), stored.steps) for start in stored.start_frames])
    names = ["ground state" if run.carrier == "pair" else "recombined"]
    parts = [stored.population[:, :, [stored.final]]]
    for particle, bands in stored.bands.items():
        part = np.zeros((*frames.shape, len(groups.names)))
        for state in range(len(bands)):
            if state != stored.final:
                column = _column(window.band_index, int(bands[state]), couplings)
                part += stored.population[:, :, state, None] * weight[frames, column]
        names += [f"{particle}{name}" for name in groups.names]
        parts.append(part)
    shown = np.concatenate(parts, axis=2)
    samples = len(shown)
    spread = shown.std(axis=0, ddof=1) if samples > 1 else np.full(shown.shape[1:], np.nan)
    return replace(run, populations=shown.mean(axis=0), errors=spread / np.sqrt(samples), names=tuple(names))


def _column(columns: NDArray[np.int64], band: int, file: Path) -> int:
    """Column of `couplings.h5` that a state of the populations is."""
    found = np.flatnonzero(columns == band)
    if len(found) != 1:
        raise InputError(
            f"{len(found)} columns hold band {band} at the first frame",
            file=file,
            field="band_index",
            remedy="make the dynamics again from these couplings",
        )
    return int(found[0])
