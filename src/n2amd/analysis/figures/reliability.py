"""Is the network's doubt right: errors of band edges over the spreads that it gave them."""

from __future__ import annotations

from collections.abc import Sequence
from math import erf, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from n2amd.analysis.documents import at
from n2amd.analysis.figures import style
from n2amd.analysis.figures.parity import note
from n2amd.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Largest error over spread of the calibration curve.
LARGEST_RATIO = 4.0
_EDGES = (("vbm", "o"), ("cbm", "s"))


def doubt(reports: Sequence[dict[str, Any]]) -> Figure:
    """Errors of VBM and CBM against predicted spreads, and how many lie within so many spreads.

    Parameters
    ----------
    reports
        Contents of `hamiltonian.json`, one a data set or a round of active learning.

    Raises
    ------
    InputError
        If a model gave no spreads.
    """
    groups = _groups(reports)
    figure, (left, right) = style.panels(1, 2, width=6.4, height=3.0)
    for (label, frames), colour in zip(groups.items(), _colours(len(groups))):
        for edge, marker in _EDGES:
            error, spread = ([abs(f[f"{edge}_{what}_meV"]) for f in frames] for what in ("error", "spread"))
            left.scatter(spread, np.maximum(error, 1e-2), s=14, marker=marker, color=colour, linewidths=0)
        left.plot([], [], marker="o", ls="", ms=4, color=colour, label=label)
    _lines(left)
    frames = [f for found in groups.values() for f in found]
    ratio = np.abs([f[f"{edge}_error_meV"] / f[f"{edge}_spread_meV"] for f in frames for edge, _ in _EDGES])
    _calibration(right, ratio)
    within = ", ".join(f"{100 * np.mean(ratio < k):.0f} %" for k in (1, 2))
    told = f"error / spread {np.sqrt(np.mean(ratio**2)):.2g} (rms)\nwithin 1, 2 spreads: {within}"
    note(right, f"{told}\n{len(ratio)} edges of {len(frames)} frames", "lower right")
    return figure


def _groups(reports: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, float]]]:
    """Frames with errors and spreads by what they are told apart by: round, number of atoms."""
    groups: dict[str, list[dict[str, float]]] = {}
    for number, report in enumerate(reports, 1):
        if report["doubt"] is None:
            raise InputError(
                "the model does not tell how far it may be wrong",
                file=report.get("__file__"),
                field="doubt",
                remedy="judge one with a learned density",
            )
        first = f"round {number}, " if len(reports) > 1 else ""
        for row, frame in zip(at(report, "frames"), at(report, "doubt", "frames"), strict=True):
            groups.setdefault(f"{first}{row['n_atoms']} atoms", []).append(frame)
    return groups


def _colours(count: int) -> list[str]:
    return [style.CYCLE[k % len(style.CYCLE)] for k in range(count)]


def _lines(axes: Axes) -> None:
    """Logarithmic axes with the lines of an error of one and of two spreads."""
    axes.set(xscale="log", yscale="log")
    limits = np.array([min(axes.get_xlim()[0], 1.0), max(axes.get_xlim()[1], 10.0)])
    axes.plot(limits, limits, color=style.GREY, lw=0.8, zorder=0, label="one spread")
    axes.plot(limits, 2 * limits, color=style.GREY, lw=0.8, ls="--", zorder=0, label="two spreads")
    axes.set(xlim=limits, xlabel="Predicted spread (meV)")
    axes.set(ylabel="|Error| of VBM (circles), CBM (squares), meV")
    axes.legend(loc="best")


def _calibration(axes: Axes, ratio: np.ndarray) -> None:
    """Share of errors within so many spreads, beside that of normal errors."""
    fine = np.linspace(0, LARGEST_RATIO, 200)
    axes.plot(fine, [erf(z / sqrt(2)) for z in fine], color=style.GREY, lw=1.0, label="normal errors")
    axes.step(
        [0, *np.sort(ratio), max(LARGEST_RATIO, ratio.max())],
        [0, *(np.arange(1, len(ratio) + 1) / len(ratio)), 1],
        where="post",
        color=style.BLUE,
        label="found",
    )
    axes.set(xlim=(0, LARGEST_RATIO), ylim=(0, 1.02), xlabel="Spreads", ylabel="Share of errors within")
    axes.legend(loc="upper left")
