"""What the log of a run says about one frame: energy, forces, eigenvalues."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.dft.files import locate, read_text
from n2amd.dft.openmx.bands import read_band_path
from n2amd.dft.openmx.consistency import ONE_RUN, POSITION_TOLERANCE, check_bands, check_level, displacement
from n2amd.dft.openmx.log import Log, parse_log
from n2amd.dft.openmx.scfout import Scfout
from n2amd.dft.openmx.trajectory import read_geometries
from n2amd.errors import InputError
from n2amd.frames.frame import BandReference
from n2amd.structure import Structure
from n2amd.units import OPENMX_HARTREE_EV


@dataclass(frozen=True)
class Observables:
    """Energy and Fermi level (eV), forces (eV/A) and bands; None where nothing tells them."""

    energy: float | None = None
    fermi_level: float | None = None
    forces: NDArray[np.float64] | None = None
    bands: BandReference | None = None
    origin: dict[str, str] = field(default_factory=dict)


def read_observables(
    folder: Path, label: str, contents: Scfout, structure: Structure, n_electrons: float
) -> Observables:
    """Find the frame among the geometries of its run and read what belongs to it.

    The bands are those of LABEL.Band, else the eigenvalues on the k mesh, which the log has for the last
    geometry only.

    Parameters
    ----------
    folder
        Folder of the frame; LABEL.out and LABEL.md may stand in the folder above.
    label
        System.Name of the run.
    contents
        The matrices, for the checks.
    structure, n_electrons
        The geometry, Angstrom, and the electrons in the cell.

    Raises
    ------
    InputError
        If the log or the bands are of another run, or the SCF cycle did not converge.
    """
    observed = _from_log(folder, label, contents, structure, n_electrons)
    if (path := locate(folder, f"{label}.Band")) is None:
        return observed
    band_path = read_band_path(path, structure.cell)
    if observed.fermi_level is not None:
        check_level(path, band_path.chemical_potential, observed.fermi_level)
    check_bands(path, band_path.bands, contents, n_electrons, band_path.n_states)
    return replace(observed, bands=band_path.bands)


def _from_log(
    folder: Path, label: str, contents: Scfout, structure: Structure, n_electrons: float
) -> Observables:
    tail = contents.tail
    level = tail.chemical_potential * OPENMX_HARTREE_EV if tail is not None else None
    path = locate(folder, f"{label}.out", beside=True)
    if path is not None:
        text = read_text(path)
    elif tail is not None and tail.log:
        path, text = folder / f"{label}.scfout", tail.log
    else:
        return Observables(fermi_level=level)
    log = parse_log(path, text)
    step, forces = _find_step(folder, label, path, log, structure)
    if level is not None:
        check_level(path, log.steps[step].chemical_potential, level)
    if not log.steps[step].converged:
        raise InputError(
            f"the SCF cycle stopped at a change of {log.steps[step].change:.2g} Ha, "
            f"scf.criterion is {log.steps[step].criterion:.2g} Ha",
            file=path,
            field="SCF",
            remedy="run the frame again to convergence (scf.maxIter)",
        )
    bands = log.bands if step == len(log.steps) - 1 else None
    if bands is not None:
        check_bands(path, bands, contents, n_electrons)
    return Observables(
        log.steps[step].energy,
        log.steps[step].chemical_potential,
        forces,
        bands,
        {"version": log.version},
    )


def _find_step(
    folder: Path, label: str, path: Path, log: Log, structure: Structure
) -> tuple[int, NDArray[np.float64] | None]:
    """Step of the run at the frame's geometry, and its forces."""
    if log.fractional.shape != structure.positions.shape:
        raise InputError(
            f"{len(log.fractional)} atoms, the matrices have {structure.n_atoms}: of another run",
            file=path,
            field="final structure",
            remedy=ONE_RUN,
        )
    last = len(log.steps) - 1
    off_last = float(displacement(structure.cell, structure.positions, log.fractional @ structure.cell))
    history = locate(folder, f"{label}.md", beside=True)
    if history is None:
        if off_last < POSITION_TOLERANCE:
            return last, log.forces
        raise InputError(
            f"its last geometry is {off_last:.3g} A off that of the matrices: of another run or step",
            file=path,
            field="final structure",
            remedy=f"{ONE_RUN}; for earlier steps of a run keep {label}.md beside",
        )
    run = read_geometries(history)
    if run.positions.shape != (last + 1, *structure.positions.shape):
        raise InputError(
            f"{len(run.positions)} geometries of {run.positions.shape[1]} atoms, "
            f"{path.name} has {last + 1} of {structure.n_atoms}",
            file=history,
            remedy=ONE_RUN,
        )
    off = displacement(structure.cell, structure.positions, run.positions)
    step = last if off_last < POSITION_TOLERANCE else int(off.argmin())
    if not off[step] < POSITION_TOLERANCE:
        raise InputError(
            f"no geometry of the run is that of the matrices; step {step + 1} is {off[step]:.3g} A off",
            file=history,
            field="positions",
            remedy=ONE_RUN,
        )
    # the log has more decimals, for the last geometry
    return step, log.forces if step == last and log.forces is not None else run.forces[step]
