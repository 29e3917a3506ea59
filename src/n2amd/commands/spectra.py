"""`n2amd analysis spectrum` and `character`: what drives the gap and the couplings, where the states live."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from n2amd.analysis.populations import Run

Settings = Annotated[
    str | None, typer.Option("--settings", help='Section "analysis": inline "{...}" or a YAML file.')
]


def spectrum(
    out: Annotated[Path, typer.Option(help="spectrum.json to write.")],
    couplings: Annotated[Path | None, typer.Option(help="couplings.h5.")] = None,
    hefei: Annotated[
        Path | None, typer.Option(help="Run folder of Hefei-NAMD instead (EIGTXT, NATXT, inp if there).")
    ] = None,
    table: Annotated[Path | None, typer.Option(help="CSV of the densities to write.")] = None,
    libra: Annotated[Path | None, typer.Option(help="CSV of Libra's influence spectra to write.")] = None,
    bands: Annotated[
        tuple[int, int] | None,
        typer.Option(
            help="Lower and upper band; default: the edges. Counted from 0, of a Hefei folder as in its inp."
        ),
    ] = None,
    settings: Settings = None,
) -> None:
    """Spectral density of the gap and of the coupling: which vibrations drive them (influence spectrum)."""
    from n2amd.analysis.edges import read_window
    from n2amd.analysis.spectra import column_of_band, csv_of_libra, csv_of_spectrum, spectrum_report
    from n2amd.config.sections import load_section
    from n2amd.errors import InputError
    from n2amd.interop.hefei import read_series
    from n2amd.interop.hefei.text import find
    from n2amd.storage import atomic_path, write_json

    section = load_section("analysis", settings)
    if (couplings is None) == (hefei is None):
        raise InputError(
            "give either --couplings or --hefei", field="analysis spectrum", remedy="name one input"
        )
    if couplings is not None:
        path, source, inputs = read_window(couplings), couplings, [couplings]
    else:
        assert hefei is not None
        path, source = read_series(hefei), hefei
        inputs = [file for name in ("EIGTXT", "NATXT", "inp") if (file := find(hefei, name))]
    if bands is None:
        lower, upper = sorted((path.final, path.start))
    else:
        lower, upper = (column_of_band(path, band, first=0 if hefei is None else 1) for band in bands)
    try:
        report = spectrum_report(path, lower, upper, section.spectrum_lag_fs)
    except InputError as error:
        raise InputError(error.problem, file=source, field=error.field, remedy=error.remedy) from None
    write_json(out, report, config={"spectrum_lag_fs": section.spectrum_lag_fs}, inputs=inputs)
    if table is not None:
        with atomic_path(table) as part:
            part.write_text(csv_of_spectrum(report), encoding="utf-8")
    if libra is not None:
        with atomic_path(libra) as part:
            part.write_text(csv_of_libra(path, lower, upper), encoding="utf-8")
    _show_spectrum(report)


def _show_spectrum(report: dict[str, Any]) -> None:
    for name in ("gap", "coupling"):
        found = report[name]
        typer.echo(
            f"{name}: standard deviation {found['std_meV']:.3g} meV, 95 % of the variance below "
            f"{found['wave_number_of_95_percent_cm1']:.0f} cm^-1, slower than any line "
            f"{100 * found['slow_share']:.0f} %"
        )
        for line in found["peaks"]:
            typer.echo(f"  {line['wave_number_cm1']:7.0f} cm^-1  {100 * line['share']:5.1f} %")
    typer.echo(report["verdict"])


class Project(StrEnum):
    """What populations are projected on."""

    species = "species"
    atom = "atom"
    layer = "layer"
    orbital = "orbital"
    shell = "shell"


def projected(file: Path, project: Project, couplings: Path | None, settings: str | None) -> Run:
    """Populations of a run on atoms or orbitals; layers are those of the settings, or found."""
    from n2amd.analysis.projection import project_run
    from n2amd.config.sections import load_section
    from n2amd.errors import InputError

    if couplings is None:
        raise InputError(
            "the weights of the states stand in the couplings",
            field="--project",
            remedy="pass --couplings, the file that the run was made from",
        )
    layers = load_section("analysis", settings).layers
    return project_run(file, couplings, project.value, layers)


def character(
    couplings: Annotated[Path, typer.Option(help="couplings.h5, made with states.projections.")],
    out: Annotated[Path, typer.Option(help="character.json to write.")],
) -> None:
    """Where the states around the gap live: shares of elements and orbitals, and number of atoms."""
    from n2amd.analysis.character import character_report, lines_of
    from n2amd.analysis.projection import read_weighted
    from n2amd.storage import write_json

    window, projection = read_weighted(couplings)
    levels = () if window.defect is None else window.defect.columns
    report = character_report(projection, window.band_index, window.vbm, levels)
    write_json(out, report, inputs=[couplings])
    for line in lines_of(report):
        typer.echo(line)
