"""The real thing, small: Allegro on DFT frames, killed in mid-training, then molecular dynamics."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ase.io import read
from scipy.spatial.transform import Rotation

from n2amd.config.trajectory import TrajectorySettings
from n2amd.forcefield.calculator import load_forcefield
from n2amd.interop.structures import read_structure
from n2amd.storage import read_json
from n2amd.trajectory.file import read_trajectory
from n2amd.trajectory.md import MolecularDynamics

pytestmark = pytest.mark.slow

EPOCHS = 12
SETTINGS = json.dumps({"preset": "test", "max_epochs": EPOCHS})


def n2amd(*arguments, **options) -> subprocess.Popen:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "n2amd.cli", *map(str, arguments)]
    return subprocess.Popen(command, env=environment, text=True, **options)


def training(dataset: Path, folder: Path, **options) -> subprocess.Popen:
    return n2amd(
        *("forcefield", "train", "--dataset", dataset, "--settings", SETTINGS),
        *("--out", folder / "forcefield.model", "--report", folder / "forcefield.json"),
        *("--workdir", folder / "work"),
        **options,
    )


def epochs(folder: Path) -> list[dict]:
    history = folder / "work/run/history.jsonl"
    lines = history.read_text().split("\n") if history.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def alive_in(session: int) -> list[int]:
    """Return the processes of a session that have not ended."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                state, _, _, theirs = (folder / "stat").read_text().rsplit(")", 1)[1].split()[:4]
            except OSError:
                continue
            if int(theirs) == session and state != "Z":
                found.append(int(folder.name))
    return found


