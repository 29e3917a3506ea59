"""Rotated frames: exact for a two-centre model, and between two runs of CP2K."""

from __future__ import annotations

import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from typer.testing import CliRunner

from n2amd.commands.dataset import app
from n2amd.dataset.rotations import compare, rotation_between
from n2amd.errors import InputError
from n2amd.frames.frame import Frame
from n2amd.orbitals.two_centre import OverlapTable, overlap
from n2amd.structure import Structure

sys.path.insert(0, str(Path(__file__).parents[1] / "dft"))

import two_centre_crystal as crystal

ROTATION = Rotation.from_rotvec([0.4, -1.1, 0.7]).as_matrix()


def model(structure: Structure) -> Frame:
    """A frame whose H is a multiple of S, so that both turn exactly."""
    s = overlap(OverlapTable.from_basis(crystal.basis()), structure)
    return Frame(
        name="model",
        structure=structure,
        hamiltonian=s.map({key: -5.0 * values for key, values in s.values.items()}),
        overlap=s,
        n_electrons=16.0,
    )


def turned(structure: Structure, move: float = 0.0) -> Structure:
    return replace(
        structure, cell=structure.cell @ ROTATION.T, positions=structure.positions @ ROTATION.T + move
    )


def test_a_turned_crystal_has_the_turned_matrices() -> None:
    at = crystal.structure()
    found = compare(model(at), model(turned(at, move=0.3)), crystal.basis())
    assert found.overlap_error < 1e-9
    assert found.hamiltonian_error < 1e-8
    assert found.angle == pytest.approx(np.degrees(np.linalg.norm([0.4, -1.1, 0.7])))
    assert (found.alone, found.compared > 50) == (0, True)


@pytest.mark.parametrize("row", [1, 5])
def test_a_wrong_sign_or_order_is_seen(row: int) -> None:
    at = crystal.structure()
    second = model(turned(at))
    wrong = {key: values.copy() for key, values in second.hamiltonian.values.items()}
    for (zi, _), values in wrong.items():
        if zi == 42:
            values[:, :, row] *= -1
    second = replace(second, hamiltonian=second.hamiltonian.map(wrong))
    found = compare(model(at), second, crystal.basis())
    assert found.hamiltonian_error > 0.1
    assert found.overlap_error < 1e-9


def test_geometries_that_are_no_rotations_are_refused() -> None:
    at = crystal.structure()
    moved = turned(at)
    moved = replace(moved, positions=moved.positions + np.eye(3)[0] * [[0.1], [0.0], [0.0]])
    with pytest.raises(InputError, match=r"no rotation: atoms stay 0\.\d+ A apart"):
        rotation_between(at, moved)
    with pytest.raises(InputError, match="other atoms"):
        rotation_between(at, replace(at, numbers=at.numbers[::-1]))
    pair = Structure(np.eye(3) * 9.0, np.array([[0.0, 0, 0], [0, 0, 1.0]]), np.array([1, 1]))
    with pytest.raises(InputError, match="atoms on a line"):
        rotation_between(pair, pair)


def test_the_command_on_runs_of_cp2k(tmp_path: Path) -> None:
    """A grid of 600 Ry leaves 3.5 meV, which the default does not pass and a wider limit does."""
    for name in ("h2o_a", "h2o_b"):
        with tarfile.open(Path(__file__).parents[1] / "data" / "cp2k" / f"{name}.tar.xz") as tar:
            tar.extractall(tmp_path / "runs")
    out = tmp_path / "water.h5"
    run = CliRunner().invoke
    made = run(app, ["ingest", "--code", "cp2k", str(tmp_path / "runs"), "--out", str(out)])
    assert made.exit_code == 0, made.output
    passed = run(app, ["rotations", str(out), "--tolerance-ev", "5e-3"])
    assert passed.exit_code == 0, passed.output
    assert "ok (2 orientations)" in passed.output
    refused = run(app, ["rotations", str(out)])
    assert isinstance(refused.exception, InputError)
    assert "h2o_b" in str(refused.exception)
