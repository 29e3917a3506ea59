"""Full, read-only and missing disks: one sentence with the reason, nothing half-written, nothing lost."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from n2amd import leftovers
from n2amd.storage import create_hdf5, write_json

PROGRAM = """
import os, sys
from n2amd import cli
sys.argv[0] = "n2amd"
cli.main()
"""


def n2amd(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)], text=True, capture_output=True, check=False
    )


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 400 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def trajectory(tmp_path: Path) -> Path:
    return write_trajectory(tmp_path / "trajectory.h5")


def write_trajectory(path: Path) -> Path:
    """Write a trajectory of 50 atoms, which is 300 kB as text."""
    rng = np.random.default_rng(1)
    with create_hdf5(path, "trajectory") as file:
        for name, shape in {"positions": (60, 50, 3), "velocities": (60, 50, 3)}.items():
            file[name] = rng.normal(size=shape)
        for name in ("potential_energy", "kinetic_energy", "temperature"):
            file[name] = np.ones(60)
        file["cell"], file["numbers"] = 9 * np.eye(3), np.full(50, 14)
        file["pbc"] = np.ones(3, dtype=bool)
        file.attrs.update(n_frames=60, timestep_fs=1.0, temperature_K=300.0, material="Si")
    return path


@pytest.mark.tmpfs
def test_a_full_disk(disk: Path, trajectory: Path) -> None:
    (disk / "finished").write_text("kept")
    (disk / "large").write_bytes(bytes(300_000))
    done = n2amd("trajectory", "export", trajectory, "--out", disk / "new" / "t.extxyz")
    assert done.returncode == 1, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {disk / 'new' / 't.extxyz'}: could not be written to its end (No space")
    assert names(disk) == {"finished", "large"}
    (disk / "large").unlink()
    done = n2amd("trajectory", "export", trajectory, "--out", disk / "small.extxyz")
    assert names(disk) <= {"finished", "small.extxyz"}


@pytest.mark.tmpfs
def test_an_archive_that_does_not_fit(disk: Path, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    (folder / "openmx.scfout").write_bytes(bytes(900_000))
    with tarfile.open(tmp_path / "frames.tar.gz", "w:gz") as archive:
        archive.add(folder, "frames")
    done = n2amd(
        "dataset", "ingest", tmp_path / "frames.tar.gz", "--code", "openmx", "--out", disk / "dataset.h5"
    )
    assert done.returncode == 1, done.stderr
    assert "No space left on device" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert names(disk) == set()


@pytest.mark.tmpfs
def test_a_read_only_disk(disk: Path, trajectory: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    done = n2amd("trajectory", "export", trajectory, "--out", disk / "t.extxyz")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line == (
        f"error: {disk / 't.extxyz'}: cannot be written (Read-only file system); choose a place that you may "
        "write to"
    )


def test_results_that_are_a_file(tmp_path: Path, trajectory: Path) -> None:
    (tmp_path / "results").write_text("notes")
    cases = (
        ("trajectory", "export", trajectory, "--out", tmp_path / "results" / "a.extxyz"),
        ("dataset", "ingest", tmp_path, "--code", "openmx", "--out", tmp_path / "results" / "a.h5"),
    )
    for arguments in cases:
        done = n2amd(*arguments)
        assert done.returncode == 2, done.stderr
        (line,) = done.stderr.splitlines()
        assert "cannot be written (Not a directory)" in line
    assert (tmp_path / "results").read_text() == "notes"


def test_errors_of_the_system_that_no_stage_expects(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from n2amd import cli

    def fail(error: OSError) -> None:
        def app() -> None:
            raise error

        monkeypatch.setattr(cli, "app", app)
        monkeypatch.setattr(cli, "_register", lambda: None)
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        assert stopped.value.code == 1

    fail(OSError(28, "No space left on device"))
    assert capsys.readouterr().err.startswith("error: a file: cannot be used (No space left on device); see")
    fail(PermissionError(13, "Permission denied", "/some/log"))
    assert "error: /some/log: cannot be used (Permission denied)" in capsys.readouterr().err
    with pytest.raises(OSError, match="broken"):
        fail(OSError("broken"))


# --- what a killed process left


WRITER = """
import sys
from n2amd.storage import atomic_path, single_writer
with single_writer(sys.argv[1] + "/dataset.h5"), atomic_path(sys.argv[1] + "/density.npz") as part:
    part.write_text("half")
    print("ready", flush=True)
    input()
"""


def writer(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_what_a_killed_process_left_is_cleaned_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "download.part").write_text("of another program")
    killed = writer(tmp_path)
    killed.kill()
    killed.communicate()
    left = {"density.npz.part", ".density.npz.part.lock", ".dataset.h5.lock"}
    assert names(tmp_path) == {"download.part", *left}
    # another job, which writes neither of these
    monkeypatch.setattr(leftovers, "_seen", set())
    write_json(tmp_path / "summary.json", {})
    assert names(tmp_path) == {"download.part", "summary.json"}


def test_what_a_living_process_writes_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    living = writer(tmp_path)
    monkeypatch.setattr(leftovers, "_seen", set())
    write_json(tmp_path / "summary.json", {})
    assert (tmp_path / "density.npz.part").read_text() == "half"
    living.communicate("\n")
    assert living.returncode == 0
    assert names(tmp_path) == {"density.npz", "summary.json"}


def test_leftovers_in_a_folder_that_may_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".a.part.lock").write_text("")
    (tmp_path / "a.part").write_text("half")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "unlink", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    leftovers.clean(tmp_path)
    assert (tmp_path / "a.part").exists()
