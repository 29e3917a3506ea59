"""`n2amd states`: eigenstates around the gap of every frame of a trajectory, shard by shard."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from n2amd.errors import InputError

if TYPE_CHECKING:
    from n2amd.config.couplings import CouplingsSettings
    from n2amd.config.states import StatesSettings
    from n2amd.network.predict import HamiltonianPredictor
    from n2amd.network.spinors import WithSpinOrbit
    from n2amd.states.cross_time import OverlapKind
    from n2amd.states.store import StatesShard
    from n2amd.states.velocity import Coupler

app = typer.Typer(help="Solve the states around the gap, shard by shard.", no_args_is_help=True)


@app.command()
def solve(
    trajectory: Annotated[Path, typer.Option(help="Trajectory (trajectory.h5).")],
    model: Annotated[Path, typer.Option(help="Trained Hamiltonian network (hamiltonian.pt).")],
    out: Annotated[Path, typer.Option(help="States of this shard (HDF5).")],
    frames: Annotated[
        str | None, typer.Option(help="First and last frame of this shard, e.g. 100-199; default: all.")
    ] = None,
    settings: Annotated[
        str | None, typer.Option(help="Settings of `states`: inline JSON or a YAML file.")
    ] = None,
    couplings_settings: Annotated[
        str | None,
        typer.Option(help="Settings of `couplings` (overlap, scheme): inline JSON or a YAML file."),
    ] = None,
) -> None:
    """Solve one shard; started again after an interruption, it goes on where it was.

    With `factorisation: mumps` it may be started as several processes (mpirun), which share each factor.
    """
    from n2amd.config.sections import load_section
    from n2amd.states.solvers.mumps_ranks import helping

    chosen = load_section("states", settings)
    couplings = load_section("couplings", couplings_settings)
    with helping(chosen.factorisation) as leads:
        if leads:
            _solve(trajectory, model, out, frames, chosen, couplings)


def _solve(
    trajectory: Path,
    model: Path,
    out: Path,
    frames: str | None,
    chosen: StatesSettings,
    couplings: CouplingsSettings,
) -> None:
    """Solve one shard on the first process."""
    from math import ceil

    from n2amd.commands.progress import frame_progress
    from n2amd.device import choose_device
    from n2amd.errors import within
    from n2amd.network.cells import TrainingCells
    from n2amd.network.predict import load_predictor
    from n2amd.network.target_cells import judge_trajectory
    from n2amd.provenance import sha256_of_config, sha256_of_files
    from n2amd.sources import digest_of_program
    from n2amd.states.checkpoint import Checkpoint
    from n2amd.states.shards import solve_shard
    from n2amd.states.store import write_shard
    from n2amd.storage import single_writer
    from n2amd.trajectory.slice import count_frames, read_cell, read_slice

    kind, analytic = couplings.overlap, couplings.scheme == "analytic"
    # anchors of the factors that frames share are within twice their reach
    beside = 2 * chosen.factor_reach_fs
    part = read_slice(trajectory, _frame_range(frames), moving=analytic, beside_fs=beside)
    device = choose_device(chosen.device)
    predictor = load_predictor(model, device)
    if chosen.mesh_refinement != 1:
        predictor = predictor.refined(chosen.mesh_refinement)
    if analytic and chosen.spin_orbit == "spinors":
        raise InputError(
            "couplings of spinors along velocities are not known",
            field="couplings.scheme",
            remedy="choose hst, or states.spin_orbit: spin_states",
        )
    coupled = _with_spin_orbit(predictor, chosen)
    # how far a model may be wrong is not told of spinors
    doubter = predictor if predictor.doubt is not None and chosen.spin_orbit != "spinors" else None
    cross_overlap = predictor.cross_overlap(kind)
    coupler = _coupler(predictor, kind) if analytic else None
    if part.start == 0 and (stored := predictor.training.get("cells")) is not None:
        for finding in judge_trajectory(*read_cell(trajectory), TrainingCells.from_document(stored)):
            typer.echo(f"warning: {finding}", err=True)
    config = {"states": chosen.model_dump(mode="json"), "overlap": kind, "scheme": couplings.scheme}
    with single_writer(out):
        # not of the trajectory's file, which may have got more frames
        what = [chosen.effective(["device"]), str(device), kind, couplings.scheme]
        job = [*what, part.fingerprint, sha256_of_files([model])]
        code = digest_of_program("commands/states.py:solve")
        checkpoint = Checkpoint(out, f"{code} {sha256_of_config(job)}")
        jobs = ceil(count_frames(trajectory) / chosen.frames_per_shard)
        with frame_progress("solving", target=out, part_of=jobs) as report, within(trajectory):
            result = solve_shard(
                part,
                coupled or predictor,
                cross_overlap,
                chosen,
                kind,
                checkpoint,
                report=report,
                doubter=doubter,
                coupler=coupler,
                spin_orbit=coupled if chosen.spin_orbit == "spin_states" else None,
                middle_of_gap=predictor.training.get("middle_of_gap_eV"),
                trained=predictor.trained_states,
            )
        write_shard(out, result, config=config, inputs=(trajectory, model))
        checkpoint.remove()
    _tell(out, result, chosen)


def _tell(out: Path, result: StatesShard, chosen: StatesSettings) -> None:
    """Say what was solved, and what is doubtful about it."""
    _warn(result)
    info = result.info
    channel = {"": "", "spinors": "spinors, "}.get(info.spin, f"spin {info.spin}, ")
    if result.spin_orbit is not None:
        channel = "spin states, "
    solver = "dense" if info.solver == "dense" else f"{info.solver} by {chosen.factorisation}"
    typer.echo(
        f"{out}: solver {solver}, {channel}frames {info.start}..{info.stop}, "
        f"states {result.band_index[0]}..{result.band_index[-1]} "
        f"of {info.n_orbitals}, mean gap {result.gap.mean():.4f} eV "
        f"(sd {result.gap.std():.4f}), largest residual {result.residual.max():.1e} eV"
    )


def _with_spin_orbit(predictor: HamiltonianPredictor, chosen: StatesSettings) -> WithSpinOrbit | None:
    """Add spin-orbit coupling where it is asked for; refused where the model does not know it."""
    if chosen.spin_orbit is None:
        return None
    from n2amd.network.spinors import WithSpinOrbit

    return WithSpinOrbit.of(predictor, spinors=chosen.spin_orbit == "spinors")


def _coupler(predictor: HamiltonianPredictor, kind: OverlapKind) -> Coupler:
    """What gives couplings along velocities; refused where the model does not know them."""
    from n2amd.network.velocity_coupling import ModelVelocityCouplings

    return ModelVelocityCouplings.of(predictor, kind)


def _warn(result: StatesShard) -> None:
    """Say what is doubtful about the states of a shard."""
    from n2amd.states.doubt import OUTSIDE_RATIO

    if len(result.doubtful_frames):
        typer.echo(
            f"warning: frames {result.doubtful_frames.tolist()} hold a state made of nearly empty directions "
            "of the basis: the network is beyond its training data there; add such frames to the data set",
            err=True,
        )
    if false := result.false_states:
        named = ", ".join(map(str, false[:5])) + (f" and {len(false) - 5} more" if len(false) > 5 else "")
        typer.echo(
            f"warning: states that no sound Hamiltonian has: {named}; couplings would be made of them: add "
            "such frames to the data set",
            err=True,
        )
    if len(result.outside_frames):
        typer.echo(
            f"warning: frames {result.outside_frames.tolist()} are outside the training data: the band edges "
            f"are {OUTSIDE_RATIO:g} times as uncertain as in the frames the model was validated on; choose "
            "frames to add to the data set with `n2amd hamiltonian select`",
            err=True,
        )


def _frame_range(text: str | None) -> tuple[int, int] | None:
    """Read "100-199" as (100, 199)."""
    if text is None:
        return None
    ends = re.fullmatch(r"(\d+)-(\d+)", text)
    if ends is None:
        raise InputError(
            f"{text!r} is no range of frames", field="--frames", remedy="write first and last, as in 100-199"
        )
    return int(ends[1]), int(ends[2])


@app.command("of-dataset")
def of_dataset(
    dataset: Annotated[Path, typer.Argument(help="Data set (dataset.h5) of consecutive frames.")],
    out: Annotated[Path, typer.Option(help="States to write (HDF5), one shard for all frames.")],
    settings: Annotated[
        str | None, typer.Option(help="Settings of `states`: inline JSON or a YAML file.")
    ] = None,
    couplings_settings: Annotated[
        str | None, typer.Option(help="Settings of `couplings` (overlap): inline JSON or a YAML file.")
    ] = None,
) -> None:
    """Solve DFT's own matrices of consecutive frames: states as of a model, for couplings and dynamics."""
    from n2amd.commands.progress import frame_progress
    from n2amd.config.sections import load_section
    from n2amd.errors import within
    from n2amd.states.of_dataset import FramesAsModel
    from n2amd.states.shards import solve_shard
    from n2amd.states.store import write_shard
    from n2amd.storage import single_writer

    chosen, couplings = load_section("states", settings), load_section("couplings", couplings_settings)
    if couplings.scheme == "analytic":
        raise InputError(
            "DFT's own frames have no derivative of H, so that they have no analytic couplings",
            field="couplings.scheme",
            remedy="choose hst",
        )
    if chosen.spin_orbit == "spin_states":
        raise InputError(
            "DFT's own frames do not tell their spin-orbit coupling apart",
            field="states.spin_orbit",
            remedy="set it to spinors for runs with spin-orbit coupling, or leave it out",
        )
    model = FramesAsModel(dataset)
    kind = couplings.overlap
    with single_writer(out), frame_progress("solving", target=out) as report, within(dataset):
        result = solve_shard(
            model.trajectory(), model, model.cross_overlap(kind), chosen, kind, report=report
        )
        config = {"states": chosen.model_dump(mode="json"), "overlap": kind}
        write_shard(out, result, config=config, inputs=(dataset,))
    _tell(out, result, chosen)


