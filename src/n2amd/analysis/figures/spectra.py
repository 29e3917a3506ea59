"""Spectral densities, and where the band edges live."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from n2amd.analysis.documents import at
from n2amd.analysis.figures import style
from n2amd.analysis.figures.parity import note

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Lines named in a panel.
NAMED = 4
#: The two states whose character is drawn, and the share below which an orbital is left out.
EDGES = ("VBM", "CBM")
SEEN = 0.02
DASHES = ["-", (0, (4, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1))]


def spectral_density(report: dict[str, Any]) -> Figure:
    """Spectral densities of gap and coupling with their standard errors and strongest lines.

    Parameters
    ----------
    report
        Content of `spectrum.json`.
    """
    figure, panels = style.panels(1, 2, width=6.6, height=2.7)
    end = 1.25 * max(at(report, name, "wave_number_of_95_percent_cm1") for name in ("gap", "coupling"))
    end = min(max(end, 3 * at(report, "resolution_cm1")), at(report, "nyquist_cm1"))
    for axes, name, colour in zip(panels, ("gap", "coupling"), (style.BLUE, style.ORANGE)):
        grid, density, error = (
            np.asarray(at(report, name, key), float)
            for key in ("wave_number_cm1", "density_meV2_cm", "error_meV2_cm")
        )
        axes.fill_between(grid, density - error, density + error, color=colour, alpha=0.2, lw=0)
        axes.plot(grid, density, color=colour, lw=1.2)
        for line in report[name]["peaks"][:NAMED]:
            place = (line["wave_number_cm1"], line["height_meV2_cm"] + line["error_meV2_cm"])
            text = f"{line['wave_number_cm1']:.0f}\n{100 * line['share']:.0f} %"
            axes.annotate(text, place, (0, 3), textcoords="offset points", ha="center", fontsize=6.5)
        top = float((density + error).max())
        axes.set(xlim=(0, end), ylim=(0, 1.5 * top), xlabel="Wave number (cm$^{-1}$)")
        note(axes, rf"{name}, $\sigma$ = {at(report, name, 'std_meV'):.3g} meV")
    panels[0].set_ylabel("Spectral density (meV$^2$ cm)")
    width, axes = at(report, "resolution_cm1"), panels[1]
    height = 1.3 * axes.get_ylim()[1] / 1.5
    axes.errorbar(0.06 * end + width / 2, height, xerr=width / 2, color=style.INK, capsize=2, lw=0.9)
    axes.text(0.08 * end + width, height, "resolution", va="center", fontsize=6.5)
    return figure


def phonons(report: dict[str, Any]) -> Figure:
    """Vibrations of the trajectory beside normal modes, and modes of the force field against DFT's.

    Parameters
    ----------
    report
        Content of `phonons.json`.
    """
    figure, (axes, modes) = style.panels(1, 2, width=6.6, height=2.7, gridspec_kw={"width_ratios": [1.7, 1]})
    trajectory = at(report, "trajectory")
    grid = np.asarray(at(trajectory, "wave_number_cm"), float)
    density = np.asarray(at(trajectory, "density"), float)
    axes.plot(grid, density, color=style.INK, lw=1.2, label="trajectory")
    end = 1.1 * float(grid[density > SEEN * density.max()][-1])
    for name, key, colour in (
        ("DFT's modes", "harmonic_dft_density", style.BLUE),
        ("force field's modes", "harmonic_model_density", style.ORANGE),
    ):
        if key in trajectory:
            values = np.asarray(trajectory[key], float)
            axes.plot(grid, values, color=colour, lw=1.0, label=name)
    axes.set(xlabel="Wave number (cm$^{-1}$)", ylabel="Modes per cm$^{-1}$")
    axes.set(xlim=(0, end), ylim=(0, 1.3 * axes.get_ylim()[1]))
    axes.legend(loc="upper right", fontsize=6.5)
    note(axes, f"resolution {at(trajectory, 'resolution_cm'):.0f} cm$^{{-1}}$")
    modes.set(xlabel="DFT (cm$^{-1}$)", ylabel="Force field (cm$^{-1}$)")
    if at(report, "n_frames"):
        dft, model = (np.asarray(at(report, key), float) for key in ("dft_cm", "model_cm"))
        top = 1.05 * max(dft.max(), model.max())
        modes.plot([0, top], [0, top], color=style.INK, lw=0.6)
        modes.plot(dft, model, ".", color=style.BLUE, ms=2.5)
        note(modes, f"{at(report, 'n_frames')} frames, rms {at(report, 'rms_difference_cm'):.1f} cm$^{{-1}}$")
    else:
        note(modes, report.get("not_compared", "no DFT forces of this cell"))
    return figure


def character(report: dict[str, Any]) -> Figure:
    """Shares of the band edges on elements, mean by orbital and along the trajectory, and their spread.

    Parameters
    ----------
    report
        Content of `character.json`.
    """
    figure, (bars, share, spread) = style.panels(
        1, 3, width=style.PAGE, height=2.6, gridspec_kw={"width_ratios": [1, 1.3, 1.3]}
    )
    states = {state["state"]: state for state in at(report, "states")}
    key = "orbital_share" if report["level"] == "shells" else "species_share"
    names = [name for name in states["VBM"][key] if max(states[e][key][name] for e in EDGES) >= SEEN]
    place = np.arange(len(names))
    frames = np.arange(at(report, "n_frames"))
    for number, (edge, colour) in enumerate(zip(EDGES, (style.BLUE, style.ORANGE))):
        heights = [100 * states[edge][key][name] for name in names]
        bars.bar(place + 0.38 * (number - 0.5), heights, 0.36, color=colour, label=edge)
        series = at(report, "edges", edge)
        for species, dashes in zip(at(report, "species"), DASHES * len(report["species"])):
            values = 100 * np.asarray(series[species], float)
            share.plot(frames, values, color=colour, ls=dashes, lw=0.9, label=f"{edge} on {species}")
        mean = states[edge]["participation"]["mean"]
        spread.plot(frames, series["participation"], color=colour, lw=0.9, label=f"{edge}, mean {mean:.1f}")
    bars.set_xticks(place, names, rotation=45 if len(names) > 4 else 0)
    bars.tick_params(axis="x", length=0)
    bars.set(ylabel="Mean share (%)", ylim=(0, 120), yticks=np.arange(0, 101, 20))
    share.set(xlabel="Frame", ylabel="Share (%)", ylim=(-3, 145), yticks=np.arange(0, 101, 20))
    spread.set(xlabel="Frame", ylabel="Atoms it lives on (1/IPR)")
    spread.set_ylim(0, 1.3 * max(np.max(report["edges"][edge]["participation"]) for edge in EDGES))
    for axes, columns in ((bars, 2), (share, 2), (spread, 1)):
        axes.legend(loc="upper center", ncols=columns, columnspacing=0.8, fontsize=6.5)
    for axes in (share, spread):
        axes.margins(x=0)
    return figure
