"""Direct solvers by name: the program's own, and those that installed packages add."""

from __future__ import annotations

from n2amd.config.states import FACTORISATIONS, StatesSettings
from n2amd.device import choose_device
from n2amd.errors import InputError
from n2amd.plugins import SOLVERS, load_plugin
from n2amd.states.solvers.block_ldl import BlockLdl
from n2amd.states.solvers.protocol import Solver

#: What `Solver` asks for.
METHODS = ("place", "prepare", "factor", "solve", "inertia")


def choose_solver(settings: StatesSettings) -> Solver:
    """Return the direct solver that the settings ask for.

    Raises
    ------
    InputError
        If its package or device is missing, or what a package adds is no solver.
    """
    name = settings.factorisation
    if name == "pardiso":
        from n2amd.states.solvers.pardiso import Pardiso

        return Pardiso()
    if name == "mumps":
        from n2amd.states.solvers.mumps import Mumps

        return Mumps()
    device = choose_device(settings.device)
    return added_solver(name, device) if name not in FACTORISATIONS else BlockLdl(device)


def added_solver(name: str, device: str) -> Solver:
    """Return the solver that an installed package adds under a name.

    Parameters
    ----------
    name
        Entry point in the group `n2amd.solvers`.
    device
        "cpu" or "cuda": what it is called with.

    Raises
    ------
    InputError
        If there is none, it cannot be loaded, or it lacks a method.
    """
    field = "states.factorisation"
    make = load_plugin(SOLVERS, name, field)
    try:
        solver = make(device)
    except InputError:
        raise
    except Exception as error:  # whatever the code of others raises
        raise InputError(
            f"is {name}, which does not start on {device} ({type(error).__name__}: {error})",
            field=field,
            remedy="do what it says, or choose another",
        ) from error
    # of the class: `inertia` may have no value before there is a factor
    if lacking := [method for method in METHODS if not hasattr(type(solver), method)]:
        raise InputError(
            f"is {name}, whose {type(solver).__name__} has no {', '.join(lacking)}",
            field=field,
            remedy="ask its authors: n2amd.states.solvers.protocol.Solver says what a solver has",
        )
    return solver
