"""`dos.json` and the tables of a density of states and of its states."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from n2amd.analysis.projection import Groups, shares
from n2amd.config.states import Channel
from n2amd.couplings.projection import Projection, participation


@dataclass(frozen=True)
class MeshEdges:
    """Edges of the gap on a mesh of k points.

    Attributes
    ----------
    vbm, cbm
        eV.
    at_vbm, at_cbm
        Rows of their k points.
    n_occupied
        Filled bands.
    """

    vbm: float
    cbm: float
    at_vbm: int
    at_cbm: int
    n_occupied: int


@dataclass(frozen=True)
class SpectralParts:
    """A density of states, of a closed shell, of spinors, or of a spin channel.

    Attributes
    ----------
    total, parts
        All of it on the energies of the report, and that on each group, 1/eV.
    edges
        Edges on the mesh.
    projection
        Weights of all states, a k point a frame.
    """

    total: NDArray[np.float64]
    parts: Mapping[str, NDArray[np.float64]]
    edges: MeshEdges
    projection: Projection

    def document(self, kpoints: NDArray[np.float64]) -> dict[str, Any]:
        """What `dos.json` says of it; the k points of the mesh are (n_k, 3)."""
        atoms, edges = participation(self.projection), self.edges
        places = {"vbm": (edges.at_vbm, edges.n_occupied - 1), "cbm": (edges.at_cbm, edges.n_occupied)}
        return {
            "total": self.total,
            "projected": dict(self.parts),
            "partition": self.projection.partition,
            "zero_eV": edges.vbm,
            "gap_eV": edges.cbm - edges.vbm,
            "n_occupied": edges.n_occupied,
            **{
                name: {"kpoint": kpoints[k], "band": band, "atoms": atoms[k, band], "ipr": 1 / atoms[k, band]}
                for name, (k, band) in places.items()
            },
        }


def dos_report(
    grid: NDArray[np.float64], kpoints: NDArray[np.float64], found: SpectralParts
) -> dict[str, Any]:
    """Return the content of `dos.json`.

    Parameters
    ----------
    grid
        Energies, eV, as H has them.
    kpoints
        Of the mesh, (n_k, 3).
    found
        Densities of states there, of both spins, and edges.
    """
    return {"energy_eV": grid - found.edges.vbm, **found.document(kpoints)}


def channel_dos_report(
    grid: NDArray[np.float64], kpoints: NDArray[np.float64], channels: Mapping[Channel, SpectralParts]
) -> dict[str, Any]:
    """Return the content of `dos.json` of collinear spins: each channel, energies over the higher VBM.

    Parameters
    ----------
    grid, kpoints
        As for `dos_report`.
    channels
        Densities of states of spin up and of spin down.
    """
    vbm = max(found.edges.vbm for found in channels.values())
    cbm = min(found.edges.cbm for found in channels.values())
    return {
        "energy_eV": grid - vbm,
        "zero_eV": vbm,
        "gap_eV": cbm - vbm,
        "channels": {name: found.document(kpoints) for name, found in channels.items()},
    }


def csv_of_dos(report: Mapping[str, Any]) -> str:
    """A row an energy: eV over the VBM, states per eV and cell, in all and on each group.

    Of both spins together, or of each channel, whose columns begin with its name.
    """
    header, columns = ["energy_eV"], [report["energy_eV"]]
    for channel, found in report.get("channels", {"": report}).items():
        prefix = f"{channel}_" if channel else ""
        header += [f"{prefix}{name}_per_eV" for name in ("total", *found["projected"])]
        columns += [found["total"], *found["projected"].values()]
    return _table(
        header,
        ([f"{row[0]:.6f}", *(f"{x:.8g}" for x in row[1:])] for row in np.column_stack(columns).tolist()),
    )


def csv_of_states(
    kpoints: NDArray[np.float64],
    weights: NDArray[np.float64],
    solved: Mapping[str, tuple[NDArray[np.float64], Projection]],
    groups: Groups | None,
) -> str:
    """A row a state: k point, weight, band from 0, energy over the zero, IPR, atoms, and shares of groups.

    Parameters
    ----------
    kpoints, weights
        Of the mesh.
    solved
        Energies (n_k, n), eV, and weights of the states, a k point a frame, of each spin channel by its name,
        which has a column then; of a closed shell or of spinors by none ("").
    groups
        What shares are wanted of; None: of nothing.
    """
    names = () if groups is None else groups.names
    spins = ["spin"] if any(solved) else []
    header = [*spins, "k1", "k2", "k3", "weight", "band", "energy_eV", "ipr", "atoms", *names]
    rows: list[list[str]] = []
    for channel, (energies, projection) in solved.items():
        atoms = participation(projection)
        part = np.zeros((*energies.shape, 0)) if groups is None else shares(projection, groups)
        rows += [
            [
                *([channel] if channel else []),
                *(f"{x:.6f}" for x in k),
                f"{weights[row]:.8g}",
                str(band),
                f"{energies[row, band]:.6f}",
                f"{1 / atoms[row, band]:.6g}",
                f"{atoms[row, band]:.6g}",
                *(f"{x:.6f}" for x in part[row, band]),
            ]
            for row, k in enumerate(kpoints.tolist())
            for band in range(energies.shape[1])
        ]
    return _table(header, rows)


def _table(header: Sequence[str], rows: Any) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return stream.getvalue()
