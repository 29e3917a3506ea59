"""Labels that somebody else computes: what is told while they are missing or of something else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from n2amd.commands.dataset import app
from n2amd.errors import InputError
from n2amd.ingestion.offer import structures_of_frames
from n2amd.interop.extxyz import write_structures
from n2amd.structure import Structure

Copy = Callable[..., Path]


def label(folder: Path, wanted: Path, out: Path) -> None:
    words = [
        "ingest",
        "--code",
        "honpas",
        str(folder),
        "--expect",
        str(wanted),
        "--out",
        str(out),
        "--jobs",
        "1",
    ]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output


@pytest.fixture
def results(copy_frames: Copy) -> Path:
    return copy_frames(0, 5)


@pytest.fixture
def structures(results: Path) -> list[Structure]:
    return structures_of_frames([results], "honpas", None)


def written(path: Path, structures: list[Structure]) -> Path:
    write_structures(path, [(s, {}) for s in structures])
    return path


def test_while_nothing_is_there_one_sentence_says_where_it_goes(tmp_path, structures):
    wanted, folder = written(tmp_path / "structures.extxyz", structures), tmp_path / "computed"
    for _ in range(2):
        with pytest.raises(
            InputError, match=r"2 structures wait .* with honpas, put the output into .*computed"
        ):
            label(folder, wanted, tmp_path / "labels.h5")
        folder.mkdir(exist_ok=True)


def test_goes_on_when_the_results_are_there(tmp_path, results, structures):
    """In any order, in another image of the cell, to the digits that a code writes."""
    rounded = [s.with_positions(np.round(s.positions, 3) + s.cell[2]) for s in structures[::-1]]
    label(results, written(tmp_path / "structures.extxyz", rounded), tmp_path / "labels.h5")
    assert (tmp_path / "labels.h5").exists()


def test_a_missing_result_is_named(tmp_path, results, structures):
    another = structures[0].with_positions(structures[0].positions * 1.02)
    wanted = written(tmp_path / "structures.extxyz", [structures[0], another, structures[1]])
    with pytest.raises(InputError, match=r"of 3 structures these have no result .*: \[1\]"):
        label(results, wanted, tmp_path / "labels.h5")
    assert not (tmp_path / "labels.h5").exists()


def test_results_of_something_else_are_refused(tmp_path, results, structures):
    wanted = written(tmp_path / "structures.extxyz", structures[:1])
    with pytest.raises(InputError, match="1 frames are of none of the structures, the first is frame 1"):
        label(results, wanted, tmp_path / "labels.h5")
