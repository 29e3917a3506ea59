"""Band structures and densities of states."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from n2amd.analysis.documents import at
from n2amd.analysis.figures import style

if TYPE_CHECKING:
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
        Content of `bands.json`.
    """
    distance = np.asarray(at(report, "distance"), float)
    model = np.asarray(at(report, "model_eV"), float)
    dft = None if report.get("dft_eV") is None else np.asarray(at(report, "dft_eV"), float)
    occupied = int(at(report, "n_occupied"))
    zero = model if dft is None else dft
    vbm, cbm = float(zero[:, occupied - 1].max()), float(zero[:, occupied].min())
    top = max(cbm - vbm, 0) + BAND_MARGIN
    figure, (axes,) = style.panels(width=style.COLUMN, height=3.4)
    for first, last in _unbroken(distance):
        line = slice(first, last)
        if dft is not None:
            axes.plot(distance[line], dft[line] - vbm, color=style.GREY, lw=1.8)
        dashes = "-" if dft is None else _DASHES
        axes.plot(distance[line], model[line] - vbm, color=style.BLUE, lw=1.0, ls=dashes)
    axes.axhline(0, color=style.INK, lw=0.5, ls=":")
    names: dict[float, list[str]] = {}
    for index, name in at(report, "labels"):
        names.setdefault(float(distance[index]), []).append(_shown(name))
    for place in names:
        axes.axvline(place, color=style.INK, lw=0.5)
    axes.set_xticks(list(names), ["|".join(dict.fromkeys(found)) for found in names.values()])
    axes.tick_params(axis="x", length=0)
    axes.set(xlim=(distance[0], distance[-1]), ylabel=r"$E-E_\mathrm{VBM}$ (eV)", ylim=(-BAND_MARGIN, top))
    if dft is not None:
        shown = (dft - vbm > -BAND_MARGIN) & (dft - vbm < top)
        error = 1000 * float(np.abs(model - dft)[shown].mean())
        axes.plot([], [], color=style.GREY, lw=1.8, label="DFT")
        axes.plot([], [], color=style.BLUE, ls=_DASHES, lw=1.0, label=f"network (MAE {error:.2g} meV)")
        figure.legend(loc="outside upper center", ncols=2)
    return figure


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
        Content of `dos.json`.
    """
    energy, total = (np.asarray(at(report, key), float) for key in ("energy_eV", "total"))
    gap = max(float(at(report, "gap_eV")), 0.0)
    parts = {name: np.asarray(part, float) for name, part in (report.get("projected") or {}).items()}
    seen = (energy > -2 * BAND_MARGIN) & (energy < gap + 2 * BAND_MARGIN)
    largest = sorted(parts, key=lambda name: -float(parts[name][seen].sum()))[:MOST_GROUPS]
    figure, (axes,) = style.panels(width=style.COLUMN * 1.3, height=2.8)
    axes.fill_between(energy, total, color=style.GREY, alpha=0.25, lw=0, label="all")
    for name, colour in zip(largest, style.CYCLE):
        axes.plot(energy, parts[name], color=colour, lw=1.0, label=name)
    axes.axvline(0, color=style.INK, lw=0.5, ls=":")
    axes.set(xlim=(energy[seen][0], energy[seen][-1]), ylim=(0, 1.1 * float(total[seen].max()) or 1.0))
    axes.set(xlabel=r"$E-E_\mathrm{VBM}$ (eV)", ylabel="States (1/eV, both spins)")
    if largest:
        figure.legend(loc="outside upper center", ncols=4)
    return figure
