import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
from synthetic_crystal import SyntheticCrystal, cut, in_shards, moving_frames

from n2amd.blocks.matrix import fold
from n2amd.config.states import StatesSettings
from n2amd.errors import ComputationError, InputError
from n2amd.states.checkpoint import Checkpoint
from n2amd.states.choice import choose_method
from n2amd.states.cross_time import check_consecutive
from n2amd.states.frame_solver import FrameSolver
from n2amd.states.parts import parts_of_trajectory
from n2amd.states.shards import solve_shard
from n2amd.states.solvers.block_ldl import BlockLdl
from n2amd.states.store import read_shard, write_shard
from n2amd.storage import create_hdf5
from n2amd.trajectory.slice import read_slice

SETTINGS = StatesSettings(valence=2, conduction=2, margin=2)
OFF_GAMMA = StatesSettings(valence=2, conduction=2, margin=2, kpoint=(0.1, 0.3, -0.2))


def assert_equal_shards(one, other):
    assert one.info == other.info
    for name, value in vars(one).items():
        if name != "info":
            np.testing.assert_array_equal(value, getattr(other, name), err_msg=name)


@pytest.mark.parametrize("settings", [SETTINGS, OFF_GAMMA])
def test_energies_and_exact_overlaps_against_full_diagonalisation(settings):
    crystal, frames = SyntheticCrystal(), moving_frames(4)
    shard = solve_shard(frames, crystal, crystal.overlap, settings, "exact")
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
    rigid = type(frames)(0, 1.0, frames.structure, positions)
    exact = solve_shard(rigid, crystal, crystal.overlap, SETTINGS, "exact").overlap[0]
    free = solve_shard(rigid, crystal, crystal.overlap, SETTINGS, "electron-translation-free").overlap[0]
    np.testing.assert_allclose(free, np.eye(8), atol=1e-9)
    assert np.abs(exact - exact.T).max() > 1e-3  # -v <i|grad|j>: states do couple by translation


def test_electron_translation_is_the_antisymmetric_part_of_s12():
    crystal, frames = SyntheticCrystal(), moving_frames(2, timestep=0.1)
    exact = solve_shard(frames, crystal, crystal.overlap, SETTINGS, "exact")
    free = solve_shard(frames, crystal, crystal.overlap, SETTINGS, "electron-translation-free")
    offsets = crystal.basis.orbital_offsets(frames.structure.numbers)
    s12 = fold(crystal.overlap(frames[0], frames[1]), offsets)
    c = exact.first_coefficients
    dropped = (exact.overlap - exact.overlap.swapaxes(1, 2) - free.overlap + free.overlap.swapaxes(1, 2))[0]
    np.testing.assert_allclose(dropped, c.T @ (s12 - s12.T) @ c, atol=0.02 * np.abs(dropped).max())


def test_file_round_trip(tmp_path):
    crystal = SyntheticCrystal()
    shard = solve_shard(moving_frames(3), crystal, crystal.overlap, OFF_GAMMA, "exact")
    write_shard(tmp_path / "shard.h5", shard)
    assert_equal_shards(read_shard(tmp_path / "shard.h5"), shard)


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {here!r})
from synthetic_crystal import SyntheticCrystal, moving_frames
from test_shards import SETTINGS
from n2amd.states.checkpoint import Checkpoint
from n2amd.states.choice import choose_method
from n2amd.states.shards import solve_shard

class Killed(SyntheticCrystal):
    def predict(self, structure):
        if self.calls == 6:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().predict(structure)

crystal = Killed()
checkpoint = Checkpoint(Path({out!r}), "same job")
solve_shard(
    moving_frames(10), crystal, crystal.overlap, SETTINGS, "exact", checkpoint, checkpoint_seconds=0
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
        moving_frames(10), crystal, crystal.overlap, SETTINGS, "exact", Checkpoint(out, "same job")
    )
    assert crystal.calls == 4  # six frames were on disk
    whole = solve_shard(moving_frames(10), crystal, crystal.overlap, SETTINGS, "exact")
    assert_equal_shards(resumed, whole)


