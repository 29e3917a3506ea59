"""Paths as users write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from n2amd.config.job import validate
from n2amd.errors import InputError
from n2amd.paths import expand_patterns, folder_named, is_named, natural, near_names, written_path


def test_home_and_variables_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/marie")
    monkeypatch.setenv("DATA", "/data")
    assert written_path("~/x") == Path("/home/marie/x")
    assert written_path("${DATA}/x y") == Path("/data/x y")
    for wrong, said in (
        ("", "empty"),
        (" ", "empty"),
        ("$GONE/x", r"\$GONE, which is not set"),
        (3, "no path"),
    ):
        monkeypatch.delenv("GONE", raising=False)
        with pytest.raises(ValueError, match=said):
            written_path(wrong)
    with pytest.raises(ValueError, match=r"home folder of a user that is not known .~nobody_of_that_name"):
        written_path("~nobody_of_that_name/x")


def test_patterns_match_in_natural_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("set_10", "set_9", ".set_1", "set_[a]", "deep/er/set_1"):
        (tmp_path / name).mkdir(parents=True)
    assert [str(p) for p in expand_patterns(["set_*"])] == ["set_9", "set_10", "set_[a]"]
    assert [str(p) for p in expand_patterns(["set_[a]"])] == ["set_[a]"]
    assert [str(p) for p in expand_patterns(["deep/**/set_?"])] == ["deep/er/set_1"]
    assert [str(p) for p in expand_patterns(["not/there", "set_9"])] == ["not/there", "set_9"]
    with pytest.raises(ValueError, match=r"'sets_\*' matches nothing in .*; did you mean set_"):
        expand_patterns(["sets_*"])
    with pytest.raises(ValueError, match="'set_9' is there twice"):
        expand_patterns(["./set_9", "set_*"])
    assert sorted(["f_10", "f_2", "e_3"], key=natural) == ["e_3", "f_2", "f_10"]


def test_frames_go_by_name_or_the_end_of_their_path(tmp_path: Path) -> None:
    frame = Path("data/set_1/frame_0012")
    assert is_named(frame, "frame_0012")
    assert is_named(frame, "set_?/frame_*2")
    assert not is_named(frame, "frame_001")
    assert not is_named(frame, "set_2/frame_0012")
    assert is_named(Path("x/md[1]"), "md[1]")  # a name is no pattern where it is one


def test_a_structure_may_be_a_frame_of_the_data(tmp_path: Path) -> None:
    for place in ("a/frame_1", "a/frame_2", "b/frame_1"):
        (tmp_path / place).mkdir(parents=True)
    assert folder_named("frame_2", [tmp_path / "a", tmp_path / "b"]) == tmp_path / "a/frame_2"
    assert folder_named("b/frame_1", [tmp_path / "a", tmp_path / "b"]) == tmp_path / "b/frame_1"
    material = {
        "structure": {"frame": "frame_2"},
        "functionals": {"pbe": {"code": "honpas", "paths": [str(tmp_path / "?")]}},
    }
    job = {"materials": {"Si": material}, "supercells": ["1x1x1"]}
    assert validate(job).materials["Si"].structure == tmp_path / "a/frame_2"
    for name, said in (
        ("frame_1", "2 frames are called 'frame_1' .*; write the folder above it, too"),
        ("frame_22", "no frame 'frame_22' is in .*; did you mean frame_2"),
        (None, "names no frame; write a path, or {frame: NAME}"),
    ):
        material["structure"] = {"frame": name}
        with pytest.raises(InputError, match=said) as caught:
            validate(job)
        assert caught.value.field == "materials.Si.structure"


def test_names_like_another() -> None:
    assert near_names("Frame_0012", ["frame_0013", "frame_0012", "x"])[0] == "frame_0012"
    assert near_names("x", []) == []
