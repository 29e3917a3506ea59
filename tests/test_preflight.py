"""`n2amd config check` opens all that a job names, and tells every fault at once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner, Result

from n2amd.commands.config import app
from n2amd.interop.structures import read_structure

ROOT = Path(__file__).resolve().parents[1]
TIO2 = ROOT / "resources/tio2-honpas"
Check = Callable[..., list[str]]


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Check the test job with changes, in a folder with its data; return all sentences."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "resources").symlink_to(ROOT / "resources")

    def run(change: Callable[[dict[str, Any], dict[str, Any]], None], *options: str) -> list[str]:
        job = yaml.safe_load((ROOT / "config/test.yaml").read_text())
        material = job["materials"]["TiO2"]
        change(job, material["functionals"]["pbe"])
        (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
        return sentences(CliRunner().invoke(app, ["check", "job.yaml", *options]))

    return run


def sentences(done: Result) -> list[str]:
    if done.exception is None:
        return done.output.splitlines()
    assert hasattr(done.exception, "sentences"), done.exception
    return [*done.output.splitlines(), *done.exception.sentences]


def of_structure(tmp_path: Path, text: str) -> Callable[[dict, dict], None]:
    (tmp_path / "cell.vasp").write_text(text)
    return lambda job, pbe: job["materials"]["TiO2"].update(structure="cell.vasp")


def poscar(a: float = 4.0, second: float = 0.5, elements: str = "Ti O", third: str = "0 0 4") -> str:
    return f"x\n1.0\n{a} 0 0\n0 {a} 0\n{third}\n{elements}\n1 1\nDirect\n0 0 0\n{second} {second} {second}\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (poscar(second=0.001), "field 'positions': atoms Ti 0 and O 1 are 0.01 A apart: they overlap"),
        (poscar(second=0.999), "are 0.01 A apart: they overlap"),
        (poscar(second=0.0), "are 0.00 A apart: they overlap"),
        (poscar(a=1.0), "atoms Ti 0 and Ti 0 are 1.00 A apart"),
        (poscar(a=0.5), "A^3 an atom, less than 1.5"),
        (poscar(third="8 0 0.01"), "field 'cell': the lattice vectors nearly lie in a plane"),
        (poscar(elements="Ti Xx"), "'Xx' in line 6 is no element"),
        (poscar(elements="Ti Au"), "the structure holds Au, of which no DFT frame has an atom"),
        ("nonsense", "not a POSCAR"),
        ("", "not a POSCAR"),
    ],
)
def test_a_structure_that_is_none(check: Check, tmp_path: Path, text: str, sentence: str) -> None:
    said = check(of_structure(tmp_path, text))
    assert any(sentence in line for line in said), said


def test_many_faults_are_told_at_once(check: Check, tmp_path: Path) -> None:
    def change(job: dict, pbe: dict) -> None:
        job["materials"]["TiO2"]["structure"] = "resources/tio2-honpas/rutil.vasp"
        job["results"] = "job.yaml/results"
        pbe.update(paths=["resources/tio2-honpas/TiO2_7_train"], forcefield_paths=["job.yaml"])
        pbe["trajectory_paths"] = ["job.yaml"]
        other = {"code": "openmx", "paths": ["resources/tio2-honpas/TiO2_6_md"]}
        job["materials"]["TiO2"]["functionals"]["other"] = other

    said = check(change)
    for part in (
        "'materials.TiO2.structure': resources/tio2-honpas/rutil.vasp does not exist in",
        "did you mean resources/tio2-honpas/rutile.vasp?",
        "'materials.TiO2.functionals.pbe.paths': resources/tio2-honpas/TiO2_7_train does not exist",
        "'materials.TiO2.functionals.pbe.trajectory_paths': job.yaml is a file, but no archive",
        "functionals.pbe.forcefield_paths: job.yaml, frame 0: cannot be read as extended XYZ",
        "functionals.other.paths: field 'code': resources/tio2-honpas/TiO2_6_md holds no frame of openmx",
        "openmx, but frames of honpas or siesta; set code to honpas",
        "field 'results': ",
        "job.yaml is a file, no folder; name another folder",
    ):
        assert any(part in line for line in said), (part, said)
    assert all("\n" not in line for line in said)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda job, pbe: pbe.update(band_path=["G", "K"]),
            "field 'band_path': no special point 'K' in",
        ),
        (lambda job, pbe: pbe.update(band_path=["G"]), "has no line"),
        (lambda job, pbe: job.update(supercells=["90x90x90"]), "the supercell 90x90x90 has 4374000 atoms"),
        (
            lambda job, pbe: pbe.update(exclude=["frame_9999"]),
            "none of 8 frames, frame_0000 to frame_0007,",
        ),
        (
            lambda job, pbe: pbe.update(trajectory_paths=pbe["paths"]),
            "8 of these frames are in paths, too",
        ),
        (lambda job, pbe: pbe.update(exclude=["frame_000[0-5]"]), "2 frames cannot give 1 for validation"),
        (
            lambda job, pbe: job["analysis"].update(layers={"a": ["Au"]}),
            "supercell 1x1x1: field 'analysis.layers.a': 'Au' is neither",
        ),
        (lambda job, pbe: job["trajectory"].update(timestep_fs=0.05), "is in femtoseconds"),
        (
            lambda job, pbe: pbe.update(scissors=[{"gap_eV": 1.0, "reference_gap_eV": 2.0}]),
            "scissor scissor closes the gap, from 2 to 1 eV",
        ),
        (
            lambda job, pbe: pbe["paths"].append("resources/tio2-honpas/TiO2_6_train/frame_0001"),
            "the frame TiO2_6_train/frame_0001 is there twice",
        ),
        (lambda job, pbe: job.update(results="resources/tio2-honpas/TiO2_6_train/out"), "lies inside"),
        (
            lambda job, pbe: pbe.update(forcefield_test_paths=["resources"]),
            "is a folder; name a file",
        ),
    ],
)
def test_what_would_fail_later(check: Check, change: Callable[[dict, dict], None], sentence: str) -> None:
    said = check(change)
    assert any(sentence in line for line in said), said


def test_a_copied_frame_is_found_unless_it_is_skipped(check: Check, tmp_path: Path) -> None:
    shutil.copytree(TIO2 / "TiO2_6_train", tmp_path / "copied")
    for folder in (tmp_path / "copied").glob("frame_000[1-9]"):
        shutil.rmtree(folder)

    def change(job: dict, pbe: dict) -> None:
        pbe["paths"].append("copied")

    twins = "frames TiO2_6_train/frame_0000 and copied/frame_0000 have one geometry"
    assert any(twins in s for s in check(change))
    assert "ok" in check(lambda j, p: (change(j, p), p.update(near_duplicates="skip")))[-1]
    assert "ok" in check(lambda j, p: (change(j, p), p.update(exclude=["copied/frame_*"])))[-1]


def test_engines(check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def change(job: dict, pbe: dict, **engine: object) -> None:
        for key in ("code", "paths", "trajectory_paths"):
            del pbe[key]
        pbe["engine"] = engine
        pbe["band_path"] = ["G", "X"]

    said = check(lambda j, p: change(j, p, program="cp2k", command="no_such_cp2k -i", basis={"Ti": "X"}))
    assert any("warning" in s and "no no_such_cp2k on the PATH" in s for s in said)
    assert any("functionals.pbe: field 'basis': no basis is named for O" in s for s in said)
    said = check(lambda j, p: (change(j, p, program="cp2k"), p.update(band_path=["G", "Q7"])))
    assert any("no special point 'Q7'" in s for s in said)
    (tmp_path / "given.extxyz").write_text("")
    said = check(lambda j, p: (change(j, p, program="cp2k"), p.update(structures={"file": "given.extxyz"})))
    assert any("given.extxyz: holds no structure" in s for s in said)


def test_a_frame_of_the_data_is_a_structure(check: Check, tmp_path: Path) -> None:
    frame = TIO2 / "TiO2_6_train/frame_0003"
    found = read_structure(frame)
    assert sorted(found.numbers.tolist()) == [8, 8, 8, 8, 22, 22]
    assert np.isfinite(found.positions).all()

    def change(job: dict, pbe: dict) -> None:
        job["materials"]["TiO2"]["structure"] = {"frame": "TiO2_6_train/frame_0003"}
        del pbe["band_path"]

    assert "ok" in check(change)[-1]
    said = check(lambda j, p: j["materials"]["TiO2"].update(structure="resources/tio2-honpas/TiO2_6_train"))
    assert any("TiO2_6_train: holds 8 frames of honpas; name the folder of one" in s for s in said), said
    (tmp_path / "nothing").mkdir()
    said = check(lambda j, p: j["materials"]["TiO2"].update(structure="nothing"))
    assert any("nothing: is a folder without a DFT frame" in s for s in said)


def test_paths_are_those_of_the_folder_of_the_run(
    check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "ok" in check(lambda job, pbe: None)[-1]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    said = sentences(CliRunner().invoke(app, ["check", str(tmp_path / "job.yaml")]))
    assert all("only beside the configuration; write " in s for s in said if "paths" in s)
    assert len(said) == 3
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATA", str(TIO2))
    assert "ok" in check(lambda job, pbe: pbe.update(paths=["$DATA/TiO2_6_trai?"]))[-1]


def test_a_link_that_leads_nowhere_and_a_link_that_leads_back(check: Check, tmp_path: Path) -> None:
    (tmp_path / "gone").symlink_to("nowhere")
    said = check(lambda job, pbe: pbe.update(trajectory_paths=["gone"]))
    assert any("gone is a link to what is not there; mend the link" in s for s in said)
    shutil.copytree(TIO2 / "TiO2_6_train", tmp_path / "data")
    (tmp_path / "data/again").symlink_to(tmp_path / "data")
    said = check(lambda job, pbe: pbe.update(paths=["data"]))
    assert any("is there twice" in s for s in said)
    assert len(said) < 50


@pytest.mark.parametrize(
    ("place", "reason"), [("/proc/x", "No such file"), ("/proc", "No such file"), ("/sys/x", "")]
)
def test_places_that_hold_no_files(check: Check, place: str, reason: str) -> None:
    said = check(lambda job, pbe: job.update(results=place), "--no-frames")
    (told,) = [line for line in said if "field 'results'" in line]
    assert f"/{place.split('/')[1]} cannot be written to ({reason}" in told
    assert "name another folder" in told


def test_whether_results_can_be_written_is_tried_without_a_trace(check: Check, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    assert "ok" in check(lambda job, pbe: job.update(results="my results: Zoë's/of today"), "--no-frames")[-1]
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in before} | {"job.yaml"}


def test_a_path_of_another_system_is_told_so(check: Check) -> None:
    def change(job: dict, pbe: dict) -> None:
        job["materials"]["TiO2"]["structure"] = "resources\\tio2-honpas\\rutile.vasp"

    assert any("write / between folders, not \\" in line for line in check(change, "--no-frames"))


def test_without_frames_the_rest_is_checked(check: Check) -> None:
    said = check(lambda job, pbe: pbe.update(exclude=["frame_9999"], band_path=["K"]), "--no-frames")
    assert len(said) == 1
    assert "no special point 'K'" in said[0]
