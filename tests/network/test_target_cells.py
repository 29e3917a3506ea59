"""What is said of cells that a model was not trained for, and from which commands."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from n2amd.commands.config import app as config_app
from n2amd.config.hamiltonian import HamiltonianSettings
from n2amd.dft.siesta.frame import read_frame, read_geometry
from n2amd.errors import InputError
from n2amd.ingestion.offer import structures_of_frames
from n2amd.network.cells import CellGroup, TrainingCells
from n2amd.network.target_cells import cells_to_come, judge_target, judge_trajectory, training_cells
from n2amd.structure import Structure

ROOT = Path(__file__).resolve().parents[2]
TIO2 = ROOT / "resources/tio2-honpas"
UNIT = Structure(4.0 * np.eye(3), np.array([[0.0, 0, 0], [2, 2, 2]]), np.array([14, 14]))


def rattled(cell: Structure, seeds: range, width: float = 0.1) -> list[Structure]:
    draws = (np.random.default_rng(k).normal(scale=width, size=cell.positions.shape) for k in seeds)
    return [cell.with_positions(cell.positions + d) for d in draws]


def kinds(target: Structure, frames: list[Structure]) -> list[str]:
    return [f.kind for f in judge_target("a", target, TrainingCells.of_structures(frames), UNIT.n_atoms)]


def test_longest_wave_and_number_of_frames_are_told_apart():
    double, cube = UNIT.supercell((1, 1, 2)), UNIT.supercell((2, 2, 2))
    assert kinds(cube, rattled(UNIT, range(9))) == ["extrapolation", "too little data"]
    # waves as long in one direction are enough for the first, six frames of two cells for the second
    assert kinds(cube, rattled(double, range(6))) == []
    assert kinds(cube, rattled(double, range(5))) == ["too little data"]
    assert kinds(UNIT.supercell((2, 2, 3)), rattled(double, range(6))) == ["extrapolation"]
    # a cell as small as the trained ones needs no larger ones
    assert kinds(UNIT, rattled(UNIT, range(3))) == []
    # thermal strain is no longer wave
    assert (
        kinds(Structure(1.02 * double.cell, double.positions, double.numbers), rattled(double, range(6)))
        == []
    )


def test_moments_of_one_trajectory_count_once():
    cube = UNIT.supercell((2, 2, 2))
    (start,) = rattled(cube, range(1))
    assert kinds(cube, [*rattled(cube, range(1, 5)), *rattled(start, range(20), 0.01)]) == ["too little data"]


def test_sentence_has_numbers_and_remedy():
    cells = TrainingCells((CellGroup(2, 9, 9, 2 * np.pi / 4),), frozenset())
    waves, few = map(str, judge_target("3x3x3", UNIT.supercell((3, 3, 3)), cells, 2))
    assert "3x3x3 (54 atoms) has a shortest reciprocal vector of 0.52 1/A" in waves
    assert "up to 2 atoms) none below 1.57 1/A" in waves
    assert "0 independent training frames have 4 atoms or more" in few
    for sentence in (waves, few):
        assert "`n2amd hamiltonian select`" in sentence
        assert "`n2amd hamiltonian densities`" in sentence


def test_unit_cell_of_a_trajectory_is_that_of_its_label():
    cube = UNIT.supercell((2, 2, 2))
    cells = TrainingCells.of_structures(rattled(UNIT.supercell((1, 1, 2)), range(6)))
    assert judge_trajectory("2x2x2", cube, cells) == []
    # of an unknown label: the smallest cell trained on, 4 atoms, twice that is 8
    assert [f.kind for f in judge_trajectory("md", cube, cells)] == ["too little data"]


def test_held_out_frames_do_not_train():
    settings = HamiltonianSettings(validation_fraction=0.1, test_fraction=0.1)
    cells = training_cells(rattled(UNIT, range(10)), settings, rattled(UNIT.supercell((1, 1, 2)), range(3)))
    assert [(g.n_atoms, g.n_frames) for g in cells.groups] == [(2, 8), (4, 3)]
    assert cells_to_come(UNIT, 10, settings).groups == (CellGroup(2, 8, 8, pytest.approx(2 * np.pi / 4)),)


def test_geometry_of_a_run_is_that_of_the_whole_frame():
    folders = [TIO2 / "TiO2_6_train" / f"frame_{k:04d}" for k in (2, 1)]
    for folder, found in zip(folders, structures_of_frames(folders, "honpas", None)):
        whole = read_frame(folder)[0].structure
        np.testing.assert_array_equal(found.numbers, whole.numbers)
        np.testing.assert_allclose(found.positions, whole.positions, atol=1e-5)
        np.testing.assert_allclose(found.cell, whole.cell, atol=1e-5)
        np.testing.assert_array_equal(read_geometry(folder).positions, found.positions)


def test_config_check_warns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    job = yaml.safe_load((ROOT / "config/test.yaml").read_text())
    source = job["materials"]["TiO2"]["functionals"]["pbe"]
    source.pop("trajectory_paths", None)
    # six-atom frames alone; each is read without its matrices
    folder = tmp_path / "frames"
    for k in range(4):
        shutil.copytree(TIO2 / "TiO2_6_train" / f"frame_{k:04d}", folder / f"frame_{k:04d}")
    for shared in (f for f in (TIO2 / "TiO2_6_train").iterdir() if f.is_file()):
        shutil.copy(shared, folder)
    source["paths"] = [str(folder)]
    said = {}
    for supercells in (["1x1x1"], ["1x1x1", "3x3x4"]):
        job["supercells"] = supercells
        (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
        done = CliRunner().invoke(config_app, ["check", str(tmp_path / "job.yaml")])
        assert done.exit_code == 0, done.output
        said[len(supercells)] = done.stderr.splitlines()
    assert said[1] == []
    assert len(said[2]) == 2
    assert said[2][0].startswith("warning: materials.TiO2.functionals.pbe: supercell 3x3x4 (216 atoms)")
    assert "0 independent training frames have 12 atoms" in said[2][1]


def said_of_cells(stderr: str) -> list[str]:
    """The lines but that of a program which this machine has not."""
    return [line for line in stderr.splitlines() if "is not installed" not in line]


def test_frames_to_come_are_judged_by_their_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    job = yaml.safe_load((ROOT / "config/studies/si-from-dft.yaml").read_text())
    counts = []
    for supercell in ("1x1x1", "2x2x2"):
        job["materials"]["Si"]["functionals"]["pbe"]["structures"]["supercell"] = supercell
        (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
        done = CliRunner().invoke(config_app, ["check", str(tmp_path / "job.yaml")])
        assert done.exit_code == 0, done.output
        counts.append(len(said_of_cells(done.stderr)))
    assert counts == [2, 0]


def test_frames_of_active_learning_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Small cells to begin with, and two rounds in the cell that the carriers will be in."""
    monkeypatch.chdir(ROOT)
    job = yaml.safe_load((ROOT / "config/studies/si-from-dft.yaml").read_text())
    job["hamiltonian"]["model"] = "auto"
    counts = []
    for frames in (3, 4):
        loop = {"rounds": 2, "frames": frames, "supercell": "2x2x2"}
        job["materials"]["Si"]["functionals"]["pbe"]["active_learning"] = loop
        (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
        done = CliRunner().invoke(config_app, ["check", str(tmp_path / "job.yaml")])
        assert done.exit_code == 0, done.output
        counts.append(len(said_of_cells(done.stderr)))
    assert counts == [1, 0]


@pytest.mark.parametrize(
    ("model", "label_by", "message"),
    [
        ("auto", "folder", "hse06 is learned by a network of atom pairs, which has no doubt"),
        ("density+pair", "scf", "the self-consistent cycle has no exact exchange, which hse06 needs"),
        ("density+pair", "folder", None),
    ],
)
def test_rounds_of_a_hybrid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, label_by: str, message: str | None
):
    monkeypatch.chdir(ROOT)
    job = yaml.safe_load((ROOT / "config/test.yaml").read_text())
    functionals = job["materials"]["TiO2"]["functionals"]
    functionals["hse06"] = functionals.pop("pbe") | {"active_learning": {"rounds": 1, "label_by": label_by}}
    job["hamiltonian"]["model"] = model
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
    done = CliRunner().invoke(config_app, ["check", "--no-frames", str(tmp_path / "job.yaml")])
    if message is None:
        assert done.exit_code == 0, done.output
    else:
        assert isinstance(done.exception, InputError)
        assert message in str(done.exception)