@app.command()
def character(
    dataset: Annotated[Path, typer.Argument(help="Data set (dataset.h5) of frames of one cell.")],
    out: Annotated[Path, typer.Option(help="character.json to write.")],
    settings: Annotated[
        str | None, typer.Option(help="Settings of `states`: inline JSON or a YAML file.")
    ] = None,
) -> None:
    """Where the states of DFT's own matrices live: shares of elements and orbitals, and number of atoms."""
    from n2amd.analysis.character import character_report, lines_of
    from n2amd.config.sections import load_section
    from n2amd.dataset.store import read_basis, read_frames
    from n2amd.states.of_dataset import project_frames
    from n2amd.storage import write_json

    chosen = load_section("states", settings)
    projection, window = project_frames(read_frames(dataset), read_basis(dataset), chosen)
    report = character_report(projection, window.band_index, window.n_occupied - 1 - window.low)
    write_json(out, report, config=chosen, inputs=[dataset])
    for line in lines_of(report):
        typer.echo(line)


@app.command()
def estimate(
    structure: Annotated[Path, typer.Option(help="Unit cell, any format ASE reads.")],
    supercell: Annotated[
        list[str] | None,
        typer.Option(help="Repeats of the cell, e.g. 4x4x6; may be repeated. Default 1x1x1."),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Trained network, for its basis; default: 16 orbitals per atom.")
    ] = None,
    frames: Annotated[int, typer.Option(min=2, help="Frames of the trajectory.")] = 1000,
    settings: Annotated[
        str | None, typer.Option(help="Settings of `states`: inline JSON or a YAML file.")
    ] = None,
    couplings_settings: Annotated[
        str | None, typer.Option(help="Settings of `couplings` (scheme): inline JSON or a YAML file.")
    ] = None,
) -> None:
    """What the states of a trajectory will cost, on one core a shard and with a GPU a shard."""
    from n2amd.config.section import parse_supercell
    from n2amd.config.sections import load_section
    from n2amd.config.trajectory import TrajectorySettings
    from n2amd.cost import USUAL_ORBITALS, estimate_shard
    from n2amd.interop.structures import read_structure
    from n2amd.states.choice import ON_PROCESSORS

    chosen = load_section("states", settings)
    analytic = load_section("couplings", couplings_settings).scheme == "analytic"
    timestep = TrajectorySettings().timestep_fs
    cell = read_structure(structure)
    orbitals = USUAL_ORBITALS * cell.n_atoms
    if model is not None:
        from n2amd.network.predict import load_predictor

        orbitals = float(load_predictor(model).basis.orbital_counts(cell.numbers).sum())
    for name in supercell or ["1x1x1"]:
        large = cell.supercell(parse_supercell(name))
        n_orbitals = orbitals * large.n_atoms / cell.n_atoms
        typer.echo(f"{name}: {large.n_atoms} atoms, {n_orbitals:.0f} orbitals")
        for place, on_gpu in (("processor", False), ("GPU", True)):
            size = (large.n_atoms, n_orbitals)
            shard = estimate_shard(
                *size, frames, chosen, on_gpu=on_gpu, analytic=analytic, timestep_fs=timestep
            )
            if on_gpu and (shard.frame.solver == "dense" or chosen.factorisation in ON_PROCESSORS):
                continue
            memory = f"{shard.frame.memory_GB:.1f} GB"
            if on_gpu:
                memory += f" and {shard.frame.device_memory_GB:.1f} GB of the GPU"
            count = -(-frames // chosen.frames_per_shard)
            typer.echo(
                f"  {place}: {shard.frame.solver}, a frame {_seconds(shard.frame.hamiltonian_s)} of H and "
                f"{_seconds(shard.frame.states_s)} of states{_shared(shard.frame.neighbour_s)}"
                + (f" and {_seconds(shard.frame.couplings_s)} of couplings" if analytic else "")
                + f", {memory}; each of {count} shards of "
                f"up to {shard.n_frames} frames asks for {shard.minutes} min and {shard.memory_MB} MB"
                + (f", and {shard.device_MB} MB of a GPU" if on_gpu else "")
            )


def _shared(neighbour_s: float | None) -> str:
    return "" if neighbour_s is None else f" ({_seconds(neighbour_s)} where a factor is shared)"


def _seconds(time: float) -> str:
    return f"{time:.2g} s" if time < 100 else f"{time / 60:.0f} min"
