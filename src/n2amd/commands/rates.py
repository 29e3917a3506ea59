"""`n2amd analysis rates`: capture and recombination through levels of a defect."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def rates(
    couplings: Annotated[Path, typer.Option(help="couplings.h5 with levels of a defect (states.defect).")],
    out: Annotated[Path, typer.Option(help="rates.json to write.")],
    dynamics: Annotated[
        list[Path] | None, typer.Option(help="Populations whose hops are counted; may be repeated.")
    ] = None,
    pristine: Annotated[
        Path | None, typer.Option(help="couplings.h5 of the cell without the defect, to compare with.")
    ] = None,
    settings: Annotated[
        str | None, typer.Option(help='Section "analysis": inline "{...}" or a YAML file.')
    ] = None,
    dynamics_settings: Annotated[
        str | None,
        typer.Option(help="Section `dynamics` (carrier, scheme, substeps, dephasing_time_fs)."),
    ] = None,
    temperature: Annotated[float, typer.Option(min=0.1, help="Temperature, K.")] = 300.0,
    scissor: Annotated[str | None, typer.Option(help="Scissor to apply: inline JSON or a YAML file.")] = None,
) -> None:
    """Rates of electron capture, hole capture and direct recombination; the lifetime through the defect."""
    from n2amd.analysis.lifetime import Resampling
    from n2amd.analysis.rates import Conditions, rates_report
    from n2amd.config.sections import load_section
    from n2amd.seals import require_made_from
    from n2amd.storage import write_json

    section, hopping = load_section("analysis", settings), load_section("dynamics", dynamics_settings)
    runs = dynamics or []
    for path in runs:
        require_made_from(path, couplings)
    report = rates_report(
        couplings,
        Conditions(
            carrier=hopping.carrier,
            temperature=temperature,
            resampling=Resampling(section.block_fs, section.bootstrap, section.confidence, section.seed),
            dephasing_fs=hopping.dephasing_time_fs,
            scissor=load_section("scissor", scissor) if scissor else None,
            scheme=hopping.scheme,
            substeps=hopping.substeps,
        ),
        runs,
        pristine,
    )
    inputs = [couplings, *runs, *([] if pristine is None else [pristine])]
    write_json(out, report, config={"analysis": section, "dynamics": hopping}, inputs=inputs)
    typer.echo(report["verdict"])
