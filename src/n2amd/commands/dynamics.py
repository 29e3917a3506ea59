"""`n2amd dynamics`: surface hopping on a classical path, and what a run would cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from n2amd.config.dynamics import DynamicsSettings
    from n2amd.config.scissor import Scissor
    from n2amd.hopping.ensemble import Plan
    from n2amd.hopping.path import ClassicalPath
    from n2amd.interop.hefei import Namelist

app = typer.Typer(help="Surface hopping: populations, and what they would cost.", no_args_is_help=True)


@app.callback()
def _stage() -> None:
    """Surface hopping on the classical path."""


@app.command()
def run(
    out: Annotated[Path, typer.Option(help="Populations to write (HDF5).")],
    couplings: Annotated[Path | None, typer.Option(help="Couplings file.")] = None,
    hefei: Annotated[
        Path | None,
        typer.Option(help="Run folder of Hefei-NAMD instead (EIGTXT, NATXT, INICON, DEPHTIME, inp)."),
    ] = None,
    settings: Annotated[
        str | None, typer.Option(help="Section `dynamics`: inline JSON or a YAML file.")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="Method (config `dynamics.methods`); default: what inp of --hefei says, else dish."
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of all random numbers; default: that of settings, else 1.")
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(min=0.1, help="Temperature, K; default: inp's, else 300.")
    ] = None,
    scissor: Annotated[str | None, typer.Option(help="Scissor to apply: inline JSON or a YAML file.")] = None,
    trajectories: Annotated[
        int | None, typer.Option(min=1, help="Trajectories per sample; overrides settings.")
    ] = None,
    duration: Annotated[float | None, typer.Option(min=1e-3, help="Length, fs; overrides settings.")] = None,
    carrier: Annotated[str | None, typer.Option(help="electron, hole or pair; overrides settings.")] = None,
    shprop: Annotated[
        Path | None, typer.Option(help="Also write SHPROP and RECOMB files into this folder.")
    ] = None,
) -> None:
    """Run surface hopping; alone, or under `mpiexec -n N` with the same result to the bit.

    A run that was stopped goes on from its last finished part when it is started again.
    """
    from contextlib import ExitStack

    from n2amd import __version__
    from n2amd.config.sections import load_section
    from n2amd.errors import InputError
    from n2amd.hopping import ensemble, populations
    from n2amd.hopping.parallel import processes
    from n2amd.progress import told_to_workflow
    from n2amd.provenance import sha256_of_config, sha256_of_files
    from n2amd.storage import single_writer

    if (couplings is None) == (hefei is None):
        raise InputError("give either --couplings or --hefei", field="dynamics run", remedy="name one input")
    source = couplings if couplings is not None else hefei
    assert source is not None
    given = {"trajectories": trajectories, "duration_fs": duration, "carrier": carrier}
    ranks = processes()
    with ranks.together():
        if out.is_dir():
            raise InputError("is a folder", file=out, field="--out", remedy="name a file")
        section: DynamicsSettings = load_section("dynamics", settings, given)
        path, plan, moved, inputs = _input(
            source, hefei is not None, section, given, method, seed, temperature, scissor
        )
        if ranks.rank == 0:
            _warn_of_few_substeps(path, plan)
        record = {
            "settings": section.model_dump(mode="json"),
            "plan": {key: value for key, value in vars(plan).items() if not hasattr(value, "shape")},
            "dephasing_time": plan.dephasing_time.tolist(),
            "start": [plan.start_frames.tolist(), plan.start_states.tolist()],
            "carrier": path.carrier,
            "scissor_eV": moved,
            "inputs": sha256_of_files(inputs),
        }
    # another version's parts are not this one's
    workdir = out.with_name(out.name + ".work") / sha256_of_config([record, __version__])[:16]
    with ExitStack() as held:
        # rank 0 holds the lock; the others begin when it has it and leave before it lets go
        with ranks.together():
            if ranks.rank == 0:
                held.enter_context(single_writer(out))
        with told_to_workflow(f"surface hopping ({method})", "units", out) as report:
            result = ensemble.run(path, plan, workdir, ranks, report)
        with ranks.together():
            if result is not None:
                # nothing is ever in the closed states
                path = path.part([*range(path.open_states)], path.start, path.final)
                populations.write(
                    out, path, plan, result, ranks=ranks.size, scissor=moved, config=record, inputs=inputs
                )
                if shprop is not None:
                    from n2amd.interop.hefei import write_recomb, write_shprop

                    shown = shprop, path, plan.start_frames, result.population
                    write_shprop(*shown, plan.stride)
                    write_recomb(*shown, result.arrival_step, result.arrival_source, plan.stride)
                ensemble.clean(workdir)
                final = result.population[:, -1].mean(axis=0)
                arrived = int((result.arrival_step >= 0).sum())
                typer.echo(
                    f"{out}: {plan.method}, {len(plan.start_frames)} x {plan.trajectories} trajectories of "
                    f"{plan.steps * path.timestep_fs:g} fs, {path.states} states; populations at the end: "
                    f"start state {final[path.start]:.4f}, final state {final[path.final]:.4f}; "
                    f"{arrived} arrivals, {result.cpu_seconds:.2f} CPU s"
                )


@app.command()
def estimate(
    couplings: Annotated[Path, typer.Argument(help="Couplings file, or run folder of Hefei-NAMD.")],
    settings: Annotated[
        str | None, typer.Option(help="Section `dynamics`: inline JSON or a YAML file.")
    ] = None,
    method: Annotated[str | None, typer.Option(help="Method, as for `run`.")] = None,
    temperature: Annotated[float | None, typer.Option(min=0.1, help="Temperature, K.")] = None,
    scissor: Annotated[str | None, typer.Option(help="Scissor to apply: inline JSON or a YAML file.")] = None,
    trajectories: Annotated[
        int | None, typer.Option(min=1, help="Trajectories per sample; overrides settings.")
    ] = None,
    duration: Annotated[float | None, typer.Option(min=1e-3, help="Length, fs; overrides settings.")] = None,
    carrier: Annotated[str | None, typer.Option(help="electron, hole or pair; overrides settings.")] = None,
) -> None:
    """Say what a run would cost and how well it would know the lifetime, from a slice of a few seconds."""
    from n2amd.config.sections import load_section
    from n2amd.hopping.estimate import estimate as estimated

    given = {"trajectories": trajectories, "duration_fs": duration, "carrier": carrier}
    section: DynamicsSettings = load_section("dynamics", settings, given)
    path, plan, _, _ = _input(
        couplings, couplings.is_dir(), section, given, method, None, temperature, scissor
    )
    _warn_of_few_substeps(path, plan)
    for line in estimated(path, plan).lines():
        typer.echo(line)


def _input(
    source: Path,
    hefei: bool,
    section: DynamicsSettings,
    given: dict,
    method: str | None,
    seed: int | None,
    temperature: float | None,
    scissor: str | None,
) -> tuple[ClassicalPath, Plan, float, list[Path]]:
    """Path, plan, shift of the conduction states (eV) and the files they come from."""
    from math import isfinite

    from n2amd.config.sections import load_section
    from n2amd.errors import InputError
    from n2amd.hopping.checks import check_dephasing
    from n2amd.hopping.methods import DEPHASED, METHODS

    if method is not None and method not in METHODS:
        raise InputError(
            f"unknown method {method!r}", field="--method", remedy=f"choose one of {', '.join(METHODS)}"
        )
    said_method, said_seed = _one(section, "methods", method), _one(section, "seeds", seed)
    seed = 1 if said_seed is None else said_seed
    if not 0 <= seed < 2**63:
        raise InputError(f"{seed}", field="--seed", remedy="give a whole number from 0 to 2^63 - 1")
    shift: Scissor | None = load_section("scissor", scissor) if scissor else None
    if temperature is not None and not isfinite(temperature):
        raise InputError(f"{temperature:g} K", field="--temperature", remedy="give a finite temperature")
    if hefei:
        found = _from_hefei(source, section, given, method, said_method, seed, temperature, shift)
    else:
        found = _from_couplings(source, section, said_method or "dish", seed, temperature, shift)
    path, plan, _, _ = found
    if plan.method in DEPHASED:
        # energies, where the times come from the gaps
        said = section.dephasing_time_fs is not None
        field = "dynamics.dephasing_time_fs" if said else "DEPHTIME" if hefei else "energies"
        check_dephasing(plan.dephasing_time, path.timestep_fs, source, field)
    return found


def _one(section: DynamicsSettings, field: str, option: Any) -> Any:
    """What an option says, or else the one value that settings hold in a list; None if neither says it."""
    from n2amd.errors import InputError

    if option is not None or field not in section.model_fields_set:
        return option
    values = getattr(section, field)
    if len(values) > 1:
        raise InputError(
            f"{values} are several, and a run is of one",
            field=f"dynamics.{field}",
            remedy=f"choose with --{field.removesuffix('s')}",
        )
    return values[0]


def _warn_of_few_substeps(path: ClassicalPath, plan: Plan) -> None:
    """Say so where the sub-steps of the hst scheme change the rate across the gap by more than 5 %."""
    from n2amd.hopping.propagators import trotter_rate_factor

    gap = float(abs(path.energies[:, path.start] - path.energies[:, path.final]).mean())
    factor = trotter_rate_factor(gap, path.timestep_fs, plan.substeps) if plan.scheme == "hst" else 1.0
    if abs(factor - 1) > 0.05:
        typer.echo(
            f"warning: {plan.substeps} sub-steps of the hst scheme multiply the rate across {gap:.2f} eV "
            f"by {factor:.2f}: raise `substeps`, or use local_diabatic",
            err=True,
        )


def _steps(duration: float, timestep: float) -> int:
    from n2amd.errors import InputError

    steps = round(duration / timestep)
    if steps < 1:
        raise InputError(
            f"{duration:g} fs is shorter than the time step of {timestep:g} fs",
            field="duration_fs",
            remedy="make it longer",
        )
    return steps


def _from_couplings(
    file: Path,
    section: DynamicsSettings,
    method: str,
    seed: int,
    temperature: float | None,
    scissor: Scissor | None,
) -> tuple[ClassicalPath, Plan, float, list[Path]]:
    import numpy as np

    from n2amd.hopping import ensemble
    from n2amd.hopping.checks import check_gap
    from n2amd.hopping.neighbours import with_neighbours
    from n2amd.hopping.path import apply_scissor, read_couplings

    path, moved = read_couplings(file, section.carrier, section.pair_states), 0.0
    if scissor is not None:
        path, moved = apply_scissor(path, scissor)
    check_gap(path, file)
    edges = path.part([path.final, path.start], start=1, final=0)
    tau = float(_dephasing(edges, section)[0, 1])
    path = with_neighbours(path, section.scheme, section.substeps, tau)
    plan = ensemble.Plan(
        method=method,
        scheme=section.scheme,
        temperature=300.0 if temperature is None else temperature,
        dephasing_time=_dephasing(path, section),
        start_frames=ensemble.start_frames(section.samples, path.intervals, seed),
        start_states=np.full(section.samples, path.start),
        trajectories=section.trajectories,
        steps=_steps(section.duration_fs, path.timestep_fs),
        stride=section.output_stride,
        seed=seed,
        waiting=section.waiting,
        substeps=section.substeps,
        absorbing=section.absorbing,
        detailed_balance=section.detailed_balance,
        kinetic_energy=section.kinetic_energy_eV or float("inf"),
    )
    return path, plan, moved, [file]


def _from_hefei(
    folder: Path,
    section: DynamicsSettings,
    given: dict,
    method: str | None,
    said_method: str | None,
    seed: int,
    temperature: float | None,
    scissor: Scissor | None,
) -> tuple[ClassicalPath, Plan, float, list[Path]]:
    """As `_from_couplings`; options go before `inp`, and `inp` before settings, for what both can say."""
    from n2amd.errors import InputError
    from n2amd.hopping import ensemble
    from n2amd.hopping.checks import check_gap
    from n2amd.hopping.path import apply_scissor
    from n2amd.interop.hefei import read

    if section.scheme != "hst" and "scheme" in section.model_fields_set:
        raise InputError(
            f"{section.scheme} needs overlaps across time, and NATXT holds couplings only",
            file=folder,
            field="dynamics.scheme",
            remedy="leave it out or set it to hst",
        )
    source = read(folder, given["carrier"], section.carrier)
    path, moved = source.path, 0.0
    if scissor is not None:
        lower, upper = sorted((path.start, path.final))
        if upper - lower != 1:
            raise InputError(
                f"start and final bands {path.start + 1} and {path.final + 1} have others between them",
                file=folder,
                field="--scissor",
                remedy="start at the band edge",
            )
        path, moved = apply_scissor(path, scissor)
        check_gap(path.part([path.final, path.start], start=1, final=0), folder)
    for note in source.notes:
        typer.echo(f"note: {note}", err=True)
    inp, timestep = source.namelist, path.timestep_fs
    # the programs count stored times, the first of which is the start
    times = inp.times or _default(inp, "namdtime", section, "duration_fs", None)
    length = given["duration_fs"] or ((times - 1) * timestep if times else section.duration_fs)
    dephasing = source.dephasing_time
    if dephasing is None or section.dephasing_time_fs is not None:
        dephasing = _dephasing(path, section)
    plan = ensemble.Plan(
        method=method or inp.method or said_method or "dish",
        scheme="hst",
        temperature=temperature or inp.temp or 300.0,
        dephasing_time=dephasing,
        start_frames=source.start_frames,
        start_states=source.start_states,
        trajectories=given["trajectories"]
        or inp.ntraj
        or _default(inp, "ntraj", section, "trajectories", section.trajectories),
        steps=_steps(length, timestep),
        stride=section.output_stride,
        seed=seed,
        waiting=section.waiting,
        substeps=inp.nelm or _default(inp, "nelm", section, "substeps", section.substeps),
        # public `dish` has no key for it: a setting that was written down goes before what it does
        absorbing=section.absorbing if "absorbing" in section.model_fields_set else inp.absorbing,
        detailed_balance=section.detailed_balance,
        kinetic_energy=section.kinetic_energy_eV or float("inf"),
    )
    return path, plan, moved, list(source.files)


def _default(inp: Namelist, key: str, section: DynamicsSettings, field: str, ours: Any) -> Any:
    """What the program of `inp` takes where `inp` is silent, unless settings say it; without inp, `ours`."""
    if inp.program is None or field in section.model_fields_set:
        return ours
    return getattr(inp.program, key) or ours


def _dephasing(path: ClassicalPath, section: DynamicsSettings) -> NDArray[np.float64]:
    """Dephasing times of all pairs: one for all where set, else from the fluctuations of the gaps."""
    from n2amd.hopping.dephasing import matrix, same_for_all

    if section.dephasing_time_fs is not None:
        return same_for_all(path, section.dephasing_time_fs)
    return matrix(path.energies, path.timestep_fs)
