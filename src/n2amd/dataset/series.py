"""Frames compared with each other: duplicates, energies out of line, frames that do not follow in time."""

from __future__ import annotations

import hashlib

import numpy as np
from ase.data import atomic_masses
from numpy.typing import NDArray

from n2amd.dataset.frame import Frame
from n2amd.errors import InputError
from n2amd.units import AMU_A2_FS2_IN_EV

#: Total energies per atom of one composition differ by less, eV.
ENERGY_SPREAD = 10.0
#: Kinetic energy of one atom beyond which two frames cannot follow each other, eV.
MAX_KINETIC_ENERGY = 5.0


class Series:
    """Remembers of the frames seen what the next one is compared with.

    Parameters
    ----------
    timestep_fs
        Time between consecutive frames; None for independent ones.
    """

    def __init__(self, timestep_fs: float | None) -> None:
        self._timestep = timestep_fs
        self._seen: dict[bytes, str] = {}
        self._energies: dict[tuple[int, ...], tuple[float, str]] = {}
        self._last: Frame | None = None

    def check(self, frame: Frame) -> None:
        """Compare a frame with those added before.

        Raises
        ------
        InputError
            If its functional differs, its geometry was seen before, its energy is out of line, or it cannot
            follow the last frame in time.
        """
        functionals = [f.origin.get("functional", "unknown") for f in (frame, self._last or frame)]
        if functionals[0] != functionals[1]:
            raise InputError(
                f"computed with functional {functionals[0]}, the frames before with {functionals[1]}",
                frame=frame.name,
                field="functional",
                remedy="make one data set for each functional",
            )
        if twin := self._seen.get(_digest(frame)):
            raise InputError(
                f"the geometry is that of frame {twin}", frame=frame.name, remedy="remove one of the two"
            )
        first_energy, first = self._energies.get(_composition(frame), (frame.energy, frame.name))
        if frame.energy is not None and first_energy is not None:
            difference = (frame.energy - first_energy) / frame.structure.n_atoms
            if abs(difference) > ENERGY_SPREAD:
                raise InputError(
                    f"the energy is {frame.energy:.3f} eV, {difference:+.1f} eV per atom from frame {first}",
                    frame=frame.name,
                    field="energy",
                    remedy="check the unit, the functional and the pseudopotentials of the two runs",
                )
        if self._timestep is not None and self._last is not None:
            _check_follows(self._last, frame, self._timestep)

    def add(self, frame: Frame) -> None:
        """Remember a frame that was accepted."""
        self._seen[_digest(frame)] = frame.name
        if frame.energy is not None:
            self._energies.setdefault(_composition(frame), (frame.energy, frame.name))
        self._last = frame


def _digest(frame: Frame) -> bytes:
    """Hash of cell, positions (to 1e-6 A) and species."""
    structure = frame.structure
    lengths = np.concatenate([structure.cell, structure.positions])
    rounded = np.rint(lengths * 1e6).astype(np.int64)
    return hashlib.sha256(rounded.tobytes() + structure.numbers.tobytes()).digest()


def _composition(frame: Frame) -> tuple[int, ...]:
    return tuple(sorted(frame.structure.numbers.tolist()))


def _check_follows(last: Frame, frame: Frame, timestep: float) -> None:
    if not np.array_equal(last.structure.numbers, frame.structure.numbers):
        raise InputError(
            f"consecutive frames must hold the same atoms in the same order, not so after {last.name}",
            frame=frame.name,
            remedy="ingest each trajectory into its own data set",
        )
    speed = np.linalg.norm(frame.structure.positions - last.structure.positions, axis=1) / timestep
    kinetic = 0.5 * AMU_A2_FS2_IN_EV * atomic_masses[frame.structure.numbers] * speed**2
    atom = int(kinetic.argmax())
    if kinetic[atom] > MAX_KINETIC_ENERGY:
        raise InputError(
            f"atom {atom} moves by {speed[atom] * timestep:.3f} A from frame {last.name}, in {timestep:g} fs "
            f"a kinetic energy of {kinetic[atom]:.1f} eV",
            frame=frame.name,
            field="positions",
            remedy="pass consecutive frames in order, unwrapped, with the right --timestep-fs",
        )


def verlet_velocities(
    positions: NDArray[np.float64],
    forces: NDArray[np.float64],
    numbers: NDArray[np.int64],
    timestep_fs: float,
) -> NDArray[np.float64]:
    """Velocities of velocity-Verlet frames from positions and forces; exact for that integrator.

    Inside, v(t) = (r(t + dt) - r(t - dt)) / (2 dt); at the two ends r(t +- dt) is one-sided and the force
    supplies the rest: v = +-(r(t +- dt) - r(t)) / dt -+ F dt / (2 m)
    (Swope, Andersen, Berens and Wilson, J. Chem. Phys. 76, 637 (1982)).

    Parameters
    ----------
    positions, forces
        (n_frames, n_atoms, 3), at least two frames; Angstrom, eV/A.
    numbers
        Atomic numbers (n_atoms,); standard masses are used.
    timestep_fs
        Time between frames.

    Returns
    -------
    velocities
        (n_frames, n_atoms, 3), A/fs.
    """
    kick = forces * timestep_fs / (2 * AMU_A2_FS2_IN_EV * atomic_masses[numbers][:, None])
    step = np.diff(positions, axis=0) / timestep_fs
    velocities = np.empty_like(positions)
    velocities[1:-1] = (step[1:] + step[:-1]) / 2
    velocities[0] = step[0] - kick[0]
    velocities[-1] = step[-1] + kick[-1]
    return velocities
