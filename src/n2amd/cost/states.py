"""A shard of states: time, memory and GPU memory from atoms, orbitals and frames."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from n2amd.blocks.zone_corners import is_invariant
from n2amd.config.states import StatesSettings
from n2amd.cost.gpu import DEVICE_SPARE, DRIVER_GB, prediction_GB, states_GB
from n2amd.states.choice import ON_PROCESSORS, choose_method
from n2amd.states.factor_groups import FactorGroups

#: Orbitals of an atom where the basis is not known yet: double zeta with polarisation has 13 to 18.
USUAL_ORBITALS = 16.0
#: How much slower than the measured one a processor may be.
SLOWER = 2.5
#: Seconds until the first frame, with loops that are compiled for the first time.
START_S = 120.0
#: Room for what is not counted: the frame before, libraries.
SPARE = 1.3
#: Analytic couplings of a frame in units of its H and S.
COUPLINGS_TO_HAMILTONIAN = 3.4
#: Memory of the program without a frame, GB.
PROGRAM_GB = 0.9


@dataclass(frozen=True)
class FrameCost:
    """One frame on one processor core, or with its states on a GPU.

    Attributes
    ----------
    solver
        `dense` or `block_si`.
    hamiltonian_s, states_s
        CPU seconds of H and S, and of the states: on a GPU seconds.
    memory_GB, device_memory_GB
        Largest memory, and that of a GPU (0 without), which dense states take for the prediction of H alone.
    couplings_s
        CPU seconds of analytic couplings (0 without).
    neighbour_s
        Like `states_s`, of a frame that shares the factor of another one; None where none do, or where it was
        not measured (GPU).
    """

    solver: str
    hamiltonian_s: float
    states_s: float
    memory_GB: float
    device_memory_GB: float
    couplings_s: float = 0.0
    neighbour_s: float | None = None

    @property
    def seconds(self) -> float:
        """Seconds of the frame."""
        return self.hamiltonian_s + self.states_s + self.couplings_s

    def seconds_of(self, frames: int, group: int = 1) -> float:
        """Seconds of consecutive frames, of which groups of some size share a factor."""
        alone = frames * self.seconds
        if self.neighbour_s is None or group == 1:
            return alone
        saved = (frames - math.ceil(frames / group)) * (self.states_s - self.neighbour_s)
        # the anchors of the first and the last group may lie beside these frames
        return min(alone, alone - saved + 2 * (self.hamiltonian_s + self.states_s))


def frame_cost(
    n_atoms: int,
    n_orbitals: float,
    settings: StatesSettings,
    *,
    on_gpu: bool = False,
    analytic: bool = False,
) -> FrameCost:
    """Cost of H, S and the window's states of one geometry.

    Parameters
    ----------
    n_atoms, n_orbitals
        Of the supercell.
    settings
        Solver, k point, finer mesh.
    on_gpu
        Whether states are solved on a GPU; H0 is summed on the processor either way.
    analytic
        Whether couplings come from derivatives (`couplings.scheme`).

    Returns
    -------
    FrameCost
        On the measured machine.
    """
    on_device = on_gpu and settings.factorisation not in ON_PROCESSORS
    plain = _without_couplings(n_atoms, n_orbitals, settings, on_device)
    if on_gpu:
        device = plain.device_memory_GB + DRIVER_GB + prediction_GB(n_atoms)
        plain = replace(plain, device_memory_GB=device)
    if not analytic:
        return plain
    # features of bonds and their rates in double precision
    memory = plain.memory_GB + 0.5 + 1e-3 * n_atoms
    return replace(plain, couplings_s=COUPLINGS_TO_HAMILTONIAN * plain.hamiltonian_s, memory_GB=memory)


def _without_couplings(n_atoms: int, n_orbitals: float, settings: StatesSettings, on_gpu: bool) -> FrameCost:
    solver = choose_method(settings, int(n_orbitals))
    spinors = settings.component == "spinors"
    is_complex = spinors or not is_invariant(np.array(settings.kpoint))
    # H0: sums over mesh points, of which a finer mesh has more
    hamiltonian = 0.1 + 0.016 * n_atoms * settings.mesh_refinement**3
    blocks_GB = 0.65e-3 * n_atoms * max(1.0, settings.mesh_refinement**3 / 2)
    if solver == "dense":
        # LAPACK's gvx; H, S and three more matrices
        n_orbitals = 2 * n_orbitals if spinors else n_orbitals
        states = (1.6e-10 * n_orbitals**3) * (3.5 if is_complex else 1.0)
        return FrameCost(
            solver,
            hamiltonian,
            states,
            PROGRAM_GB + blocks_GB + _gigabytes(n_orbitals, 5, is_complex),
            0.0,
        )
    share = n_orbitals / 8640
    neighbour = None
    if on_gpu:
        states = 0.1 + 0.4 * share + 0.0065 * share**3
    else:
        # factor; two dozen steps of products and back substitutions; what is linear in the size
        states = 5.2 * share**3 + 5.5 * share**2 + 2.2 * share
        neighbour = 4.2 * share**2 + 2.0 * share
    if is_complex:
        states, neighbour = 4 * states, neighbour and 4 * neighbour
    factor_GB = _gigabytes(n_orbitals, 1.25, is_complex) + 4e-5 * n_orbitals
    on_cpu = PROGRAM_GB + blocks_GB + 4e-5 * n_orbitals
    if on_gpu:
        device_GB = states_GB(n_orbitals, shares_factors=settings.factor_reach_fs > 0, is_complex=is_complex)
        return FrameCost(solver, hamiltonian, states, on_cpu, device_GB)
    return FrameCost(solver, hamiltonian, states, on_cpu + factor_GB, 0.0, neighbour_s=neighbour)


def _gigabytes(n: float, count: float, is_complex: bool) -> float:
    return count * n * n * (16 if is_complex else 8) / 1e9


@dataclass(frozen=True)
class ShardCost:
    """What a job that solves one shard asks for.

    Attributes
    ----------
    frame
        One frame on the measured machine.
    n_frames
        Most frames that a shard solves: its own and the last one of the shard before.
    minutes, memory_MB, device_MB
        With room to spare, also for a slower machine; `device_MB` is memory of a GPU, 0 without.
    """

    frame: FrameCost
    n_frames: int
    minutes: int
    memory_MB: int
    device_MB: int = 0


def estimate_shard(
    n_atoms: int,
    n_orbitals: float,
    n_frames: int,
    settings: StatesSettings,
    *,
    on_gpu: bool = False,
    analytic: bool = False,
    timestep_fs: float = math.inf,
) -> ShardCost:
    """Cost of the largest shard of a trajectory of `n_frames` so many fs apart; the rest: see `frame_cost`.

    Examples
    --------
    >>> shard = estimate_shard(576, 8640, 1000, StatesSettings(frames_per_shard=20))
    >>> shard.frame.solver, shard.n_frames
    ('block_si', 21)
    """
    frame = frame_cost(n_atoms, n_orbitals, settings, on_gpu=on_gpu, analytic=analytic)
    of_shard = min(n_frames, settings.frames_per_shard + 1)
    # overlaps of neighbouring frames and the doubt of the model together cost less than a quarter of H
    group = FactorGroups.of(settings.factor_reach_fs, timestep_fs, n_frames - 1)
    of_frames = frame.seconds_of(of_shard, 1 if group is None else 2 * group.half)
    seconds = START_S + SLOWER * (0.25 * of_shard * frame.hamiltonian_s + of_frames)
    memory, device = 1000 * SPARE * frame.memory_GB, 1000 * DEVICE_SPARE * frame.device_memory_GB
    return ShardCost(
        frame, of_shard, math.ceil(seconds / 60), math.ceil(memory / 500) * 500, math.ceil(device / 100) * 100
    )
