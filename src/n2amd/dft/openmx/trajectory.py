"""Geometries of a molecular dynamics or relaxation run, LABEL.md.

Its velocities are not read: at step n the file has (r_n - r_(n-1)) / dt, those of half a step earlier.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.dft.files import read_text
from n2amd.errors import InputError
from n2amd.units import OPENMX_BOHR_ANGSTROM, OPENMX_HARTREE_EV

REMEDY = "copy it again from the run"


@dataclass(frozen=True)
class Geometries:
    """Contents of a .md file; every number has 5 decimals in the file.

    Attributes
    ----------
    positions, forces
        (n_steps, n_atoms, 3), Angstrom, eV/A.
    """

    positions: NDArray[np.float64]
    forces: NDArray[np.float64]


def read_geometries(path: Path) -> Geometries:
    """Read LABEL.md (cached: the frames of a run share it).

    Raises
    ------
    InputError
        If the file is cut.
    """
    stat = path.stat()
    return _read(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=8)
def _read(path: Path, modified: int, size: int) -> Geometries:
    """Read the file; the time and size are part of the cache's key."""
    lines = read_text(path).splitlines()
    try:
        n_atoms = int(lines[0])
        n_steps, rest = divmod(len(lines), n_atoms + 2)
        if rest or n_steps == 0:
            raise ValueError(f"{len(lines)} lines are no whole number of geometries")
        steps = (lines[k * (n_atoms + 2) + 2 : (k + 1) * (n_atoms + 2)] for k in range(n_steps))
        table = np.array([[line.split()[1:7] for line in step] for step in steps], dtype=float)
    except (ValueError, IndexError) as error:
        raise InputError(f"not a complete list of geometries ({error})", file=path, remedy=REMEDY) from None
    return Geometries(table[..., :3], table[..., 3:] * OPENMX_HARTREE_EV / OPENMX_BOHR_ANGSTROM)
