"""Gap and coupling along the trajectory, dephasing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from n2amd.analysis.documents import at
from n2amd.analysis.edges import EdgeSeries
from n2amd.analysis.figures import style
from n2amd.analysis.figures.parity import note

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def gap_and_coupling(edges: EdgeSeries) -> Figure:
    """Gap and coupling of the band edges along the trajectory, with their mean and rms."""
    time = edges.timestep_fs * np.arange(len(edges.gap))
    in_ps = time[-1] > 2000
    time = time / 1000 if in_ps else time
    middle = 0.5 * (time[1:] + time[:-1])
    coupling = 1000 * np.abs(edges.coupling)
    rms = 1000 * edges.nac_rms
    figure, (upper, lower) = style.panels(2, 1, width=4.6, height=3.4, sharex=True)
    upper.plot(time, edges.gap, color=style.BLUE, lw=0.9)
    upper.axhline(edges.gap.mean(), color=style.INK, lw=0.8, ls="--")
    upper.set(ylabel="Gap (eV)")
    lowest, highest = float(edges.gap.min()), float(edges.gap.max())
    upper.set_ylim(lowest - 0.06 * (highest - lowest), highest + 0.3 * (highest - lowest) + 1e-9)
    upper.margins(x=0)
    note(upper, f"mean {edges.gap.mean():.3f} eV, standard deviation {1000 * edges.gap.std():.0f} meV")
    lower.plot(middle, coupling, color=style.ORANGE, lw=0.8)
    lower.axhline(rms, color=style.INK, lw=0.8, ls="--")
    lower.set(ylabel=r"$|\hbar d|$ (meV)", xlabel="Time (ps)" if in_ps else "Time (fs)")
    lower.set(ylim=(0, 1.25 * float(coupling.max()) or 1.0))
    lower.margins(x=0)
    note(lower, f"rms {rms:.3g} meV")
    figure.align_ylabels()
    return figure


def dephasing(report: dict[str, Any]) -> Figure:
    """Gap autocorrelation and dephasing function with its Gaussian fit.

    Parameters
    ----------
    report
        Content of `dephasing.json`.
    """
    time = np.asarray(at(report, "time_fs"), float)
    correlation = np.asarray(at(report, "autocorrelation"), float)
    function = np.asarray(at(report, "dephasing_function"), float)
    tau = float(at(report, "gaussian_fs"))
    figure, (left, right) = style.panels(1, 2, width=6.4, height=2.6)
    left.axhline(0, color=style.GREY, lw=0.7)
    left.plot(time[: len(correlation)], correlation / correlation[0], color=style.BLUE)
    left.set(xlabel="Time (fs)", ylabel=r"$C(t)/C(0)$")
    left.margins(x=0)
    note(left, rf"$\sigma_\mathrm{{gap}}$ = {1000 * at(report, 'gap_std_eV'):.0f} meV", "upper right")
    shown = time <= 5 * tau
    fine = np.linspace(0, float(time[shown][-1]), 300)
    right.plot(fine, np.exp(-0.5 * (fine / tau) ** 2), color=style.ORANGE, lw=1.1, label="Gaussian fit")
    interval = at(report, "gaussian_interval_fs")
    widest = interval["high"] or np.inf
    right.fill_between(
        fine,
        np.exp(-0.5 * (fine / interval["low"]) ** 2),
        np.exp(-0.5 * (fine / widest) ** 2),
        color=style.ORANGE,
        alpha=0.18,
        lw=0,
        label=f"its {100 * at(report, 'confidence'):g} % interval",
    )
    right.plot(
        time[: len(function)][shown[: len(function)]],
        function[shown[: len(function)]],
        "o",
        ms=3.2,
        mfc="white",
        mec=style.BLUE,
        mew=0.9,
        label="second-order cumulant",
    )
    right.set(xlabel="Time (fs)", ylabel="Dephasing function", ylim=(-0.03, 1.4), yticks=np.linspace(0, 1, 6))
    handles, labels = right.get_legend_handles_labels()
    right.legend(handles[::-1], labels[::-1], loc="upper right")
    names = (("Gaussian", "gaussian_fs"), ("exponential", "exponential_fs"), ("1/e", "one_over_e_fs"))
    values = [(name, report.get(key)) for name, key in names]
    values.append((r"$\hbar/\sigma$", report.get("inverse_sigma_fs")))
    text = ", ".join(f"{name} {value:.1f} fs" for name, value in values if value is not None)
    figure.suptitle(f"Pure dephasing: {text}", fontsize=8)
    return figure
