"""What the jobs beside the shards ask for: trainings, molecular dynamics, fits, surface hopping, analysis.

Seconds are CPU seconds of one thread on the machine of the benchmarks, memory is the largest resident set; a
request adds room for slower machines, the start of the program, and the two Snakemakes inside every job.
More threads are not counted as faster. All stages that take long go on where they were stopped, so that a job
that was ended for its time is only tried again, with more of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from n2amd.config.analysis import AnalysisSettings
from n2amd.config.dynamics import DynamicsSettings
from n2amd.config.forcefield import ForceFieldSettings
from n2amd.config.hamiltonian import HamiltonianSettings
from n2amd.config.states import StatesSettings
from n2amd.config.trajectory import TrajectorySettings
from n2amd.cost.data import DataSize
from n2amd.cost.states import SLOWER, SPARE, START_S, USUAL_ORBITALS, frame_cost
from n2amd.states.choice import ON_PROCESSORS, choose_method

#: Of the two Snakemakes in a job of a cluster, GB.
SNAKEMAKE_GB = 0.25
#: Of a program with torch, and of one without, GB.
LEARNING_GB, NUMPY_GB = 0.75, 0.35
#: Shortest request, minutes: a full file system or a loaded node makes a job of seconds one of minutes.
SHORTEST_MIN = 10


@dataclass(frozen=True)
class Request:
    """What the first try of a job asks for.

    Attributes
    ----------
    minutes, memory_MB, device_MB
        With room to spare; `device_MB` is memory of a GPU where it is known.
    """

    minutes: int
    memory_MB: int
    device_MB: int = 0


def gpu_helps(settings: ForceFieldSettings | HamiltonianSettings | StatesSettings, n_orbitals: float) -> bool:
    """Whether a stage is worth a GPU where its settings leave the choice to the program: nothing small is."""
    if isinstance(settings, StatesSettings):
        on_gpu = settings.factorisation not in ON_PROCESSORS
        return on_gpu and choose_method(settings, int(n_orbitals)) == "block_si"
    return settings.preset != "test"


def request(seconds: float, gigabytes: float) -> Request:
    """Return the request of a job that takes so long and so much on the measured machine."""
    minutes = max(SHORTEST_MIN, math.ceil((START_S + SLOWER * seconds) / 60))
    memory = 1000 * (SPARE * gigabytes + SNAKEMAKE_GB)
    return Request(minutes, math.ceil(memory / 500) * 500)


def matrices_memory(n_orbitals: float, count: float) -> float:
    """Memory of dense complex matrices, GB."""
    return count * n_orbitals**2 * 16e-9


def dense_s(n_orbitals: float) -> float:
    """Seconds of all states of one complex matrix by LAPACK."""
    return 5.6e-10 * n_orbitals**3


@dataclass(frozen=True)
class Training:
    """Measured cost of a preset.

    Attributes
    ----------
    length
        Optimiser steps, or epochs.
    batch_atoms
        Atoms that a step holds at least; 0: whole frames.
    batch_frames
        Frames of a step; 0: as many as give `batch_atoms`.
    s_per_atom
        CPU seconds an atom and step.
    GB_per_atom
        Memory an atom of a step.
    """

    length: int
    batch_atoms: int
    batch_frames: int
    s_per_atom: float
    GB_per_atom: float


# Lengths and batches are those of network/presets.py and forcefield/presets.py, which import torch: seconds
# in each of thousands of jobs. A test holds them against each other.
DENSITY = {
    "test": Training(40, 12, 0, 4e-3, 0.01),
    "quick": Training(760, 48, 0, 8.5e-3, 0.022),
    "paper": Training(6000, 96, 0, 60e-3, 0.06),
}
PAIRS = {
    "test": Training(70, 0, 2, 4e-3, 0.01),
    "quick": Training(1200, 0, 2, 22e-3, 0.01),
    "paper": Training(200000, 0, 4, 120e-3, 0.05),
}
FORCE_FIELD = {
    "test": Training(5, 0, 2, 1e-3, 0.001),
    "quick": Training(100, 0, 2, 1.7e-3, 0.005),
    "paper": Training(2000, 0, 5, 60e-3, 0.02),
}
#: Molecular dynamics: CPU seconds and GB an atom, of a step.
DYNAMICS_S = {"test": 0.2e-3, "quick": 0.5e-3, "paper": 4e-3}
DYNAMICS_GB = {"test": 0.15e-3, "quick": 0.4e-3, "paper": 3e-3}
#: One-off compilation of the force field, CPU seconds.
COMPILE_S = 130.0


def ingestion(data: DataSize, threads: int) -> Request:
    """Reading and checking DFT frames, `threads` at a time."""
    n = USUAL_ORBITALS * data.largest
    one = NUMPY_GB + 0.004 * data.largest + matrices_memory(n, 5)
    seconds = 10 + (0.08 * data.atoms + data.frames * 8 * dense_s(n)) / max(1, threads)
    return request(seconds, (threads + 1) * one)


def overlap_fit(data: DataSize) -> Request:
    """Radial functions from overlaps."""
    return request(20 + 0.2 * data.atoms, LEARNING_GB + 0.008 * data.largest)


def hamiltonian_training(
    settings: HamiltonianSettings, data: DataSize, orbitals: float, *, knows_density: bool = True
) -> Request:
    """Training of the Hamiltonian.

    Parameters
    ----------
    settings
        Preset and what is changed of it.
    data
        Training frames.
    orbitals
        Of the largest frame.
    knows_density
        Whether the data's code leaves what H0 is made of: `auto` then learns the density, else pairs.
    """
    costs = []
    model = settings.model if settings.model != "auto" else ("density" if knows_density else "pair")
    if model in ("density", "density+pair"):
        preset = DENSITY[settings.preset]
        atoms = max(preset.batch_atoms, data.largest)
        asked = settings.density_channels, settings.density_layers, settings.density_message_cutoff_A
        size = _size(_DENSITY_SHAPES[settings.preset], *asked)
        costs.append((preset, settings.density_steps or preset.length, atoms, size))
    if model != "density":
        preset = PAIRS[settings.preset]
        steps = _pair_steps(settings, preset)
        asked = settings.channels, settings.layers, settings.message_cutoff_A
        size = _size(_PAIR_SHAPES[settings.preset], *asked)
        costs.append((preset, steps, (settings.batch_size or preset.batch_frames) * data.largest, size))
    times = [steps * atoms * size * preset.s_per_atom for preset, steps, atoms, size in costs]
    sizes = [atoms * size * preset.GB_per_atom for preset, _, atoms, size in costs]
    # validation diagonalises frames as a whole, and the data set is in memory
    held = matrices_memory(orbitals, 6) + 2e-4 * data.atoms
    return request(20 + 1.1 * sum(times), LEARNING_GB + max(sizes) + held)


def _pair_steps(settings: HamiltonianSettings, preset: Training) -> int:
    if settings.steps is None and settings.band_steps is None:
        return preset.length
    # the two stages of a preset: a sixth and the rest
    first = settings.steps if settings.steps is not None else preset.length // 6
    return first + (settings.band_steps if settings.band_steps is not None else preset.length)


#: Channels per l, layers and message cutoff (Angstrom) of a network; below, those of the presets.
_Shape = tuple[tuple[int, ...], int, float]
_PAIR_SHAPES: dict[str, _Shape] = {
    "test": ((8, 6, 4, 2, 2), 1, 4.0),
    "quick": ((32, 24, 16, 8, 4), 2, 5.0),
    "paper": ((64, 48, 32, 24, 16), 5, 6.0),
}
_DENSITY_SHAPES: dict[str, _Shape] = {
    "test": ((8, 6, 4, 2, 2), 1, 4.0),
    "quick": ((24, 20, 16, 8, 6), 2, 5.0),
    "paper": ((48, 40, 32, 16, 12), 3, 6.0),
}


def _size(preset: _Shape, channels: Sequence[int] | None, layers: int | None, cutoff: float | None) -> float:
    """Size of the asked network over its preset's: components, layers, neighbours."""

    def components(numbers: Sequence[int]) -> int:
        return sum(number * (2 * degree + 1) for degree, number in enumerate(numbers))

    return (
        components(channels or preset[0])
        / components(preset[0])
        * ((layers or preset[1]) / preset[1])
        * ((cutoff or preset[2]) / preset[2]) ** 3
    )


