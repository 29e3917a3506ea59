"""Model against DFT: energies, forces, Hamiltonian elements, couplings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from n2amd.analysis.documents import at, pair_of_columns
from n2amd.analysis.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def parity(axes: Axes, reference: ArrayLike, model: ArrayLike, *, marker_size: float | None = None) -> None:
    """Draw model against reference with the diagonal, equal scales on both axes.

    Markers become smaller with their number, and are drawn as an image beyond a thousand so that a vector
    file stays small.
    """
    x, y = np.asarray(reference, float), np.asarray(model, float)
    size = marker_size or float(np.clip(240 / np.sqrt(len(x)), 1.5, 18))
    low, high = float(min(x.min(), y.min())), float(max(x.max(), y.max()))
    pad = 0.05 * (high - low or abs(high) or 1.0)
    limits = (low - pad, high + pad)
    axes.plot(limits, limits, color=style.GREY, lw=0.8, zorder=1)
    axes.scatter(
        x,
        y,
        s=size,
        color=style.BLUE,
        alpha=0.75 if len(x) < 1000 else 0.35,
        linewidths=0,
        zorder=2,
        rasterized=len(x) > 1000,
    )
    axes.set(xlim=limits, ylim=limits, aspect="equal")
    axes.locator_params(nbins=5)


def note(axes: Axes, text: str, corner: str = "upper left") -> None:
    """Write a short text into a corner of the axes."""
    x, ha = (0.05, "left") if "left" in corner else (0.95, "right")
    y, va = (0.95, "top") if "upper" in corner else (0.05, "bottom")
    axes.text(x, y, text, transform=axes.transAxes, ha=ha, va=va, fontsize=7.5, linespacing=1.4)


def _spread(values: NDArray[np.float64]) -> float:
    return float(np.mean(np.abs(values)))


def forcefield_energy(report: dict[str, Any]) -> Figure:
    """Energies per atom of the force field against DFT's, about their DFT mean.

    Parameters
    ----------
    report
        Content of `forcefield.json`.
    """
    dft, model = pair_of_columns(report, "parity", "energy_dft_eV_per_atom", "energy_model_eV_per_atom")
    # total energies are large and their zero means nothing: show meV per atom about the mean
    dft, model = 1000 * (dft - dft.mean()), 1000 * (model - dft.mean())
    figure, (axes,) = style.panels(width=3.1, height=3.0)
    parity(axes, dft, model)
    axes.set(xlabel=r"$E_\mathrm{DFT}-\langle E_\mathrm{DFT}\rangle$ (meV/atom)")
    axes.set(ylabel=r"$E_\mathrm{model}-\langle E_\mathrm{DFT}\rangle$ (meV/atom)")
    note(axes, f"MAE {_spread(model - dft):.2g} meV/atom\n{len(dft)} test frames")
    return figure


def forcefield_force(report: dict[str, Any]) -> Figure:
    """Force components of the force field against DFT's.

    Parameters
    ----------
    report
        Content of `forcefield.json`.
    """
    dft, model = pair_of_columns(report, "parity", "force_dft_eV_A", "force_model_eV_A")
    figure, (axes,) = style.panels(width=3.1, height=3.0)
    parity(axes, dft, model)
    axes.set(xlabel=r"$F_\mathrm{DFT}$ (eV/Å)", ylabel=r"$F_\mathrm{model}$ (eV/Å)")
    note(axes, f"MAE {1000 * _spread(model - dft):.3g} meV/Å\n{len(dft):,} components")
    return figure


def hamiltonian(report: dict[str, Any]) -> Figure:
    """Hamiltonian elements of the network against DFT's, and their error by distance.

    Parameters
    ----------
    report
        Content of `hamiltonian.json`.
    """
    dft, model = pair_of_columns(report, "parity", "dft_eV", "model_eV")
    rows = at(report, "by_distance")
    distance = np.array([row["distance_A"] for row in rows], float)
    mean = np.array([row["mae_meV"] for row in rows], float)
    largest = np.array([row["max_meV"] for row in rows], float)
    figure, (left, right) = style.panels(1, 2, width=6.4, height=3.0)
    parity(left, dft, model)
    left.set(xlabel=r"$H_\mathrm{DFT}$ (eV)", ylabel=r"$H_\mathrm{network}$ (eV)")
    note(left, f"MAE {at(report, 'test', 'mae_meV'):.3g} meV\n{at(report, 'test', 'n_frames')} test frames")
    right.semilogy(distance, largest, "s", ms=3.2, mfc="white", mec=style.ORANGE, mew=0.9, label="largest")
    right.semilogy(distance, mean, "o-", ms=3.5, color=style.BLUE, label="mean absolute")
    right.set(xlabel="Interatomic distance (Å)", ylabel="Error of $H$ (meV)")
    right.margins(x=0.04, y=0.12)
    right.legend(loc="best")
    return figure


def nac_parity(report: dict[str, Any]) -> Figure:
    """Couplings from the network's Hamiltonian against those from DFT's, and their error by gap.

    Parameters
    ----------
    report
        Content of `nac_parity.json`.
    """
    pairs = at(report, "pairs")
    dft, model = (np.array([pair[f"nac_{who}_meV"] for pair in pairs], float) for who in ("dft", "model"))
    gap = np.abs([pair["gap_eV"] for pair in pairs])
    figure, (left, right) = style.panels(1, 2, width=6.6, height=3.0)
    floor = 1e-4 * max(float(np.abs(dft).max()), 1e-12)
    x, y = np.maximum(np.abs(dft), floor), np.maximum(np.abs(model), floor)
    limits = (0.7 * float(min(x.min(), y.min())), 1.6 * float(max(x.max(), y.max())))
    left.plot(limits, limits, color=style.GREY, lw=0.8, zorder=1)
    size = float(np.clip(240 / np.sqrt(len(x)), 2.0, 16))
    marks = left.scatter(
        x, y, s=size, c=gap, cmap="cividis", linewidths=0, alpha=0.9, zorder=2, rasterized=len(x) > 1000
    )
    left.set(xscale="log", yscale="log", xlim=limits, ylim=limits, aspect="equal")
    left.set(xlabel=r"$|\hbar d|$ from DFT (meV)", ylabel=r"$|\hbar d|$ from the network (meV)")
    bar = left.figure.colorbar(marks, ax=left, pad=0.02, shrink=0.86)
    bar.set_label("Energy gap of the pair (eV)")
    bar.outline.set_linewidth(0.6)
    same = 100 * float(np.mean(dft * model > 0))
    mae, rms = (f"{at(report, key):.2g} meV" for key in ("mae_meV", "rms_dft_meV"))
    note(left, f"MAE {mae}\nrms (DFT) {rms}\nsame sign {same:.0f} %")
    bins = at(report, "by_gap")
    centre = np.array([0.5 * (row["gap_from_eV"] + row["gap_to_eV"]) for row in bins], float)
    half = np.array([0.5 * (row["gap_to_eV"] - row["gap_from_eV"]) for row in bins], float)
    for key, colour, symbol, label in (
        ("rms_dft_meV", style.INK, "s", "rms coupling (DFT)"),
        ("mae_meV", style.BLUE, "o", "mean absolute error"),
    ):
        values = np.array([np.nan if row[key] is None else row[key] for row in bins], float)
        right.errorbar(centre, values, xerr=half, fmt=symbol, ms=4, lw=0.9, color=colour, label=label)
    right.set(yscale="log", xlabel="Energy gap of the pair (eV)", ylabel="Coupling (meV)")
    right.margins(y=0.2)
    right.legend(loc="best")
    return figure
