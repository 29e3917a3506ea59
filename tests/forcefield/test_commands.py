"""`n2amd trajectory`, with springs for a force field."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from ase.io import read
from springs import Springs, copper, not_finite_from

from n2amd import cli
from n2amd.forcefield.calculator import ForceField
from n2amd.interop.extxyz import LabelledFrame, write_extxyz
from n2amd.interop.structures import read_structure
from n2amd.trajectory.file import read_trajectory

SETTINGS = {"equilibration_steps": 20, "frames": 12, "timestep_fs": 2.0, "checkpoint_every": 5}


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    """A unit cell of copper, and a file that loads as springs for its 2x2x2 supercell."""
    structure = tmp_path / "Cu.vasp"
    copper(1).to_ase().write(structure)
    forcefield = tmp_path / "forcefield.model"
    forcefield.write_bytes(b"springs")
    cell = read_structure(structure).supercell((2, 2, 2))
    loaded = ForceField(Springs(cell), ("Cu",), 3.0, "packaged", "cpu")
    monkeypatch.setattr("n2amd.forcefield.calculator.load_forcefield", lambda path: loaded)
    return {"structure": structure, "supercell": "2x2x2", "forcefield": forcefield}


@pytest.fixture
def n2amd(monkeypatch, capsys):
    """Run the command line in this process; return exit code, output, errors."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["n2amd", *map(str, arguments)])
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.fixture
def trajectory_run(n2amd, inputs, tmp_path):
    def run(settings=None, **changes):
        options = {**inputs, "out": tmp_path / "trajectory.h5", "workdir": tmp_path / "work", **changes}
        given = [part for name, value in options.items() for part in (f"--{name}", value)]
        return n2amd("trajectory", "run", *given, "--settings", json.dumps({**SETTINGS, **(settings or {})}))

    return run


def refusal(result) -> str:
    """Return the one sentence of a command that refused its input."""
    code, _, errors = result
    assert code == 2, errors
    last = errors.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert "Traceback" not in errors
    return last


def test_run_info_export(trajectory_run, n2amd, tmp_path):
    code, output, errors = trajectory_run()
    assert code == 0, errors
    assert "12 frames of 32 atoms" in output
    assert "trajectory: frame 12/12" in errors
    file = tmp_path / "trajectory.h5"
    found = read_trajectory(file)
    assert found.frames.positions.shape == (12, 32, 3)
    assert {"material": "Cu", "supercell": "2x2x2", "seed": 1}.items() <= found.attributes.items()
    assert found.attributes["mean_temperature_K"] == pytest.approx(found.frames.temperature.mean())
    assert "n_frames                     12" in n2amd("trajectory", "info", file)[1]
    assert n2amd("trajectory", "export", file, "--out", tmp_path / "t.extxyz")[0] == 0
    assert len(read(tmp_path / "t.extxyz", index=":")) == 12


def test_a_second_run_gives_the_same_frames(trajectory_run, tmp_path):
    trajectory_run()
    first = read_trajectory(tmp_path / "trajectory.h5").frames.positions
    trajectory_run()
    trajectory_run(workdir=tmp_path / "other", out=tmp_path / "other.h5")
    for file in ("trajectory.h5", "other.h5"):
        assert (read_trajectory(tmp_path / file).frames.positions == first).all()


def test_an_unknown_element(trajectory_run, rutile_file, tmp_path):
    said = refusal(trajectory_run(structure=rutile_file))
    assert "rutile.vasp" in said
    assert "does not know O (it knows Cu)" in said
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("supercell", ["2x2", "0x2x2", "2x2x2.5", "two"])
def test_a_bad_supercell(trajectory_run, supercell):
    assert f"'{supercell}' is not a supercell" in refusal(trajectory_run(supercell=supercell))


def test_a_missing_structure(trajectory_run, tmp_path):
    said = refusal(trajectory_run(structure=tmp_path / "none.vasp"))
    assert said.endswith("none.vasp: the structure file does not exist; check the path")


