from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from n2amd.config.trajectory import TrajectorySettings
from n2amd.errors import InputError
from n2amd.storage import create_hdf5
from n2amd.structure import Structure
from n2amd.trajectory.health import (
    drift_can_be_judged,
    energy_drift,
    fault,
    judge_trajectory,
    still_accepted,
)
from n2amd.units import BOLTZMANN_EV_K

WATER = Structure(
    np.diag([8.0, 8.0, 8.0]), np.array([[0.0, 0, 0.2], [0.76, 0, 0.8], [-0.76, 0, 0.8]]), np.array([8, 1, 1])
)


def judged(structure=WATER, kinetic=(0.03, 0.04, 0.05), potential=-14.0, temperature=300.0) -> str | None:
    return fault(
        structure,
        np.array(kinetic),
        potential,
        temperature,
        target_temperature=300.0,
        max_temperature_ratio=3.0,
    )


def moved(atom: int, position) -> Structure:
    positions = WATER.positions.copy()
    positions[atom] = position
    return WATER.with_positions(positions)


def test_a_sound_frame():
    assert judged() is None
    assert judged(temperature=899.0) is None


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite(bad):
    assert "not finite" in judged(moved(1, [bad, 0, 0]))
    assert "not finite" in judged(kinetic=[0.03, bad, 0.05])
    assert "potential energy" in judged(potential=bad)


def test_too_hot():
    several = Structure(
        np.diag([32.0, 8, 8]),
        np.vstack([WATER.positions + np.array([8 * k, 0, 0]) for k in range(4)]),
        np.tile(WATER.numbers, 4),
    )
    hot = "the temperature is 901 K, more than 3 times the target of 300 K"
    assert judged(several, kinetic=[0.04] * 12, temperature=901.0) == hot


def test_a_few_atoms_are_hot_by_chance():
    """Six degrees of freedom have three times the mean energy in 0.6 % of all frames."""
    assert "3 atoms have it by chance now and then" in judged(temperature=901.0)
    assert "raise trajectory.max_temperature_ratio" in judged(temperature=901.0)


def test_an_atom_that_flies_off():
    limit = 100 * BOLTZMANN_EV_K * 300
    assert judged(kinetic=[0, 0.99 * limit, 0]) is None
    assert judged(kinetic=[0, 1.01 * limit, 0]).startswith("atom 1 flies off")


def test_two_atoms_at_one_place():
    assert judged(moved(2, [0.3, 0, 0.2])) == "atoms O 0 and H 2 are 0.30 A apart"


@given(direction=st.integers(0, 2), steps=st.integers(-3, 3))
def test_contact_across_the_cell_border(direction, steps):
    image = np.array([0.3, 0, 0.2]) + steps * WATER.cell[direction]
    assert judged(moved(2, image)) == "atoms O 0 and H 2 are 0.30 A apart"


def test_no_contact_where_the_cell_does_not_repeat():
    image = np.array([0.3, 0, 0.2]) + WATER.cell[0]
    molecule = Structure(WATER.cell, moved(2, image).positions, WATER.numbers, (False, False, False))
    assert judged(molecule) is None


@given(
    slope=st.floats(-1e-3, 1e-3),
    start=st.floats(-1e4, 1e4),
    dt=st.floats(0.1, 5),
    frames=st.integers(2, 300),
    atoms=st.integers(2, 5000),
)
def test_drift_of_a_straight_line(slope, start, dt, frames, atoms):
    energy = start + slope * dt * np.arange(frames)  # eV, eV/fs
    found = energy_drift(energy, dt, atoms)
    rounding = 1e-11 * abs(start) / (dt * frames) * 1e6 / atoms
    assert found == pytest.approx(1e6 * slope / atoms, rel=1e-6, abs=1e-9 + rounding)


def test_drift_of_an_oscillation_fades_with_the_span():
    # least squares over whole periods of sin(w t), 0 < t < T: -12 / (w T^2)
    w = 2 * np.pi / 20
    for span in (1000, 4000):
        found = energy_drift(np.sin(w * np.arange(span)), 1.0, 10)
        assert found == pytest.approx(-1e6 * 12 / (w * span**2) / 10, rel=0.02)


def test_too_short_to_judge():
    assert not drift_can_be_judged(200, 1.0)
    assert drift_can_be_judged(201, 1.0)
    assert drift_can_be_judged(101, 2.0)


def summary(frames: int, drift: float, **limits: float):
    # meV/atom/ps of two atoms and 1 fs, in eV a frame
    energy = -5.0 + 2e-6 * drift * np.arange(frames)
    temperature = np.where(np.arange(frames) % 2, 310.0, 290.0)
    return judge_trajectory(
        temperature,
        energy,
        timestep_fs=1.0,
        n_atoms=2,
        settings=TrajectorySettings(**limits),
        file="trajectory.h5",
    )


@pytest.mark.parametrize("drift", [-4.9, 0.0, 4.9])
def test_a_trajectory_that_keeps_its_energy(drift):
    found = summary(400, drift)
    assert found.mean_temperature_K == pytest.approx(300)
    assert found.temperature_std_K == pytest.approx(10)
    assert found.drift_meV_per_atom_per_ps == pytest.approx(drift, abs=1e-6)


@pytest.mark.parametrize("drift", [-5.1, 5.1])
def test_a_trajectory_that_drifts(drift):
    with pytest.raises(InputError, match=r"drifts by [+-]5\.10 meV/atom/ps, more than 5") as caught:
        summary(400, drift)
    assert caught.value.file == "trajectory.h5"
    assert summary(200, drift).drift_meV_per_atom_per_ps == pytest.approx(drift, abs=1e-6)


def test_limits_hold_for_frames_that_were_run_with_others(tmp_path: Path) -> None:
    """What a trajectory that is there is asked when only its limits have changed."""
    file = tmp_path / "trajectory.h5"
    facts = {"n_frames": 400, "timestep_fs": 1.0, "drift_meV_per_atom_per_ps": -2.0}
    with create_hdf5(file, "trajectory") as stored:
        stored.attrs.update({**facts, "highest_temperature_K": 310.0})
    for limits, accepted in (
        ({}, True),
        ({"max_drift_meV_per_atom_per_ps": 2.1, "max_temperature_ratio": 1.04}, True),
        ({"max_drift_meV_per_atom_per_ps": 1.9}, False),
        ({"max_temperature_ratio": 1.03}, False),
    ):
        assert still_accepted(file, TrajectorySettings(**limits)) == accepted, limits
    with pytest.raises(InputError, match=r"frame 1, .*the temperature is 310 K, more than 1\.03 times"):
        summary(400, 2.0, max_temperature_ratio=1.03)
    file.write_bytes(file.read_bytes()[:-100])
    assert not still_accepted(file, TrajectorySettings())
