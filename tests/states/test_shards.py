import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
from synthetic_crystal import SyntheticCrystal, cut, moving_frames

from n2amd.blocks.matrix import fold
from n2amd.config import StatesSettings
from n2amd.errors import InputError
from n2amd.states.checkpoint import Checkpoint
from n2amd.states.cross_time import check_consecutive
from n2amd.states.shards import solve_shard
from n2amd.states.store import read_shard, write_shard
from n2amd.states.trajectory import read_slice, shard_range
from n2amd.storage import create_hdf5

SETTINGS = StatesSettings(valence=2, conduction=2, margin=2, shards=1)
OFF_GAMMA = StatesSettings(valence=2, conduction=2, margin=2, shards=1, kpoint=(0.1, 0.3, -0.2))


def assert_equal_shards(one, other):
    assert one.info == other.info
    for name, value in vars(one).items():
        if name != "info":
            np.testing.assert_array_equal(value, getattr(other, name), err_msg=name)


@pytest.mark.parametrize("settings", [SETTINGS, OFF_GAMMA])
def test_energies_and_exact_overlaps_against_full_diagonalisation(settings):
    crystal, frames = SyntheticCrystal(), moving_frames(4)
    shard = solve_shard(frames, 0, crystal, crystal.overlap, settings, "exact")
    offsets = crystal.basis.orbital_offsets(frames.structure.numbers)
    k = np.array(settings.kpoint)
    full = []
    for frame in range(4):
        h, s = (fold(m, offsets, k) for m in crystal.predict(frames[frame]))
        full.append(scipy.linalg.eigh(h, s))
    for frame in range(4):
        np.testing.assert_allclose(shard.energies[frame], full[frame][0][:8], atol=1e-10)
    for frame in range(3):
        cross = fold(crystal.overlap(frames[frame], frames[frame + 1]), offsets, k)
        wanted = full[frame][1].conj().T @ cross @ full[frame + 1][1]
        np.testing.assert_allclose(np.abs(shard.overlap[frame]), np.abs(wanted[:8, :8]), atol=1e-9)
    assert np.iscomplexobj(shard.overlap) == (settings is OFF_GAMMA)
    np.testing.assert_array_equal(shard.band_index, np.arange(8))
    assert shard.residual.max() < 1e-10


def test_overlap_without_electron_translation_misses_rigid_motion():
    crystal, frames = SyntheticCrystal(), moving_frames(2)
    shift = np.array([0.02, 0.01, -0.03])
    positions = np.stack([frames.positions[0], frames.positions[0] + shift])
    rigid = type(frames)(0, 2, 1.0, frames.structure, positions)
    exact = solve_shard(rigid, 0, crystal, crystal.overlap, SETTINGS, "exact").overlap[0]
    free = solve_shard(rigid, 0, crystal, crystal.overlap, SETTINGS, "electron-translation-free").overlap[0]
    np.testing.assert_allclose(free, np.eye(8), atol=1e-9)
    assert np.abs(exact - exact.T).max() > 1e-3  # -v <i|grad|j>: states do couple by translation


def test_electron_translation_is_the_antisymmetric_part_of_s12():
    crystal, frames = SyntheticCrystal(), moving_frames(2, timestep=0.1)
    exact = solve_shard(frames, 0, crystal, crystal.overlap, SETTINGS, "exact")
    free = solve_shard(frames, 0, crystal, crystal.overlap, SETTINGS, "electron-translation-free")
    offsets = crystal.basis.orbital_offsets(frames.structure.numbers)
    s12 = fold(crystal.overlap(frames[0], frames[1]), offsets)
    c = exact.first_coefficients
    dropped = (exact.overlap - exact.overlap.swapaxes(1, 2) - free.overlap + free.overlap.swapaxes(1, 2))[0]
    np.testing.assert_allclose(dropped, c.T @ (s12 - s12.T) @ c, atol=0.02 * np.abs(dropped).max())


