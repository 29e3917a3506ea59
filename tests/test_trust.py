"""Files that hold code are loaded only if they were made here, or the user says so."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from n2amd import trust
from n2amd.commands import forcefield, trajectory
from n2amd.errors import InputError
from n2amd.forcefield.calculator import load_forcefield
from n2amd.forcefield.training import _claim


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Records of this test alone, in a process that has made nothing."""
    monkeypatch.setenv("N2AMD_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(trust, "_known_here", set())
    return tmp_path / "state"


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A packaged model from somewhere; its code is harmless, and no code at all."""
    path = tmp_path / "forcefield.model"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/package_metadata.txt", "{}")
    return path


def test_a_foreign_force_field_is_not_loaded(foreign: Path) -> None:
    with pytest.raises(InputError, match=r"holds code .* no file that n2amd made here; if you know"):
        load_forcefield(foreign)


def test_the_commands_refuse_it_before_anything_runs(
    foreign: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = []

    def stop(*_: object, **__: object) -> None:
        loaded.append(1)
        raise ZeroDivisionError

    monkeypatch.setattr("nequip.integrations.ase.NequIPCalculator._from_saved_model", stop)
    cell = tmp_path / "POSCAR"
    cell.write_text("Si\n1.0\n3 0 0\n0 3 0\n0 0 3\nSi\n1\nDirect\n0 0 0\n")
    options = ["--structure", cell, "--supercell", "1x1x1", "--forcefield", foreign]
    run = ["run", *options, "--out", tmp_path / "t.h5", "--workdir", tmp_path / "w"]
    result = CliRunner().invoke(trajectory.app, [*map(str, run)])
    assert isinstance(result.exception, InputError)
    assert loaded == []
    # with --trust the loading begins
    result = CliRunner().invoke(trajectory.app, [*map(str, run), "--trust"])
    assert isinstance(result.exception, ZeroDivisionError)
    assert loaded == [1]


def test_it_is_trusted_once_for_good_and_only_as_it_is(foreign: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(forcefield.app, ["trust", str(foreign)])
    assert result.exit_code == 0, result.output
    trust._known_here.clear()  # as in another process
    moved = foreign.rename(tmp_path / "moved")
    trust.require_known(moved)
    with zipfile.ZipFile(moved, "a") as archive:
        archive.writestr("model/code/more.py", "print()")
    with pytest.raises(InputError, match=r"holds code"):
        trust.require_known(moved)


def test_what_this_process_made_is_known_where_nothing_can_be_kept(
    foreign: Path, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state.write_text("a file, not a folder")
    trust.remember(foreign)
    assert "cannot be written" in capsys.readouterr().err
    trust.require_known(foreign)


def test_checkpoints_from_elsewhere_are_not_unpickled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    _claim(work, "job")
    (work / "run").mkdir()
    for name in ("best.ckpt", "last.ckpt"):
        with zipfile.ZipFile(work / "run" / name, "w") as archive:
            archive.writestr("data.pkl", "")
    _claim(work, "job")
    assert (work / "run" / "last.ckpt").exists()
    # the same folder in the hands of another user
    trust._known_here.clear()
    for record in (tmp_path / "state" / "made").iterdir():
        record.unlink()
    capsys.readouterr()
    _claim(work, "job")
    assert not (work / "run").exists()
    assert "could run code: started afresh" in capsys.readouterr().err
    _claim(work, "job")
    assert capsys.readouterr().err == ""
