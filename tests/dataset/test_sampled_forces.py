"""Forces as means over places of the mesh: the mesh's share goes, the rest stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from n2amd.baseline.density_matrix import filled_states, matrix_of_states
from n2amd.baseline.forces import PLACES, energy_forces
from n2amd.baseline.zeroth import ZerothHamiltonian
from n2amd.commands.dataset import app
from n2amd.config.data import DataSource
from n2amd.dataset.sampled_forces import ENTRY, with_sampled_forces
from n2amd.dataset.store import read_frames
from n2amd.dft.siesta.frame import read_frame
from n2amd.errors import InputError

FOLDER = Path(__file__).parents[2] / "resources/tio2-honpas/TiO2_6_train/frame_0000"


@pytest.fixture(scope="module")
def frame_and_basis():
    return read_frame(FOLDER)


def test_the_force_of_the_mesh_goes(frame_and_basis) -> None:
    """Forces of a crystal do not depend on where the mesh is."""
    frame, basis = frame_and_basis
    zeroth = ZerothHamiltonian.of_neutral_atoms(basis, frame.ingredients)
    states, pairs = filled_states(frame, basis), frame.hamiltonian.pairs
    matrices = [matrix_of_states(states, frame, basis, pairs, energy_weighted=w) for w in (False, True)]
    ours = np.random.default_rng(3).uniform(-0.5, 0.5, (6, 3))

    def forces_at(place: np.ndarray) -> np.ndarray:
        x, y, z = map(float, place)
        return energy_forces(zeroth, frame.structure, *matrices, place=(x, y, z)).forces

    def spread(sampling: int) -> float:
        means = [
            np.mean([forces_at(place + own) for own in np.array(PLACES[sampling])], axis=0) for place in ours
        ]
        return float(np.std(means, axis=0).mean())

    one, two, four = map(spread, (1, 2, 4))
    print(one, two, four)
    assert one > 0.01
    assert two < one / 2
    assert four < one / 3


@pytest.mark.parametrize("sampling", [2, 4])
def test_only_the_share_of_the_mesh_changes(frame_and_basis, sampling: int) -> None:
    frame, basis = frame_and_basis
    found = with_sampled_forces(frame, basis, sampling)
    change = found.forces - frame.forces
    assert 0.005 < np.abs(change).max() < 0.1
    assert abs(found.energy - frame.energy) < 0.01
    assert np.linalg.norm(found.forces.sum(axis=0)) < 0.8 * np.linalg.norm(frame.forces.sum(axis=0))
    assert found.origin[ENTRY].startswith(f"{sampling} places, forces changed by ")
    assert found.hamiltonian is frame.hamiltonian


def test_one_place_is_what_the_code_wrote(frame_and_basis) -> None:
    assert with_sampled_forces(*frame_and_basis, 1) is frame_and_basis[0]


def test_what_has_no_forces_or_no_parts_is_refused(frame_and_basis) -> None:
    frame, basis = frame_and_basis
    with pytest.raises(InputError, match="needs forces"):
        with_sampled_forces(replace(frame, forces=None), basis, 2)
    with pytest.raises(InputError, match="needs ingredients of H0"):
        with_sampled_forces(replace(frame, ingredients=None), basis, 2)


def test_ingestion_from_the_command_line(frame_and_basis, tmp_path: Path) -> None:
    """And what an ingestion without the option left behind is not taken for its own."""
    frame, basis = frame_and_basis
    command = ["ingest", str(FOLDER), "--code", "honpas", "--jobs", "1", "--out"]
    done = CliRunner().invoke(app, [*command, str(tmp_path / "one.h5")])
    assert done.exit_code == 0, done.output
    done = CliRunner().invoke(app, [*command, str(tmp_path / "two.h5"), "--grid-cell-sampling", "2"])
    assert done.exit_code == 0, done.output
    (one,), (two,) = (read_frames(tmp_path / name) for name in ("one.h5", "two.h5"))
    np.testing.assert_array_equal(one.forces, frame.forces)
    np.testing.assert_allclose(two.forces, with_sampled_forces(frame, basis, 2).forces, atol=1e-12)
    refused = CliRunner().invoke(app, [*command, str(tmp_path / "x.h5"), "--grid-cell-sampling", "3"])
    assert refused.exit_code == 2
    assert "3 is none of 1, 2, 4" in refused.output


def test_of_other_codes_it_is_refused_in_the_configuration() -> None:
    with pytest.raises(ValueError, match="grid_cell_sampling is for SIESTA and HONPAS"):
        DataSource.model_validate({"code": "openmx", "paths": ["x"], "grid_cell_sampling": 2})
