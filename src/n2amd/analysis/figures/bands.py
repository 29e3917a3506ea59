"""Band structures and densities of states."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from n2amd.analysis.documents import at
from n2amd.analysis.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Energies shown below the valence band maximum and above the conduction band minimum, eV.
BAND_MARGIN = 4.0
#: Groups drawn of a density of states, the largest.
MOST_GROUPS = 6
_GREEK = {"G": "Γ", "GAMMA": "Γ", "SIGMA": "Σ", "DELTA": "Δ", "LAMBDA": "Λ"}
_DASHES = (0, (3, 1.6))


def bands(report: dict[str, Any]) -> Figure:
    """Band structure of the network, over DFT's where there is one, zero at the valence band maximum.

    Parameters
    ----------
    report
        Content of `bands.json`; with collinear spins a panel a channel, zero at the higher maximum.
    """
    if "channels" not in report:
        figure, (axes,) = style.panels(width=style.COLUMN, height=3.4)
        drawn = [_drawn_bands(axes, report, report, _edges_of(report))]
    else:
        channels = at(report, "channels")
        edges = np.array([_edges_of(channel) for channel in channels.values()])
        figure, panels = style.panels(1, len(channels), width=1.8 * style.COLUMN, height=3.4, sharey=True)
        drawn = []
        for axes, (name, channel) in zip(panels, channels.items()):
            drawn.append(_drawn_bands(axes, report, channel, (edges[:, 0].max(), edges[:, 1].min())))
            axes.set_title(f"spin {name}")
            axes.label_outer()
    if errors := [error for error in drawn if error is not None]:
        axes.plot([], [], color=style.GREY, lw=1.8, label="DFT")
        told = ", ".join(f"{error:.2g}" for error in errors)
        axes.plot([], [], color=style.BLUE, ls=_DASHES, lw=1.0, label=f"network (MAE {told} meV)")
        figure.legend(loc="outside upper center", ncols=2)
    return figure


def _edges_of(bands: dict[str, Any]) -> tuple[float, float]:
    """VBM and CBM of DFT's bands where there are any, else the network's, eV."""
    energies = at(bands, "model_eV") if bands.get("dft_eV") is None else at(bands, "dft_eV")
    zero, occupied = np.asarray(energies, float), int(at(bands, "n_occupied"))
    return float(zero[:, occupied - 1].max()), float(zero[:, occupied].min())


def _drawn_bands(
    axes: Axes, path: dict[str, Any], bands: dict[str, Any], edges: tuple[float, float]
) -> float | None:
    """Draw bands along a path; return how far the network's that are seen are from DFT's, meV."""
    distance = np.asarray(at(path, "distance"), float)
    model = np.asarray(at(bands, "model_eV"), float)
    dft = None if bands.get("dft_eV") is None else np.asarray(at(bands, "dft_eV"), float)
    vbm, cbm = edges
    top = max(cbm - vbm, 0) + BAND_MARGIN
    for first, last in _unbroken(distance):
        line = slice(first, last)
        if dft is not None:
            axes.plot(distance[line], dft[line] - vbm, color=style.GREY, lw=1.8)
        dashes = "-" if dft is None else _DASHES
        axes.plot(distance[line], model[line] - vbm, color=style.BLUE, lw=1.0, ls=dashes)
    axes.axhline(0, color=style.INK, lw=0.5, ls=":")
    names: dict[float, list[str]] = {}
    for index, name in at(path, "labels"):
        names.setdefault(float(distance[index]), []).append(_shown(name))
    for place in names:
        axes.axvline(place, color=style.INK, lw=0.5)
    axes.set_xticks(list(names), ["|".join(dict.fromkeys(found)) for found in names.values()])
    axes.tick_params(axis="x", length=0)
    axes.set(xlim=(distance[0], distance[-1]), ylabel=r"$E-E_\mathrm{VBM}$ (eV)", ylim=(-BAND_MARGIN, top))
    if dft is None:
        return None
    shown = (dft - vbm > -BAND_MARGIN) & (dft - vbm < top)
    return 1000 * float(np.abs(model - dft)[shown].mean())


def _unbroken(distance: np.ndarray) -> list[tuple[int, int]]:
    """First and last point (exclusive) of each part of a path; a break repeats its place."""
    breaks = np.flatnonzero(np.diff(distance) == 0) + 1
    ends = [0, *breaks.tolist(), len(distance)]
    return list(pairwise(ends))


def _shown(name: str) -> str:
    """Label as it is printed: Greek letters, index below."""
    letter, _, index = name.partition("_")
    letter = _GREEK.get(letter, _GREEK.get(letter.upper(), letter))
    return f"{letter}$_{{{index}}}$" if re.fullmatch(r"\d+", index) else letter


def density_of_states(report: dict[str, Any]) -> Figure:
    """Density of states around the gap, and its largest parts where it is projected.

    Parameters
    ----------
    report
        Content of `dos.json`; with collinear spins that of spin down hangs below the axis.
    """
    energy = np.asarray(at(report, "energy_eV"), float)
    channels = at(report, "channels") if "channels" in report else {"": report}
    gap = max(float(at(report, "gap_eV")), 0.0)
    seen = (energy > -2 * BAND_MARGIN) & (energy < gap + 2 * BAND_MARGIN)
    largest = _largest(list(channels.values()), seen)
    figure, (axes,) = style.panels(width=style.COLUMN * 1.3, height=2.8)
    heights = []
    for sign, channel in zip((1, -1), channels.values()):
        total, first = np.asarray(at(channel, "total"), float), sign == 1
        label = "all" if first else None
        axes.fill_between(energy, sign * total, color=style.GREY, alpha=0.25, lw=0, label=label)
        for name, colour in zip(largest, style.CYCLE):
            part = np.asarray(channel["projected"][name], float)
            axes.plot(energy, sign * part, color=colour, lw=1.0, label=name if first else None)
        heights.append(1.1 * float(total[seen].max()) or 1.0)
    axes.axvline(0, color=style.INK, lw=0.5, ls=":")
    bottom = -heights[1] if len(heights) > 1 else 0
    axes.set(xlim=(energy[seen][0], energy[seen][-1]), ylim=(bottom, heights[0]))
    if bottom:
        axes.axhline(0, color=style.INK, lw=0.5)
    spins = "spin up above, down below" if bottom else "both spins"
    axes.set(xlabel=r"$E-E_\mathrm{VBM}$ (eV)", ylabel=f"States (1/eV, {spins})")
    if largest:
        figure.legend(loc="outside upper center", ncols=4)
    return figure


def _largest(channels: list[dict[str, Any]], seen: np.ndarray) -> list[str]:
    """Groups with the most states at the energies that are seen, of both channels together."""
    weight: dict[str, float] = {}
    for channel in channels:
        for name, part in (channel.get("projected") or {}).items():
            weight[name] = weight.get(name, 0.0) + float(np.asarray(part, float)[seen].sum())
    return sorted(weight, key=lambda name: -weight[name])[:MOST_GROUPS]