def test_a_misspelt_setting(trajectory_run):
    assert "there is no such option" in refusal(trajectory_run({"timestep": 1.0}))


def test_a_trajectory_that_blows_up(trajectory_run, inputs, tmp_path, monkeypatch):
    cell = read_structure(inputs["structure"]).supercell((2, 2, 2))
    loaded = ForceField(Springs(cell, not_finite_from(30)), ("Cu",), 3.0, "packaged", "cpu")
    monkeypatch.setattr("n2amd.forcefield.calculator.load_forcefield", lambda path: loaded)
    said = refusal(trajectory_run())
    assert "blew up at frame 9: positions or velocities are not finite" in said
    assert (tmp_path / "work/failed.extxyz").exists()
    assert not (tmp_path / "trajectory.h5").exists()


def test_a_trajectory_that_drifts(trajectory_run, tmp_path):
    said = refusal(trajectory_run({"frames": 120, "max_drift_meV_per_atom_per_ps": 1e-6}))
    assert "the conserved energy drifts by" in said
    assert not (tmp_path / "trajectory.h5").exists()
    # its frames are kept: a wider bound needs no new motion
    assert trajectory_run({"frames": 120})[0] == 0


def test_a_file_that_is_no_force_field(n2amd, rutile_file, tmp_path):
    out = tmp_path / "trajectory.h5"
    result = n2amd(
        *("trajectory", "run", "--structure", rutile_file, "--supercell", "1x1x1"),
        *("--forcefield", rutile_file, "--out", out, "--workdir", tmp_path / "work"),
    )
    assert "not a force field" in refusal(result)


def test_training_on_a_missing_data_set(n2amd, tmp_path):
    result = n2amd(
        *("forcefield", "train", "--dataset", tmp_path / "none.h5", "--out", tmp_path / "m.model"),
        *("--report", tmp_path / "m.json", "--workdir", tmp_path / "work"),
    )
    assert "none.h5: the file does not exist" in refusal(result)


@pytest.fixture
def spring_frames(inputs, tmp_path, monkeypatch):
    """Displaced frames of the supercell, labelled by the springs that load as the force field."""
    cell = read_structure(inputs["structure"]).supercell((2, 2, 2))
    loaded = ForceField(Springs(cell), ("Cu",), 3.0, "packaged", "cpu")
    for module in ("evaluation", "phonons"):
        monkeypatch.setattr(f"n2amd.forcefield.{module}.load_forcefield", lambda path, device: loaded)
    rng = np.random.default_rng(7)
    frames = []
    for number in range(5):
        structure = cell.with_positions(cell.positions + 0.03 * rng.normal(size=(32, 3)))
        atoms = structure.to_ase()
        atoms.calc = Springs(cell)
        forces = atoms.get_forces() + 0.01
        energy = atoms.get_potential_energy() + 32 * 0.002
        frames.append(LabelledFrame(f"frame {number}", structure, energy, forces))
    file = tmp_path / "frames.extxyz"
    write_extxyz(file, frames)
    return file


def test_errors_on_frames_without_matrices(n2amd, inputs, spring_frames, tmp_path):
    options = ["--forcefield", inputs["forcefield"], "--out", tmp_path / "errors.json"]
    code, output, errors = n2amd("forcefield", "evaluate", "--frames", spring_frames, *options)
    assert code == 0, errors
    assert "frames.extxyz: 5 frames: energy MAE 2.00 meV/atom, force MAE 10.0 meV/A" in output
    report = json.loads((tmp_path / "errors.json").read_text())
    assert report["files"][0]["n_atoms"] == [32, 32]
    assert report["test"]["force_mae_meV_per_A"] == pytest.approx(10.0, abs=1e-3)


def test_nothing_to_judge_on(n2amd, inputs, tmp_path):
    result = n2amd(
        "forcefield", "evaluate", "--forcefield", inputs["forcefield"], "--out", tmp_path / "errors.json"
    )
    assert "no frames to judge on; pass --dataset or --frames" in refusal(result)


