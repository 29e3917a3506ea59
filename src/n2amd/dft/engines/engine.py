"""What a DFT program must offer to be run, and the programs there are."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from n2amd.config.engines import Cp2kSettings, DftSettings, PyscfSettings
from n2amd.errors import InputError
from n2amd.structure import Structure


class Engine(Protocol):
    """A DFT program with its settings. One run is one frame in a folder of its own."""

    def check(self, structures: Iterable[Structure]) -> None:
        """Refuse what cannot be computed, before anything runs; raise `InputError`."""

    def prepare(self, structure: Structure, folder: Path) -> None:
        """Write the input of a run."""

    def command(self) -> list[str]:
        """Return the command that makes the run; it is started in the folder."""

    def conclude(self, folder: Path) -> None:
        """Raise `ComputationError` if what a run left behind is no converged frame."""


def engine_for(settings: DftSettings) -> Engine:
    """Return the engine of the settings."""
    if isinstance(settings, Cp2kSettings):
        from n2amd.dft.engines.cp2k import Cp2k

        return Cp2k(settings)
    if isinstance(settings, PyscfSettings):
        from n2amd.dft.engines.pyscf import Pyscf

        return Pyscf(settings)
    raise TypeError(f"no engine takes {type(settings).__name__}")


def require_name(what: str, name: str, element: str) -> str:
    """Return the name of a basis or pseudopotential; raise `InputError` where an element has none."""
    if not name:
        raise InputError(
            f"no {what} is named for {element}",
            field=what,
            remedy=f"add {element} to the mapping, or give one name for all elements",
        )
    return name
