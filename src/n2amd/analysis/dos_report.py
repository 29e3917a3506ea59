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
        Doubly occupied bands.
    """

    vbm: float
    cbm: float
    at_vbm: int
    at_cbm: int
    n_occupied: int


def dos_report(
    grid: NDArray[np.float64],
    total: NDArray[np.float64],
    parts: Mapping[str, NDArray[np.float64]],
    kpoints: NDArray[np.float64],
    edges: MeshEdges,
    projection: Projection,
) -> dict[str, Any]:
    """Return the content of `dos.json`.

    Parameters
    ----------
    grid
        Energies, eV, as H has them.
    total, parts
        Densities of states there, both spins, and those on each group: 1/eV.
    kpoints
        Of the mesh, (n_k, 3).
    edges
        Edges on it.
    projection
        Weights of all states, a k point a frame.
    """
    atoms = participation(projection)
    places = {"vbm": (edges.at_vbm, edges.n_occupied - 1), "cbm": (edges.at_cbm, edges.n_occupied)}
    return {
        "energy_eV": grid - edges.vbm,
        "total": total,
        "projected": dict(parts),
        "partition": projection.partition,
        "zero_eV": edges.vbm,
        "gap_eV": edges.cbm - edges.vbm,
        "n_occupied": edges.n_occupied,
        **{
            name: {"kpoint": kpoints[k], "band": band, "atoms": atoms[k, band], "ipr": 1 / atoms[k, band]}
            for name, (k, band) in places.items()
        },
    }


def csv_of_dos(report: Mapping[str, Any]) -> str:
    """A row an energy: eV over the VBM, states per eV and cell of both spins, in all and on each group."""
    columns = [report["energy_eV"], report["total"], *report["projected"].values()]
    return _table(
        ["energy_eV", "total_per_eV", *(f"{name}_per_eV" for name in report["projected"])],
        ([f"{row[0]:.6f}", *(f"{x:.8g}" for x in row[1:])] for row in np.column_stack(columns).tolist()),
    )


def csv_of_states(
    kpoints: NDArray[np.float64],
    weights: NDArray[np.float64],
    energies: NDArray[np.float64],
    projection: Projection,
    groups: Groups | None,
) -> str:
    """A row a state: k point, weight, band from 0, energy over the zero, IPR, atoms, and shares of groups.

    Parameters
    ----------
    kpoints, weights
        Of the mesh.
    energies
        (n_k, n), eV.
    projection
        Weights of the states, a k point a frame.
    groups
        What shares are wanted of; None: of nothing.
    """
    atoms = participation(projection)
    names = () if groups is None else groups.names
    part = np.zeros((*energies.shape, 0)) if groups is None else shares(projection, groups)
    header = ["k1", "k2", "k3", "weight", "band", "energy_eV", "ipr", "atoms", *names]
    return _table(
        header,
        (
            [
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
        ),
    )


def _table(header: Sequence[str], rows: Any) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return stream.getvalue()
