"""`bands.json`: a band structure, its edges and, where there are DFT's bands, how far they are from these."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from n2amd.states.band_path import BandPath
from n2amd.states.bands import BandEdges, band_edges

#: Bands are compared up to this far from the gap, eV.
NEAR_THE_GAP = 1.0


def band_report(
    path: BandPath,
    kpoints: NDArray[np.float64],
    model: NDArray[np.float64],
    n_occupied: int,
    dft: NDArray[np.float64] | None = None,
) -> dict[str, Any]:
    """Return the content of `bands.json`.

    Parameters
    ----------
    path
        Labels and lengths.
    kpoints
        Of the path, in the reciprocal vectors of the cell that was solved, (n_k, 3).
    model, dft
        Bands of the model and, in the same gauge, of DFT's own H, (n_k, n), eV.
    n_occupied
        Occupied bands.
    """
    own = band_edges(model, n_occupied)
    theirs = None if dft is None else band_edges(dft, n_occupied)
    zero = own.vbm if theirs is None else theirs.vbm
    document = {
        "labels": path.labels,
        "distance": path.distance,
        "kpoints": kpoints,
        "model_eV": model - zero,
        "dft_eV": None if dft is None else dft - zero,
        "zero_eV": zero,
        "n_occupied": n_occupied,
        "path": path.text,
        "model": _edges(own, path, kpoints),
        "dft": None if theirs is None else _edges(theirs, path, kpoints),
        "difference": None,
    }
    if dft is not None and theirs is not None:
        near = (dft > theirs.vbm - NEAR_THE_GAP) & (dft < theirs.cbm + NEAR_THE_GAP)
        error = 1e3 * (model - dft)
        document["difference"] = {
            "within_eV": NEAR_THE_GAP,
            "mean_meV": float(np.abs(error[near]).mean()),
            "max_meV": float(np.abs(error[near]).max()),
            "vbm_meV": 1e3 * (own.vbm - theirs.vbm),
            "cbm_meV": 1e3 * (own.cbm - theirs.cbm),
            "gap_meV": 1e3 * (own.gap - theirs.gap),
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
    """Say in a line each what the gap is, DFT's too, and how far the bands differ."""
    lines = [_line("", document["model"])]
    if (difference := document["difference"]) is not None:
        lines[0] = _line("network: ", document["model"])
        lines.append(_line("DFT: ", document["dft"]))
        lines.append(
            f"bands within {difference['within_eV']:g} eV of the gap: mean difference "
            f"{difference['mean_meV']:.2g} meV, largest {difference['max_meV']:.2g} meV; "
            f"VBM {difference['vbm_meV']:+.1f}, CBM {difference['cbm_meV']:+.1f}, "
            f"gap {difference['gap_meV']:+.1f} meV"
        )
    return lines


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
    """A row a k point: label, length, fractional coordinates, and the bands over the VBM, eV."""
    names = dict(document["labels"])
    kinds: Sequence[str] = ["model"] if document["dft_eV"] is None else ["model", "dft"]
    n_bands = np.shape(document["model_eV"])[1]
    header = ["label", "distance_1_per_A", "k1", "k2", "k3"]
    header += [f"{kind}_{band}_eV" for kind in kinds for band in range(n_bands)]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    bands = np.concatenate([np.asarray(document[f"{kind}_eV"]) for kind in kinds], axis=1)
    for index, (length, k, row) in enumerate(zip(document["distance"], document["kpoints"], bands)):
        numbers = [f"{length:.6f}", *(f"{x:.6f}" for x in k), *(f"{e:.6f}" for e in row)]
        writer.writerow([names.get(index, ""), *numbers])
    return stream.getvalue()
