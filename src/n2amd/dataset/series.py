"""Frames compared with each other: copies, energies and velocities out of line, frames that do not follow."""

from __future__ import annotations

import hashlib

import numpy as np
from ase.data import atomic_masses
from numpy.typing import NDArray

from n2amd.dataset.work import work_between
from n2amd.errors import InputError
from n2amd.frames.channels import ONE_STATE, Electrons
from n2amd.frames.frame import Frame
from n2amd.units import AMU_A2_FS2_IN_EV

#: Total energies per atom of one composition differ by less, eV.
ENERGY_SPREAD = 10.0
#: Kinetic energy of one atom beyond which two frames cannot follow each other, eV.
MAX_KINETIC_ENERGY = 5.0
#: Forces below this may be equal in two frames by symmetry, eV/A.
NO_FORCE = 1e-2
#: Velocities and steps of consecutive frames agree to this part.
VELOCITY_TOLERANCE = 0.4
#: Fewest comparisons of energies with forces from which the whole set is judged, the least correlation of the
#: two, and the largest factor between them (measured on real sets: 0.955 and 1.13).
MIN_COMPARISONS, MIN_CORRELATION, MAX_FACTOR = 5, 0.5, 1.5


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
        self._products = np.zeros(3)
        self._comparisons = 0

    def check(self, frame: Frame) -> None:
        """Compare a frame with those added before.

        Raises
        ------
        InputError
            If its functional differs, its geometry or a file of it was seen before, its energy is out of line
            with the first frame's or with the forces, or it cannot follow the last frame in time.
        """
        functionals = [f.origin.get("functional", "unknown") for f in (frame, self._last or frame)]
        if functionals[0] != functionals[1]:
            raise InputError(
                f"computed with functional {functionals[0]}, the frames before with {functionals[1]}",
                frame=frame.name,
                field="functional",
                remedy="make one data set for each functional",
            )
        for what, digest in _digests(frame).items():
            if twin := self._seen.get(digest):
                raise InputError(
                    f"the {what} of frame {twin}",
                    frame=frame.name,
                    remedy="remove one of the two, name it in exclude, or set near_duplicates to skip"
                    if what.startswith("geometry")
                    else "keep the files of one run together: one seems to be a copy of the other frame's",
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
        if self._last is None:
            return
        if self._timestep is not None:
            _check_follows(self._last, frame, self._timestep)
        work = work_between(self._last, frame)
        if work is not None and not work.agrees:
            raise InputError(
                f"the energy changes by {work.change:+.4f} eV from frame {self._last.name}, forces and "
                f"stress say {work.expected:+.4f} eV; anharmonicity explains {work.tolerance:.4f} eV of that",
                frame=frame.name,
                field="energy, forces, stress",
                remedy="check their units and signs, and that they are of this frame and that one",
            )

    def add(self, frame: Frame) -> None:
        """Remember a frame that was accepted."""
        for digest in _digests(frame).values():
            self._seen[digest] = frame.name
        if frame.energy is not None:
            self._energies.setdefault(_composition(frame), (frame.energy, frame.name))
        work = None if self._last is None else work_between(self._last, frame)
        if work is not None and work.tells:
            self._products += [work.change**2, work.expected**2, work.change * work.expected]
            self._comparisons += 1
        self._last = frame

    def finish(self) -> None:
        """Judge the set as a whole.

        Raises
        ------
        InputError
            If the energies do not follow the forces: a sign that one pair of frames alone cannot show.
        """
        changes, works, both = self._products.tolist()
        if self._comparisons < MIN_COMPARISONS or not changes * works:
            return
        correlation, factor = both / np.sqrt(changes * works), both / works
        if correlation < MIN_CORRELATION:
            found = f"have a correlation of {correlation:.2f}, must be at least {MIN_CORRELATION:g}"
        elif max(factor, 1 / factor) > MAX_FACTOR:
            found = f"are {factor:.3g} times the work of the forces, must be once"
        else:
            return
        raise InputError(
            f"the energy does not follow forces and stress: over {self._comparisons} pairs of frames its "
            f"changes {found}",
            field="energy, forces, stress",
            remedy="check the units and signs of forces and stress, and that each frame has its own files",
        )


def _digests(frame: Frame) -> dict[str, bytes]:
    """Hashes of what no two frames have in common, by how a second one is told of."""
    structure = frame.structure
    digests = {
        "geometry is that": _digest(
            np.concatenate([structure.cell, structure.positions]), structure.numbers.tobytes()
        )
    }
    if frame.forces is not None and np.abs(frame.forces).max(initial=0.0) > NO_FORCE:
        digests["forces are those"] = _digest(frame.forces, b"forces")
    if frame.energy is not None and frame.stress is not None:
        digests["energy and stress are those"] = _digest(
            np.append(frame.stress.ravel(), frame.energy), b"energy and stress"
        )
    return digests


def _digest(values: NDArray[np.float64], more: bytes) -> bytes:
    """Hash of numbers, rounded to 1e-6 (Angstrom, eV/A, ...)."""
    return hashlib.sha256(np.rint(values * 1e6).astype(np.int64).tobytes() + more).digest()


def _composition(frame: Frame) -> tuple[int, ...]:
    return tuple(sorted(frame.structure.numbers.tolist()))


def _check_follows(last: Frame, frame: Frame, timestep: float) -> None:
    if not np.array_equal(last.structure.numbers, frame.structure.numbers):
        raise InputError(
            f"consecutive frames must hold the same atoms in the same order, not so after {last.name}",
            frame=frame.name,
            remedy="ingest each trajectory into its own data set",
        )
    Electrons.of(last).require_kept(Electrons.of(frame), frame.name, ONE_STATE)
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
    if last.velocities is None or frame.velocities is None:
        return
    step = (frame.structure.positions - last.structure.positions) / timestep
    velocity = (frame.velocities + last.velocities) / 2
    if not velocity.any():
        return
    ratio = float((velocity * step).sum() / max(float((step**2).sum()), 1e-30))
    if abs(ratio - 1) > VELOCITY_TOLERANCE:
        raise InputError(
            f"the velocities are {ratio:.3g} times the step from frame {last.name} over {timestep:g} fs",
            frame=frame.name,
            field="velocities",
            remedy="check their unit (A/fs, Bohr/fs or atomic units) and --timestep-fs",
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
