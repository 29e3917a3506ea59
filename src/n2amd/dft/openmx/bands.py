"""Eigenvalues along a path of k points, LABEL.Band."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.dataset.frame import BandReference
from n2amd.dft.files import read_text
from n2amd.errors import InputError
from n2amd.units import OPENMX_BOHR_ANGSTROM, OPENMX_HARTREE_EV

REMEDY = "copy it again from the run, or run the frame again (Band.dispersion on)"


@dataclass(frozen=True)
class BandPath:
    """Contents of a .Band file.

    Attributes
    ----------
    chemical_potential
        eV.
    bands
        Eigenvalues on H's own zero of energy, with equal weights: a path is no mesh.
    """

    chemical_potential: float
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
        n_bands, spin = (int(word) for word in lines[0].split()[:2])
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
        energies = np.array([line.split() for line in records[1::2]], dtype=float)
        if energies.shape[1] != n_bands or heads.shape[1] != 4:
            raise ValueError(f"{energies.shape[1]} bands instead of {n_bands}")
    except (ValueError, IndexError) as error:
        raise InputError(f"not a complete band file ({error})", file=path, remedy=REMEDY) from None
    cartesian = heads[::n_spin, 1:] @ reciprocal / OPENMX_BOHR_ANGSTROM
    kpoints = cartesian @ cell.T / (2 * np.pi)
    weights = np.full(len(kpoints), 1 / len(kpoints))
    values = OPENMX_HARTREE_EV * energies.reshape(len(kpoints), n_spin, n_bands)
    return BandPath(OPENMX_HARTREE_EV * level, BandReference(kpoints, weights, values))
