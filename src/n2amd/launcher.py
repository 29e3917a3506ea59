"""What the launcher of an MPI run tells its processes, without any MPI library."""

from __future__ import annotations

import os

#: Variables in which MPI launchers tell the number of processes.
_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "PMIX_SIZE", "MV2_COMM_WORLD_SIZE")
#: Set by launchers that tell only the rank through the environment.
_PRESENT = ("PMIX_RANK", "MPI_LOCALNRANKS")
#: Tasks of a SLURM job step.
_SLURM_TASKS = "SLURM_STEP_NUM_TASKS"


def announced_size() -> int:
    """Number of processes that an MPI launcher names; 1 where none does."""
    return max(int(os.environ.get(name, "1")) for name in _SIZES)


def slurm_tasks() -> int:
    """Tasks of the SLURM step that this process is one of; 1 where it is of none."""
    return int(os.environ.get(_SLURM_TASKS, "1"))


def started_by_mpi() -> bool:
    """Whether an MPI launcher started this process, with others or perhaps with others."""
    return announced_size() > 1 or any(name in os.environ for name in _PRESENT)