def test_file_round_trip(tmp_path):
    crystal = SyntheticCrystal()
    shard = solve_shard(moving_frames(3), 0, crystal, crystal.overlap, OFF_GAMMA, "exact")
    write_shard(tmp_path / "shard.h5", shard)
    assert_equal_shards(read_shard(tmp_path / "shard.h5"), shard)


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {here!r})
from synthetic_crystal import SyntheticCrystal, moving_frames
from test_shards import SETTINGS
from n2amd.states.checkpoint import Checkpoint
from n2amd.states.shards import solve_shard

class Killed(SyntheticCrystal):
    def predict(self, structure):
        if self.calls == 6:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().predict(structure)

crystal = Killed()
checkpoint = Checkpoint(Path({out!r}), "same job")
solve_shard(
    moving_frames(10), 0, crystal, crystal.overlap, SETTINGS, "exact", checkpoint, checkpoint_seconds=0
)
"""


def test_kill_9_loses_nothing_and_changes_no_bit(tmp_path):
    out = tmp_path / "shard.h5"
    here = str(Path(__file__).parent)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, "-c", KILLED.format(here=here, out=str(out))], env=environment)
    assert run.returncode == -signal.SIGKILL
    crystal = SyntheticCrystal()
    resumed = solve_shard(
        moving_frames(10), 0, crystal, crystal.overlap, SETTINGS, "exact", Checkpoint(out, "same job")
    )
    assert crystal.calls == 4  # six frames were on disk
    whole = solve_shard(moving_frames(10), 0, crystal, crystal.overlap, SETTINGS, "exact")
    assert_equal_shards(resumed, whole)


def test_a_restart_file_of_another_job_is_ignored(tmp_path):
    crystal = SyntheticCrystal()
    frames = moving_frames(4)
    arguments = (frames, 0, crystal, crystal.overlap, SETTINGS, "exact")
    solve_shard(*arguments, Checkpoint(tmp_path / "shard.h5", "one"), checkpoint_seconds=0)
    crystal.calls = 0
    solve_shard(*arguments, Checkpoint(tmp_path / "shard.h5", "other"), checkpoint_seconds=0)
    assert crystal.calls == 4
    Checkpoint(tmp_path / "shard.h5", "other").remove()
    assert list(tmp_path.iterdir()) == []


def test_jumps_between_frames_are_refused():
    frames = moving_frames(3)
    jumped = frames[1].with_positions(frames[1].positions + np.array([5.2, 0, 0]))
    with pytest.raises(InputError, match=r"frame 0.*moves by 5\.\d+ A"):
        check_consecutive(frames[0], jumped, 0)


def test_an_element_the_model_does_not_know_is_refused():
    crystal, frames = SyntheticCrystal(), moving_frames(2)
    strange = type(frames.structure)(frames.structure.cell, frames.positions[0], np.full(8, 14))
    with pytest.raises(InputError, match="not atomic number 14"):
        solve_shard(
            type(frames)(0, 2, 1.0, strange, frames.positions), 0, crystal, crystal.overlap, SETTINGS, "exact"
        )


def write_trajectory(path, frames):
    with create_hdf5(path, "trajectory") as file:
        file.attrs["timestep_fs"] = frames.timestep_fs
        file["cell"] = frames.structure.cell
        file["numbers"] = frames.structure.numbers
        file["pbc"] = np.array(frames.structure.pbc)
        file["positions"] = frames.positions


def test_a_trajectory_is_read_shard_by_shard(tmp_path):
    frames = moving_frames(8)
    write_trajectory(tmp_path / "trajectory.h5", frames)
    for shard in range(3):
        part = read_slice(tmp_path / "trajectory.h5", 3, shard)
        wanted = cut(frames, *shard_range(8, 3, shard))
        assert (part.start, part.n_frames_total, part.timestep_fs) == (wanted.start, 8, 1.0)
        np.testing.assert_array_equal(part.positions, wanted.positions)
        np.testing.assert_array_equal(part[part.start].positions, wanted.positions[0])


def test_a_trajectory_with_nan_is_refused_naming_the_frame(tmp_path):
    frames = moving_frames(8)
    frames.positions[5, 2, 1] = np.nan
    write_trajectory(tmp_path / "trajectory.h5", frames)
    with pytest.raises(InputError, match=r"frame 5.*not finite"):
        read_slice(tmp_path / "trajectory.h5", 2, 1)
