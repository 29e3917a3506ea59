"""Can the frames of a trajectory follow each other: nothing jumps, no frame is missing or there twice.

Overlaps between the states of two frames mean something only if the second is one time step after the first.
An atom that leaves the cell on one side and comes in on the other does not jump: its images are one atom, and
it is followed over the boundary.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from ase.data import atomic_masses
from numpy.typing import NDArray

from n2amd.errors import InputError
from n2amd.structure import Structure
from n2amd.units import AMU_A2_FS2_IN_EV, BOLTZMANN_EV_K

#: An atom that moves as if with more kinetic energy, in kT, has jumped: molecular dynamics refuses an atom
#: with 100 kT (`n2amd.trajectory.health`), and a step of velocity Verlet is at most a third longer than its
#: mean velocity says, up to the step (omega dt = 1) at which it is of no use.
LARGEST_KINETIC_KT = 200.0
#: The least that this limit is, eV, also where no temperature is known: as of consecutive DFT frames.
LEAST_KINETIC_LIMIT_EV = 5.0
#: By how much the mean velocity of two frames may differ from the step between them, in parts of it. They are
#: equal to (omega dt)^2 / 4, 0.002 in a solid at 1 fs; where one frame is missing they differ by 0.5.
VELOCITY_TOLERANCE = 0.4
#: Parts of a time step, and of the longest lattice vector, that count as rounding.
ROUNDING = 1e-3
#: Bytes of positions that are read at once.
BLOCK_BYTES = 2**26
_REMEDY = "take frames of one undisturbed run, one a time step, or run the trajectory again"


@dataclass(frozen=True)
class Motion:
    """What is checked against.

    Attributes
    ----------
    structure
        Cell, species and periodicity.
    timestep_fs
        Time between frames.
    limit_eV
        Kinetic energy beyond which an atom jumps.
    """

    structure: Structure
    timestep_fs: float
    limit_eV: float

    @classmethod
    def of(cls, structure: Structure, timestep_fs: float, temperature_K: float | None) -> Motion:
        """Set the limit for a temperature, where one is known."""
        thermal = LARGEST_KINETIC_KT * BOLTZMANN_EV_K * (temperature_K or 0.0)
        return cls(structure, timestep_fs, max(LEAST_KINETIC_LIMIT_EV, thermal))

    def images_crossed(self, before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.int64]:
        """Lattice vectors that atoms were moved by between frames, (..., n_atoms, 3)."""
        fractional = (after - before) @ np.linalg.inv(self.structure.cell)
        return np.rint(fractional).astype(np.int64) * np.array(self.structure.pbc, dtype=np.int64)

    def fault(
        self, step: NDArray[np.float64], velocities: NDArray[np.float64] | None
    ) -> tuple[str, str] | None:
        """Say what is wrong with the step to the next frame, and the field that shows it; None: nothing.

        Parameters
        ----------
        step
            (n_atoms, 3), Angstrom, over the boundaries of the cell.
        velocities
            Of the two frames, (2, n_atoms, 3), A/fs; None: not known.
        """
        length = np.linalg.norm(step, axis=1)
        masses = AMU_A2_FS2_IN_EV * atomic_masses[self.structure.numbers]
        kinetic = 0.5 * masses * (length / self.timestep_fs) ** 2
        atom = int(kinetic.argmax())
        if kinetic[atom] > self.limit_eV:
            allowed = self.timestep_fs * float(np.sqrt(2 * self.limit_eV / masses[atom]))
            return (
                f"atom {atom} jumps by {length[atom]:.3f} A to the next frame; in {self.timestep_fs:g} fs it "
                f"can move by {allowed:.3f} A (a kinetic energy of {self.limit_eV:.3g} eV)",
                "positions",
            )
        if velocities is None or not velocities.any():
            return None
        expected = velocities.mean(axis=0) * self.timestep_fs
        squared = float((step**2).sum())
        if squared == 0.0:
            return "the next frame is the same, though atoms move", "positions"
        ratio = float((expected * step).sum()) / squared
        if abs(ratio - 1) > VELOCITY_TOLERANCE:
            return (
                f"the velocities give {ratio:.2g} times the step to the next frame: frames are missing or "
                "out of order, or the time step is too long for the lightest atoms",
                "velocities",
            )
        return None


def follow(file: h5py.File, motion: Motion, start: int, stop: int) -> NDArray[np.float64]:
    """Check the whole of a trajectory, and return the positions of a part of it.

    Parameters
    ----------
    file
        Open `trajectory.h5`.
    motion
        Cell, time step and limit.
    start, stop
        First and last frame wanted, both included.

    Returns
    -------
    positions
        (stop - start + 1, n_atoms, 3), Angstrom: as stored, but atoms that cross the boundary of the cell are
        followed from the first frame of the trajectory on.

    Raises
    ------
    InputError
        Naming the first frame, and the atom, after which the motion breaks.
    """
    stored, speeds = file["positions"], file.get("velocities")
    if speeds is not None and speeds.shape != stored.shape:
        speeds = None
    n_frames, n_atoms = stored.shape[:2]
    at_once = max(2, BLOCK_BYTES // (24 * n_atoms))
    images = np.zeros((n_atoms, 3), dtype=np.int64)
    kept = []
    for first in range(0, n_frames, at_once):
        low = max(first - 1, 0)
        block = stored[low : first + at_once]
        velocities = None if speeds is None else speeds[low : first + at_once]
        for what, values in (("positions", block), ("velocities", velocities)):
            _require_finite(file, what, values, low)
        for frame in range(first, low + len(block)):
            here = block[frame - low]
            if frame:
                crossed = motion.images_crossed(block[frame - low - 1], here)
                step = here - block[frame - low - 1] - crossed @ motion.structure.cell
                pair = None if velocities is None else velocities[frame - low - 1 : frame - low + 1]
                if (found := motion.fault(step, pair)) is not None:
                    problem, field = found
                    raise InputError(
                        problem, file=file.filename, frame=frame - 1, field=field, remedy=_REMEDY
                    )
                images -= crossed
            if start <= frame <= stop:
                kept.append(here + images @ motion.structure.cell if images.any() else here)
    return np.array(kept)


def check_times(file: h5py.File, timestep_fs: float) -> None:
    """Refuse frames that are not one time step apart, where the file says when each was (`time_fs`)."""
    if "time_fs" not in file:
        return
    steps = np.diff(file["time_fs"][...].astype(np.float64).ravel())
    wrong = ~(np.abs(steps - timestep_fs) <= ROUNDING * timestep_fs)
    if wrong.any():
        frame = int(np.argmax(wrong))
        raise InputError(
            f"the next frame is {steps[frame]:g} fs later, not timestep_fs = {timestep_fs:g}",
            file=file.filename,
            frame=frame,
            field="time_fs",
            remedy=_REMEDY,
        )


def fixed_cell(file: h5py.File) -> NDArray[np.float64] | None:
    """Return the cell of a file that has one for each frame; None where it has one for all.

    Raises
    ------
    InputError
        If the cell changes.
    """
    cells = file["cell"]
    if cells.ndim != 3 or cells.shape[1:] != (3, 3) or not len(cells):
        return None
    values = cells[...].astype(np.float64)
    moved = np.abs(values - values[0]).max(axis=(1, 2))
    changed = ~(moved <= ROUNDING * np.abs(values[0]).max())
    if changed.any():
        raise InputError(
            f"the cell changes by {moved[np.argmax(changed)]:.3g} A from that of the first frame",
            file=file.filename,
            frame=int(np.argmax(changed)),
            field="cell",
            remedy="run at constant volume: states are followed in one cell",
        )
    return np.asarray(values[0])


def _require_finite(file: h5py.File, what: str, values: NDArray[np.float64] | None, first: int) -> None:
    finite = np.ones(0, dtype=bool) if values is None else np.isfinite(values).all(axis=(1, 2))
    if not finite.all():
        frame = int(np.argmin(finite))
        assert values is not None
        atom = int(np.argmin(np.isfinite(values[frame]).all(axis=1)))
        raise InputError(
            f"{what} are not finite (atom {atom})",
            file=Path(file.filename),
            frame=first + frame,
            field=what,
            remedy="run the trajectory again",
        )
