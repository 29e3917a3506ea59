"""What installed packages add to the program: entry points, found by group and name."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

from n2amd.errors import InputError

#: Group of direct solvers: each entry is called with the device, "cpu" or "cuda", and returns a
#: `n2amd.states.solvers.protocol.Solver`.
SOLVERS = "n2amd.solvers"


def plugin_names(group: str) -> list[str]:
    """Return the names that installed packages add to a group."""
    return sorted({entry.name for entry in entry_points(group=group)})


def load_plugin(group: str, name: str, field: str) -> Any:
    """Return what a package adds under a name.

    Parameters
    ----------
    group, name
        The entry point.
    field
        Option that names it, for messages.

    Raises
    ------
    InputError
        If no package adds it, several do, or it cannot be loaded.
    """
    found = list(entry_points(group=group, name=name))
    packages = [entry.dist.name if entry.dist else entry.value for entry in found]
    if len(set(packages)) != 1:
        told = f"the packages {' and '.join(sorted(packages))} both add it" if found else "no package adds it"
        raise InputError(
            f"is {name}, but {told} ({group})",
            field=field,
            remedy="uninstall one of them" if found else "install the package that does",
        )
    try:
        return found[0].load()
    except Exception as error:  # whatever the code of others raises
        raise InputError(
            f"is {name}, which {packages[0]} adds but which cannot be loaded "
            f"({type(error).__name__}: {error})",
            field=field,
            remedy=f"install {packages[0]} again, or choose another",
        ) from error
