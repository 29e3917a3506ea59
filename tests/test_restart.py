"""Restart data that is damaged or of another job is put aside, told of, and made anew."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from n2amd.errors import InputError
from n2amd.restart import claim, load_arrays, read_or_set_aside, save_arrays

ARRAYS = {"a": np.arange(500.0), "b": np.eye(3)}


def damaged(content: bytes) -> dict[str, bytes]:
    flipped = bytearray(content)
    flipped[len(content) // 3] ^= 4
    return {
        "cut": content[: len(content) // 2],
        "empty": b"",
        "junk": b"junk" * 50,
        "flipped": bytes(flipped),
    }


@pytest.mark.parametrize("compress", [False, True])
def test_arrays_come_back(tmp_path: Path, compress: bool) -> None:
    save_arrays(tmp_path / "x.npz", "job", ARRAYS, compress=compress)
    found = load_arrays(tmp_path / "x.npz", "job", ARRAYS)
    assert found is not None
    assert sorted(found) == ["a", "b"]
    np.testing.assert_array_equal(found["a"], ARRAYS["a"])


@pytest.mark.parametrize("how", ["cut", "empty", "junk", "flipped"])
def test_damage_is_put_aside(tmp_path: Path, how: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "x.npz"
    save_arrays(file, "job", ARRAYS)
    content = damaged(file.read_bytes())[how]
    file.write_bytes(content)
    assert load_arrays(file, "job") is None
    assert not file.exists()
    assert (tmp_path / "x.npz.damaged").read_bytes() == content
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: {file} is damaged (")
    assert "kept as x.npz.damaged" in line
    assert "pickle" not in line


def test_a_single_array_is_no_restart_file(tmp_path: Path) -> None:
    with open(tmp_path / "x.npz", "wb") as stream:
        np.save(stream, ARRAYS["a"])
    assert load_arrays(tmp_path / "x.npz", "job") is None
    assert (tmp_path / "x.npz.damaged").exists()


def test_arrays_that_lack_one_are_put_aside(tmp_path: Path) -> None:
    save_arrays(tmp_path / "x.npz", "job", {"a": ARRAYS["a"]})
    assert load_arrays(tmp_path / "x.npz", "job", ARRAYS) is None
    assert (tmp_path / "x.npz.damaged").exists()


def test_another_job_is_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_arrays(tmp_path / "x.npz", "job", ARRAYS)
    assert load_arrays(tmp_path / "x.npz", "other") is None
    assert "of another job" in capsys.readouterr().err
    assert load_arrays(tmp_path / "none.npz", "job") is None
    assert capsys.readouterr().err == ""


def test_a_pickle_in_a_restart_file_is_not_opened(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {tmp_path}/harm",)

    np.savez(tmp_path / "x.npz", identity=np.array("job"), a=np.array([Harm()], dtype=object))
    assert load_arrays(tmp_path / "x.npz", "job") is None
    assert not (tmp_path / "harm").exists()


def test_a_folder_is_claimed_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "work"
    assert not claim(folder, "job", ["*.npz", "run"])
    assert capsys.readouterr().err == ""
    (folder / "run").mkdir()
    for name in ("x.npz", "notes.txt"):
        (folder / name).write_text("")
    assert claim(folder, "job", ["*.npz", "run"])
    assert (folder / "x.npz").exists()
    assert not claim(folder, "other", ["*.npz", "run"])
    assert sorted(p.name for p in folder.iterdir()) == ["identity", "notes.txt"]
    assert "of another job" in capsys.readouterr().err
    assert claim(folder, "other", [])


def test_a_file_that_cannot_be_read_is_no_damage(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(InputError, match="cannot be read"):
        read_or_set_aside(tmp_path / "x", Path.read_text)
    assert (tmp_path / "x").exists()