def test_a_restart_file_of_another_job_is_ignored(tmp_path):
    crystal = SyntheticCrystal()
    frames = moving_frames(4)
    arguments = (frames, crystal, crystal.overlap, SETTINGS, "exact")
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
            type(frames)(0, 1.0, strange, frames.positions), crystal, crystal.overlap, SETTINGS, "exact"
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
    for own, wanted in zip([(0, 2), (3, 5), (6, 7)], in_shards(frames, 3), strict=True):
        part = read_slice(tmp_path / "trajectory.h5", own)
        assert (part.start, part.timestep_fs) == (wanted.start, 1.0)
        assert part.fingerprint == wanted.fingerprint
        np.testing.assert_array_equal(part.positions, wanted.positions)
        np.testing.assert_array_equal(part[part.start].positions, wanted.positions[0])


def test_a_trajectory_with_nan_is_refused_naming_the_frame(tmp_path):
    frames = moving_frames(8)
    frames.positions[5, 2, 1] = np.nan
    write_trajectory(tmp_path / "trajectory.h5", frames)
    with pytest.raises(InputError, match=r"frame 5.*not finite"):
        read_slice(tmp_path / "trajectory.h5", (4, 7))


@pytest.mark.parametrize("frames", [(0, 8), (5, 3), (0, 0), (8, 8)])
def test_frames_that_a_trajectory_does_not_have_are_refused(tmp_path, frames):
    write_trajectory(tmp_path / "trajectory.h5", moving_frames(8))
    with pytest.raises(InputError, match=r"no part of the 8 frames, or hold no interval; choose frames"):
        read_slice(tmp_path / "trajectory.h5", frames)


def test_more_frames_leave_the_shards_before_as_they_are():
    """But for the last one, where it was not full."""
    whole = moving_frames(11)
    shorter = cut(whole, 0, 7)
    ends = {n: list(parts_of_trajectory(n, 3)) for n in (8, 9, 11)}
    assert ends[8] == [(0, 2), (3, 5), (6, 7)]
    assert ends[9] == ends[11][:3] == [*ends[8][:2], (6, 8)]
    of = {
        n: [cut(f, max(a - 1, 0), b).fingerprint for a, b in ends[n]] for n, f in ((8, shorter), (11, whole))
    }
    assert of[8][:2] == of[11][:2]
    crystal = SyntheticCrystal()
    options = (crystal, crystal.overlap, SETTINGS, "exact")
    assert_equal_shards(solve_shard(cut(shorter, 2, 5), *options), solve_shard(cut(whole, 2, 5), *options))


LARGE = StatesSettings(valence=2, conduction=2, margin=2, solver="block_si")


@pytest.fixture(scope="module")
def large_shard():
    crystal, frames = LargerCrystal(), larger_frames(7)
    return solve_shard(frames, crystal, crystal.overlap, LARGE, "exact")


def larger_frames(n_frames):
    """64 atoms, 128 orbitals."""
    small = moving_frames(n_frames)
    cell = small.structure.supercell((2, 2, 2))
    rng = np.random.default_rng(0)
    steps = np.cumsum(0.004 * rng.normal(size=(n_frames, *cell.positions.shape)), axis=0)
    positions = cell.positions + 0.05 * rng.normal(size=cell.positions.shape) + steps
    return type(small)(0, 1.0, cell, positions)


class LargerCrystal(SyntheticCrystal):
    """The same crystal; nothing else is needed for more atoms."""


def test_block_lanczos_gives_the_shard_of_lapack(large_shard):
    crystal, frames = LargerCrystal(), larger_frames(7)
    dense = solve_shard(
        frames, crystal, crystal.overlap, LARGE.model_copy(update={"solver": "dense"}), "exact"
    )
    np.testing.assert_allclose(large_shard.energies, dense.energies, rtol=0, atol=1e-9)
    assert (large_shard.info.solver, dense.info.solver) == ("block_si", "dense")
    # only whole levels and states of one phase can be compared element by element
    np.testing.assert_allclose(
        np.linalg.svd(large_shard.overlap)[1], np.linalg.svd(dense.overlap)[1], atol=1e-7
    )
    assert (large_shard.inertia == large_shard.info.n_occupied).all()
    vbm, cbm = (large_shard.energies[:, large_shard.vbm + k] for k in (0, 1))
    assert ((vbm < large_shard.shift) & (large_shard.shift < cbm)).all()
    assert large_shard.ends_counted.tolist() == [True] + 6 * [False]
    assert (dense.inertia == -1).all()


