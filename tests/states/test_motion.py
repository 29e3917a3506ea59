"""A trajectory whose frames cannot follow each other is refused, with the frame and the atom."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from ase.data import atomic_masses

from n2amd.errors import InputError
from n2amd.states.parts import parts_of_trajectory
from n2amd.storage import create_hdf5
from n2amd.trajectory import motion
from n2amd.trajectory.slice import read_slice
from n2amd.units import AMU_A2_FS2_IN_EV, BOLTZMANN_EV_K

NUMBERS = np.array([22, 8, 8, 1])
CELL = np.array([[4.6, 0.0, 0.0], [0.0, 4.6, 0.0], [0.5, 0.0, 3.0]])
REST = np.array([[0.02, 0.02, 0.02], [1.4, 1.4, 0.1], [3.2, 3.2, 0.0], [2.3, 0.0, 1.5]])
FRAMES, TIMESTEP = 40, 1.0


def vibrations(seed: int = 3, frames: int = FRAMES) -> tuple[np.ndarray, np.ndarray]:
    """Positions and velocities of harmonic atoms at 300 K: periods from 12 fs (hydrogen) to 90 fs."""
    rng = np.random.default_rng(seed)
    masses = AMU_A2_FS2_IN_EV * atomic_masses[NUMBERS][:, None]
    omega = 2 * np.pi / np.array([90.0, 60.0, 60.0, 12.0])[:, None]
    amplitude = np.sqrt(2 * BOLTZMANN_EV_K * 300 / masses) / omega
    phase = rng.uniform(0, 2 * np.pi, size=(4, 3))
    angle = omega * TIMESTEP * np.arange(frames)[:, None, None] + phase
    return REST + amplitude * np.sin(angle), amplitude * omega * np.cos(angle)


def write(path: Path, positions: np.ndarray, velocities: np.ndarray | None = None, **more: object) -> Path:
    with create_hdf5(path, "trajectory") as file:
        file["cell"] = more.pop("cell", CELL)
        file["numbers"] = more.pop("numbers", NUMBERS)
        file["pbc"] = np.array(more.pop("pbc", [True] * 3))
        file["positions"] = positions
        if velocities is not None:
            file["velocities"] = velocities
        if "time_fs" in more:
            file["time_fs"] = more.pop("time_fs")
        file.attrs.update({"timestep_fs": TIMESTEP, "temperature_K": 300.0, **more})
    return path


def refusal(path: Path, frames: tuple[int, int] | None = None) -> InputError:
    with pytest.raises(InputError) as caught:
        read_slice(path, frames)
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_sound_trajectory_is_read_to_the_bit(tmp_path: Path) -> None:
    positions, velocities = vibrations()
    path = write(tmp_path / "t.h5", positions, velocities)
    parts = [read_slice(path, part) for part in parts_of_trajectory(len(positions), 4)]
    for part in parts:
        np.testing.assert_array_equal(part.positions, positions[part.start :][: len(part.positions)])


@pytest.mark.parametrize("pbc", [[True, True, True], [True, True, False]])
def test_atoms_that_cross_the_boundary_do_not_jump(tmp_path: Path, pbc: list[bool]) -> None:
    """Wrapped positions are followed over the boundary, alike in every shard."""
    positions, velocities = vibrations()
    inside = positions @ np.linalg.inv(CELL)
    wrapped = (inside - np.floor(inside) * np.array(pbc)) @ CELL
    assert np.abs(np.diff(wrapped, axis=0)).max() > 2
    path = write(tmp_path / "t.h5", wrapped, velocities, pbc=pbc)
    parts = [read_slice(path, part) for part in parts_of_trajectory(len(positions), 4)]
    shift = wrapped[0] - positions[0]
    for part in parts:
        expected = positions[part.start :][: len(part.positions)] + shift
        np.testing.assert_allclose(part.positions, expected, atol=1e-12)
    np.testing.assert_array_equal(parts[0].positions[-1], parts[1].positions[0])


@pytest.mark.parametrize("frames", [(0, 3), (8, 9)])
def test_a_jump_is_refused_by_every_shard(tmp_path: Path, frames: tuple[int, int]) -> None:
    positions, velocities = vibrations()
    positions[20:, 2, 0] += 0.2
    error = refusal(write(tmp_path / "t.h5", positions, velocities), frames)
    assert (error.frame, error.field) == (19, "positions")
    assert "atom 2 jumps by 0.2" in str(error)
    assert "in 1 fs it can move by 0.07" in str(error)


def cut(count: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda values: np.concatenate([values[:20], values[20 + count :]])


@pytest.mark.parametrize("count", [1, 2, 10])
def test_missing_frames_are_noticed(tmp_path: Path, count: int) -> None:
    positions, velocities = map(cut(count), vibrations(frames=60))
    error = refusal(write(tmp_path / "t.h5", positions, velocities))
    assert error.frame == 19
    assert "frames are missing or out of order" in str(error) or "jumps by" in str(error)


def test_a_frame_that_is_there_twice_is_noticed(tmp_path: Path) -> None:
    positions, velocities = (np.insert(v, 7, v[7], axis=0) for v in vibrations())
    error = refusal(write(tmp_path / "t.h5", positions, velocities))
    assert error.frame == 7
    assert "the next frame is the same, though atoms move" in str(error)


def test_atoms_that_are_held_are_no_fault(tmp_path: Path) -> None:
    still = np.repeat(REST[None], 5, axis=0)
    assert len(read_slice(write(tmp_path / "t.h5", still, np.zeros_like(still))).positions) == 5
    assert len(read_slice(write(tmp_path / "u.h5", still)).positions) == 5


def test_nan_names_frame_and_atom_in_whatever_shard(tmp_path: Path) -> None:
    positions, velocities = vibrations()
    positions[31, 1, 2] = np.nan
    error = refusal(write(tmp_path / "t.h5", positions, velocities))
    assert (error.frame, error.problem) == (31, "positions are not finite (atom 1)")


def test_a_cell_that_changes_is_refused(tmp_path: Path) -> None:
    positions, velocities = vibrations()
    cells = np.repeat(CELL[None], FRAMES, axis=0)
    constant = write(tmp_path / "t.h5", positions, velocities, cell=cells)
    np.testing.assert_array_equal(read_slice(constant).structure.cell, CELL)
    cells[13:] *= 1.01
    error = refusal(write(tmp_path / "u.h5", positions, velocities, cell=cells))
    assert (error.frame, error.field) == (13, "cell")


def test_uneven_time_steps_are_refused(tmp_path: Path) -> None:
    positions, velocities = vibrations()
    times = TIMESTEP * np.arange(FRAMES) + 100.0
    assert len(read_slice(write(tmp_path / "t.h5", positions, velocities, time_fs=times)).positions)
    times[9:] += 0.5
    error = refusal(write(tmp_path / "u.h5", positions, velocities, time_fs=times))
    assert (error.frame, error.field) == (8, "time_fs")


@pytest.mark.parametrize(
    "wrong",
    [
        {"cell": np.zeros((3, 3))},
        {"numbers": np.array([22, 8, 8, 0])},
        {"numbers": np.array([22, 8, 8, 900])},
    ],
)
def test_a_cell_without_volume_or_an_unknown_element_is_a_sentence(tmp_path: Path, wrong: dict) -> None:
    assert "span no volume, or an atom is of no element" in str(
        refusal(write(tmp_path / "t.h5", *vibrations(), **wrong))
    )


def test_what_was_read_does_not_depend_on_how_much_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    positions, velocities = vibrations()
    whole = read_slice(write(tmp_path / "t.h5", positions, velocities), (13, 25))
    monkeypatch.setattr(motion, "BLOCK_BYTES", 1)
    np.testing.assert_array_equal(read_slice(tmp_path / "t.h5", (13, 25)).positions, whole.positions)
    shutil.copy(tmp_path / "t.h5", tmp_path / "u.h5")
    with h5py.File(tmp_path / "u.h5", "r+") as file:
        file["positions"][30, 0] += 0.3
    assert refusal(tmp_path / "u.h5").frame == 29
