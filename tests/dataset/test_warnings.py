"""Warnings of the gate: at the command line, in the data set, in the JSON; from a run that went on too."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from boxed_molecule import molecule
from typer.testing import CliRunner

from n2amd.commands.dataset import app
from n2amd.dataset.store import read_frames
from n2amd.interop.deeph import write_deeph


def run(*words: str | Path):
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture
def folders(tmp_path):
    """Three molecules in a box of 31 A, as DeepH folders: no eigenvalues, no radial functions."""
    frames, basis = [], None
    for length in (0.74, 0.75, 0.9):
        frame, basis = molecule(length, 31.0)
        middle = float(np.mean(frame.bands.energies))
        frames.append(replace(frame, fermi_level=middle))
    write_deeph(tmp_path / "h2", frames, basis)
    return tmp_path / "h2"


def test_warnings_are_printed_and_recorded(folders, tmp_path):
    out, document = tmp_path / "d.h5", tmp_path / "gate.json"
    result = run("ingest", folders, "--code", "deeph", "--out", out, "--json", document, "--jobs", "1")
    lines = [line for line in result.stderr.splitlines() if line.startswith("warning: ")]
    assert len(lines) == 3
    assert "frame h2/000002: smallest distance over the sum of covalent radii (bond_ratio) is 1.4" in lines[2]
    assert "frame h2/000000 (and 2 frames more): cell volume per atom (volume_per_atom) is" in lines[0]
    assert "(Bohr or Angstrom) could not be checked" in lines[0]
    assert "no eigenvalues of the code" in lines[1]
    listed = json.loads(document.read_text())["warnings"]
    assert [entry["name"] for entry in listed] == ["h2/000000", "h2/000001", "h2/000002"]
    assert [set(entry) - {"name"} for entry in listed] == [
        {"volume_per_atom", "eigenvalue_error"},
        {"volume_per_atom", "eigenvalue_error"},
        {"bond_ratio", "volume_per_atom", "eigenvalue_error"},
    ]
    recorded = [frame.origin["warnings"] for frame in read_frames(out)]
    assert ["bond_ratio" in text for text in recorded] == [False, False, True]
    assert all("volume_per_atom" in text for text in recorded)
    described = json.loads(run("info", out, "--json").stdout)
    assert described["passed with warnings"].startswith("3 frames, first h2/000000")
    assert described["electrons"] == "2"
    again = run("check", out, "--json", document)
    assert [line for line in again.stderr.splitlines() if line.startswith("warning: ")] == lines
    assert json.loads(document.read_text())["warnings"] == listed


def test_frames_kept_from_an_interrupted_run_keep_their_warnings(folders, tmp_path):
    out = tmp_path / "d.h5"
    info = folders / "000002" / "info.json"
    whole = info.read_text()
    info.write_text("{")
    assert CliRunner().invoke(app, ["ingest", str(folders), "--code", "deeph", "--out", str(out)]).exit_code
    info.write_text(whole)
    result = run("ingest", folders, "--code", "deeph", "--out", out)
    assert "frame h2/000000 (and 2 frames more): cell volume" in result.stderr