def test_a_guess_of_the_gap_saves_factorisations_and_leaves_the_states(large_shard, monkeypatch):
    factorised = []
    factor = BlockLdl.factor
    monkeypatch.setattr(BlockLdl, "factor", lambda self, e: factorised.append(e) or factor(self, e))
    crystal, frames = LargerCrystal(), larger_frames(7)
    solver = FrameSolver.for_structure(crystal, LARGE, frames.structure)
    searched = solver.placed(frames.first)
    in_search = len(factorised)
    guessed = solver.placed(frames.first, searched.shift + 0.01)
    assert len(factorised) - in_search == 1 < in_search
    assert guessed.shift == pytest.approx(searched.shift, abs=1e-10)
    # wrong by far: searched for from there
    assert solver.placed(frames.first, searched.shift - 30.0).shift == pytest.approx(searched.shift, abs=1e-9)
    shard = solve_shard(frames, crystal, crystal.overlap, LARGE, "exact", middle_of_gap=searched.shift + 0.01)
    np.testing.assert_allclose(shard.energies, large_shard.energies, rtol=0, atol=1e-9)
    assert (shard.inertia == large_shard.inertia).all()


def test_one_shard_is_three_shards_to_the_bit(large_shard):
    frames = larger_frames(7)
    for part in in_shards(frames, 3):
        start, stop = part.start, part.start + len(part.positions) - 1
        crystal = LargerCrystal()
        part = solve_shard(part, crystal, crystal.overlap, LARGE, "exact")
        for name in ("energies", "shift", "residual", "coefficient_norms"):
            np.testing.assert_array_equal(getattr(part, name), getattr(large_shard, name)[start : stop + 1])
        np.testing.assert_array_equal(part.overlap, large_shard.overlap[start:stop])


def test_a_stopped_shard_of_block_lanczos_goes_on_to_the_same_bits(large_shard, tmp_path):
    class Stopped(LargerCrystal):
        def predict(self, structure):
            if self.calls == 4:
                raise KeyboardInterrupt
            return super().predict(structure)

    crystal, checkpoint = Stopped(), Checkpoint(tmp_path / "s.h5", "one")
    frames = larger_frames(7)
    with pytest.raises(KeyboardInterrupt):
        solve_shard(frames, crystal, crystal.overlap, LARGE, "exact", checkpoint, checkpoint_seconds=0)
    crystal = LargerCrystal()
    resumed = solve_shard(frames, crystal, crystal.overlap, LARGE, "exact", checkpoint)
    # three of seven were on disk; the first frame places the shift and, once more, gives the factor
    assert crystal.calls == 6
    assert_equal_shards(resumed, large_shard)
    write_shard(tmp_path / "s.h5", resumed)
    assert_equal_shards(read_shard(tmp_path / "s.h5"), large_shard)


def test_a_frame_that_cannot_be_certified_is_named():
    class Singular(LargerCrystal):
        def predict(self, structure):
            h, s = super().predict(structure)
            if self.calls > 3:
                s = s.map({key: blocks - 0.9 * (blocks > 0.99) for key, blocks in s.values.items()})
            return h, s

    crystal = Singular()
    with pytest.raises(ComputationError, match=r"frame 2: .*could not be certified"):
        solve_shard(larger_frames(7), crystal, crystal.overlap, LARGE, "exact")


def test_large_cells_choose_block_lanczos():
    assert choose_method(StatesSettings(), 720) == "dense"
    assert choose_method(StatesSettings(), 8640) == "block_si"
    assert choose_method(StatesSettings(solver="dense"), 8640) == "dense"
    assert choose_method(StatesSettings(spin_orbit="spinors"), 8640) == "dense"
