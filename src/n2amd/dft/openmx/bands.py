"""Eigenvalues along a path of k points, LABEL.Band."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.dft.files import read_text
from n2amd.errors import InputError
from n2amd.frames.frame import BandReference
from n2amd.units import OPENMX_BOHR_ANGSTROM, OPENMX_HARTREE_EV

REMEDY = "copy it again from the run, or run the frame again (Band.dispersion on)"


@dataclass(frozen=True)
class BandPath:
    """Contents of a .Band file.

    Attributes
    ----------
    chemical_potential
        eV.
    n_states
        Bands that the matrices have, as the file says.
    bands
        Eigenvalues on H's own zero of energy, with equal weights: a path is no mesh. In larger cells OpenMX
        solves the lowest bands only, and lists as many.
    """

    chemical_potential: float
    n_states: int
    bands: BandReference


def read_band_path(path: Path, cell: NDArray[np.float64]) -> BandPath:
    """Read LABEL.Band.

    Parameters
    ----------
    path
        The file.
    cell
        Lattice vectors of the run, Angstrom; the file may count k in another cell (Band.KPath.UnitCell).

    Raises
    ------
    InputError
        If the file is cut.
    """
    lines = read_text(path).splitlines()
    try:
        n_states, spin = (int(word) for word in lines[0].split()[:2])
        level = float(lines[0].split()[2])
        reciprocal = np.array(lines[1].split(), dtype=float).reshape(3, 3)
        n_paths = int(lines[2])
        points = [int(line.split()[0]) for line in lines[3 : 3 + n_paths]]
        n_spin = 2 if spin == 1 else 1
        records = [line for line in lines[3 + n_paths :] if line.strip()]
        expected = 2 * n_spin * sum(points)
        if len(records) != expected:
            raise ValueError(f"{len(records)} lines of {expected}")
        heads = np.array([line.split() for line in records[::2]], dtype=float)
        rows = [line.split() for line in records[1::2]]
        listed = sorted({len(row) for row in rows})
        if len(listed) != 1 or not 0 < listed[0] <= n_states or heads.shape[1] != 4:
            raise ValueError(f"{' or '.join(map(str, listed))} bands of {n_states}")
        energies = np.array(rows, dtype=float)
    except (ValueError, IndexError) as error:
        raise InputError(f"not a complete band file ({error})", file=path, remedy=REMEDY) from None
    cartesian = heads[::n_spin, 1:] @ reciprocal / OPENMX_BOHR_ANGSTROM
    kpoints = cartesian @ cell.T / (2 * np.pi)
    weights = np.full(len(kpoints), 1 / len(kpoints))
    values = OPENMX_HARTREE_EV * energies.reshape(len(kpoints), n_spin, -1)
    return BandPath(OPENMX_HARTREE_EV * level, n_states, BandReference(kpoints, weights, values))
