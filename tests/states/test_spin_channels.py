"""States of one spin channel: of a model, and of the frames of a data set."""

from __future__ import annotations

from dataclasses import replace

import h5py
import numpy as np
import pytest
from synthetic_crystal import SyntheticCrystal, moving_frames
from typer.testing import CliRunner

from n2amd.blocks.matrix import add_overlap
from n2amd.commands.couplings import app as couplings_app
from n2amd.commands.states import app
from n2amd.config.couplings import CouplingsSettings
from n2amd.config.states import StatesSettings
from n2amd.couplings.assemble import assemble
from n2amd.couplings.parity import parity
from n2amd.couplings.store import read_couplings
from n2amd.dataset.series import Series
from n2amd.dataset.store import create_dataset
from n2amd.errors import InputError
from n2amd.frames.frame import BandReference, Frame
from n2amd.states.of_dataset import FramesAsModel, project_frames
from n2amd.states.shards import solve_shard
from n2amd.states.store import read_shard, write_shard
from n2amd.states.window import state_window

WINDOW = {"valence": 2, "conduction": 2, "margin": 1}
SHIFT = 0.7


class Magnet(SyntheticCrystal):
    """Spin up holds two electrons more; its H is the crystal's, that of spin down is shifted."""

    def predict(self, structure):
        h, s = super().predict(structure)
        down = add_overlap(h, s, SHIFT)
        both = {key: np.concatenate([h.values[key], down.values[key]]) for key in h.pairs}
        return h.map(both), s

    def electrons_in(self, structure, spin):
        return {"up": 5.0, "down": 3.0, None: 8.0}[spin]


def settings(**more):
    return StatesSettings(**{**WINDOW, **more})


def solve(model, **more):
    return solve_shard(moving_frames(4), model, model.overlap, settings(**more), "exact")


def frames(spin=2.0, n_frames=4):
    model, trajectory = Magnet(), moving_frames(n_frames)
    energies = np.zeros((1, 2, 16))
    bands = BandReference(np.zeros((1, 3)), np.ones(1), energies)
    return [
        Frame(f"frame_{t}", trajectory[t], *model.predict(trajectory[t]), 8.0, bands=bands, spin=spin)
        for t in range(n_frames)
    ]


@pytest.fixture
def dataset(tmp_path):
    path = tmp_path / "dataset.h5"
    with create_dataset(path, code="siesta", timestep_fs=1.0) as writer:
        for frame in frames():
            writer.append(frame, Magnet().basis, {})
    return path


def test_each_channel_has_its_own_window_and_states():
    """Up holds one electron more than the closed shell, down one less; down is shifted as a whole."""
    closed = solve(SyntheticCrystal(), valence=3, conduction=3)
    up, down = solve(Magnet(), spin="up"), solve(Magnet(), spin="down")
    assert [s.info.n_occupied for s in (closed, up, down)] == [4, 5, 3]
    assert [s.info.spin for s in (closed, up, down)] == ["", "up", "down"]
    np.testing.assert_array_equal(up.band_index, np.arange(2, 8))
    np.testing.assert_array_equal(down.band_index, np.arange(0, 6))
    assert closed.band_index[0] == 0
    np.testing.assert_allclose(up.energies, closed.energies[:, 2:], atol=1e-9)
    np.testing.assert_allclose(down.energies, closed.energies[:, :6] + SHIFT, atol=1e-9)
    np.testing.assert_allclose(np.abs(up.overlap), np.abs(closed.overlap[:, 2:, 2:]), atol=1e-8)


def test_the_channel_is_kept_in_the_files_and_held_against_the_settings(tmp_path):
    up, chosen = solve(Magnet(), spin="up"), CouplingsSettings()
    write_shard(tmp_path / "up.h5", up)
    assert read_shard(tmp_path / "up.h5").info == up.info
    assert assemble([up], chosen, settings(spin="up")).spin == "up"
    with pytest.raises(InputError, match=r"'states\.spin': the shards were made with 'up', the settings say"):
        assemble([up], chosen, settings(spin="down"))
    write_shard(tmp_path / "closed.h5", solve(SyntheticCrystal()))
    with h5py.File(tmp_path / "closed.h5") as file:
        assert "spin" not in file.attrs


@pytest.mark.parametrize(
    ("model", "spin", "said"),
    [
        (Magnet(), None, "the Hamiltonian has 2 spin components, and no spin channel is chosen"),
        (SyntheticCrystal(), "up", "spin up of a model that knows no spin"),
    ],
)
def test_a_spin_that_contradicts_the_hamiltonian_is_one_sentence(model, spin, said):
    with pytest.raises(InputError, match=said):
        solve(model, spin=spin)


