"""Has a trajectory blown up, does it conserve its energy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.config.trajectory import TrajectorySettings
from n2amd.errors import InputError
from n2amd.fields import number
from n2amd.storage import open_hdf5
from n2amd.structure import Structure
from n2amd.units import BOLTZMANN_EV_K

#: Two atoms nearer than this part of the sum of their covalent radii do not occur in condensed matter.
CLOSEST_COVALENT_FRACTION = 0.5
#: An atom this many kT above rest is thrown out: a Boltzmann factor of 4e-44.
LARGEST_KINETIC_KT = 100.0
#: A temperature less probable than this in equilibrium is no chance in a trajectory of some hundred of them.
NOT_BY_CHANCE = 1e-4
#: Shorter spans show the oscillation of the integrator, not a drift.
SHORTEST_DRIFT_SPAN_FS = 200.0


def fault(
    structure: Structure,
    kinetic_energies: NDArray[np.float64],
    potential_energy: float,
    temperature: float,
    *,
    target_temperature: float,
    max_temperature_ratio: float,
) -> str | None:
    """Say what is wrong with one frame, or None.

    Parameters
    ----------
    structure
        The frame.
    kinetic_energies
        Of every atom, (n_atoms,), eV.
    potential_energy
        eV.
    temperature, target_temperature
        Instantaneous and wanted, K.
    max_temperature_ratio
        Largest ratio of the two.
    """
    if not (np.isfinite(structure.positions).all() and np.isfinite(kinetic_energies).all()):
        return "positions or velocities are not finite"
    if not np.isfinite(potential_energy):
        return f"the potential energy is {potential_energy}"
    if temperature > max_temperature_ratio * target_temperature:
        return (
            f"the temperature is {temperature:.0f} K, more than {max_temperature_ratio:g} times the target "
            f"of {target_temperature:g} K{_by_chance(structure.n_atoms, max_temperature_ratio)}"
        )
    atom = int(np.argmax(kinetic_energies))
    if kinetic_energies[atom] > LARGEST_KINETIC_KT * BOLTZMANN_EV_K * target_temperature:
        return f"atom {atom} flies off with a kinetic energy of {kinetic_energies[atom]:.2f} eV"
    return contact(structure)


def _by_chance(n_atoms: int, ratio: float) -> str:
    """Say that a few atoms come to such a temperature without anything being wrong, where they do.

    Kinetic energies in equilibrium are distributed as chi-square over the degrees of freedom.
    """
    from scipy.special import chdtrc

    freedom = max(1, 3 * (n_atoms - 1))
    if chdtrc(freedom, ratio * freedom) < NOT_BY_CHANCE:
        return ""
    atoms = "one atom has" if n_atoms == 1 else f"{n_atoms} atoms have"
    return (
        f" ({atoms} it by chance now and then: take a larger cell, or raise trajectory.max_temperature_ratio)"
    )


def contact(structure: Structure) -> str | None:
    """Say which two atoms, images too, are nearer than any in condensed matter; None where none are."""
    from ase.data import chemical_symbols, covalent_radii
    from vesin import NeighborList

    radii = covalent_radii[structure.numbers]
    search = NeighborList(cutoff=2.0 * CLOSEST_COVALENT_FRACTION * float(radii.max()), full_list=False)
    first, second, distance = search.compute(
        points=structure.positions, box=structure.cell, periodic=list(structure.pbc), quantities="ijd"
    )
    first, second = first.astype(np.int64), second.astype(np.int64)
    excess = distance - CLOSEST_COVALENT_FRACTION * (radii[first] + radii[second])
    if not len(excess) or excess.min() >= 0.0:
        return None
    worst = int(np.argmin(excess))
    names = [f"{chemical_symbols[structure.numbers[k]]} {k}" for k in (first[worst], second[worst])]
    return f"atoms {names[0]} and {names[1]} are {distance[worst]:.2f} A apart"


def energy_drift(conserved: NDArray[np.float64], timestep_fs: float, n_atoms: int) -> float:
    """Slope of the conserved energy by a linear least-squares fit, meV per atom and ps.

    Parameters
    ----------
    conserved
        (frames,), eV.
    timestep_fs
        Time between frames.
    n_atoms
        Atoms in the cell.
    """
    time_ps = 1e-3 * timestep_fs * np.arange(len(conserved))
    centred = time_ps - time_ps.mean()
    return float(1e3 * (centred @ (conserved - conserved.mean())) / (centred @ centred) / n_atoms)


def drift_can_be_judged(n_frames: int, timestep_fs: float) -> bool:
    """Whether a trajectory is long enough for `energy_drift` to mean anything."""
    return (n_frames - 1) * timestep_fs >= SHORTEST_DRIFT_SPAN_FS


@dataclass(frozen=True)
class TrajectorySummary:
    """What a whole NVE trajectory says of itself."""

    mean_temperature_K: float
    temperature_std_K: float
    highest_temperature_K: float
    drift_meV_per_atom_per_ps: float


def judge_trajectory(
    temperature: NDArray[np.float64],
    conserved: NDArray[np.float64],
    *,
    timestep_fs: float,
    n_atoms: int,
    settings: TrajectorySettings,
    file: str | Path,
) -> TrajectorySummary:
    """Summarise an NVE trajectory and refuse one that does not conserve its energy or got too hot.

    Parameters
    ----------
    temperature, conserved
        (frames,), K and eV.
    timestep_fs, n_atoms
        Time between frames, atoms in the cell.
    settings
        Its limits; a drift is not judged below `SHORTEST_DRIFT_SPAN_FS`.
    file
        Named in the error.

    Raises
    ------
    InputError
        If the energy drifts, or the temperature is too high: not all frames need to have been run with these
        limits.
    """
    drift = energy_drift(conserved, timestep_fs, n_atoms)
    if drift_can_be_judged(len(conserved), timestep_fs) and _drifts(drift, settings):
        raise InputError(
            f"the conserved energy drifts by {drift:+.2f} meV/atom/ps, more than "
            f"{settings.max_drift_meV_per_atom_per_ps:g}",
            file=file,
            field="conserved",
            remedy="use a smaller trajectory.timestep_fs, train the force field for more epochs, or raise "
            "trajectory.max_drift_meV_per_atom_per_ps",
        )
    highest = float(temperature.max())
    if _too_hot(highest, settings):
        raise InputError(
            f"the temperature is {highest:.0f} K, more than {settings.max_temperature_ratio:g} times the "
            f"target of {settings.temperature_K:g} K",
            file=file,
            frame=int(temperature.argmax()),
            field="temperature",
            remedy="train the force field on more frames or for more epochs, or raise "
            "trajectory.max_temperature_ratio",
        )
    return TrajectorySummary(float(temperature.mean()), float(temperature.std()), highest, drift)


def _drifts(drift: float, settings: TrajectorySettings) -> bool:
    return abs(drift) > settings.max_drift_meV_per_atom_per_ps


def _too_hot(temperature: float, settings: TrajectorySettings) -> bool:
    return temperature > settings.max_temperature_ratio * settings.temperature_K


def still_accepted(path: str | Path, settings: TrajectorySettings) -> bool:
    """Whether a trajectory that was accepted once is so by these settings; False where it cannot be read.

    Only what refuses a trajectory is looked at, not what moves its atoms.
    """
    try:
        with open_hdf5(path, "trajectory") as file:
            drift = number(file, "drift_meV_per_atom_per_ps")
            highest = number(file, "highest_temperature_K", positive=True)
            span = int(number(file, "n_frames")), number(file, "timestep_fs", positive=True)
    except InputError:
        return False
    return not (drift_can_be_judged(*span) and _drifts(drift, settings)) and not _too_hot(highest, settings)
