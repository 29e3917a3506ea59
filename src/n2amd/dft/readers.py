"""Readers by DFT code: how to find the frames of a code and how to read one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path

from n2amd.errors import InputError
from n2amd.frames.frame import Frame
from n2amd.orbitals.basis import Basis
from n2amd.orbitals.conventions import Code
from n2amd.structure import Structure


@dataclass(frozen=True)
class Reader:
    """How the output of one DFT code is found and read.

    Attributes
    ----------
    find, read
        Folders of frames under paths; a whole frame.
    geometry
        Its structure alone, where that is quicker; None: it is not.
    """

    find: Callable[[Sequence[str | Path]], list[Path]]
    read: Callable[[str | Path, Code], tuple[Frame, Basis]]
    geometry: Callable[[str | Path], Structure] | None = None


#: Codes whose files may lack the number of electrons: `read_frame` takes it as `n_electrons`.
ELECTRONS_OPTIONAL: tuple[Code, ...] = ("deeph",)


#: Module of each code's reader: it has `find_frames(paths)`, `read_frame(folder, code)` and may
#: have `read_geometry(folder)`.
MODULES: dict[Code, str] = {
    "honpas": "n2amd.dft.siesta.frame",
    "siesta": "n2amd.dft.siesta.frame",
    "openmx": "n2amd.dft.openmx.frame",
    "cp2k": "n2amd.dft.cp2k.frame",
    "abacus": "n2amd.dft.abacus.frame",
    "deeph": "n2amd.dft.deeph.frame",
    "pyscf": "n2amd.dft.pyscf.frame",
}


def reader_for(code: Code, n_electrons: float | None = None) -> Reader:
    """Return the reader of a code.

    Parameters
    ----------
    code
        DFT code.
    n_electrons
        Electrons in the cell of every frame, for folders that do not say.

    Raises
    ------
    InputError
        If there is no reader, or the files of this code do say how many electrons there are.
    """
    if code not in MODULES:
        raise InputError(
            f"there is no reader for {code!r}", field="code", remedy=f"choose one of {', '.join(MODULES)}"
        )
    module = import_module(MODULES[code])
    if n_electrons is None:
        return Reader(module.find_frames, module.read_frame, getattr(module, "read_geometry", None))
    if code not in ELECTRONS_OPTIONAL:
        raise InputError(
            f"the files of {code} say how many electrons there are",
            field="electrons",
            remedy=f"leave it out; it is for {', '.join(ELECTRONS_OPTIONAL)}",
        )
    read = partial(module.read_frame, n_electrons=n_electrons)
    return Reader(module.find_frames, read, getattr(module, "read_geometry", None))
