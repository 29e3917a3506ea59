"""Recombination with and without a defect, and the levels of both cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from n2amd.analysis.documents import at
from n2amd.analysis.figures import style
from n2amd.analysis.tables import time_text, time_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Levels closer than this share a label, eV.
TOGETHER = 0.08


def defect(report: dict[str, Any]) -> Figure:
    """Recombined share against time, populations of the level, and the energy diagram.

    Parameters
    ----------
    report
        Content of `rates.json`.
    """
    figure, (left, right) = style.panels(1, 2, width=6.6, height=3.0)
    found, pristine = at(report, "populations"), report.get("pristine")
    if found is None:
        left.text(0.5, 0.5, "nothing recombines", transform=left.transAxes, ha="center", va="center")
    else:
        _recombined(left, report, found, pristine)
    cells = [("with the defect", at(report, "levels"))]
    if pristine is not None:
        cells.append(("pristine", at(pristine, "levels")))
    _diagram(right, cells)
    return figure


def _recombined(
    axes: Axes, report: dict[str, Any], found: dict[str, Any], pristine: dict[str, Any] | None
) -> None:
    time = np.asarray(at(found, "time_ns"), float)
    factor, unit = time_unit(float(time[-1]))
    values, names = np.asarray(at(found, "values"), float), at(report, "states")
    first = at(report, "sources")[0]
    life, slow = first["lifetime_ns"]["value"], first["direct_ns"]["value"]
    axes.plot(factor * time, values[:, 0], color=style.BLUE, label=f"through the level, {time_text(life)}")
    never = "never" if slow is None else time_text(slow)
    axes.plot(
        factor * time, found["direct"], color=style.ORANGE, ls=(0, (4, 2)), label=f"level left out, {never}"
    )
    if pristine is not None and found.get("pristine") is not None:
        label = f"pristine cell, {time_text(pristine['lifetime_ns']['value'])}"
        axes.plot(factor * time, found["pristine"], color=style.GREY, ls=(0, (1, 1.5)), label=label)
    for column, name in enumerate(names):
        if name.startswith("defect"):
            axes.plot(factor * time, values[:, column], color=style.GREEN, lw=1.0, label=f"on the {name}")
    axes.set(xlabel=f"Time ({unit})", ylabel="Population", ylim=(-0.03, 1.4), yticks=np.linspace(0, 1, 6))
    axes.margins(x=0)
    axes.legend(loc="upper left")


def _diagram(axes: Axes, cells: list[tuple[str, list[dict[str, Any]]]]) -> None:
    """Mean levels with their standard deviation, filled ones solid; labels of close ones are joined."""
    for place, (_, levels) in enumerate(cells):
        edges = [-np.inf]
        for level in sorted(levels, key=lambda entry: entry["energy_eV"]):
            colour = style.GREEN if level["defect"] else style.BLUE if level["filled"] else style.ORANGE
            energy, width = level["energy_eV"], level["std_eV"]
            ends = (place - 0.32, place + 0.12)
            axes.fill_between(ends, energy - width, energy + width, color=colour, alpha=0.18, lw=0)
            axes.plot(ends, [energy] * 2, color=colour, ls="-" if level["filled"] else (0, (3, 1.5)))
            named = level["defect"] or level["name"] in ("VBM", "CBM")
            if named:
                height = max(energy, edges[-1] + TOGETHER)
                edges.append(height)
                text = f"{level['name']} {energy:+.2f}"
                axes.text(place + 0.15, height, text, va="center", fontsize=7, color=colour)
    axes.set(xlim=(-0.5, len(cells) - 0.2), ylabel="Energy from the VBM (eV)")
    axes.set_xticks(np.arange(len(cells)) - 0.1, [name for name, _ in cells])
    axes.tick_params(axis="x", length=0)
    axes.margins(y=0.08)
