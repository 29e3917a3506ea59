"""`n2amd analysis rates`, `spin-flips`: recombination through levels of a defect, and spins that flip."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from n2amd.analysis.rates import Conditions
    from n2amd.config.analysis import AnalysisSettings
    from n2amd.config.dynamics import DynamicsSettings

#: Options that both commands take.
AnalysisSection = Annotated[
    str | None, typer.Option(help='Section "analysis": inline "{...}" or a YAML file.')
]
DynamicsSection = Annotated[
    str | None,
    typer.Option(help="Section `dynamics` (carrier, scheme, substeps, dephasing_time_fs)."),
]
Temperature = Annotated[float, typer.Option(min=0.1, help="Temperature, K.")]
ScissorSection = Annotated[str | None, typer.Option(help="Scissor to apply: inline JSON or a YAML file.")]


def _conditions(
    section: AnalysisSettings, hopping: DynamicsSettings, temperature: float, scissor: str | None
) -> Conditions:
    """What rates are for, from the options."""
    from n2amd.analysis.lifetime import Resampling
    from n2amd.analysis.rates import Conditions
    from n2amd.config.sections import load_section

    return Conditions(
        carrier=hopping.carrier,
        temperature=temperature,
        resampling=Resampling(section.block_fs, section.bootstrap, section.confidence, section.seed),
        dephasing_fs=hopping.dephasing_time_fs,
        scissor=load_section("scissor", scissor) if scissor else None,
        scheme=hopping.scheme,
        substeps=hopping.substeps,
    )


def rates(
    couplings: Annotated[Path, typer.Option(help="couplings.h5 with levels of a defect (states.defect).")],
    out: Annotated[Path, typer.Option(help="rates.json to write.")],
    dynamics: Annotated[
        list[Path] | None, typer.Option(help="Populations whose hops are counted; may be repeated.")
    ] = None,
    pristine: Annotated[
        Path | None, typer.Option(help="couplings.h5 of the cell without the defect, to compare with.")
    ] = None,
    settings: AnalysisSection = None,
    dynamics_settings: DynamicsSection = None,
    temperature: Temperature = 300.0,
    scissor: ScissorSection = None,
) -> None:
    """Rates of electron capture, hole capture and direct recombination; the lifetime through the defect."""
    from n2amd.analysis.rates import rates_report
    from n2amd.config.sections import load_section
    from n2amd.seals import require_made_from
    from n2amd.storage import write_json

    section, hopping = load_section("analysis", settings), load_section("dynamics", dynamics_settings)
    runs = dynamics or []
    for path in runs:
        require_made_from(path, couplings)
    report = rates_report(
        couplings,
        _conditions(section, hopping, temperature, scissor),
        runs,
        pristine,
    )
    inputs = [couplings, *runs, *([] if pristine is None else [pristine])]
    write_json(out, report, config={"analysis": section, "dynamics": hopping}, inputs=inputs)
    typer.echo(report["verdict"])


def spin_flips(
    couplings: Annotated[Path, typer.Option(help="couplings.h5 of spin states (states.spin_orbit).")],
    out: Annotated[Path, typer.Option(help="spin_flips.json to write.")],
    settings: AnalysisSection = None,
    dynamics_settings: DynamicsSection = None,
    temperature: Temperature = 300.0,
    scissor: ScissorSection = None,
) -> None:
    """Rates at which spin-orbit coupling flips spins, and how long the spin of a carrier lives."""
    from n2amd.analysis.spin_flips import spin_flips_report
    from n2amd.config.sections import load_section
    from n2amd.storage import write_json

    section, hopping = load_section("analysis", settings), load_section("dynamics", dynamics_settings)
    report = spin_flips_report(couplings, _conditions(section, hopping, temperature, scissor))
    write_json(out, report, config={"analysis": section, "dynamics": hopping}, inputs=[couplings])
    typer.echo(report["verdict"])
