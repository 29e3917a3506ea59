"""The processes of a run: one without MPI, or those that mpiexec or srun started.

mpi4py is imported only where a launcher says that there are several processes, so that everything works
without any MPI library.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from n2amd.errors import ComputationError, InputError, N2amdError, StoppedElsewhereError
from n2amd.launcher import slurm_tasks, started_by_mpi


@dataclass(frozen=True)
class Processes:
    """Rank and number of processes; sums go to rank 0.

    Attributes
    ----------
    rank, size
        This process, and how many there are.
    world
        MPI communicator, or None for one process.
    """

    rank: int = 0
    size: int = 1
    world: Any = None

    def total(self, values: NDArray) -> NDArray:
        """Sum over processes, on rank 0 (elsewhere the values come back as they are)."""
        if self.world is None:
            return values
        result = np.empty_like(values)
        self.world.Reduce(np.ascontiguousarray(values), result, root=0)
        return result if self.rank == 0 else values

    @contextmanager
    def together(self) -> Iterator[None]:
        """Wait for all processes at the end; where one of them failed, stop all.

        An error of the lowest rank that has one is told, once; nothing waits for a process that is gone.
        """
        if self.world is None:
            yield
            return
        error: Exception | None = None
        try:
            yield
        except Exception as caught:
            error = caught
        code = error.exit_code if isinstance(error, N2amdError) else 1 if error else None
        # errors that only pass on another process' failure are not told again
        codes = self.world.allgather((code, isinstance(error, StoppedElsewhereError)))
        failed = [rank for rank, (found, _) in enumerate(codes) if found is not None]
        if failed:
            told = min(failed, key=lambda rank: (codes[rank][1], rank))
            if error is not None and self.rank == told:
                raise error
            raise StoppedElsewhereError(codes[told][0])


def processes() -> Processes:
    """Find out how this run was started.

    Raises
    ------
    InputError
        If a SLURM step has several tasks that do not know of each other.
    ComputationError
        If a launcher started several processes but MPI cannot be loaded.
    """
    tasks = slurm_tasks()
    if not started_by_mpi() and tasks <= 1:
        return Processes()
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise ComputationError(
            f"started as several processes, but MPI cannot be loaded ({error}); install it or start one"
        ) from None
    world = MPI.COMM_WORLD
    if world.Get_size() == 1 and tasks > 1:
        raise InputError(
            f"{tasks} tasks of a SLURM step do not know of each other",
            field="srun",
            remedy="start with `srun --mpi=pmi2` (or pmix), or with mpiexec",
        )
    return Processes(world.Get_rank(), world.Get_size(), world) if world.Get_size() > 1 else Processes()