def test_phonons_of_a_force_field_and_its_trajectory(n2amd, inputs, spring_frames, trajectory_run, tmp_path):
    assert trajectory_run({"frames": 120})[0] == 0
    options = {**inputs, "frames": spring_frames, "trajectory": tmp_path / "trajectory.h5"}
    given = [part for name, value in options.items() for part in (f"--{name}", value)]
    code, output, errors = n2amd("forcefield", "phonons", *given, "--out", tmp_path / "phonons.json")
    assert code == 0, errors
    assert "5 frames, 93 modes: rms difference from DFT 0.0 cm^-1" in output
    report = json.loads((tmp_path / "phonons.json").read_text())
    assert report["trajectory"]["overlap"] > 0.7
    figure = tmp_path / "phonons.svg"
    code, _, errors = n2amd(
        "analysis", "figures", tmp_path / "phonons.json", "--what", "phonons", "--out", figure
    )
    assert code == 0, errors
    assert "force field's modes" in figure.read_text()


def test_phonons_where_dft_has_no_forces_of_the_supercell(
    n2amd, inputs, spring_frames, trajectory_run, tmp_path
):
    assert trajectory_run({"frames": 120})[0] == 0
    other = {**inputs, "supercell": "1x1x1", "frames": spring_frames}
    given = [part for name, value in other.items() for part in (f"--{name}", value)]
    out = tmp_path / "phonons.json"
    result = n2amd("forcefield", "phonons", *given, "--out", out)
    assert "nothing to compare; pass DFT frames of 1x1x1, or a trajectory" in refusal(result)

    code, output, errors = n2amd(
        "forcefield", "phonons", *given, "--trajectory", tmp_path / "trajectory.h5", "--out", out
    )
    assert code == 0, errors
    assert "no DFT frame of 1x1x1: the trajectory alone" in output
    report = json.loads(out.read_text())
    assert report["n_frames"] == 0
    assert set(report["trajectory"]) == {"wave_number_cm", "density", "resolution_cm"}
    figure = tmp_path / "phonons.svg"
    assert n2amd("analysis", "figures", out, "--what", "phonons", "--out", figure)[0] == 0
    assert "no DFT forces of this cell" in figure.read_text()


def test_phonons_of_too_few_frames_are_those_of_the_trajectory_alone(
    n2amd, inputs, spring_frames, trajectory_run, tmp_path
):
    assert trajectory_run({"frames": 120})[0] == 0
    # planes of atoms move against each other: the images of one such mode are few
    cell = read_structure(inputs["structure"]).supercell((2, 2, 2))
    plane = np.rint(cell.positions[:, 0] / (cell.cell[0, 0] / 4))
    moved = cell.positions + 0.03 * (-1.0) ** plane[:, None] * np.eye(3)[0]
    one = LabelledFrame("mode", cell.with_positions(moved), 0.0, np.zeros((32, 3)))
    write_extxyz(tmp_path / "one.extxyz", [one])
    options = {**inputs, "frames": tmp_path / "one.extxyz"}
    given = [part for name, value in options.items() for part in (f"--{name}", value)]
    out = tmp_path / "phonons.json"
    assert "1 displaced frames reach" in refusal(n2amd("forcefield", "phonons", *given, "--out", out))

    code, output, errors = n2amd(
        "forcefield", "phonons", *given, "--trajectory", tmp_path / "trajectory.h5", "--out", out
    )
    assert code == 0, errors
    assert "not compared with DFT: 1 displaced frames reach" in output
    report = json.loads(out.read_text())
    assert (report["n_frames"], report["dft_cm"]) == (0, [])
    figure = tmp_path / "phonons.svg"
    assert n2amd("analysis", "figures", out, "--what", "phonons", "--out", figure)[0] == 0
    assert "1 displaced frames reach" in figure.read_text()
