"""A killed ingestion goes on; archives; nothing is left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from n2amd.dataset.store import read_frames
from n2amd.errors import InputError
from n2amd.ingestion import ingest as ingestion
from n2amd.ingestion.ingest import ingest
from n2amd.ingestion.parts import work_folder

Copy = Callable[..., Path]
#: Facts about the making of a file, which no two files share.
MADE = {"created_at", "cpu_seconds"}


def contents(path: Path) -> dict[str, object]:
    """Every data set and root attribute of a file."""
    found: dict[str, object] = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
        )
        found |= {name: value for name, value in file.attrs.items() if name not in MADE}
    return found


def assert_same(a: Path, b: Path) -> None:
    ours, theirs = contents(a), contents(b)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note the names of the frames that are read."""
    read: list[str] = []
    original = ingestion.read_and_measure

    def noting(folder: Path, path: Path, **settings):
        read.append(folder.name)
        return original(folder, path, **settings)

    monkeypatch.setattr(ingestion, "read_and_measure", noting)
    return read


def start(frames: Path, out: Path, jobs: int) -> subprocess.Popen:
    command = [sys.executable, "-m", "n2amd.cli", "dataset", "ingest", str(frames), "--code", "honpas"]
    return subprocess.Popen(
        [*command, "--out", str(out), "--jobs", str(jobs)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def finished(work: Path) -> list[Path]:
    return [file for file in work.rglob("*") if file.is_file() and "." not in file.name]


def kill_after(process: subprocess.Popen, work: Path, parts: int) -> list[int]:
    """Kill -9 once some frames are finished; return the worker processes it had."""
    while len(finished(work)) < parts:
        assert process.poll() is None, "the run ended before it was killed"
        time.sleep(0.02)
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    children = [int(word) for word in listed.read_text().split()] if listed.exists() else []
    process.send_signal(signal.SIGKILL)
    process.wait()
    return children


def test_a_killed_ingestion_goes_on(copy_frames: Copy, tmp_path, monkeypatch):
    frames, out = copy_frames(0, 1, 2, 3, 4), tmp_path / "d.h5"
    kill_after(start(frames, out, 1), tmp_path / "d.h5.work", 2)
    assert not out.exists()
    done = len(finished(tmp_path / "d.h5.work"))
    assert done >= 2
    read = counted(monkeypatch)
    ingest([frames], out, code="honpas")
    assert read == [f"frame_{n:04d}" for n in range(done, 5)]
    assert not (tmp_path / "d.h5.work").exists()
    ingest([frames], tmp_path / "undisturbed.h5", code="honpas")
    assert_same(out, tmp_path / "undisturbed.h5")


@pytest.mark.slow
def test_workers_end_with_a_killed_parent(copy_frames: Copy, tmp_path):
    frames = copy_frames(*range(10))
    children = kill_after(start(frames, tmp_path / "d.h5", 2), tmp_path / "d.h5.work", 1)
    assert len(children) >= 2
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [child for child in children if Path(f"/proc/{child}").exists()]
    ingest([frames], tmp_path / "d.h5", code="honpas")
    assert len(list(read_frames(tmp_path / "d.h5"))) == 10


def test_a_corrected_frame_is_read_alone(copy_frames: Copy, tmp_path, monkeypatch):
    frames, out = copy_frames(0, 1, 2), tmp_path / "d.h5"
    hsx = frames / "frame_0002" / "TiO2.HSX.xz"
    whole = hsx.read_bytes()
    hsx.write_bytes(whole[:-1000])
    with pytest.raises(InputError, match="cut or damaged"):
        ingest([frames], out, code="honpas")
    hsx.write_bytes(whole)
    # a file that the frames share decides all of them, one of a frame that frame alone
    stress = frames / "frame_0001" / "FORCE_STRESS"
    os.utime(stress, (1, 1))
    read = counted(monkeypatch)
    ingest([frames], out, code="honpas")
    assert read == ["frame_0001", "frame_0002"]


def test_another_code_or_basis_starts_afresh(copy_frames: Copy, tmp_path):
    frames = copy_frames(0)
    with work_folder(tmp_path / "d.h5") as work:
        key = work.part_of(frames / "frame_0000", "honpas")
        assert key == work.part_of(frames / "frame_0000", "honpas")
        assert key != work.part_of(frames / "frame_0000", "siesta")
    os.utime(frames / "Ti.ion.xml.xz", (1, 1))
    with work_folder(tmp_path / "d.h5") as work:
        assert key != work.part_of(frames / "frame_0000", "honpas")
    assert not (tmp_path / "d.h5.work").exists()


def test_an_archive_gives_the_frames_of_its_folder(copy_frames: Copy, tmp_path):
    frames = copy_frames(0, 1)
    ingest([frames], tmp_path / "folder.h5", code="honpas")
    with tarfile.open(tmp_path / "frames.tar.xz", "w:xz", preset=0) as archive:
        archive.add(frames, frames.name)
    shutil.rmtree(frames)
    ingest([tmp_path / "frames.tar.xz"], tmp_path / "archive.h5", code="honpas")
    assert_same(tmp_path / "folder.h5", tmp_path / "archive.h5")
    assert not list(tmp_path.glob("*.work"))


def test_a_file_that_is_no_archive_is_bad_input(tmp_path):
    (tmp_path / "frames.7z").write_bytes(b"")
    with pytest.raises(InputError, match=r"is a file, but no archive"):
        ingest([tmp_path / "frames.7z"], tmp_path / "d.h5", code="honpas")
    assert not list(tmp_path.glob("*.work"))
