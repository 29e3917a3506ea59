"""Frames left out by name, copies skipped on request; the same options in the command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from n2amd.commands.dataset import app
from n2amd.dataset.choice import Copies, without_excluded
from n2amd.dataset.split import NEAR_COPY_A
from n2amd.dataset.store import read_names
from n2amd.errors import InputError
from n2amd.frames.frame import Frame
from n2amd.ingestion.ingest import ingest
from n2amd.ingestion.offer import offer_of_frames, structures_of_frames
from n2amd.structure import Structure

Copy = Callable[..., Path]
FOLDERS = [Path(f"data/{place}/frame_{n:04d}") for place in ("a", "b") for n in (1, 2, 12)]


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        ([], [0, 1, 2, 3, 4, 5]),
        (["frame_0012"], [0, 1, 3, 4]),
        (["a/frame_*"], [3, 4, 5]),
        (["frame_000?", "a/frame_0012"], [5]),
        (["data/b/frame_0001"], [0, 1, 2, 4, 5]),
    ],
)
def test_frames_are_left_out_by_name_or_pattern(exclude: list[str], left: list[int]) -> None:
    assert without_excluded(FOLDERS, exclude) == [FOLDERS[k] for k in left]


@pytest.mark.parametrize(
    ("exclude", "sentence"),
    [
        (
            ["frame_0001", "frame_0013"],
            "none of 6 frames, frame_0001 to frame_0012, is called 'frame_0013'.*did you mean frame_0012",
        ),
        (["c/frame_*"], r"is called 'c/frame_\*'"),
        (["*"], "all 6 frames are left out"),
    ],
)
def test_a_pattern_of_nothing_or_of_everything_is_refused(exclude: list[str], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as caught:
        without_excluded(FOLDERS, exclude)
    assert caught.value.field == "exclude"


def test_consecutive_frames_lose_their_ends_only() -> None:
    folders = [Path(f"md/frame_{n}") for n in range(5)]
    assert without_excluded(folders, ["frame_0", "frame_4"], consecutive=True) == folders[1:4]
    with pytest.raises(InputError, match=r"leaving frame frame_2 out .* leaves a gap in time"):
        without_excluded(folders, ["frame_0", "frame_2"], consecutive=True)


def moved(name: str, distance: float, wrapped: bool = False) -> Frame:
    """A frame whose first atom is moved by a root mean square distance."""
    cell, positions = 5 * np.eye(3), np.array([[0.1, 0, 0], [2.5, 0, 0], [0, 2.5, 0], [0, 0, 2.5]])
    pull = distance / np.sqrt(3 / 16)  # what is left of it beside the mean of four atoms
    positions = positions + np.array([[pull, 0, 0], *[[0, 0, 0]] * 3])
    if wrapped:
        positions[0] -= cell[0]
    structure = Structure(cell, positions, np.array([14, 14, 14, 14]))
    return Frame(name=name, structure=structure, hamiltonian=None, overlap=None, n_electrons=16.0)  # type: ignore[arg-type]


def test_near_copies_are_those_that_the_splits_keep_together() -> None:
    copies = Copies(looked_for=True)
    assert copies.of(moved("a", 0.0)) is None
    copies.add(moved("a", 0.0))
    assert "frame b: " in str(copies.of(moved("b", 0.99 * NEAR_COPY_A)))
    assert "from frame a" in str(copies.of(moved("b", 0.0, wrapped=True)))
    assert copies.of(moved("c", 1.01 * NEAR_COPY_A)) is None
    none = Copies(looked_for=False)
    none.add(moved("a", 0.0))
    assert none.of(moved("a", 0.0)) is None


def test_the_command_leaves_out_and_skips(
    copy_frames: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps of 1 fs are near-copies of the first; the frame that is left out is not even read."""
    folder = copy_frames(0, 1, 2, 3)
    for file in (folder / "frame_0002").iterdir():
        file.write_text("damaged")
    monkeypatch.chdir(tmp_path)
    words = ["ingest", f"{folder.name[:4]}*", "--code", "honpas", "--json", "gate.json"]
    left = CliRunner().invoke(app, [*words, "--out", "a.h5", "--exclude", "frame_0002"])
    assert left.exception is None, left.output
    assert [name.split("/")[-1] for name in read_names("a.h5")] == ["frame_0000", "frame_0001", "frame_0003"]
    skipped = CliRunner().invoke(
        app, [*words, "--out", "b.h5", "--exclude", "*_0002", "--near-duplicates", "skip"]
    )
    assert skipped.exception is None, skipped.output
    assert len(read_names("b.h5")) == 1
    assert "warning: dropped: frame TiO2_6_md/frame_0001: 0.00" in skipped.output
    assert len(json.loads(Path("gate.json").read_text())["refused"]) == 2
    missing = CliRunner().invoke(app, ["ingest", "TiO3*", "--code", "honpas", "--out", "c.h5"])
    assert "the pattern 'TiO3*' matches nothing" in str(missing.exception)


def test_what_is_left_out_is_not_looked_at_before_either(resources: Path) -> None:
    frames = [resources / "TiO2_6_md"]
    first = offer_of_frames(frames, "honpas", None, (), ["frame_0000"])
    assert first.n_frames == offer_of_frames(frames, "honpas", None, ()).n_frames - 1
    assert first.census.names[0].endswith("frame_0001")
    assert len(structures_of_frames(frames, "honpas", None, ["frame_000[0-7]"])) == first.n_frames - 7


def test_a_gap_in_time_is_refused(resources: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="leaves a gap in time"):
        ingest(
            [resources / "TiO2_6_md"],
            tmp_path / "d.h5",
            code="honpas",
            timestep_fs=1.0,
            near_duplicates="skip",
        )
    assert not list(tmp_path.iterdir())