@pytest.fixture(scope="module")
def killed(dataset, tmp_path_factory) -> Path:
    """A training that was killed at its fifth epoch, and then resumed to its end."""
    folder = tmp_path_factory.mktemp("killed")
    run = training(dataset, folder, start_new_session=True, stderr=subprocess.DEVNULL)
    while len(epochs(folder)) < 5:
        assert run.poll() is None
        time.sleep(0.02)
    assert len(alive_in(run.pid)) > 1  # ours and nequip's
    os.kill(run.pid, signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    for _ in range(500):
        if not alive_in(run.pid):
            break
        time.sleep(0.02)
    assert not alive_in(run.pid), "nequip-train outlived its parent"
    assert len(epochs(folder)) < EPOCHS
    assert not (folder / "forcefield.model").exists()
    resumed = training(dataset, folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    output, errors = resumed.communicate()
    assert resumed.returncode == 0, errors
    assert "force MAE" in output
    assert f"epoch {EPOCHS}/{EPOCHS}" in errors
    return folder


@pytest.fixture(scope="module")
def forcefield(killed) -> Path:
    return killed / "forcefield.model"


def test_a_killed_training_ends_as_one_that_ran_through(killed, dataset, tmp_path):
    assert "ckpt_path" not in (killed / "work/run/config.yaml").read_text()
    assert "Restored all states" in (killed / "work/run/train.log").read_text()
    whole = training(dataset, tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _, errors = whole.communicate()
    assert whole.returncode == 0, errors
    expected, found = (read_json(folder / "forcefield.json") for folder in (tmp_path, killed))
    for name in ("history", "test", "parity", "split", "preset"):
        assert found[name] == expected[name], name


def test_the_report(killed):
    report = read_json(killed / "forcefield.json")
    assert {
        *("model", "compiled", "device", "cutoff_A", "species", "history", "split", "preset"),
        *("test", "parity", "further_test", "settings", "seed", "versions", "provenance"),
    } == set(report)
    assert report["model"] == "forcefield.model"
    assert report["species"] == ["O", "Ti"]
    assert report["history"]["epoch"] == list(range(EPOCHS))
    assert report["preset"]["max_epochs"] == EPOCHS
    errors = report["test"]
    assert errors["n_frames"] == len(report["split"]["test"]) == 1
    found = np.array(report["parity"]["force_model_eV_A"])
    difference = np.abs(found - report["parity"]["force_dft_eV_A"])
    assert len(difference) == 18
    assert errors["force_mae_meV_per_A"] == pytest.approx(1e3 * difference.mean())
    # it has learned something: no force at all would be off by the mean of |F|
    assert difference.mean() < np.abs(report["parity"]["force_dft_eV_A"]).mean()
    assert 0 < errors["energy_mae_meV_per_atom"] < 200


def test_energies_do_not_see_rotation_translation_or_order(forcefield, rutile_file):
    loaded = load_forcefield(forcefield)
    assert (loaded.species, loaded.cutoff_A, loaded.kind, loaded.device) == (
        ("O", "Ti"),
        4.0,
        "packaged",
        "cpu",
    )
    atoms = read(rutile_file) * (2, 1, 2)
    atoms.rattle(0.1, seed=1)

    def evaluated(changed):
        changed.calc = loaded.calculator
        return changed.get_potential_energy(), changed.get_forces()

    energy, forces = evaluated(atoms)
    rotation = Rotation.random(random_state=3).as_matrix()
    turned = atoms.copy()
    turned.set_cell(atoms.cell.array @ rotation.T)
    turned.positions = atoms.positions @ rotation.T + [0.3, -1.2, 4.5]
    mirrored = atoms.copy()
    mirrored.set_cell(-atoms.cell.array)
    mirrored.positions *= -1
    order = np.random.default_rng(0).permutation(len(atoms))
    # float32 network
    for changed, expected in (
        (turned, forces @ rotation.T),
        (mirrored, -forces),
        (atoms[order], forces[order]),
    ):
        found = evaluated(changed)
        assert found[0] == pytest.approx(energy, abs=2e-5 * len(atoms))
        np.testing.assert_allclose(found[1], expected, rtol=0, atol=2e-5)
    assert evaluated(atoms * (1, 2, 1))[0] == pytest.approx(2 * energy, abs=4e-5 * len(atoms))


def test_forces_are_the_gradient(forcefield, rutile_file):
    atoms = read(rutile_file)
    atoms.rattle(0.1, seed=2)
    atoms.calc = load_forcefield(forcefield).calculator
    force = atoms.get_forces()[3, 1]
    energies = []
    for step in (-0.02, 0.02):
        atoms.positions[3, 1] += step
        energies.append(atoms.get_potential_energy())
        atoms.positions[3, 1] -= step
    assert force == pytest.approx((energies[0] - energies[1]) / 0.04, abs=0.02)


def test_twenty_steps_of_molecular_dynamics(forcefield, rutile_file, tmp_path):
    settings = {"equilibration_steps": 10, "frames": 11, "max_temperature_ratio": 10.0}
    run = n2amd(
        *("trajectory", "run", "--structure", rutile_file, "--supercell", "1x1x2"),
        *("--forcefield", forcefield, "--settings", json.dumps(settings)),
        *("--out", tmp_path / "trajectory.h5", "--workdir", tmp_path / "work"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    output, errors = run.communicate()
    assert run.returncode == 0, errors
    assert "11 frames of 12 atoms" in output
    found = read_trajectory(tmp_path / "trajectory.h5")
    assert found.attributes["material"] == "TiO2"
    assert found.frames.positions.shape == (11, 12, 3)
    assert np.ptp(found.frames.conserved) < 0.1 * found.frames.kinetic_energy.mean()


def test_molecular_dynamics_resumes_to_the_same_bits(forcefield, rutile_file, tmp_path):
    cell = read_structure(rutile_file)
    settings = TrajectorySettings(
        equilibration_steps=6, frames=9, checkpoint_every=3, max_temperature_ratio=10.0
    )

    def positions(folder, *lengths):
        # each length by itself, with the model loaded afresh
        for frames in lengths:
            asked = settings.model_copy(update={"frames": frames})
            dynamics = MolecularDynamics(cell, load_forcefield(forcefield).calculator, asked, folder)
            dynamics.run()
        return np.concatenate([block.positions for block in dynamics.blocks()])

    np.testing.assert_array_equal(positions(tmp_path / "a", 9), positions(tmp_path / "b", 2, 5, 9))
