"""Cube files: a density on the mesh of a cell, as VESTA, VMD and others read it.

Format: the Gaussian manual, page cubegen; lengths in Bohr, values in 1 / Bohr^3.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.storage import atomic_path
from n2amd.structure import Structure
from n2amd.units import BOHR_ANGSTROM

#: Values in a line.
_COLUMNS = 6


def write_cube(path: str | Path, structure: Structure, density: NDArray[np.float64], title: str) -> None:
    """Write a density on the uniform mesh of a cell, whose first point is the corner.

    Parameters
    ----------
    path
        File to write.
    structure
        Atoms and cell, Angstrom.
    density
        (n1, n2, n3), 1/A^3.
    title
        First line of the file.
    """
    cell, positions = structure.cell / BOHR_ANGSTROM, structure.positions / BOHR_ANGSTROM
    header = [
        " ".join(title.split()),
        "n2amd; Bohr, 1/Bohr^3",
        f"{structure.n_atoms:5d}" + 3 * f"{0.0:12.6f}",
    ]
    for n, vector in zip(density.shape, cell):
        header.append(f"{n:5d}" + "".join(f"{x:12.6f}" for x in vector / n))
    for z, position in zip(structure.numbers.tolist(), positions):
        header.append(f"{z:5d}{float(z):12.6f}" + "".join(f"{x:12.6f}" for x in position))
    with atomic_path(path) as part, open(part, "w", encoding="ascii", errors="replace") as stream:
        stream.write("\n".join(header) + "\n")
        # each line of points along the third vector begins a line of text
        for row in (density * BOHR_ANGSTROM**3).reshape(-1, density.shape[2]).tolist():
            for first in range(0, len(row), _COLUMNS):
                stream.write("".join(f"{x:13.5E}" for x in row[first : first + _COLUMNS]) + "\n")
