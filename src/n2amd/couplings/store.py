"""The couplings file, `n2amd/couplings`: what surface hopping and analysis read (no torch needed)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import h5py
import numpy as np
from numpy.typing import NDArray

from n2amd.config.states import COMPONENTS
from n2amd.couplings import checks
from n2amd.couplings.defect import DefectLevels, band_edges
from n2amd.couplings.doubt import EdgeDoubt, read_edge_doubt, write_edge_doubt
from n2amd.errors import InputError
from n2amd.fields import array, number, vector, whole, word
from n2amd.states.gauge import DEGENERATE_EV
from n2amd.states.projection import Projection, read_projection, write_projection
from n2amd.storage import create_hdf5, open_hdf5

CouplingScheme = Literal["hst", "analytic"]


@dataclass(frozen=True)
class Tracking:
    """How states were followed.

    Attributes
    ----------
    permutation
        Adiabatic rank of the state in each column, counted from the first kept one, (F, n).
    successor
        Column at t + dt of the state in each column at t, (F - 1, n); -1 where it leaves the kept columns.
    min_overlap
        Smallest |O| of a kept state with its successor, (F - 1,); 0 where it leaves the kept columns.
    n_clusters
        Near-degenerate groups transported together, (F - 1,).
    window_leak
        1 - smallest singular value of O, (F - 1,).
    edge_clusters
        Kept states transported in a group that touches the window's edge, (F - 1,).
    """

    permutation: NDArray[np.int64]
    successor: NDArray[np.int64]
    min_overlap: NDArray[np.float64]
    n_clusters: NDArray[np.int64]
    window_leak: NDArray[np.float64]
    edge_clusters: NDArray[np.int64]


@dataclass(frozen=True)
class Window:
    """The w states that were solved for, the kept ones and the margin around them, in their columns.

    Attributes
    ----------
    first
        Column of the first kept state.
    energies
        <i|H|i>, (F, w), eV.
    overlap
        O(t, t+dt), (F - 1, w, w).
    nac
        As of `Couplings`, (F - 1, w, w), eV.
    mixing
        <i|H|j> of states that were transported together and so are no eigenstates, diagonal zero,
        (F, w, w), eV; None where all are eigenstates.
    spin_orbit
        Spin-orbit coupling A of states without spin, V_SO = sum over x, y, z of A sigma, (F, 3, w, w), eV;
        None where they have no spin, or are spinors.
    """

    first: int
    energies: NDArray[np.float64]
    overlap: NDArray
    nac: NDArray
    mixing: NDArray | None = None
    spin_orbit: NDArray | None = None


@dataclass(frozen=True)
class Couplings:
    """Energies and couplings of n states in F frames.

    Attributes
    ----------
    timestep_fs
        Time between frames.
    n_occupied
        Doubly occupied bands of the cell, or filled ones of the channel or of spinors.
    vbm, cbm
        Columns of the highest filled and lowest empty state, levels of a defect included (`edges`: without).
    overlap_kind
        "exact" or "electron-translation-free".
    order
        "energy" or "character": what a column stands for.
    kpoint
        Fractional k point.
    energies
        (F, n), eV.
    overlap
        O(t, t+dt), phase-consistent, (F - 1, n, n); complex off Gamma.
    nac
        hbar d_ij at t + dt/2, (F - 1, n, n), eV, by `scheme`; of transported states where the step does not
        resolve how near-degenerate ones mix.
    band_index
        Absolute index of each column's state at the first frame, (n,).
    tracking
        Report of the tracking.
    projection
        Weights of each column's state on atoms or shells, (F, n, g); None where the states have none.
    window
        All states that were solved for; None in files that hold the kept ones alone.
    doubt
        Band edges and their coupling for each draw of the model, at some moments; None where unknown.
    scheme
        "hst" (Hammes-Schiffer-Tully, of `overlap`) or "analytic" (along the velocities).
    spin
        "up" or "down": the channel the states are of; "spinors"; empty of a closed shell.
    defect
        Columns of levels of a defect; None where none were looked for.
    """

    timestep_fs: float
    n_occupied: int
    vbm: int
    cbm: int
    overlap_kind: str
    order: str
    kpoint: tuple[float, float, float]
    energies: NDArray[np.float64]
    overlap: NDArray
    nac: NDArray
    band_index: NDArray[np.int64]
    tracking: Tracking
    projection: Projection | None = None
    window: Window | None = None
    doubt: EdgeDoubt | None = None
    scheme: CouplingScheme = "hst"
    spin: str = ""
    defect: DefectLevels | None = None

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self.energies)

    @property
    def gap(self) -> NDArray[np.float64]:
        """E(CBM) - E(VBM) of each frame, (F,), eV; of the bands, whatever levels lie between."""
        valence, conduction = self.edges
        return self.energies[:, conduction] - self.energies[:, valence]

    @property
    def edges(self) -> tuple[int, int]:
        """Columns of the band edges, levels of a defect left out."""
        return edges_of(self)

    @property
    def edge_coupling(self) -> NDArray[np.float64]:
        """|hbar d| between the band edges, (F - 1,), eV; of pairs that of an unpolarised carrier to both."""
        valence, conduction = self.edges
        if not in_kramers_pairs(self):
            return np.abs(self.nac[:, valence, conduction])
        square = np.abs(self.nac[:, valence - 1 : valence + 1, conduction : conduction + 2]) ** 2
        return np.sqrt(square.sum(axis=(1, 2)) / 2)


@dataclass(frozen=True)
class States:
    """What `couplings.h5` holds of the states themselves; the fields as in `Couplings`."""

    timestep_fs: float
    n_occupied: int
    vbm: int
    cbm: int
    overlap_kind: str
    energies: NDArray[np.float64]
    overlap: NDArray
    nac: NDArray
    band_index: NDArray[np.int64]
    window: Window | None
    spin: str = ""
    defect: DefectLevels | None = None


def in_kramers_pairs(states: States | Couplings) -> bool:
    """Whether states are spinors that are degenerate two by two, as time reversal makes them at Gamma."""
    even, odd = states.energies[:, ::2], states.energies[:, 1::2]
    return (
        states.spin == "spinors"
        and even.shape == odd.shape
        and states.cbm % 2 == 0
        and bool((np.abs(even - odd) <= DEGENERATE_EV).all())
    )


def edges_of(states: States | Couplings) -> tuple[int, int]:
    """Columns of the band edges, levels of a defect left out."""
    levels = () if states.defect is None else states.defect.columns
    return band_edges(states.vbm, states.energies.shape[1], levels)


_NUMBERS = ("timestep_fs", "n_occupied", "vbm", "cbm", "overlap_kind", "order", "kpoint", "scheme")
_ARRAYS = ("energies", "overlap", "nac", "band_index")
_WINDOW_ARRAYS = ("energies", "overlap", "nac")
_FRACTIONS = ("min_overlap", "window_leak")
#: What a column may stand for.
ORDERS = ("energy", "character")


def write_couplings(
    path: str | Path, couplings: Couplings, *, config: Any = None, inputs: Iterable[str | Path] = ()
) -> None:
    """Write couplings atomically."""
    with create_hdf5(path, "couplings", version="1.5", config=config, inputs=inputs) as file:
        file.attrs["n_frames"] = couplings.n_frames
        for name in _NUMBERS:
            file.attrs[name] = getattr(couplings, name)
        if couplings.spin:
            file.attrs["spin"] = couplings.spin
        if couplings.defect is not None:
            for name, value in vars(couplings.defect).items():
                file[f"defect/{name}"] = np.array(value, dtype=np.int64)
        for name in _ARRAYS:
            file.create_dataset(name, data=getattr(couplings, name))
        for name, value in vars(couplings.tracking).items():
            file.create_dataset(f"tracking/{name}", data=value)
        write_projection(file, couplings.projection)
        write_edge_doubt(file, couplings.doubt)
        if couplings.window is not None:
            group = file.create_group("window")
            group.attrs["first"] = couplings.window.first
            for name in _WINDOW_ARRAYS:
                group.create_dataset(name, data=getattr(couplings.window, name))
            if couplings.window.mixing is not None:
                # nearly all of it is zero
                group.create_dataset("mixing", data=couplings.window.mixing, compression="gzip")
            if couplings.window.spin_orbit is not None:
                group.create_dataset("spin_orbit", data=couplings.window.spin_orbit)


def read_states(path: str | Path) -> States:
    """Read the states alone.

    Raises
    ------
    InputError
        If the file is missing, half-written or of another kind, a field is missing or of another shape or
        kind, or the numbers cannot be right (`n2amd.couplings.checks`).
    """
    with open_hdf5(path, "couplings") as file:
        return _states(file, path)


def _states(file: h5py.File, path: str | Path) -> States:
    timestep = checks.check_timestep(number(file, "timestep_fs"), path)
    vbm, cbm = whole(file, "vbm"), whole(file, "cbm")
    kind = word(file, "overlap_kind", tuple(checks.LARGEST_EXCESS))
    energies, overlap, nac = _arrays(file, "", timestep, kind, path)
    n = energies.shape[1]
    checks.check_edges(vbm, cbm, n, path)
    band_index = array(file, "band_index", (n,), "whole")
    # in the order of character, columns ascend in mean energy and not in the first frame
    order = word(file, "order", ORDERS) if "order" in file.attrs else "energy"
    checks.check_bands(band_index, n, path, ordered=order == "energy")
    return States(
        timestep,
        whole(file, "n_occupied", 0),
        vbm,
        cbm,
        kind,
        energies,
        overlap,
        nac,
        band_index.astype(np.int64),
        _window(file, energies, timestep, kind, path) if "window" in file else None,
        word(file, "spin", COMPONENTS) if "spin" in file.attrs else "",
        _defect(file, n, path) if "defect" in file else None,
    )


def _defect(file: h5py.File, states: int, path: str | Path) -> DefectLevels:
    columns, atoms = (
        tuple(array(file, f"defect/{name}", (None,), "whole").tolist()) for name in ("columns", "atoms")
    )
    if sorted(set(columns)) != [*columns] or not columns or columns[0] < 0 or columns[-1] >= states:
        raise InputError(
            f"columns {list(columns)} of {states}",
            file=path,
            field="defect/columns",
            remedy="run `n2amd couplings assemble` again",
        )
    return DefectLevels(columns, atoms)


def _arrays(
    file: h5py.File, folder: str, timestep: float, kind: str, path: str | Path
) -> tuple[NDArray, NDArray, NDArray]:
    """Energies, overlaps and couplings of a set of states, checked."""
    energies = array(file, f"{folder}energies", (None, None))
    checks.check_energies(energies, path)
    frames, n = energies.shape
    between = (frames - 1, n, n)
    overlap, nac = (array(file, f"{folder}{name}", between, "any") for name in ("overlap", "nac"))
    checks.check_overlaps(overlap, frames, n, path, kind)
    checks.check_couplings(nac, timestep, frames, n, path)
    return energies, overlap, nac


def _window(file: h5py.File, kept: NDArray, timestep: float, kind: str, path: str | Path) -> Window:
    energies, overlap, nac = _arrays(file, "window/", timestep, kind, path)
    frames, w = energies.shape
    mixing = array(file, "window/mixing", (frames, w, w), "any") if "window/mixing" in file else None
    if mixing is not None:
        checks.check_mixing(mixing, path)
    held = "window/spin_orbit" in file
    spin_orbit = array(file, "window/spin_orbit", (frames, 3, w, w), "any") if held else None
    first = whole(file["window"], "first", 0)
    if len(kept) != frames or not np.array_equal(kept, energies[:, first : first + kept.shape[1]]):
        raise InputError(
            f"columns {first} on of the window are not the kept states",
            file=path,
            field="window/energies",
            remedy="run `n2amd couplings assemble` again",
        )
    return Window(first, energies, overlap, nac, mixing, spin_orbit)


def read_couplings(path: str | Path) -> Couplings:
    """Read couplings with the report of their tracking.

    Raises
    ------
    InputError
        As `read_states`.
    """
    with open_hdf5(path, "couplings") as file:
        states = _states(file, path)
        frames, n = states.energies.shape
        shapes: dict[str, tuple[int, ...]] = {"permutation": (frames, n), "successor": (frames - 1, n)}
        report = Tracking(
            **{
                name: array(
                    file,
                    f"tracking/{name}",
                    shapes.get(name, (frames - 1,)),
                    "real" if name in _FRACTIONS else "whole",
                )
                for name in Tracking.__dataclass_fields__
            }
        )
        return Couplings(
            **vars(states),
            order=word(file, "order", ORDERS),
            kpoint=_kpoint(file),
            tracking=report,
            projection=read_projection(file),
            doubt=read_edge_doubt(file),
            scheme=word(file, "scheme", get_args(CouplingScheme)) if "scheme" in file.attrs else "hst",  # type: ignore[arg-type]
        )


def _kpoint(file: h5py.File) -> tuple[float, float, float]:
    a, b, c = vector(file, "kpoint", 3)
    return a, b, c
