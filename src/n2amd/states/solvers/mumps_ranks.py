"""The processes that hold a factor of MUMPS together: the first one leads, the others do what it says.

MUMPS (package `pymumps`) takes its matrix and right-hand sides from the first process and spreads the
factor over all of them; each call is made by all at once. So the first process solves frames as if it were
alone, and tells the others which call comes next; they sleep until then.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from n2amd.errors import InputError
from n2amd.launcher import announced_size

#: Pause of a process that waits for an order, s.
_PAUSE_S = 0.002
#: General symmetric matrices; the first process shares the work.
_SYMMETRIC, _WORKING = 2, 1


@dataclass(frozen=True)
class Order:
    """The next call of all processes.

    Attributes
    ----------
    kind
        Open an instance of MUMPS, run it, close it; or go home.
    instance
        Its number.
    job
        What it runs (`_MumpsBaseContext.run`).
    controls
        ICNTL to set before, by their number from 1.
    """

    kind: Literal["open", "run", "close", "stop"]
    instance: int = 0
    job: int = 0
    controls: Mapping[int, int] = field(default_factory=dict)


class Ranks:
    """The processes of this run, seen from one of them.

    Parameters
    ----------
    world
        Communicator of mpi4py.
    context
        Class of MUMPS instances.
    """

    def __init__(self, world: Any, context: type) -> None:
        self.size, self.leads = world.Get_size(), world.Get_rank() == 0
        self._world, self._class = world, context
        self._instances: dict[int, Any] = {}
        self._opened = 0

    def open(self) -> int:
        """Open an instance; return its number."""
        self._opened += 1
        self._everywhere(Order("open", self._opened))
        return self._opened

    def context(self, instance: int) -> Any:
        """Return this process' part of an instance, which holds the matrix on the first process."""
        return self._instances[instance]

    def run(self, instance: int, job: int, controls: Mapping[int, int]) -> int:
        """Run a job of an instance; return MUMPS' INFOG(1), negative where it failed."""
        self._everywhere(Order("run", instance, job, controls))
        return int(self._instances[instance].get_infog(1))

    def close(self, instance: int) -> None:
        """Free an instance, unless `stop` did."""
        if instance in self._instances:
            self._everywhere(Order("close", instance))

    def stop(self) -> None:
        """Free what is open and let the others end."""
        for instance in list(self._instances):
            self.close(instance)
        self._everywhere(Order("stop"))

    def serve(self) -> None:
        """Do what the first process says until it says stop."""
        while True:
            while not self._world.Iprobe(source=0):
                time.sleep(_PAUSE_S)
            order = self._world.recv(source=0)
            if order.kind == "stop":
                return
            self._obey(order)

    def _everywhere(self, order: Order) -> None:
        for rank in range(1, self.size):
            self._world.send(order, dest=rank)
        self._obey(order)

    def _obey(self, order: Order) -> None:
        if order.kind == "open":
            self._instances[order.instance] = self._class(par=_WORKING, sym=_SYMMETRIC, comm=self._world)
        elif order.kind == "close":
            self._instances.pop(order.instance).destroy()
        elif order.kind == "run":
            instance = self._instances[order.instance]
            for number, value in order.controls.items():
                instance.set_icntl(number, value)
            # INFOG(1) is negative on every process then, which the first one acts upon
            with suppress(RuntimeError):
                instance.run(order.job)


@cache
def ranks() -> Ranks:
    """Return the processes of this run.

    Raises
    ------
    InputError
        If MUMPS or its MPI cannot be loaded, or the processes do not see each other.
    """
    context = _load_mumps()
    from mpi4py import MPI

    found = Ranks(MPI.COMM_WORLD, context)
    if announced_size() > found.size:
        library = MPI.Get_library_version().split(",")[0].strip(" \0\n")
        raise InputError(
            f"{announced_size()} processes were started, but in the MPI of MUMPS ({library}) each is alone",
            field="states.factorisation",
            remedy="start them with the mpirun of that MPI, or start one process",
        )
    return found


@contextmanager
def helping(factorisation: str) -> Iterator[bool]:
    """Let all processes but the first help with factors of MUMPS; yield whether this one is the first.

    With other direct solvers every process is the first of its own.

    Parameters
    ----------
    factorisation
        `states.factorisation`.
    """
    if factorisation != "mumps":
        yield True
        return
    here = ranks()
    if not here.leads:
        here.serve()
        yield False
        return
    try:
        yield True
    finally:
        here.stop()


def _load_mumps() -> type:
    """Class of MUMPS instances; mpi4py will load the MPI library that MUMPS is linked with."""
    before = _mpi_libraries()
    try:
        from mumps import DMumpsContext
    except (ImportError, OSError) as error:
        raise InputError(
            f"the package pymumps could not be loaded ({error})",
            field="states.factorisation",
            remedy="install MUMPS with its headers (Debian: libmumps-dev), then `pip install pymumps`; or "
            "set block_ldl",
        ) from error
    libraries = _mpi_libraries()
    if "mpi4py.MPI" not in sys.modules:
        for library in libraries:
            os.environ.setdefault("MPI4PY_LIBMPI", library)
    elif before and libraries != before:
        raise InputError(
            f"MUMPS is linked with another MPI ({', '.join(libraries - before)}) than the one in use",
            field="states.factorisation",
            remedy="build pymumps against the MPI of mpi4py, or set block_ldl",
        )
    return DMumpsContext


def _mpi_libraries() -> set[str]:
    """Files of the MPI libraries that this process has loaded, as far as the system tells."""
    loaded = Path("/proc/self/maps")
    text = loaded.read_text() if loaded.exists() else ""
    return set(re.findall(r"/\S+/lib(?:mpi|mpich)(?:_abi)?\.so\S*", text))
