"""`n2amd states` and `n2amd couplings` from end to end, with the analytic crystal as model."""

import json
import sys
import types

import numpy as np
import pytest
from synthetic_crystal import SyntheticCrystal, cut, moving_frames
from test_shards import write_trajectory
from typer.testing import CliRunner

from n2amd.commands import analysis as analysis_command
from n2amd.commands import couplings as couplings_command
from n2amd.commands import dynamics as dynamics_command
from n2amd.commands import states as states_command
from n2amd.couplings.store import read_couplings
from n2amd.errors import InputError
from n2amd.states.store import read_shard

SETTINGS = '{"valence": 2, "conduction": 2, "margin": 2}'


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A model file that loads as the analytic crystal."""
    crystal = SyntheticCrystal()
    predict = types.ModuleType("n2amd.network.predict")
    predict.load_predictor = lambda path, device="cpu": crystal
    monkeypatch.setitem(sys.modules, "n2amd.network.predict", predict)
    path = tmp_path / "hamiltonian.pt"
    path.write_bytes(b"weights")
    return path


def run(app, *arguments):
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_from_a_trajectory_to_couplings(tmp_path, model):
    frames = moving_frames(9)
    trajectory = tmp_path / "trajectory.h5"
    write_trajectory(trajectory, frames)
    shards = []
    for k in range(3):
        shards.append(tmp_path / f"states/frames_{k}.h5")
        output = run(
            states_command.app,
            *("solve", "--trajectory", trajectory, "--model", model, "--settings", SETTINGS),
            *("--frames", f"{3 * k}-{3 * k + 2}", "--out", shards[-1]),
        )
        assert "mean gap" in output
    assert sorted(p.name for p in shards[0].parent.iterdir() if not p.name.startswith(".")) == [
        p.name for p in shards
    ]
    assert read_shard(shards[1]).info.start == cut(frames, 2, 5).start
    out = tmp_path / "couplings.h5"
    output = run(
        couplings_command.app,
        "assemble",
        *shards,
        "--states-settings",
        SETTINGS,
        "--trajectory",
        trajectory,
        "--out",
        out,
    )
    assert "VBM-CBM" in output
    couplings = read_couplings(out)
    assert couplings.n_frames == 9
    assert np.isfinite(couplings.nac).all()


def test_weights_from_the_states_to_populations_on_species(tmp_path, model):
    """The whole way on the command line: solve, assemble, hop, project."""
    frames = moving_frames(9)
    write_trajectory(tmp_path / "trajectory.h5", frames)
    settings = json.dumps(json.loads(SETTINGS) | {"projections": "shells", "partition": "loewdin"})
    shards = [tmp_path / f"shard_{k:04d}.h5" for k in range(3)]
    for k, shard in enumerate(shards):
        run(
            states_command.app,
            *("solve", "--trajectory", tmp_path / "trajectory.h5", "--model", model),
            *("--settings", settings, "--frames", f"{3 * k}-{3 * k + 2}", "--out", shard),
        )
    couplings = tmp_path / "couplings.h5"
    run(couplings_command.app, "assemble", *shards, "--states-settings", settings, "--out", couplings)
    said = run(
        analysis_command.app, "character", "--couplings", couplings, "--out", tmp_path / "character.json"
    )
    assert "VBM (band 3): F s" in said
    dynamics = '{"samples": 3, "trajectories": 20, "duration_fs": 20, "dephasing_time_fs": 4}'
    populations, table = tmp_path / "dish.h5", tmp_path / "species.csv"
    run(
        dynamics_command.app,
        *("run", "--couplings", couplings, "--settings", dynamics, "--out", populations),
    )
    run(
        analysis_command.app,
        *("populations", populations, "--project", "species", "--couplings", couplings, "--out", table),
    )
    values = np.loadtxt(table, delimiter=",", skiprows=1)
    assert table.read_text().startswith("time_fs,recombined,Li,F,recombined error")
    np.testing.assert_allclose(values[:, 1:4].sum(axis=1), 1, atol=1e-6)
    # the electron starts in the conduction band of the shallow species
    cbm = read_couplings(couplings).projection.weights[:, 2]
    deep = np.isin(np.arange(16) // 2, np.flatnonzero(frames.structure.numbers == 9))
    assert values[0, 3] == pytest.approx(cbm[:, deep].sum(axis=1).mean(), abs=0.05)


def test_a_missing_shard_stops_the_gathering(tmp_path, model):
    trajectory = tmp_path / "trajectory.h5"
    write_trajectory(trajectory, moving_frames(5))
    out = tmp_path / "shard_0001.h5"
    run(
        states_command.app,
        *("solve", "--trajectory", trajectory, "--model", model, "--settings", SETTINGS),
        *("--frames", "2-4", "--out", out),
    )
    with pytest.raises(InputError, match="frames 0 to 1 is missing"):
        run(
            couplings_command.app,
            *("assemble", out, "--states-settings", SETTINGS, "--out", tmp_path / "couplings.h5"),
        )
    assert not (tmp_path / "couplings.h5").exists()


def test_parity_of_a_data_set(tmp_path, model, monkeypatch):
    from test_parity import dft_frames

    from n2amd.storage import create_hdf5

    dataset = tmp_path / "md.h5"
    with create_hdf5(dataset, "dataset") as file:
        file.attrs.update({"consecutive": 1, "timestep_fs": 1.0, "n_frames": 4})
    monkeypatch.setattr("n2amd.dataset.store.read_frames", lambda path, indices=None: iter(dft_frames(4)))
    structures = [frame.structure for frame in dft_frames(4)]
    monkeypatch.setattr("n2amd.dataset.store.read_structures", lambda path: structures)
    arguments = ("--dataset", dataset, "--model", model, "--states-settings", SETTINGS)
    output = run(couplings_command.app, "parity", *arguments, "--out", tmp_path / "nac_parity.json")
    assert "VBM-CBM" in output
    document = json.loads((tmp_path / "nac_parity.json").read_text())
    assert document["mae_meV"] < 1e-9
    assert {"pairs", "mae_meV", "rms_dft_meV", "by_gap", "gap_edge", "n_frames", "provenance"} <= set(
        document
    )


def test_parity_refuses_independent_frames(tmp_path, model):
    from n2amd.storage import create_hdf5

    dataset = tmp_path / "train.h5"
    with create_hdf5(dataset, "dataset") as file:
        file.attrs.update({"consecutive": 0, "timestep_fs": 0.0, "n_frames": 4})
    with pytest.raises(InputError, match="not consecutive"):
        run(
            couplings_command.app,
            *("parity", "--dataset", dataset, "--model", model, "--out", tmp_path / "nac_parity.json"),
        )