def forcefield_training(settings: ForceFieldSettings, data: DataSize) -> Request:
    """Training of the force field on all frames with forces."""
    preset = FORCE_FIELD[settings.preset]
    epochs = settings.max_epochs or preset.length
    batch = (settings.batch_size or preset.batch_frames) * data.largest
    seconds = 20 + epochs * data.atoms * preset.s_per_atom + COMPILE_S * (settings.compile != "never")
    # nequip validates 16 frames at a time, without gradients of the weights
    atoms = max(batch, 16 * data.largest / 4)
    return request(seconds, LEARNING_GB + atoms * preset.GB_per_atom)


def trajectory(settings: TrajectorySettings, forcefield: ForceFieldSettings, n_atoms: int) -> Request:
    """Molecular dynamics of a supercell."""
    steps = settings.equilibration_steps + settings.frames
    seconds = 20 + steps * n_atoms * DYNAMICS_S[forcefield.preset]
    kept = settings.frames * n_atoms * 96e-9
    return request(
        seconds,
        LEARNING_GB + n_atoms * DYNAMICS_GB[forcefield.preset] + kept,
    )


def phonons(frames: int, n_atoms: int, *, fits: bool) -> Request:
    """Vibrations of a trajectory; `fits`: also force constants to DFT's forces of the cell."""
    gigabytes = LEARNING_GB + frames * n_atoms * 24e-9 * 6
    seconds = 20.0 + frames * n_atoms * 1e-5
    if fits:
        gigabytes += matrices_memory(3 * n_atoms, 4)
        seconds += 10 * dense_s(3 * n_atoms) + 0.05 * n_atoms
    return request(seconds, gigabytes)


