"""From DeepH folders, which hold no radial functions and no valence charges, to populations."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from n2amd.commands import couplings, dynamics, hamiltonian, states
from n2amd.commands import overlap as overlap_commands
from n2amd.config.hamiltonian import HamiltonianSettings
from n2amd.config.states import StatesSettings
from n2amd.dataset.store import read_basis, read_frames
from n2amd.errors import InputError
from n2amd.ingestion.ingest import ingest
from n2amd.interop.deeph import write_deeph
from n2amd.network.predict import load_predictor
from n2amd.network.training import train
from n2amd.orbitals.two_centre import OverlapTable, overlap
from n2amd.states.cross_time import frame_overlap
from n2amd.states.frame_solver import FrameSolver
from n2amd.storage import create_hdf5
from n2amd.structure import Structure

TIO2 = Path(__file__).resolve().parents[2] / "resources" / "tio2-honpas"


@pytest.fixture(scope="module")
def deeph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data set of DeepH folders made of bundled frames, beside the one with radial functions."""
    folder = tmp_path_factory.mktemp("deeph")
    ingest([TIO2 / "TiO2_6_train" / f"frame_{k:04d}" for k in range(6)], folder / "known.h5", code="honpas")
    write_deeph(folder / "folders", read_frames(folder / "known.h5"), read_basis(folder / "known.h5"))
    ingest([folder / "folders"], folder / "bare.h5", code="deeph", without_bands=True)
    return folder


def test_training_without_radial_functions_is_refused_before_it_begins(deeph: Path, tmp_path: Path) -> None:
    """A trained network would be refused wherever it is used."""
    with pytest.raises(InputError, match=r"the basis has no radial functions.*overlap fit"):
        train(deeph / "bare.h5", HamiltonianSettings(preset="test"), tmp_path / "m.pt", tmp_path / "w", print)
    assert not (tmp_path / "m.pt").exists()


def test_a_basis_with_radial_functions_needs_no_fit(deeph: Path, tmp_path: Path) -> None:
    command = ["fit", "--dataset", str(deeph / "known.h5"), "--out", str(tmp_path / "overlap.json")]
    done = CliRunner().invoke(overlap_commands.app, command)
    assert isinstance(done.exception, InputError)
    assert "overlaps need no fit" in str(done.exception)


def moving(path: Path, structure: Structure) -> Path:
    """Write a trajectory of five frames of 1 fs; n2amd.states reads no more of it than this."""
    t = np.arange(5.0)[:, None, None]
    phase = np.random.default_rng(1).uniform(0, 2 * np.pi, structure.positions.shape)
    positions = structure.positions + 0.1 * np.sin(0.08 * t + phase)
    with create_hdf5(path, "n2amd/trajectory", config={}, inputs=()) as file:
        file.attrs.update(n_frames=5, timestep_fs=1.0)
        file["positions"] = positions
        file["numbers"] = structure.numbers
        file["cell"] = structure.cell
        file["pbc"] = np.array(structure.pbc)
    return path


def run(app: object, *arguments: str | Path) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.slow
def test_from_folders_to_populations(deeph: Path, tmp_path: Path) -> None:
    fit, model, couple = tmp_path / "overlap.json", tmp_path / "model.pt", tmp_path / "couplings.h5"
    said = run(
        overlap_commands.app, "fit", "--dataset", deeph / "bare.h5", "--out", fit, "--require", "exact"
    )
    assert "couplings.overlap may be exact" in said
    limits = json.loads(fit.read_text())["limits"]
    assert limits["largest_error"] < 1e-6
    settings = json.dumps({"preset": "test", "steps": 4, "band_steps": 2})
    training = ("--settings", settings, "--out", model, "--workdir", tmp_path / "work")
    run(hamiltonian.app, "train", "--dataset", deeph / "bare.h5", "--overlap", fit, *training)
    run(
        hamiltonian.app,
        "evaluate",
        "--dataset",
        deeph / "bare.h5",
        "--model",
        model,
        "--out",
        tmp_path / "h.json",
    )
    predictor = load_predictor(model)
    frames = list(read_frames(deeph / "known.h5", [0, 1]))
    assert predictor.basis.valence_electrons(frames[0].structure.numbers) == pytest.approx(48)

    # S at one time and S between two times are those of the code's own radial functions
    exact = OverlapTable.from_basis(read_basis(deeph / "known.h5"))
    now = frames[0].structure
    steps = np.random.default_rng(0).normal(scale=0.01, size=now.positions.shape)
    later = now.with_positions(now.positions + steps)
    solver = FrameSolver.for_structure(predictor, StatesSettings(margin=2), now)
    solved = [solver.solve_matrices(f.hamiltonian, f.overlap, f.name) for f in (frames[0], frames[0])]
    between = [
        frame_overlap((now, solved[0]), (later, solved[1]), "exact", function, solver.folded)
        for function in (lambda a, b: overlap(exact, a, b), predictor.cross_overlap("exact"))
    ]
    assert np.abs(between[0] - between[1]).max() < 5e-5
    assert np.abs(between[0] - np.eye(len(between[0]))).max() > 1e-3

    for kind in ("exact", "electron-translation-free"):
        shard = tmp_path / f"{kind}.h5"
        options = ("--settings", json.dumps({"margin": 2}))
        wanted = json.dumps({"overlap": kind})
        trajectory = moving(tmp_path / "trajectory.h5", now)
        run(
            states.app,
            "solve",
            *("--trajectory", trajectory, "--model", model, "--out", shard, *options),
            *("--couplings-settings", wanted),
        )
        assembled = ("--settings", wanted, "--states-settings", options[1], "--out", couple)
        run(couplings.app, "assemble", shard, *assembled)
        hops = json.dumps({"samples": 2, "trajectories": 4, "duration_fs": 4.0, "dephasing_time_fs": 2.0})
        populations = ("--couplings", couple, "--out", tmp_path / f"{kind}-p.h5")
        run(dynamics.app, "run", *populations, "--settings", hops, "--method", "fssh")
        with h5py.File(tmp_path / f"{kind}-p.h5") as file:
            assert np.allclose(file["population"][...].sum(axis=-1), 1.0)
