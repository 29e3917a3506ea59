"""EIGTXT and NATXT of a run folder alone: what an analysis of gaps and couplings needs, without INICON."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from n2amd.errors import InputError
from n2amd.hopping.checks import check
from n2amd.hopping.path import ClassicalPath
from n2amd.interop.hefei.folder import read_couplings, read_energies, require
from n2amd.interop.hefei.namelist import Namelist, read_namelist
from n2amd.interop.hefei.text import find
from n2amd.units import HBAR_EV_FS


def read_series(folder: Path) -> ClassicalPath:
    """Read energies and couplings of all bands as they stand in the files.

    Without `inp` the time step is 1 fs and bands count from one. The band edges are the first two bands, of
    holes (LHOLE) the last two.

    Raises
    ------
    InputError
        If a file is missing or cut short, or the files do not fit each other.
    """
    namelist_file = find(folder, "inp")
    namelist = read_namelist(namelist_file) if namelist_file else Namelist()
    eig_file, nat_file = require(folder, "EIGTXT"), require(folder, "NATXT")
    energies = read_energies(eig_file, namelist)
    frames, n = energies.shape
    numerator = read_couplings(nat_file, n)
    if len(numerator) < frames - 1:
        raise InputError(
            f"{len(numerator)} rows for the {frames - 1} intervals between the frames of EIGTXT",
            file=nat_file,
            remedy="the file was cut short, or is of another trajectory: make it again",
        )
    timestep = namelist.potim or 1.0
    path = ClassicalPath(
        energies=energies,
        timestep_fs=timestep,
        carrier="hole" if namelist.lhole else "electron",
        band_index=(namelist.bmin or 1) - 1 + np.arange(n),
        start=n - 2 if namelist.lhole else 1,
        final=n - 1 if namelist.lhole else 0,
        nac=HBAR_EV_FS / (2 * timestep) * numerator[: frames - 1],
    )
    return check(path, eig_file)
