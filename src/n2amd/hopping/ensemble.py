"""The ensemble: samples x trajectories, over processes, restartable, the same to the bit.

The work is cut into units that do not depend on the number of processes. Each finished unit is kept in a
work folder until the output is whole, so that a run that was killed goes on where it was. Trajectory counts
are integers and each sample's probabilities come from one unit, so no sum depends on its order.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd import provenance
from n2amd.errors import InputError
from n2amd.hopping import methods, propagators
from n2amd.hopping.methods import METHODS
from n2amd.hopping.outcome import Outcome
from n2amd.hopping.parallel import Processes
from n2amd.hopping.path import ClassicalPath
from n2amd.restart import load_arrays, save_arrays
from n2amd.storage import make_folder

#: Trajectories of a unit of work; more where a sample would make too many units.
_BLOCK, _MOST_BLOCKS = 64, 64
#: Most trajectories x steps x states^2 of a unit: well under a minute.
_UNIT = 2e10
#: Largest array of populations that is kept in memory.
_MAX_BYTES = 4e9


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """What to run.

    Attributes
    ----------
    method
        One of `n2amd.hopping.methods.METHODS`.
    scheme
        `local_diabatic` or `hst`.
    temperature
        K.
    dephasing_time
        (n, n), fs; used by `dish` and `dish_renewal`.
    start_frames, start_states
        Initial condition of every sample, (samples,).
    trajectories
        Trajectories of every sample.
    steps, stride
        Steps of the classical path, and steps between stored populations.
    seed
        Seed of all random numbers.
    waiting
        `deterministic` or `exponential` (DISH).
    substeps
        Electronic steps an interval (hst scheme).
    absorbing
        Whether DISH trajectories end at the final state.
    kinetic_energy
        Of the nuclei, eV (`sdm`); infinite for a large solid.
    detailed_balance
        `gap` (uphill hops carry the Boltzmann factor of their energy gap) or `none` (a factor of one).
    """

    method: str
    scheme: propagators.Scheme
    temperature: float
    dephasing_time: NDArray[np.float64]
    start_frames: NDArray[np.int64]
    start_states: NDArray[np.int64]
    trajectories: int
    steps: int
    stride: int = 1
    seed: int = 1
    waiting: str = "deterministic"
    substeps: int = 10
    absorbing: bool = True
    kinetic_energy: float = float("inf")
    detailed_balance: str = "gap"

    @property
    def hop_temperature(self) -> float:
        """Temperature of the Boltzmann factor of hops, K: infinite without one."""
        return self.temperature if self.detailed_balance == "gap" else float("inf")

    @property
    def times(self) -> int:
        """Number of stored times."""
        return self.steps // self.stride + 1


@dataclass(frozen=True)
class Result:
    """What came out, over all samples.

    Attributes
    ----------
    population
        (samples, times, n).
    hops
        Number of hops i -> j over everything, (n, n).
    arrival_step, arrival_source
        First arrivals at the final state, (samples, trajectories), -1 if never.
    cpu_seconds
        Of all processes.
    """

    population: NDArray[np.float64]
    hops: NDArray[np.int64]
    arrival_step: NDArray[np.int64]
    arrival_source: NDArray[np.int64]
    cpu_seconds: float


def start_frames(samples: int, intervals: int, seed: int) -> NDArray[np.int64]:
    """Frames to start from, one drawn from each of `samples` equal parts of the trajectory, (samples,)."""
    generator = np.random.Generator(np.random.Philox(key=seed))
    position = (np.arange(samples) + generator.random(samples)) / samples
    return np.minimum((position * intervals).astype(np.int64), intervals - 1)


def run(
    path: ClassicalPath,
    plan: Plan,
    workdir: Path,
    processes: Processes,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Result | None:
    """Run a plan; the result is on rank 0, None on the others.

    Parameters
    ----------
    workdir
        Folder of finished units, its name unique to the inputs; removed by `clean` after the output is
        written.
    report
        Called on rank 0 with its units done and those it has in all.

    Raises
    ------
    InputError
        If a start frame or state is not on the path, or the output would not fit into memory.
    """
    method = METHODS[plan.method]
    with processes.together():
        check(path, plan)
        make_folder(workdir)
        run_unit = method.prepare(path, plan)
    units = _units(plan, path.states)
    mine = range(processes.rank, len(units), processes.size)
    samples, n = len(plan.start_frames), path.open_states
    population = np.zeros((samples, plan.times, n), dtype=np.int64 if method.counted else np.float64)
    hops = np.zeros((n, n), dtype=np.int64)
    arrivals = np.zeros((2, samples, plan.trajectories), dtype=np.int64)
    told_every = max(1, len(mine) // 10)
    with processes.together():
        for done, index in enumerate(mine):
            sample, block = units[index]
            run = partial(run_unit, **unit(plan, sample, block))
            part = _kept(workdir / f"unit_{index:06d}.npz", run)
            # nothing is ever in a closed state
            population[sample] += part.population[:, :n]
            hops += part.hops[:n, :n]
            # shifted by one, so that zero means "not this process'" in the sum
            arrivals[0, sample, block.start : block.stop] = part.arrival_step + 1
            arrivals[1, sample, block.start : block.stop] = part.arrival_source + 1
            if processes.rank != 0:
                continue
            report(done + 1, len(mine))
            if (done + 1) % told_every == 0:
                log.info("%s: %d of %d units done", plan.method, done + 1, len(mine))
    for sample in range(samples):
        population[sample] = processes.total(population[sample])
    hops, arrivals = processes.total(hops), processes.total(arrivals) - 1
    seconds = processes.total(np.array([provenance.cpu_seconds()]))
    if processes.rank != 0:
        return None
    divisor = plan.trajectories if method.counted else 1
    return Result(population.astype(np.float64) / divisor, hops, arrivals[0], arrivals[1], float(seconds[0]))


def clean(workdir: Path) -> None:
    """Remove the finished units, and their parent folder if nothing else is in it."""
    shutil.rmtree(workdir, ignore_errors=True)
    if workdir.parent.is_dir() and not any(workdir.parent.iterdir()):
        workdir.parent.rmdir()


def check(path: ClassicalPath, plan: Plan) -> None:
    """Raise InputError if a plan cannot be run on a path."""
    methods.check(path, plan)
    for sample, (frame, state) in enumerate(zip(plan.start_frames, plan.start_states)):
        if not 0 <= frame < path.intervals:
            raise InputError(
                f"sample {sample} starts at frame {frame}, the path has frames 0..{path.intervals}",
                field="start frame",
                remedy="start before the last frame",
            )
        if not 0 <= state < path.open_states:
            raise InputError(
                f"sample {sample} starts in state {state} of {path.open_states}",
                field="start state",
                remedy="start in a state of the path",
            )
        if state == path.final and METHODS[plan.method].absorbs(plan):
            raise InputError(
                f"sample {sample} starts in the state that it recombines to",
                field="start state",
                remedy="start in another band, or set the carrier (LHOLE of inp): electrons end in the "
                "lowest band, holes in the highest",
            )
    if plan.steps < 1:
        raise InputError(
            "the run has no step", field="duration_fs", remedy="make it longer than the time step"
        )
    needed = 8.0 * len(plan.start_frames) * plan.times * path.open_states
    if needed > _MAX_BYTES:
        raise InputError(
            f"storing populations takes {needed / 1e9:.1f} GB",
            field="output_stride",
            remedy=f"set it to {int(np.ceil(needed / _MAX_BYTES)) * plan.stride} or more",
        )


def _units(plan: Plan, states: int) -> list[tuple[int, range]]:
    """Samples and trajectories of every unit of work; a sample is one unit where nothing is counted."""
    largest = max(1, int(_UNIT / (plan.steps * states**2)))
    wanted = max(_BLOCK, -(-plan.trajectories // _MOST_BLOCKS))
    size = min(wanted, largest) if METHODS[plan.method].counted else plan.trajectories
    return [
        (sample, range(first, min(first + size, plan.trajectories)))
        for sample in range(len(plan.start_frames))
        for first in range(0, plan.trajectories, size)
    ]


def unit(plan: Plan, sample: int, block: range) -> dict:
    """Arguments of one unit of work."""
    return {
        "seed": plan.seed,
        "sample": sample,
        "start_frame": int(plan.start_frames[sample]),
        "start_state": int(plan.start_states[sample]),
        "steps": plan.steps,
        "stride": plan.stride,
        "trajectories": block,
    }


def _kept(file: Path, compute: Callable[[], Outcome]) -> Outcome:
    """Read a finished unit, or compute and keep it."""
    # the folder is this job's alone, so that a unit needs no identity beyond its name
    stored = load_arrays(file, file.name, (field.name for field in fields(Outcome)))
    if stored is not None:
        # what is stored is the change from one time to the next: mostly zeros
        counted = np.issubdtype(stored["population"].dtype, np.integer)
        population = np.cumsum(stored["population"], axis=0) if counted else stored["population"]
        return Outcome(**{**stored, "population": population})
    outcome = compute()
    population = outcome.population
    if np.issubdtype(population.dtype, np.integer):
        population = np.diff(population, axis=0, prepend=0)
    save_arrays(file, file.name, {**vars(outcome), "population": population}, compress=True)
    return outcome
