"""The trajectory file: written frame block by frame block, read back whole, exported to extxyz."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from n2amd.fields import number
from n2amd.storage import atomic_path, create_hdf5, open_hdf5
from n2amd.structure import Structure

#: Per-frame data sets of the file, in the order of a `FrameBlock`.
FIELDS = ("positions", "velocities", "potential_energy", "kinetic_energy", "temperature")


@dataclass(frozen=True)
class FrameBlock:
    """Consecutive frames.

    Attributes
    ----------
    positions, velocities
        (frames, n_atoms, 3), Angstrom (unwrapped) and Angstrom/fs.
    potential_energy, kinetic_energy, temperature
        (frames,), eV, eV and K.
    """

    positions: NDArray[np.float64]
    velocities: NDArray[np.float64]
    potential_energy: NDArray[np.float64]
    kinetic_energy: NDArray[np.float64]
    temperature: NDArray[np.float64]

    @property
    def conserved(self) -> NDArray[np.float64]:
        """Conserved energy of NVE motion, (frames,), eV."""
        return self.potential_energy + self.kinetic_energy


@dataclass(frozen=True)
class Trajectory:
    """A whole trajectory file.

    Attributes
    ----------
    structure
        The first frame; cell, species and periodicity are those of every frame.
    timestep_fs
        Time between frames.
    temperature_K
        Target temperature.
    frames
        All frames.
    attributes
        The file's other attributes: `material`, `supercell`, `seed`, `drift_meV_per_atom_per_ps`, ...
    """

    structure: Structure
    timestep_fs: float
    temperature_K: float
    frames: FrameBlock
    attributes: dict[str, Any]


def write_trajectory(
    path: str | Path,
    structure: Structure,
    blocks: Iterable[FrameBlock],
    *,
    attributes: dict[str, Any],
    config: Any,
    inputs: Iterable[str | Path],
) -> None:
    """Write `trajectory.h5` (docs/file-formats.md), a block of frames in memory at a time.

    Parameters
    ----------
    path
        Output file.
    structure
        Cell, species and periodicity.
    blocks
        The frames, in order.
    attributes
        Root attributes: timestep_fs, temperature_K, material, supercell, drift_meV_per_atom_per_ps, seed, ...
    config, inputs
        What made the trajectory, for its provenance.
    """
    n = structure.n_atoms
    with create_hdf5(path, "trajectory", config=config, inputs=inputs) as file:
        file["cell"] = structure.cell
        file["numbers"] = structure.numbers
        file["pbc"] = np.array(structure.pbc)
        shapes = {"positions": (n, 3), "velocities": (n, 3)}
        for name in (*FIELDS, "conserved"):
            shape = shapes.get(name, ())
            file.create_dataset(
                name, (0, *shape), "f8", maxshape=(None, *shape), chunks=(1 if shape else 256, *shape)
            )
        count = 0
        for block in blocks:
            stop = count + len(block.positions)
            for name in (*FIELDS, "conserved"):
                file[name].resize(stop, axis=0)
                file[name][count:stop] = getattr(block, name)
            count = stop
        file.attrs.update({"n_frames": count, **attributes})


def read_trajectory(path: str | Path) -> Trajectory:
    """Read a whole `trajectory.h5`.

    Raises
    ------
    InputError
        If the file is missing, incomplete or of another kind.
    """
    with open_hdf5(path, "trajectory") as file:
        timestep = number(file, "timestep_fs", positive=True)
        frames = FrameBlock(*(file[name][...] for name in FIELDS))
        pbc = tuple(bool(p) for p in file["pbc"][...])
        cell, numbers = file["cell"][...], file["numbers"][...]
        temperature = number(file, "temperature_K", positive=True)
        structure = Structure(cell, frames.positions[0], numbers, pbc)  # type: ignore[arg-type]
        attributes = {
            key: value.item() if hasattr(value, "item") else value for key, value in file.attrs.items()
        }
    return Trajectory(structure, timestep, temperature, frames, attributes)


def export_extxyz(source: str | Path, out: str | Path) -> int:
    """Write a trajectory as extended XYZ, readable by ASE and OVITO; return the number of frames.

    Velocities are in ASE's unit, so that `Atoms.get_kinetic_energy` is right; the comment line has `time_fs`.
    """
    from ase import units
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io import write

    trajectory = read_trajectory(source)
    images = []
    for index, positions in enumerate(trajectory.frames.positions):
        atoms = trajectory.structure.with_positions(positions).to_ase()
        atoms.set_velocities(trajectory.frames.velocities[index] / units.fs)
        atoms.calc = SinglePointCalculator(atoms, energy=float(trajectory.frames.potential_energy[index]))
        atoms.info["time_fs"] = index * trajectory.timestep_fs
        images.append(atoms)
    with atomic_path(out) as part:
        write(part, images, format="extxyz")
    return len(images)
