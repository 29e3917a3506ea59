"""`character.json`: on which elements and orbitals states around the gap live, and how far they spread."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from n2amd.analysis.documents import without_nan
from n2amd.analysis.projection import By, groups_of, shares
from n2amd.couplings.defect import band_edges, state_labels
from n2amd.couplings.projection import Projection, on_atoms, participation

#: Digits kept of the series that the figure shows: weights are stored in single precision.
DIGITS = 5
#: Weights of atoms below this (only Mulliken's can be) mean nothing.
LEAST_WEIGHT = -0.05


def character_report(
    projection: Projection, bands: NDArray[np.int64], vbm: int, levels: tuple[int, ...] = ()
) -> dict[str, Any]:
    """Return the content of `character.json`.

    Parameters
    ----------
    projection
        Weights, (F, n, g).
    bands
        Absolute index of each column's state, (n,).
    vbm
        Column of the highest filled state; the next one is the lowest empty one.
    levels
        Columns of levels of a defect, which are no band edges.
    """
    kinds: list[By] = ["species"] if projection.sites.level == "atoms" else ["species", "orbital"]
    grouped = {by: groups_of(projection, by) for by in kinds}
    weight = {by: shares(projection, groups) for by, groups in grouped.items()}
    spread = participation(projection)
    labels = state_labels(len(bands), vbm, levels)
    states = [
        {
            "state": labels[k],
            "band": int(bands[k]),
            **{
                f"{by}_share": dict(zip(groups.names, weight[by][:, k].mean(axis=0).tolist()))
                for by, groups in grouped.items()
            },
            "participation": _mean_and_spread(spread[:, k]),
            "ipr": _mean_and_spread(1 / spread[:, k]),
        }
        for k in range(len(bands))
    ]
    edges = {
        name: {
            **{
                group: np.round(weight["species"][:, column, number], DIGITS)
                for number, group in enumerate(grouped["species"].names)
            },
            "participation": np.round(spread[:, column], DIGITS),
        }
        for name, column in zip(("VBM", "CBM"), band_edges(vbm, len(bands), levels))
    }
    return without_nan(
        {
            "partition": projection.partition,
            "level": projection.sites.level,
            "least_weight": float(on_atoms(projection).min()),
            "n_atoms": projection.sites.structure.n_atoms,
            "n_frames": len(projection.weights),
            "species": list(grouped["species"].names),
            "states": states,
            "edges": edges,
        }
    )


def _mean_and_spread(values: NDArray[np.float64]) -> dict[str, float]:
    return {"mean": float(values.mean()), "std": float(values.std()), "min": float(values.min())}


def lines_of(report: dict[str, Any], least: float = 0.02) -> list[str]:
    """Say in a line for each state where it lives: shares of at least `least`, largest first."""
    key = "orbital_share" if report["level"] == "shells" else "species_share"
    lines = []
    for state in report["states"]:
        found = sorted(state[key].items(), key=lambda item: -item[1])
        shown = ", ".join(f"{name} {100 * share:.0f} %" for name, share in found if share >= least)
        spread = state["participation"]
        lines.append(
            f"{state['state']:>6} (band {state['band']}): {shown}; on {spread['mean']:.1f} atoms "
            f"(sd {spread['std']:.1f}) of {report['n_atoms']}"
        )
    if report["least_weight"] < LEAST_WEIGHT:
        lines.append(
            f"warning: weights of atoms fall to {report['least_weight']:.2f}: neighbours overlap too much "
            f"for {report['partition']} weights; set states.partition to loewdin"
        )
    return lines
