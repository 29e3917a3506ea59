"""What each stage of the pipeline will use on this machine."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from n2amd.config.job import Config
from n2amd.config.section import parse_supercell
from n2amd.config.sections import SECTIONS
from n2amd.cost import USUAL_ORBITALS, estimate_shard
from n2amd.errors import InputError
from n2amd.states.choice import LARGE_FROM, ON_PROCESSORS

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Machine:
    """What the stages choose by.

    Attributes
    ----------
    cores
        Processor cores.
    gpus
        GPUs that torch can use.
    compiler
        Whether C++ can be compiled.
    ranks
        Whether several MPI ranks can be started.
    """

    cores: int
    gpus: int
    compiler: bool
    ranks: bool


def describe_stages(machine: Machine, job: Config | None = None) -> list[tuple[str, str]]:
    """Return (stage, what it will use), in the order of the stages.

    Parameters
    ----------
    machine
        What there is.
    job
        Configuration; default: the default settings. With several materials those of the first are told.
    """
    first = next(iter(job.materials)) if job is not None else ""

    def section(name: str) -> Any:
        return job.section(name, first) if job is not None else SECTIONS[name]()

    force_field, hamiltonian, states = map(section, ("forcefield", "hamiltonian", "states"))
    return [
        ("DFT data", _data(job)),
        ("force field", f"{_place(force_field.device, machine)}, {_compilation(force_field, machine)}"),
        ("hamiltonian", _place(hamiltonian.device, machine)),
        ("trajectory", f"{_place(force_field.device, machine)}, one process"),
        ("states", "; ".join(_states(states, machine, job))),
        ("couplings", "CPU, one process"),
        ("dynamics", _dynamics(machine)),
        ("analysis", "CPU, one process"),
    ]


def _place(device: str, machine: Machine) -> str:
    if device == "cuda" and not machine.gpus:
        return "GPU asked for and none is visible: the job will be refused (set device to auto)"
    if device == "cpu" or not machine.gpus:
        return "CPU, one thread unless the profile gives more"
    return "one GPU" if machine.gpus == 1 else f"one of {machine.gpus} GPUs (more if the profile gives them)"


def _data(job: Config | None) -> str:
    if job is None:
        return "CPU: files of a DFT code are read, or an engine computes frames"
    engines = [
        f"{name}/{label} by {source.engine.program}"
        for name, material in job.materials.items()
        for label, source in material.functionals.items()
        if source.engine is not None
    ]
    return f"CPU: {', '.join(engines)} as engine" if engines else "CPU: files are read"


def _compilation(settings: Any, machine: Machine) -> str:
    if settings.compile == "never":
        return "not compiled (compile: never)"
    if not machine.compiler:
        if settings.compile == "always":
            return "compilation asked for without a compiler: the job will be refused"
        return "not compiled, no compiler"
    return (
        "compiled with C++" if settings.compile == "always" else "compiled with C++ where the preset says so"
    )


def _states(settings: Any, machine: Machine, job: Config | None) -> Iterator[str]:
    on_gpu = settings.device != "cpu" and machine.gpus > 0 and settings.factorisation not in ON_PROCESSORS
    large = "GPU" if on_gpu else "CPU"
    if settings.factorisation != "block_ldl":
        large += f", {settings.factorisation}"
    at_once = 1 if on_gpu else machine.cores
    yield f"shards of {settings.frames_per_shard} frames, {at_once} at a time"
    sizes = list(_sizes(job)) if job is not None else []
    if not sizes:
        yield (
            f"LAPACK on the CPU below {LARGE_FROM} orbitals, from there block Lanczos on the {large}"
            if settings.solver == "auto"
            else f"solver {settings.solver}"
        )
        return
    assert job is not None
    for name, supercell, atoms in sizes:
        trajectory = job.section("trajectory", name)
        chosen = job.section("states", name)
        analytic = job.section("couplings", name).scheme == "analytic"
        orbitals = atoms * USUAL_ORBITALS
        cost = estimate_shard(
            atoms,
            orbitals,
            trajectory.frames,
            chosen,
            on_gpu=on_gpu,
            analytic=analytic,
            timestep_fs=trajectory.timestep_fs,
        )
        solver = "LAPACK on the CPU" if cost.frame.solver == "dense" else f"block Lanczos on the {large}"
        yield (
            f"{name} {supercell} ({atoms} atoms, some {orbitals:.0f} orbitals): {solver}, "
            f"at most {cost.minutes} min and {cost.memory_MB / 1000:.1f} GB a shard"
        )


def _sizes(job: Config) -> Iterator[tuple[str, str, int]]:
    """(material, supercell, atoms) of each trajectory whose structure can be read."""
    from n2amd.interop.structures import read_structure

    for name, material in job.materials.items():
        try:
            atoms = read_structure(material.structure).n_atoms
        except InputError:
            continue
        for supercell in job.supercells:
            yield name, supercell, atoms * math.prod(parse_supercell(supercell))


def _dynamics(machine: Machine) -> str:
    if machine.ranks:
        return f"CPU, one process; up to {machine.cores} MPI ranks if the profile asks for them"
    return "CPU, one process (no MPI)"
