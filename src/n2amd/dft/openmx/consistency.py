"""Comparisons across the files of a frame: input, matrices, log and bands must be of one run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.dft.openmx.keywords import RunInput
from n2amd.dft.openmx.scfout import Scfout
from n2amd.errors import InputError
from n2amd.frames.frame import BandReference
from n2amd.structure import Structure
from n2amd.units import OPENMX_BOHR_ANGSTROM

ONE_RUN = "keep the files of one run together"
#: Largest disagreement of one geometry between two files, printed with 5 decimals, Angstrom.
POSITION_TOLERANCE = 2e-5
#: Largest disagreement of one chemical potential between two files, eV.
LEVEL_TOLERANCE = 1e-5
#: The number of scf.SpinPolarization in .scfout.
SPINS = {"off": 0, "on": 1, "nc": 3}


def displacement(
    cell: NDArray[np.float64], ours: NDArray[np.float64], theirs: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Largest component of the difference of two geometries, lattice vectors taken off, (...,), Angstrom."""
    fractional = np.linalg.solve(cell.T, (theirs - ours).reshape(-1, 3).T).T
    rest = (fractional - np.rint(fractional)) @ cell
    return np.abs(rest).reshape(theirs.shape).max(axis=(-1, -2))


def check_species(path: Path, contents: Scfout, run: RunInput) -> None:
    """Compare atoms, orbitals and spin of the matrices with the input; raise `InputError` if they differ."""
    n_atoms = len(contents.orbitals)
    if len(run.species) != n_atoms:
        raise InputError(
            f"{n_atoms} atoms in the matrices, {len(run.species)} in the input",
            file=path,
            field="Atoms.Number",
            remedy=ONE_RUN,
        )
    for atom, (species, found) in enumerate(zip(run.species, contents.orbitals), 1):
        if species.n_orbitals != found:
            raise InputError(
                f"atom {atom} ({species.element}) has {found} orbitals in the matrices, "
                f"{species.n_orbitals} with the basis {species.basis} of the input",
                file=path,
                field="basis",
                remedy=ONE_RUN,
            )
    spin = run.values.get("scf.spinpolarization", "off").lower()
    if SPINS.get(spin) != contents.spin:
        raise InputError(
            f"spin polarization {spin!r} in the input, number {contents.spin} in the matrices "
            "(0 off, 1 on, 3 non-collinear)",
            file=path,
            field="scf.SpinPolarization",
            remedy=ONE_RUN,
        )


def check_positions(path: Path, structure: Structure, run: RunInput) -> None:
    """Compare the geometry of a single point with its input; raise `InputError` if they differ."""
    unit = run.values.get("atoms.speciesandcoordinates.unit", "ang").lower()
    if run.values.get("md.type", "nomd").lower() != "nomd" or unit not in ("ang", "au", "frac"):
        return
    scale = {"ang": np.eye(3), "au": OPENMX_BOHR_ANGSTROM * np.eye(3), "frac": structure.cell}[unit]
    error = float(displacement(structure.cell, structure.positions, run.coordinates @ scale))
    if not error < POSITION_TOLERANCE:
        raise InputError(
            f"the positions of the matrices differ from those of the input by {error:.3g} A",
            file=path,
            field="Atoms.SpeciesAndCoordinates",
            remedy=ONE_RUN,
        )


def check_electrons(path: Path, n_electrons: float, run: RunInput) -> None:
    """Compare the number of electrons with valence and charge; raise `InputError` if they differ."""
    expected = sum(run.valence) - run.charge
    if not abs(n_electrons - expected) < 1e-3:
        raise InputError(
            f"{n_electrons:g} electrons in the matrices' file, {expected:g} by the input "
            f"(valence {sum(run.valence):g}, charge {run.charge:g})",
            file=path,
            field="electrons",
            remedy=ONE_RUN,
        )


def check_level(path: Path, found: float, expected: float) -> None:
    """Compare the chemical potential of a file with that of the frame; raise `InputError` if they differ."""
    if not abs(found - expected) < LEVEL_TOLERANCE:
        raise InputError(
            f"chemical potential {found:.6f} eV, that of the frame is {expected:.6f} eV: of another run",
            file=path,
            field="chemical potential",
            remedy=ONE_RUN,
        )


def check_bands(
    path: Path, bands: BandReference, contents: Scfout, n_electrons: float, n_states: int | None = None
) -> None:
    """Compare the numbers of spins and bands with the matrices; raise `InputError` if they cannot belong.

    In larger cells OpenMX solves and lists the lowest bands only: all that hold electrons, and some more
    (`Band_DFT_Col.c` and its like). Fewer than these are a list that was cut.

    Parameters
    ----------
    path
        File of the bands, for messages.
    bands
        What it lists.
    contents, n_electrons
        The matrices, and the electrons in the cell.
    n_states
        Bands that there are in all, where the file says.
    """
    n_orbitals = int(contents.orbitals.sum())
    spins, most, per_band = {0: (1, n_orbitals, 2), 1: (2, n_orbitals, 2), 3: (1, 2 * n_orbitals, 1)}[
        contents.spin
    ]
    n_spin, listed = bands.energies.shape[1:]
    total = listed if n_states is None else n_states
    if n_spin != spins or total > most or (n_states is not None and n_states != most):
        problem = f"{total} bands of {n_spin} spins, the matrices give {most} of {spins}"
    elif listed < n_electrons / per_band - 1e-3:
        problem = f"{listed} bands, fewer than {n_electrons:g} electrons fill: the list is cut"
    else:
        return
    raise InputError(problem, file=path, field="bands", remedy=ONE_RUN)
