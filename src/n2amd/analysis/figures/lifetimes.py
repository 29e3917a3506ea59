"""Populations with their fit, lifetime against dephasing time, finite-size scaling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from n2amd.analysis.documents import at
from n2amd.analysis.figures import style
from n2amd.analysis.populations import Run
from n2amd.analysis.tables import time_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


#: Largest population over a run below which a state is left out of the figure.
SEEN = 0.01
#: Key, name, colour, dashes and line width of the two Hamiltonians.
_BOTH: Final = (
    ("dft", "DFT", style.GREY, "-", 1.8),
    ("model", "network", style.BLUE, (0, (3, 1.6)), 1.1),
)


def _time_axis(axes: Axes, longest: float) -> float:
    """Label the time axis in fs or ps, and return the factor from fs."""
    in_ps = longest > 2000
    axes.set_xlabel("Time (ps)" if in_ps else "Time (fs)")
    return 1e-3 if in_ps else 1.0


def population_parity(report: dict[str, Any]) -> Figure:
    """Populations from the network's Hamiltonian over those from DFT's, on the same frames.

    Parameters
    ----------
    report
        Content of `nac_parity.json`.
    """
    figure, (left, right) = style.panels(1, 2, width=6.6, height=2.8)
    found = at(report, "populations")
    if found is None:
        for axes in (left, right):
            axes.text(0.5, 0.5, "too few frames", transform=axes.transAxes, ha="center", va="center")
        return figure
    time = np.asarray(at(found, "time_fs"), float)
    recombined = at(found, "recombination")
    for who, name, colour, dashes, width in _BOTH:
        lifetime = recombined[f"lifetime_{who}_ns"]
        label = name if lifetime is None else f"{name}, {time_text(lifetime)}"
        share = 100 * np.asarray(recombined[who], float)
        left.plot(time, share, color=colour, ls=dashes, lw=width, label=label)
    left.set(xlabel="Time (fs)", ylabel="Recombined (%)")
    left.ticklabel_format(axis="y", scilimits=(-2, 3))
    left.margins(x=0)
    left.legend(loc="upper left", title=f"dephasing {at(found, 'dephasing_fs'):.3g} fs")
    for carrier, colour in (("electron", style.BLUE), ("hole", style.ORANGE)):
        relaxed = at(found, "relaxation", carrier)
        for who, name, _, dashes, width in _BOTH:
            hot = np.asarray(relaxed[who], float)[:, -1]
            faint = 0.45 if who == "dft" else 1.0
            right.plot(time, hot, color=colour, alpha=faint, ls=dashes, lw=width, label=f"{carrier}, {name}")
    right.set(xlabel="Time (fs)", ylabel="Left in the outermost state", ylim=(-0.03, 1.03))
    right.margins(x=0)
    right.legend(loc="best")
    return figure


def populations(runs: list[Run], report: dict[str, Any] | None = None) -> Figure:
    """Survival of the carrier in every run with its exponential fit, and the populations of the first run.

    Parameters
    ----------
    runs
        Runs of the dynamics stage.
    report
        Content of `lifetime.json`, for the fits.
    """
    fits = (report or {}).get("fits", {})
    figure, (left, right) = style.panels(1, 2, width=6.6, height=2.8)
    factor = _time_axis(left, max(float(run.time[-1]) for run in runs))
    for run, colour in zip(runs, style.CYCLE * len(runs)):
        lost = 100 * (1 - run.survival)
        mean = lost.mean(axis=0)
        left.plot(factor * run.time, mean, color=colour, lw=1.3, label=run.label)
        if len(lost) > 1:
            error = lost.std(axis=0, ddof=1) / np.sqrt(len(lost))
            left.fill_between(
                factor * run.time, mean - error, mean + error, color=colour, alpha=0.18, lw=0, zorder=1
            )
        value = fits.get(run.label, {}).get("lifetime_ns", {}).get("value")
        if value:
            fitted = -100 * np.expm1(-run.time * 1e-6 / value)
            left.plot(
                factor * run.time,
                fitted,
                color=colour,
                lw=0.9,
                ls=(0, (4, 2)),
                label=f"fit, {time_text(value)}",
            )
    left.set(ylabel="Recombined (%)")
    left.margins(x=0)
    if all((run.survival == 1).all() for run in runs):
        left.set_ylim(top=1.0)
        left.text(0.5, 0.5, "nothing recombined", transform=left.transAxes, ha="center", va="center")
    left.set_ylim(bottom=0)
    left.legend(loc="best", ncols=1 if len(runs) < 3 else 2)
    first = runs[0]
    factor = _time_axis(right, float(first.time[-1]))
    # the edges, and what else is ever seen: a window may have many states
    shown = [k for k in range(len(first.names)) if k < 2 or first.populations[:, k].max() >= SEEN]
    for index, colour in zip(shown, style.CYCLE * len(shown)):
        dashes = (0, (4, 2)) if first.names[index].startswith("hole ") else "-"
        values = first.populations[:, index]
        right.plot(factor * first.time, values, color=colour, ls=dashes, lw=1.2, label=first.names[index])
    columns = min(2 if first.carrier == "pair" else 4, len(shown))
    rows = -(-len(shown) // columns)
    right.set(ylabel="Population", ylim=(-0.03, 1.12 + 0.1 * rows), yticks=np.linspace(0, 1, 6))
    right.margins(x=0)
    right.legend(loc="upper center", ncols=columns, columnspacing=1.2, title=first.label)
    return figure


def lifetime_tau(report: dict[str, Any]) -> Figure:
    """Renewal lifetime against the dephasing time, with the band over tau +- 1 fs.

    Parameters
    ----------
    report
        Content of `lifetime.json`.
    """
    scan = at(report, "tau_scan")
    tau = np.array([row["tau_fs"] for row in scan], float)
    value, low, high, smooth = (
        np.array([np.nan if row[key] is None else row[key] for row in scan], float)
        for key in ("lifetime_ns", "low_ns", "high_ns", "exponential_waiting_ns")
    )
    waiting = scan[int(at(report, "exact", "waiting_steps")) - 1]["tau_fs"]
    figure, (axes,) = style.panels(width=4.2, height=3.0)
    band = [row["tau_fs"] for row in at(report, "tau_band")]
    axes.axvspan(band[0], band[-1], color=style.GOLD, alpha=0.25, lw=0, label=r"$\tau$ ± 1 fs")
    axes.fill_between(tau, low, high, color=style.BLUE, alpha=0.18, lw=0, label="MD window, at each time")
    quoted = at(report, "lifetime_ns")
    ends = [quoted["value"] if quoted[side] is None else quoted[side] for side in ("low", "high")]
    bounds = [[quoted["value"] - ends[0]], [ends[1] - quoted["value"]]]
    axes.errorbar(
        [waiting],
        [quoted["value"]],
        yerr=bounds,
        fmt="s",
        ms=4,
        color=style.INK,
        capsize=3,
        lw=1.0,
        zorder=4,
        label=f"quoted, {100 * at(report, 'confidence'):g} %",
    )
    axes.plot(tau, value, "o-", ms=3, color=style.BLUE, label="deterministic waiting (DISH)")
    axes.plot(tau, smooth, color=style.ORANGE, ls=(0, (4, 2)), label="exponential waiting")
    estimate = report.get("estimate_ns")
    if estimate:
        axes.plot([waiting], [estimate], "D", ms=5, mfc="white", mec=style.INK, mew=1.0, zorder=5)
        axes.plot([], [], "D", ms=5, mfc="white", mec=style.INK, label=r"$\tau\,(E_g/\hbar d)^2/2$")
    axes.set(xlabel="Pure-dephasing time in whole steps (fs)", ylabel="Lifetime (ns)", yscale="log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.margins(x=0.02, y=0.1)
    axes.legend(loc="best")
    return figure


def scaling(summary: dict[str, Any]) -> Figure:
    """Coupling and lifetime against the number of atoms, with power laws where there are three sizes.

    Parameters
    ----------
    summary
        Content of `summary.json`.
    """
    laws = {(law["material"], law["functional"]): law for law in summary.get("scaling", [])}
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for case in at(summary, "cases"):
        groups.setdefault((case["material"], case["functional"]), []).append(case)
    figure, (left, right) = style.panels(1, 2, width=6.4, height=3.0)
    for (key, cases), colour in zip(groups.items(), style.CYCLE * len(groups)):
        atoms = np.array([case["n_atoms"] for case in cases], float)
        life = np.array(
            [[case["lifetime_ns"][k] or np.nan for k in ("value", "low", "high")] for case in cases]
        )
        nac = np.array([case["nac_rms_meV"] for case in cases], float)
        nac_bounds = np.array(
            [[case["nac_rms_interval_meV"][k] for k in ("low", "high")] for case in cases], float
        )
        name = ", ".join(key)
        for axes, values, error, quantity in (
            (left, nac, np.abs(nac_bounds - nac[:, None]).T, "nac_rms_meV"),
            (right, life[:, 0], np.nan_to_num(np.abs(life[:, 1:] - life[:, :1]).T), "lifetime_ns"),
        ):
            label = name
            if key in laws:
                law = laws[key][quantity]
                line = np.geomspace(atoms.min(), atoms.max(), 50)
                axes.plot(line, law["prefactor"] * line ** law["exponent"], color=colour, lw=1.0)
                label = f"{name}: $N^{{{law['exponent']:.2f} \\pm {law['error']:.2f}}}$"
            axes.errorbar(
                atoms,
                values,
                yerr=error,
                fmt="o",
                ms=4,
                mfc="white",
                color=colour,
                capsize=2,
                lw=0.9,
                label=label,
            )
    for axes, text in ((left, "rms coupling (meV)"), (right, "Lifetime (ns)")):
        axes.set(xscale="log", yscale="log", xlabel="Atoms", ylabel=text)
        axes.margins(x=0.1, y=0.15)
        axes.legend(loc="best")
    return figure