def evaluation(data: DataSize, orbitals: float, *, held_out: float, points: int = 10) -> Request:
    """Errors, or bands, of the network on held-out frames (a share of all), each at some k points."""
    frames = max(2, math.ceil(held_out * data.frames))
    plain = frame_cost(max(1, data.largest), orbitals, StatesSettings(solver="dense"))
    seconds = 20 + frames * (3 * plain.hamiltonian_s + points * dense_s(orbitals))
    gigabytes = LEARNING_GB + matrices_memory(orbitals, 10) + 0.004 * data.largest
    return request(seconds, gigabytes)


def selection(candidates: int, n_atoms: int, n_orbitals: float) -> Request:
    """Doubt of a model on frames of a trajectory."""
    frame = frame_cost(n_atoms, n_orbitals, StatesSettings())
    return request(20 + 3 * candidates * frame.seconds, frame.memory_GB + 0.3)


def self_consistent(frames: int, n_atoms: int, n_orbitals: float, threads: int) -> Request:
    """Frames computed self-consistently, `threads` at a time: two dozen cycles of H and its states."""
    frame = frame_cost(n_atoms, n_orbitals, StatesSettings(solver="dense"))
    seconds = 25 * frames * (frame.hamiltonian_s + 4 * dense_s(n_orbitals)) / max(1, threads)
    return request(20 + seconds, threads * (frame.memory_GB + matrices_memory(n_orbitals, 8)))


def dft(frames: int, n_atoms: int, threads: int, *, hybrid: bool) -> Request:
    """Single points by CP2K or PySCF, `threads` at a time; scaled from eight atoms of silicon, 34 CPU s."""
    one = 34 * (n_atoms / 8) ** 2.5 * (10 if hybrid else 1)
    n = USUAL_ORBITALS * n_atoms
    memory = threads * (1.0 + 0.02 * n_atoms + matrices_memory(n, 20))
    return request(20 + frames * one / max(1, threads), memory)


def assembly(frames: int, n_atoms: int, states: StatesSettings) -> Request:
    """Joining and tracking the states of all shards."""
    n = states.valence + states.conduction + 2 * states.margin
    weights = {"none": 0, "atoms": 1, "shells": 5}[states.weights_of] * n * n_atoms
    return request(
        20 + 0.02 * frames + 1e-6 * frames * n**3, NUMPY_GB + frames * (8 * n**2 + 3 * weights) * 8e-9
    )


def couplings_memory(frames: int, states: StatesSettings) -> float:
    """Memory of a couplings file's energies, overlaps and couplings."""
    n = states.valence + states.conduction
    return frames * 4 * n**2 * 8e-9


def dynamics(
    settings: DynamicsSettings, frames: int, timestep_fs: float, states: StatesSettings, ranks: int = 1
) -> Request:
    """Surface hopping of one method and seed; memory is that of one rank."""
    n = {
        "electron": states.conduction + 1,
        "hole": states.valence + 1,
        "pair": settings.pair_states or states.valence * states.conduction + 1,
    }[settings.carrier]
    steps = settings.duration_fs / timestep_fs
    substeps = settings.substeps if settings.scheme == "hst" else 1
    each = 1e-7 * n * settings.trajectories + 2e-6 * n**2 * substeps
    seconds = 10 + settings.samples * steps * each / max(1, ranks) + 1e-6 * frames * n**3 * substeps
    stored = settings.samples * steps / settings.output_stride * n * 8e-9 * 3
    return request(seconds, NUMPY_GB + couplings_memory(frames, states) + frames * n**2 * 64e-9 + stored)


def analysis(settings: AnalysisSettings, frames: int, states: StatesSettings) -> Request:
    """Dephasing, spectra, lifetimes, figures, tables."""
    seconds = 10 + 0.02 * settings.bootstrap + 0.01 * frames
    return request(seconds, NUMPY_GB + 4 * couplings_memory(frames, states))