def test_a_channel_must_hold_whole_electrons():
    assert state_window(5, 16, settings(spin="up")).n_occupied == 5
    with pytest.raises(InputError, match=r"states.spin.*4.5 electrons of spin up do not fill whole bands"):
        state_window(4.5, 16, settings(spin="up"))
    with pytest.raises(InputError, match=r"377 valence electrons do not fill whole bands.*choose a channel"):
        state_window(377, 707, settings())


def test_states_of_a_data_set_are_those_of_a_model_with_its_matrices(dataset, tmp_path):
    out = tmp_path / "up.h5"
    kind = "{overlap: electron-translation-free}"
    arguments = ["of-dataset", str(dataset), "--out", str(out), "--couplings-settings", kind]
    chosen = "{spin: up, valence: 2, conduction: 2, margin: 1}"
    made = CliRunner().invoke(app, [*arguments, "--settings", chosen])
    assert made.exit_code == 0, made.output
    assert "spin up, frames 0..3" in made.output
    model = Magnet()
    wanted = solve_shard(
        moving_frames(4), model, model.overlap, settings(spin="up"), "electron-translation-free"
    )
    np.testing.assert_allclose(read_shard(out).energies, wanted.energies, atol=1e-10)
    np.testing.assert_allclose(np.abs(read_shard(out).overlap), np.abs(wanted.overlap), atol=1e-8)
    joined = ["assemble", str(out), "--out", str(tmp_path / "c.h5"), "--settings", kind]
    made = CliRunner().invoke(couplings_app, [*joined, "--states-settings", chosen])
    assert made.exit_code == 0, made.output
    assert read_couplings(tmp_path / "c.h5").spin == "up"


def test_what_a_data_set_cannot_give_is_one_sentence(dataset, tmp_path):
    model = FramesAsModel(dataset)
    with pytest.raises(InputError, match="no radial functions, so overlaps between two times are not known"):
        model.cross_overlap("exact")
    single = tmp_path / "single.h5"
    with create_dataset(single, code="siesta") as writer:
        writer.append(frames()[0], Magnet().basis, {})
    with pytest.raises(InputError, match="1 frames that are no series in time"):
        FramesAsModel(single).trajectory()
    closed = [Frame("a", moving_frames(2)[0], *SyntheticCrystal().predict(moving_frames(2)[0]), 8.0)]
    with pytest.raises(InputError, match=r"frame a.*its Hamiltonian has no spin channels"):
        project_frames(closed, Magnet().basis, settings(spin="up"))


def test_parity_of_a_channel_counts_its_own_electrons():
    model = Magnet()
    of_down = parity(frames(), model, model.overlap, CouplingsSettings(), settings(spin="down"), 1.0)
    assert of_down["mae_meV"] < 1e-7
    assert {tuple(row["states"]) for row in of_down["pairs"]} == {
        (i, j) for i in range(1, 5) for j in range(i + 1, 5)
    }
    moved = [replace(frame, spin=0.0) for frame in frames()]
    with pytest.raises(InputError, match="4 electrons in the data set, 3 in the model's basis"):
        parity(moved, model, model.overlap, CouplingsSettings(), settings(spin="down"), 1.0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"spin": 0.0}, "8 electrons with a total spin of 0, in the frames before it 8 electrons with a"),
        (
            {"n_electrons": 7.0, "charge": 1.0, "spin": 1.0},
            "7 electrons with a total spin of 1, in the frames",
        ),
    ],
)
def test_a_charge_or_moment_that_changes_along_the_frames_is_one_sentence(tmp_path, change, said):
    made = frames()
    made[2] = replace(made[2], **change)
    path = tmp_path / "changing.h5"
    with create_dataset(path, code="siesta", timestep_fs=1.0) as writer:
        for frame in made:
            writer.append(frame, Magnet().basis, {})
    with pytest.raises(InputError, match=rf"frame frame_2.*{said}") as caught:
        FramesAsModel(path).trajectory()
    assert "\n" not in str(caught.value)
    model = Magnet()
    with pytest.raises(InputError, match=rf"frame frame_2.*{said}"):
        parity(made, model, model.overlap, CouplingsSettings(), settings(spin="up"), 1.0)
    series = Series(1.0)
    series.add(made[1])
    with pytest.raises(InputError, match=said):
        series.check(made[2])
    # independent frames may differ
    Series(None).check(made[2])
