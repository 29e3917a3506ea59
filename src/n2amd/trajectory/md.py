"""Molecular dynamics through ASE: Langevin equilibration, then NVE, restartable to the same bits.

The restart folder holds `identity` (hash of what the motion depends on), `checkpoint.npz` (positions,
momenta, random state, counters) and `frames_#######.npz` (the NVE frames so far). A run that asks for more
frames continues. A trajectory that blows up leaves its last steps there as `failed.extxyz`.
"""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from n2amd.config.trajectory import TrajectorySettings
from n2amd.errors import InputError
from n2amd.provenance import sha256_of_config
from n2amd.restart import claim, load_arrays, save_arrays
from n2amd.storage import atomic_path
from n2amd.structure import Structure
from n2amd.trajectory.file import FIELDS, FrameBlock
from n2amd.trajectory.health import fault

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

log = logging.getLogger(__name__)

#: Share of the equilibration whose potential energies are averaged for the start of NVE: its second half.
AVERAGED_SHARE = 0.5
#: Bounds of the factor on the kinetic energy at the start of NVE.
RESCALING = (0.5, 2.0)
#: Files of the restart folder; those of another motion are deleted.
CHECKPOINT, FRAME_FILES = "checkpoint.npz", "frames_*.npz"
LEFTOVERS = (CHECKPOINT, FRAME_FILES, "failed.extxyz")
#: Last steps that a trajectory which blew up leaves behind.
FAILED_STEPS = 20


@dataclass(frozen=True)
class _Checkpoint:
    """Everything the motion from here on depends on."""

    equilibrated: int
    frames: int
    positions: NDArray[np.float64]
    momenta: NDArray[np.float64]
    random_state: str
    potential_sum: float
    potential_count: int


