"""`n2amd couplings assemble`, `parity` and `states solve` on files that are damaged field by field."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from synthetic_crystal import SyntheticCrystal, in_shards, moving_frames
from test_shards import write_trajectory
from typer.testing import CliRunner

from edited import SEALS, edited
from n2amd.commands import couplings
from n2amd.config.states import StatesSettings
from n2amd.errors import InputError
from n2amd.states.shards import solve_shard
from n2amd.states.store import write_shard
from n2amd.trajectory.slice import read_slice

SETTINGS = '{"valence": 2, "conduction": 2, "margin": 2}'
FOR_PEOPLE = ("created_by", "created_at", "config_sha256", "inputs_sha256", "inputs", "cpu_seconds")
# older shards have none; a shift is no number where no states were counted
YOUNGER = ("no solver", "no geometry", "no inertia", "no coefficient_norms", "nan shift")


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder, crystal, frames = tmp_path_factory.mktemp("shards"), SyntheticCrystal(), moving_frames(7)
    files = []
    for k, part in enumerate(in_shards(frames, 2)):
        chosen = StatesSettings.model_validate_json(SETTINGS)
        files.append(folder / f"shard_{k:04d}.h5")
        write_shard(files[-1], solve_shard(part, crystal, crystal.overlap, chosen, "exact"))
    return files


def refused(files, out) -> str | None:
    arguments = ["assemble", *map(str, files), "--states-settings", SETTINGS, "--out", str(out)]
    done = CliRunner().invoke(couplings.app, arguments)
    if done.exit_code == 0:
        return None
    assert isinstance(done.exception, InputError), repr(done.exception)
    assert not out.exists()
    return str(done.exception)


def put(name, change):
    def apply(file):
        values = file[name][()]
        del file[name]
        file[name] = change(values)

    return apply


def put_attribute(name, value):
    return lambda file: file.attrs.__setitem__(name, value)


def in_frame(number, factor):
    def apply(values):
        values = values.copy()
        values[number] = factor * values[number]
        return values

    return apply


@pytest.mark.parametrize(
    ("change", "said"),
    [
        # the second shard begins at frame 3
        (put("overlap", in_frame(1, 2.7)), "frame 4, field 'overlap': a singular value is 2.69"),
        (put("overlap", lambda x: x[:-1]), "field 'overlap': has shape (2, 8, 8)"),
        (put("overlap", in_frame(1, np.nan)), "frame 1, field 'overlap': not a finite number"),
        (put("energies", lambda x: x[:, ::-1]), "frame 3, field 'energies': levels do not ascend"),
        (put("energies", lambda x: x[:, :-1]), "field 'band_index': has shape (8,)"),
        (put("energies", lambda x: x[:-1]), "field 'energies': has shape (3, 8)"),
        (put("energies", lambda x: x + 1j), "field 'energies': the numbers are complex"),
        (put("band_index", lambda x: x[::-1]), "field 'band_index': bands ["),
        (put("band_index", lambda x: x + 20), "field 'band_index': bands ["),
        (put("first_coefficients", lambda x: x[:-1]), "field 'first_coefficients': has shape"),
        (put_attribute("timestep_fs", 0.0), "field 'timestep_fs': 0 is not positive"),
        (put_attribute("timestep_fs", -1.0), "field 'timestep_fs': -1 is not positive"),
        (put_attribute("n_occupied", 2.5), "field 'n_occupied': 2.5 is not a whole number"),
        (put_attribute("stop", 2), "field 'start, stop': frames 3 to 2"),
        (put_attribute("valence", 0), "field 'band_index': bands ["),
        (put_attribute("overlap_kind", "mean"), "field 'overlap_kind': 'mean' is none of exact"),
        (put_attribute("kpoint", [0.0, 0.0]), "field 'kpoint': [0.0, 0.0] is not 3 numbers"),
    ],
)
def test_wrong_shards_are_told(shards, tmp_path, change, said):
    file = tmp_path / "damaged.h5"
    shutil.copy(shards[1], file)
    with edited(file) as source:
        change(source)
    sentence = refused([shards[0], file], tmp_path / "couplings.h5")
    assert sentence is not None
    assert sentence.startswith(str(file))
    assert said in sentence


def test_no_field_of_a_shard_that_is_damaged_gives_a_traceback(shards, tmp_path):
    with h5py.File(shards[1]) as source:
        attributes, names = sorted(set(source.attrs) - SEALS), list(source)
    changes = {f"no {name}": lambda f, n=name: f.attrs.__delitem__(n) for name in attributes}
    changes |= {f"odd {name}": put_attribute(name, np.array([2.5, 7.5])) for name in attributes}
    for name in names:
        changes[f"no {name}"] = lambda f, n=name: f.__delitem__(n)
        for kind, value in {
            "text": lambda x: "text",
            "single": lambda x: 1.0,
            "empty": lambda x: x[:0],
            "nan": lambda x: x * np.nan,
            "deeper": lambda x: x[None],
        }.items():
            changes[f"{kind} {name}"] = put(name, value)
    file = tmp_path / "damaged.h5"
    for name, change in changes.items():
        shutil.copy(shards[1], file)
        with edited(file) as source:
            change(source)
        sentence = refused([shards[0], file], tmp_path / "couplings.h5")
        told = sentence is not None and str(file) in sentence
        # who wrote a file, and when, is for people
        assert told or name in YOUNGER or name.split()[1] in FOR_PEOPLE, (name, sentence)
        (tmp_path / "couplings.h5").unlink(missing_ok=True)


@pytest.mark.parametrize("step", [0.0, -1.0, float("nan"), "1 fs"])
def test_trajectories_need_a_time_step(tmp_path, step):
    file = tmp_path / "trajectory.h5"
    write_trajectory(file, moving_frames(4))
    assert read_slice(file).timestep_fs == 1.0
    with edited(file) as source:
        source.attrs["timestep_fs"] = step
    with pytest.raises(InputError, match=r"field 'timestep_fs': .* is (not positive|no number)"):
        read_slice(file)


def test_positions_of_another_shape_are_told(tmp_path: Path) -> None:
    file = tmp_path / "trajectory.h5"
    write_trajectory(file, moving_frames(4))
    with edited(file) as source:
        put("positions", lambda x: x[:, :-1])(source)
    with pytest.raises(InputError, match=r"'positions': has shape \(4, 7, 3\) of float64, where 8 atoms"):
        read_slice(file)
