from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from ase.data import atomic_masses

from n2amd.blocks.matrix import BlockMatrix
from n2amd.dataset.series import Series, verlet_velocities
from n2amd.dataset.work import work_between
from n2amd.errors import InputError
from n2amd.frames.frame import Frame
from n2amd.structure import Structure
from n2amd.units import AMU_A2_FS2_IN_EV


def test_velocities_of_velocity_verlet_are_recovered():
    """An anharmonic two-atom trajectory: positions and forces give back the integrator's own velocities."""
    numbers, dt, stiffness = np.array([8, 22]), 0.7, 8.0
    mass = AMU_A2_FS2_IN_EV * atomic_masses[numbers][:, None]
    force = lambda r: -stiffness * (r + 0.3 * r**3)  # noqa: E731
    rng = np.random.default_rng(3)
    r, v = rng.normal(size=(2, 3)) * 0.2, rng.normal(size=(2, 3)) * 0.01
    path = []
    for _ in range(12):
        path.append((r, v, force(r)))
        half = v + force(r) / mass * dt / 2
        r = r + half * dt
        v = half + force(r) / mass * dt / 2
    positions, velocities, forces = (np.array(part) for part in zip(*path))
    assert verlet_velocities(positions, forces, numbers, dt) == pytest.approx(velocities, abs=1e-14)


STIFFNESS, EQUILIBRIUM = 8.0, np.array([[0.0, 0.0, 0.0], [2.0, 2.0, 2.0], [0.0, 2.0, 1.0]])
CELL = np.diag([4.0, 4.0, 3.5])
#: Of a harmonic crystal whose atoms are held at fractional places: E = E0 + k/2 u^2 + V B/2 tr(strain)^2.
BULK = 0.6


def crystal(seed: int, *, amplitude: float = 0.05, strain: float = 0.0) -> Frame:
    """A frame of a harmonic crystal: exact energy, forces and stress for its positions and cell."""
    displacement = amplitude * np.random.default_rng(seed).normal(size=EQUILIBRIUM.shape)
    cell = CELL * (1 + strain)
    volume = np.linalg.det(cell)
    trace = 3 * strain
    structure = Structure(cell, EQUILIBRIUM * (1 + strain) + displacement, np.array([22, 8, 8]))
    block = BlockMatrix({}, {})
    return Frame(
        name=f"frame {seed}",
        structure=structure,
        hamiltonian=block,
        overlap=block,
        n_electrons=8.0,
        energy=-100 + STIFFNESS / 2 * (displacement**2).sum() + np.linalg.det(CELL) * BULK / 2 * trace**2,
        forces=-STIFFNESS * displacement,
        stress=np.eye(3) * BULK * trace * np.linalg.det(CELL) / volume,
    )


def run(frames: list[Frame], timestep_fs: float | None = None) -> None:
    series = Series(timestep_fs)
    for frame in frames:
        series.check(frame)
        series.add(frame)
    series.finish()


def test_energies_follow_forces_and_stress():
    """Thermal and strained frames; the harmonic forces give the change of the energy exactly."""
    frames = [crystal(n, strain=0.004 * (n % 4)) for n in range(12)]
    run(frames)
    for a, b in pairwise(frames):
        work = work_between(a, b)
        assert work is not None
        assert work.agrees
    thermal = [crystal(n) for n in range(4)]
    for a, b in pairwise(thermal):
        work = work_between(a, b)
        assert work is not None
        assert work.expected == pytest.approx(work.change, abs=1e-12)


def test_frames_that_cannot_be_compared_are_not_judged():
    a, b = crystal(1), crystal(2)
    assert work_between(a, replace(b, forces=None)) is None
    assert work_between(a, replace(b, energy=None)) is None
    assert work_between(a, crystal(2, amplitude=0.5)) is None
    assert work_between(a, replace(crystal(2, strain=0.01), stress=None)) is None
    # an atom that left the cell on the other side has not moved
    wrapped = b.structure.positions + np.array([[1.0, 0, -2], [0, 0, 0], [0, 1, 0]]) @ CELL
    moved = replace(b, structure=b.structure.with_positions(wrapped))
    assert work_between(a, moved).expected == pytest.approx(work_between(a, b).expected, abs=1e-12)


def energy_in_rydberg(frame: Frame) -> Frame:
    return replace(frame, energy=frame.energy / 13.6058)


def forces_in_atomic_units(frame: Frame) -> Frame:
    return replace(frame, forces=frame.forces / 51.42208)


def forces_per_bohr(frame: Frame) -> Frame:
    return replace(frame, forces=frame.forces * 0.529177)


def forces_reversed(frame: Frame) -> Frame:
    return replace(frame, forces=-frame.forces)


def energy_shifted(frame: Frame) -> Frame:
    return replace(frame, energy=frame.energy + 1.0)


@pytest.mark.parametrize("defect", [energy_in_rydberg, energy_shifted])
def test_one_wrong_energy_is_refused(defect):
    frames = [crystal(n) for n in range(6)]
    frames[4] = defect(frames[4])
    with pytest.raises(InputError, match="energy") as caught:
        run(frames)
    assert caught.value.frame == "frame 4"


@pytest.mark.parametrize("defect", [forces_in_atomic_units, forces_per_bohr, forces_reversed])
def test_wrong_forces_in_every_frame_are_refused(defect):
    with pytest.raises(InputError, match="forces"):
        run([defect(crystal(n, amplitude=0.04 + 0.005 * n)) for n in range(10)])


def test_a_reversed_stress_in_every_frame_is_refused():
    frames = [crystal(n, amplitude=0.01, strain=0.01 * (-1) ** n + 0.008) for n in range(10)]
    run(frames)
    with pytest.raises(InputError, match="stress"):
        run([replace(frame, stress=-frame.stress) for frame in frames])


def test_the_forces_of_another_frame_are_refused():
    a, b = crystal(1), crystal(2)
    with pytest.raises(InputError, match="the forces are those of frame frame 1") as caught:
        run([a, replace(b, forces=a.forces)])
    assert caught.value.frame == "frame 2"
    with pytest.raises(InputError, match="the energy and stress are those of frame frame 1"):
        run([replace(a, stress=a.stress + 0.01), replace(b, energy=a.energy, stress=a.stress + 0.01)])
    # forces that vanish by symmetry are no copies
    still = [replace(crystal(n, amplitude=0.0, strain=0.001 * n), name=f"still {n}") for n in range(3)]
    run(still)


def trajectory(timestep_fs: float) -> list[Frame]:
    """Consecutive frames with the velocities of uniform motion."""
    rng = np.random.default_rng(2)
    velocities = 5e-3 * rng.normal(size=EQUILIBRIUM.shape)
    first = replace(crystal(1), forces=None, energy=None, stress=None)
    places = [first.structure.positions + n * timestep_fs * velocities for n in range(4)]
    return [
        replace(
            first, name=f"step {n}", structure=first.structure.with_positions(place), velocities=velocities
        )
        for n, place in enumerate(places)
    ]


@pytest.mark.parametrize("factor", [0.529177, 21.877, -1.0])
def test_velocities_in_another_unit_are_refused(factor):
    frames = trajectory(1.0)
    run(frames, 1.0)
    with pytest.raises(InputError, match="velocities") as caught:
        run([replace(frame, velocities=factor * frame.velocities) for frame in frames], 1.0)
    assert caught.value.frame == "step 1"


def test_a_wrong_time_step_is_refused():
    with pytest.raises(InputError, match=r"the velocities are 2 times the step from frame step 0 over 2 fs"):
        run(trajectory(1.0), 2.0)
