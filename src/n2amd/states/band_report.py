"""`bands.json`: a band structure, its edges and, where there are DFT's bands, how far they are from these."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from n2amd.config.states import CHANNELS, Channel
from n2amd.states.band_path import BandPath
from n2amd.states.bands import BandEdges, band_edges

#: Bands are compared up to this far from the gap, eV.
NEAR_THE_GAP = 1.0


#: What the channels of a report have in common.
_SHARED = ("labels", "distance", "kpoints", "zero_eV", "path")


@dataclass(frozen=True)
class Bands:
    """Bands along a path, of a closed shell, of spinors, or of a spin channel.

    Attributes
    ----------
    model, dft
        Bands of the model and, in the same gauge, of DFT's own H, (n_k, n), eV.
    n_occupied
        Filled ones.
    """

    model: NDArray[np.float64]
    n_occupied: int
    dft: NDArray[np.float64] | None = None

    @property
    def edges(self) -> tuple[BandEdges, BandEdges | None]:
        """Edges of the model's bands and of DFT's."""
        theirs = None if self.dft is None else band_edges(self.dft, self.n_occupied)
        return band_edges(self.model, self.n_occupied), theirs

    @property
    def zero(self) -> float:
        """Valence band maximum, DFT's where there is one, eV."""
        own, theirs = self.edges
        return own.vbm if theirs is None else theirs.vbm


def band_report(
    path: BandPath, kpoints: NDArray[np.float64], bands: Bands, zero: float | None = None
) -> dict[str, Any]:
    """Return the content of `bands.json`.

    Parameters
    ----------
    path
        Labels and lengths.
    kpoints
        Of the path, in the reciprocal vectors of the cell that was solved, (n_k, 3).
    bands
        What was solved there.
    zero
        Energy zero of the report, eV; default: that of the bands.
    """
    own, theirs = bands.edges
    zero = bands.zero if zero is None else zero
    document = {
        "labels": path.labels,
        "distance": path.distance,
        "kpoints": kpoints,
        "model_eV": bands.model - zero,
        "dft_eV": None if bands.dft is None else bands.dft - zero,
        "zero_eV": zero,
        "n_occupied": bands.n_occupied,
        "path": path.text,
        "model": _edges(own, path, kpoints),
        "dft": None if theirs is None else _edges(theirs, path, kpoints),
        "difference": None,
    }
    if bands.dft is not None and theirs is not None:
        low, high = sorted((theirs.vbm, theirs.cbm))  # bands may overlap
        near = (bands.dft > low - NEAR_THE_GAP) & (bands.dft < high + NEAR_THE_GAP)
        error = 1e3 * (bands.model - bands.dft)
        document["difference"] = {
            "within_eV": NEAR_THE_GAP,
            "mean_meV": float(np.abs(error[near]).mean()),
            "max_meV": float(np.abs(error[near]).max()),
            "vbm_meV": 1e3 * (own.vbm - theirs.vbm),
            "cbm_meV": 1e3 * (own.cbm - theirs.cbm),
            "gap_meV": 1e3 * (own.gap - theirs.gap),
        }
    return document


def channel_report(
    path: BandPath, kpoints: NDArray[np.float64], channels: Mapping[Channel, Bands]
) -> dict[str, Any]:
    """Return the content of `bands.json` of collinear spins: a report of each channel, with one zero.

    Parameters
    ----------
    path, kpoints
        As for `band_report`.
    channels
        Bands of spin up and of spin down.
    """
    zero = max(bands.zero for bands in channels.values())
    found = {name: band_report(path, kpoints, bands, zero) for name, bands in channels.items()}
    document = {key: found[CHANNELS[0]][key] for key in _SHARED}
    document["channels"] = {
        name: {key: value for key, value in report.items() if key not in _SHARED}
        for name, report in found.items()
    }
    return document


def _edges(edges: BandEdges, path: BandPath, kpoints: NDArray[np.float64]) -> dict[str, Any]:
    places = {"vbm": edges.at_vbm, "cbm": edges.at_cbm}
    return {
        "gap_eV": edges.gap,
        "direct": edges.is_direct,
        **{
            f"{name}_at": {"kpoint": kpoints[place], "label": path.nearest_label(place)}
            for name, place in places.items()
        },
    }


def lines_of(document: dict[str, Any]) -> list[str]:
    """Say in a line each what the gap is, DFT's too, and how far the bands differ; of each spin channel."""
    return [line for name, report in _parts(document) for line in _lines(name, report)]


def _parts(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Each spin channel with its name, or the whole with none."""
    return list(document["channels"].items()) if "channels" in document else [("", document)]


def _lines(channel: str, report: dict[str, Any]) -> list[str]:
    spin = f"spin {channel}, " if channel else ""
    if (difference := report["difference"]) is None:
        return [_line(spin.replace(", ", ": "), report["model"])]
    return [
        _line(f"{spin}network: ", report["model"]),
        _line(f"{spin}DFT: ", report["dft"]),
        f"{spin}bands within {difference['within_eV']:g} eV of the gap: mean difference "
        f"{difference['mean_meV']:.2g} meV, largest {difference['max_meV']:.2g} meV; "
        f"VBM {difference['vbm_meV']:+.1f}, CBM {difference['cbm_meV']:+.1f}, "
        f"gap {difference['gap_meV']:+.1f} meV",
    ]


def _line(who: str, edges: dict[str, Any]) -> str:
    gap, at_vbm, at_cbm = edges["gap_eV"], edges["vbm_at"], edges["cbm_at"]
    if gap < 0:
        return f"{who}no gap: bands overlap by {-gap:.3f} eV along the path"
    if edges["direct"]:
        return f"{who}gap {gap:.3f} eV along the path, direct, at {_place(at_vbm)}"
    return f"{who}gap {gap:.3f} eV along the path, indirect, from {_place(at_vbm)} to {_place(at_cbm)}"


def _place(at: dict[str, Any]) -> str:
    k = " ".join(f"{x:.3f}" for x in np.asarray(at["kpoint"]) + 0.0)
    return f"{at['label']} ({k})"


def csv_of_bands(document: dict[str, Any]) -> str:
    """A row a k point: label, length, fractional coordinates, and the bands over the VBM, eV.

    Of collinear spins the bands of either channel, whose columns begin with its name.
    """
    names = dict(document["labels"])
    header, columns = ["label", "distance_1_per_A", "k1", "k2", "k3"], []
    for channel, report in _parts(document):
        for kind in ("model", "dft"):
            if (energies := report[f"{kind}_eV"]) is not None:
                columns.append(np.asarray(energies))
                prefix = f"{channel}_{kind}" if channel else kind
                header += [f"{prefix}_{band}_eV" for band in range(columns[-1].shape[1])]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    bands = np.concatenate(columns, axis=1)
    for index, (length, k, row) in enumerate(zip(document["distance"], document["kpoints"], bands)):
        numbers = [f"{length:.6f}", *(f"{x:.6f}" for x in k), *(f"{e:.6f}" for e in row)]
        writer.writerow([names.get(index, ""), *numbers])
    return stream.getvalue()
