"""CP2K as an engine: its executable, its basis files, and whether a run converged."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from n2amd.config.engines import Cp2kSettings
from n2amd.dft.cp2k import radial
from n2amd.dft.engines.cp2k_input import render_input
from n2amd.dft.engines.engine import require_name
from n2amd.errors import ComputationError, InputError
from n2amd.structure import Structure

#: Names of the executable, the first that is found is taken: parallel, serial, or whatever the site calls it.
EXECUTABLES = ("cp2k.psmp", "cp2k.ssmp", "cp2k.popt", "cp2k")
INPUT, OUTPUT = "cp2k.inp", "cp2k.out"


def find_command(settings: Cp2kSettings) -> list[str]:
    """Return how CP2K is started.

    Raises
    ------
    InputError
        If there is no such program.
    """
    command = shlex.split(settings.command) if settings.command else []
    names = command[:1] or list(EXECUTABLES)
    program = next((found for name in names if (found := shutil.which(name))), None)
    if program is None:
        raise InputError(
            f"CP2K is not installed: no {' or '.join(names)} on the PATH",
            field="engine.command",
            remedy="install it (Debian: apt-get install cp2k cp2k-data), load its module, or set `command`",
        )
    return [program, *command[1:]]


@dataclass(frozen=True)
class Cp2k:
    """CP2K with its settings; see `n2amd.dft.engines.engine.Engine`."""

    settings: Cp2kSettings

    def check(self, structures: Iterable[Structure]) -> None:
        """Refuse elements without a basis or pseudopotential in CP2K's own files, where those are found."""
        elements = sorted({symbol for s in structures for symbol in s.to_ase().get_chemical_symbols()})
        for what, file, name_of in (
            ("basis", self.settings.basis_file, self.settings.basis_of),
            ("potential", self.settings.potential_file, self.settings.potential_of),
        ):
            path = _data_file(file)
            known = _names(path) if path is not None else None
            for element in elements:
                name = require_name(what, name_of(element), element)
                if known is not None and (element.upper(), name.upper()) not in known:
                    raise InputError(
                        f"no {what} {name!r} for {element}",
                        file=path,
                        field=f"engine.{what}",
                        remedy=f"choose one that the file has for {element}, or name another file",
                    )

    def prepare(self, structure: Structure, folder: Path) -> None:
        """Write the input."""
        (folder / INPUT).write_text(render_input(structure, self.settings))

    def command(self) -> list[str]:
        """Return the command."""
        return [*find_command(self.settings), "-i", INPUT, "-o", OUTPUT]

    def conclude(self, folder: Path) -> None:
        """Raise `ComputationError` unless the run ended, converged, and left matrices."""
        try:
            text = (folder / OUTPUT).read_text(errors="replace")
        except FileNotFoundError:
            raise ComputationError(f"CP2K wrote no output; see {folder / 'run.log'}") from None
        if "SCF run NOT converged" in text:
            raise ComputationError(
                f"the SCF cycle did not converge in {self.settings.max_scf} steps: more max_scf, less mixing"
            )
        if "PROGRAM ENDED AT" not in text:
            raise ComputationError(f"CP2K stopped: {_complaint(text)}; see {folder / OUTPUT}")
        if not any(folder.glob("*-KS_SPIN_1*.csr")) or not any(folder.glob("*-S_SPIN_1*.csr")):
            raise ComputationError(f"CP2K left no matrices; see {folder / OUTPUT}")


def _data_file(name: str) -> Path | None:
    """Find a data file where CP2K would look for it; None where its data folder is not known."""
    folders = [os.environ.get("CP2K_DATA_DIR", ""), *radial.DATA_FOLDERS]
    places = [Path(name)] if os.path.isabs(name) else [Path(folder, name) for folder in folders if folder]
    return next((place for place in places if place.is_file()), None)


def _names(path: Path) -> set[tuple[str, str]]:
    """(element, name) of every entry of a file of basis sets or potentials, in capitals, aliases too."""
    entries = set()
    for line in path.read_text(errors="replace").splitlines():
        words = line.split("#")[0].upper().split()
        if len(words) > 1 and words[0].isalpha() and len(words[0]) <= 2:
            entries |= {(words[0], name) for name in words[1:]}
    return entries


def _complaint(text: str) -> str:
    """The message that CP2K frames in asterisks when it aborts."""
    framed = [
        line.strip(" *|/\\_") for line in text.splitlines() if line.startswith(" *") and "*" in line[2:]
    ]
    words = [line for line in framed if line and not line.startswith("___") and "[ABORT]" not in line]
    tail = [line.strip() for line in text.splitlines()[-5:] if line.strip()]
    return " ".join(words[-4:]) if "[ABORT]" in text and words else " ".join(tail) or "the output is empty"