class MolecularDynamics:
    """One trajectory and its restart folder.

    Parameters
    ----------
    structure
        Start geometry.
    calculator
        Any ASE calculator that gives the same forces for the same positions.
    settings
        Temperature, time step, lengths, thermostat and bounds.
    workdir
        Restart folder, of this trajectory alone.
    identity
        Hashes of what else the motion depends on (the force-field file).
    report
        Called after every step with the steps done and those in all, equilibration and frames together.
    """

    def __init__(
        self,
        structure: Structure,
        calculator: Calculator,
        settings: TrajectorySettings,
        workdir: Path,
        identity: str = "",
        report: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self._report = report
        self.structure, self.calculator, self.settings, self.workdir = (
            structure,
            calculator,
            settings,
            workdir,
        )
        motion = settings.model_dump(
            include={"temperature_K", "timestep_fs", "equilibration_steps", "friction_per_fs", "seed"}
        )
        geometry = [
            structure.cell.tolist(),
            structure.positions.tolist(),
            structure.numbers.tolist(),
            structure.pbc,
        ]
        self._identity = sha256_of_config([motion, geometry, identity])
        self._recent: deque[Structure] = deque(maxlen=FAILED_STEPS)

    def run(self) -> None:
        """Continue from the last checkpoint, or start, until all frames are in the restart folder.

        Raises
        ------
        InputError
            If the trajectory blows up, with the frame, the value and the remedy; or the cell has one atom.
        """
        if self.structure.n_atoms < 2:
            raise InputError(
                "one atom does not move against its centre of mass",
                field="supercell",
                remedy="repeat the cell",
            )
        from numpy.random import PCG64, Generator

        checkpoint = self._restore()
        rng = Generator(PCG64(self.settings.seed))
        atoms = self.structure.to_ase()
        atoms.calc = self.calculator
        if checkpoint is None:
            checkpoint = self._start(atoms, rng)
        rng.bit_generator.state = json.loads(checkpoint.random_state)
        atoms.positions[:] = checkpoint.positions
        atoms.set_momenta(checkpoint.momenta)
        self._recent.append(Structure.from_ase(atoms))
        if checkpoint.frames == 0:
            checkpoint = self._equilibrate(atoms, rng, checkpoint)
        self._sample(atoms, checkpoint)

    def blocks(self) -> Iterator[FrameBlock]:
        """Yield the frames asked for from the restart folder, block by block.

        Raises
        ------
        InputError
            If a part of them is missing or damaged.
        """
        done = 0
        for file, block in self._stored():
            if done >= self.settings.frames:
                return
            if block is None or _first_frame(file) != done:
                break
            block = FrameBlock(*(values[: self.settings.frames - done] for values in vars(block).values()))
            done += len(block.temperature)
            yield block
        if done < self.settings.frames:
            raise InputError(
                f"frames {done} to {self.settings.frames - 1} are missing or damaged",
                file=self.workdir,
                remedy="run the same command again: it makes them anew",
            )

    def _stored(self) -> Iterator[tuple[Path, FrameBlock | None]]:
        """Blocks of frames of the restart folder in their order; None for a damaged one."""
        for file in sorted(self.workdir.glob(FRAME_FILES)):
            arrays = load_arrays(file, self._identity, FIELDS)
            yield file, None if arrays is None else FrameBlock(*(arrays[name] for name in FIELDS))

    def _start(self, atoms: Atoms, rng: np.random.Generator) -> _Checkpoint:
        from ase import units

        masses = atoms.get_masses()[:, None]
        width = np.sqrt(masses * units.kB * self.settings.temperature_K)
        momenta = width * rng.normal(size=(len(atoms), 3))
        # the centre of mass comes to rest: three degrees of freedom go, each with its kT/2
        atoms.set_momenta(momenta - masses * momenta.sum(axis=0) / masses.sum())
        state = json.dumps(rng.bit_generator.state)
        return _Checkpoint(0, 0, atoms.get_positions(), atoms.get_momenta(), state, 0.0, 0)

    def _equilibrate(self, atoms: Atoms, rng: np.random.Generator, checkpoint: _Checkpoint) -> _Checkpoint:
        """Langevin dynamics to the end of the equilibration, then set the energy that NVE will keep."""
        from ase import units
        from ase.constraints import FixCom
        from ase.md.langevin import Langevin

        settings, last = self.settings, self.settings.equilibration_steps
        dynamics = Langevin(
            atoms,
            settings.timestep_fs * units.fs,
            temperature_K=settings.temperature_K,
            friction=settings.friction_per_fs / units.fs,
            fixcm=False,
            rng=rng,
        )
        atoms.set_constraint(FixCom())
        clock = time.perf_counter()
        for step in range(checkpoint.equilibrated + 1, last + 1):
            dynamics.step()
            potential = self._inspect(atoms, f"equilibration step {step}")
            self._report(step, last + settings.frames)
            if step > (1.0 - AVERAGED_SHARE) * last:
                checkpoint = replace(
                    checkpoint,
                    potential_sum=checkpoint.potential_sum + potential,
                    potential_count=checkpoint.potential_count + 1,
                )
            if step % settings.checkpoint_every == 0 or step == last:
                checkpoint = replace(
                    checkpoint,
                    equilibrated=step,
                    positions=atoms.get_positions(),
                    momenta=atoms.get_momenta(),
                    random_state=json.dumps(rng.bit_generator.state),
                )
                self._save(checkpoint)
                clock = self._tell("equilibration step", step, last, atoms, clock)
        atoms.set_constraint()
        if checkpoint.potential_count:
            _set_energy(atoms, checkpoint.potential_sum / checkpoint.potential_count, settings.temperature_K)
        return checkpoint

    def _sample(self, atoms: Atoms, checkpoint: _Checkpoint) -> None:
        """NVE from the checkpoint to the last frame; frame 0 is the state after equilibration."""
        from ase import units
        from ase.md.verlet import VelocityVerlet

        settings = self.settings
        dynamics = VelocityVerlet(atoms, settings.timestep_fs * units.fs)
        block: list[tuple[Any, ...]] = []
        clock = time.perf_counter()
        for frame in range(checkpoint.frames, settings.frames):
            if frame > 0:
                dynamics.step()
            potential = self._inspect(atoms, f"frame {frame}")
            steps = settings.equilibration_steps
            self._report(steps + frame + 1, steps + settings.frames)
            kinetic = atoms.get_kinetic_energy()
            velocities = atoms.get_velocities() * units.fs
            block.append((atoms.get_positions(), velocities, potential, kinetic, _temperature(atoms)))
            if (frame + 1) % settings.checkpoint_every == 0 or frame + 1 == settings.frames:
                first = frame + 1 - len(block)
                arrays = dict(zip(FIELDS, (np.array(column) for column in zip(*block))))
                save_arrays(self.workdir / f"frames_{first:07d}.npz", self._identity, arrays)
                block = []
                checkpoint = replace(
                    checkpoint,
                    frames=frame + 1,
                    positions=atoms.get_positions(),
                    momenta=atoms.get_momenta(),
                )
                self._save(checkpoint)
                clock = self._tell("frame", frame + 1, settings.frames, atoms, clock)

    def _inspect(self, atoms: Atoms, where: str) -> float:
        """Return the potential energy of a sound frame; refuse any other."""
        self._recent.append(Structure.from_ase(atoms))
        potential = float(atoms.get_potential_energy())
        momenta, masses = atoms.get_momenta(), atoms.get_masses()
        found = fault(
            self._recent[-1],
            0.5 * (momenta**2).sum(axis=1) / masses,
            potential,
            _temperature(atoms),
            target_temperature=self.settings.temperature_K,
            max_temperature_ratio=self.settings.max_temperature_ratio,
        )
        if found is None:
            return potential
        failed = self.workdir / "failed.extxyz"
        self._write_recent(failed)
        raise InputError(
            f"the trajectory blew up at {where}: {found}",
            remedy="train the force field on more frames, of larger cells where it has seen one unit cell "
            "alone, or for more epochs, or use a smaller trajectory.timestep_fs (the last steps are in "
            f"{failed})",
        )

    def _write_recent(self, file: Path) -> None:
        from ase.io import write

        finite = [s.to_ase() for s in self._recent if np.isfinite(s.positions).all()]
        with atomic_path(file) as part:
            write(part, finite, format="extxyz")

    def _restore(self) -> _Checkpoint | None:
        """Read the checkpoint; where anything is of another motion, damaged or missing all is made anew."""
        if not claim(self.workdir, self._identity, LEFTOVERS):
            return None
        names = [field.name for field in fields(_Checkpoint)]
        arrays = load_arrays(self.workdir / CHECKPOINT, self._identity, names)
        if arrays is not None:
            values: dict[str, Any] = {n: a.item() if a.ndim == 0 else a for n, a in arrays.items()}
            checkpoint = _Checkpoint(**{name: values[name] for name in names})
            if self._is_whole(checkpoint.frames):
                return checkpoint
        for pattern in LEFTOVERS:
            for file in self.workdir.glob(pattern):
                file.unlink()
        return None

    def _is_whole(self, frames: int) -> bool:
        """Whether the restart folder has so many frames without a gap; later ones are written again."""
        done = 0
        for file, block in self._stored():
            if done >= frames:
                return True
            if block is None or _first_frame(file) != done:
                break
            done += len(block.temperature)
        if done < frames:
            log.warning("%s: frames %d to %d are missing: started afresh", self.workdir, done, frames - 1)
        return done >= frames

    def _save(self, checkpoint: _Checkpoint) -> None:
        arrays = {name: np.array(value) for name, value in vars(checkpoint).items()}
        save_arrays(self.workdir / CHECKPOINT, self._identity, arrays)

    def _tell(self, what: str, done: int, total: int, atoms: Atoms, clock: float) -> float:
        now = time.perf_counter()
        log.info("trajectory: %s %d/%d, %.0f K, %.1f s", what, done, total, _temperature(atoms), now - clock)
        return now


def _first_frame(file: Path) -> int:
    """Number of the first frame in a file of the restart folder; -1 where the name is not one of ours."""
    digits = file.stem.removeprefix("frames_")
    return int(digits) if digits.isdecimal() else -1


def _temperature(atoms: Atoms) -> float:
    """Temperature with the centre of mass at rest: 3 N - 3 degrees of freedom."""
    from ase import units

    return float(2.0 * atoms.get_kinetic_energy() / (max(3 * len(atoms) - 3, 1) * units.kB))


def _set_energy(atoms: Atoms, mean_potential: float, temperature_K: float) -> None:
    """Scale the velocities so that the total energy is the canonical mean.

    An NVE run keeps whatever energy the thermostat left at its last step, which in a small cell fluctuates by
    several per cent; started from <V> + 3/2 (N - 1) kT its mean temperature is the target.
    """
    from ase import units

    wanted = mean_potential + 1.5 * (len(atoms) - 1) * units.kB * temperature_K - atoms.get_potential_energy()
    factor = float(np.clip(wanted / atoms.get_kinetic_energy(), *RESCALING))
    atoms.set_momenta(atoms.get_momenta() * np.sqrt(factor))
