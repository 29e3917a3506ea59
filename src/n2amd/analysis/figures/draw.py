"""From files to a figure file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from n2amd.analysis.documents import read_report
from n2amd.analysis.edges import edge_series, read_window
from n2amd.analysis.figures import bands, defect, electrons, lifetimes, parity, reliability, spectra, style
from n2amd.analysis.populations import read_run
from n2amd.analysis.shapes import FIGURES, conforming, figure_shape
from n2amd.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Figures drawn from one JSON report.
FROM_REPORT: dict[str, Callable[[dict[str, Any]], Figure]] = {
    "forcefield-energy": parity.forcefield_energy,
    "forcefield-force": parity.forcefield_force,
    "hamiltonian": parity.hamiltonian,
    "nac-parity": parity.nac_parity,
    "population-parity": lifetimes.population_parity,
    "bands": bands.bands,
    "dos": bands.density_of_states,
    "dephasing": electrons.dephasing,
    "spectral-density": spectra.spectral_density,
    "phonons": spectra.phonons,
    "character": spectra.character,
    "defect": defect.defect,
    "lifetime-tau": lifetimes.lifetime_tau,
    "scaling": lifetimes.scaling,
}


def draw(what: str, inputs: list[Path], out: Path) -> None:
    """Draw one figure.

    Parameters
    ----------
    what
        Its name.
    inputs
        The files it is drawn from.
    out
        .svg, .png or .pdf.

    Raises
    ------
    InputError
        If the inputs do not fit the figure.
    """
    with style.styled():
        style.save(_figure(what, inputs), out)


def draw_report(what: str, report: dict[str, Any], out: Path) -> None:
    """Draw a figure of `FROM_REPORT` from a report that is at hand, to .svg, .png or .pdf."""
    with style.styled():
        style.save(FROM_REPORT[what](report), out)


def _figure(what: str, inputs: list[Path]) -> Figure:
    if what == "populations":
        reports = [path for path in inputs if path.suffix == ".json"]
        runs = [read_run(path) for path in inputs if path.suffix != ".json"]
        if not runs or len(reports) > 1:
            raise InputError(
                f"{len(runs)} populations files and {len(reports)} reports",
                field=what,
                remedy="pass at least one populations file and at most one lifetime.json",
            )
        fits = conforming(read_report(reports[0]), FIGURES[what]) if reports else None
        return lifetimes.populations(runs, fits)
    if what == "doubt":
        judged = [conforming(read_report(path), FIGURES[what]) for path in inputs]
        return _drawn(what, inputs, lambda: reliability.doubt(judged))
    if len(inputs) != 1:
        raise InputError(
            f"{len(inputs)} input files", field=what, remedy="this figure is drawn from one file"
        )
    if what == "gap-and-coupling":
        return electrons.gap_and_coupling(edge_series(read_window(inputs[0]), inputs[0]))
    report = read_report(inputs[0])
    conforming(report, figure_shape(what, report))
    return _drawn(what, inputs, lambda: FROM_REPORT[what](report))


def _drawn(what: str, inputs: list[Path], make: Callable[[], Figure]) -> Figure:
    """Draw, or say that each list is of numbers, but they do not fit each other."""
    try:
        return make()
    except (ValueError, IndexError) as error:
        raise InputError(
            f"lists that do not belong together ({error})",
            file=inputs[0],
            field=what,
            remedy="make the report again",
        ) from error
