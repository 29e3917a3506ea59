"""Derivative couplings: against differences of states, their sum rules, and in time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase.io import read
from typer.testing import CliRunner
from vector_models import TITANIA, md_frame, titania_models

from n2amd.commands import model_bands
from n2amd.commands.couplings import app
from n2amd.config.states import StatesSettings
from n2amd.couplings.nac import hammes_schiffer_tully
from n2amd.couplings.vectors import NacVectors, nac_vectors
from n2amd.errors import InputError
from n2amd.network.predict import HamiltonianPredictor
from n2amd.orbitals.harmonics import real_wigner
from n2amd.orbitals.overlap_fit import LimitedTable, OverlapLimits
from n2amd.orbitals.two_centre import overlap
from n2amd.states.cross_time import frame_overlap
from n2amd.states.frame_solver import FrameSolver
from n2amd.storage import open_hdf5
from n2amd.structure import Structure
from n2amd.trajectory.file import FrameBlock, write_trajectory
from n2amd.units import HBAR_EV_FS

VBM = 23
PAIRS = [(VBM, VBM + 1), (VBM + 1, VBM), (VBM - 1, VBM + 2)]
GAMMA, GENERAL = (0.0, 0.0, 0.0), (0.13, 0.2, -0.31)


@pytest.fixture(scope="module")
def models() -> dict[str, HamiltonianPredictor]:
    return titania_models()


def vectors_of(predictor: HamiltonianPredictor, structure: Structure, kpoint=(0.0, 0.0, 0.0)) -> NacVectors:
    return nac_vectors(predictor, structure, PAIRS, StatesSettings(kpoint=kpoint), 0)


def solver_of(predictor: HamiltonianPredictor, structure: Structure, kpoint) -> FrameSolver:
    settings = StatesSettings(valence=2, conduction=3, margin=0, kpoint=kpoint)
    return FrameSolver.for_structure(predictor, settings, structure)


def difference(
    predictor: HamiltonianPredictor, structure: Structure, moves: np.ndarray, kpoint
) -> np.ndarray:
    """(<i(-)|j(+)> - <i(+)|j(-)>) / 2 with states at structure -+ moves, in the phases of those between."""
    solver = solver_of(predictor, structure, kpoint)
    middle = solver.solve(structure, 0)
    ends = []
    for sign in (-1, 1):
        moved = structure.with_positions(structure.positions + sign * moves)
        states = solver.solve(moved, 0)
        cross = solver.folded(overlap(predictor.table, structure, moved))
        same = np.diag(middle.coefficients.conj().T @ (cross @ states.coefficients))
        ends.append((moved, states.coefficients * (np.abs(same) / same)))
    (before, left), (after, right) = ends
    between = left.conj().T @ (solver.folded(overlap(predictor.table, before, after)) @ right)
    found = (between - between.conj().T) / 2
    low = solver.window.low
    return np.array([found[i - low, j - low] for i, j in PAIRS])


@pytest.mark.parametrize(
    ("kind", "kpoint"),
    [("pair", GAMMA), ("atoms", GAMMA), ("density", GAMMA), ("pair", GENERAL), ("density+pair", GENERAL)],
)
def test_vectors_are_differences_of_states(models, kind, kpoint):
    """To 1e-5. Some orbitals end with a step: a step so small that no point of the mesh crosses it."""
    structure, step = md_frame(3), 1e-5
    found = vectors_of(models[kind], structure, kpoint)
    scale = np.abs(found.nac).max(axis=(1, 2))
    for atom, axis in ((0, 0), (3, 1)):
        moves = np.zeros((6, 3))
        moves[atom, axis] = step
        expected = difference(models[kind], structure, moves, kpoint) / (2 * step)
        assert (np.abs(found.nac[:, atom, axis] - expected) < 1e-5 * scale).all()
    assert np.iscomplexobj(found.nac) == (kpoint == GENERAL)
    np.testing.assert_allclose(found.nac[1], -found.nac[0].conj(), atol=1e-14)
    np.testing.assert_allclose(found.riding[1], -found.riding[0].conj(), atol=1e-14)


def test_a_mesh_that_goes_with_the_atoms(models):
    """OpenMX' mesh has its middle on the atoms: a shift of all moves nothing, and one atom moves the mesh."""
    model = models["density"].model
    scheme = replace(model.zeroth.ingredients, scheme="openmx")
    predictor = replace(
        models["density"], model=replace(model, zeroth=replace(model.zeroth, ingredients=scheme))
    )
    structure, step = md_frame(3), 1e-5
    found = vectors_of(predictor, structure)
    moves = np.zeros((6, 3))
    moves[4, 2] = step
    expected = difference(predictor, structure, moves, np.zeros(3)) / (2 * step)
    scale = np.abs(found.nac).max(axis=(1, 2))
    assert (np.abs(found.nac[:, 4, 2] - expected) < 1e-5 * scale).all()
    assert np.abs(found.translation_error).max() < 1e-8


def test_translations(models):
    """All atoms together: -<i|nabla|j>, and what the mesh of H0 adds to it."""
    structure, step = md_frame(3), 1e-5
    shift = np.broadcast_to(np.array([0.6, -0.5, 0.62]), (6, 3))
    found = vectors_of(models["pair"], structure)
    solver = solver_of(models["pair"], structure, np.zeros(3))
    c = solver.solve(structure, 0).coefficients
    ahead, behind = (structure.with_positions(structure.positions + s * step * shift) for s in (1, -1))
    slope = c.T @ (solver.folded(overlap(models["pair"].table, behind, ahead)) / (4 * step)) @ c
    slope = slope - slope.T
    low = solver.window.low
    nabla = np.array([slope[i - low, j - low] for i, j in PAIRS])
    np.testing.assert_allclose(np.einsum("pac,ac->p", found.nac, shift), nabla, atol=1e-8)
    assert np.abs(nabla).max() > 1e-3
    assert np.abs(found.translation_error).max() < 1e-12

    coarse, fine = (
        np.abs(nac_vectors(predictor, structure, PAIRS[:1], StatesSettings(), 0).translation_error).max()
        for predictor in (models["density"], models["density"].refined(1.6))
    )
    assert 1e-4 < coarse < 2e-2
    assert fine < coarse / 3


def test_rotations_of_a_molecule(models):
    """Turned with its atoms, a state turns with them: sum over atoms of R x d is -<i|r x nabla|j>."""
    predictor, bulk = models["pair"], md_frame(3)
    molecule = Structure(40 * np.eye(3), bulk.positions, bulk.numbers, (False, False, False))
    found = vectors_of(predictor, molecule)
    solver = solver_of(predictor, molecule, np.zeros(3))
    states, low, step = solver.solve(molecule, 0), solver.window.low, 1e-4
    axis = np.array([0.36, 0.48, 0.8])
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])

    def turned(angle):
        rotation = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
        coefficients = states.coefficients.copy()
        row = 0
        for z in molecule.numbers:
            for shell in predictor.basis[int(z)].shells:
                rows = slice(row, row + shell.n_orbitals)
                coefficients[rows] = real_wigner(shell.l, rotation) @ coefficients[rows]
                row = rows.stop
        return molecule.with_positions(molecule.positions @ rotation.T), coefficients

    (before, left), (after, right) = turned(-step), turned(step)
    between = left.T @ (solver.folded(overlap(predictor.table, before, after)) @ right)
    between = (between - between.T) / (4 * step)
    expected = np.array([between[i - low, j - low] for i, j in PAIRS])
    moves = np.cross(axis, molecule.positions)
    np.testing.assert_allclose(np.einsum("pac,ac->p", found.nac, moves), expected, atol=1e-6)
    assert np.abs(expected).max() > 1e-2


@pytest.mark.parametrize(
    ("kind", "steps", "slack"), [("pair", (0.4, 0.2, 0.1), 0.02), ("density", (4.0, 2.0, 1.0), 0.15)]
)
def test_hammes_schiffer_and_tully_come_closer_as_the_square_of_the_step(models, kind, steps, slack):
    """On the atoms' own motion at one frame of titania; where orbitals end, the mesh blurs it."""
    predictor, here = models[kind], md_frame(3)
    velocities = (md_frame(4).positions - md_frame(2).positions) / 2
    exact = HBAR_EV_FS * vectors_of(predictor, here).along(velocities)
    solver = solver_of(predictor, here, np.zeros(3))
    low, errors = solver.window.low, []
    for timestep in steps:
        ends = [here.with_positions(here.positions + s * timestep / 2 * velocities) for s in (-1, 1)]
        pair = [(structure, solver.solve(structure, 0)) for structure in ends]
        between = frame_overlap(*pair, "exact", predictor.cross_overlap("exact"), solver.folded)
        nac = hammes_schiffer_tully(between, timestep)
        found = np.array([nac[i - low, j - low] for i, j in PAIRS])
        errors.append(np.linalg.norm(np.abs(found) - np.abs(exact)))
    slopes = np.diff(-np.log2(errors))
    np.testing.assert_allclose(slopes, 2.0, atol=slack)
    assert errors[-1] < 0.02 * np.linalg.norm(exact)


def told(function, *arguments) -> str:
    with pytest.raises(InputError) as caught:
        function(*arguments)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert caught.value.remedy
    return sentence


def test_what_has_no_vectors(models):
    predictor, structure, settings = models["pair"], md_frame(3), StatesSettings()
    assert "no state 5000" in told(nac_vectors, predictor, structure, [(VBM, 5000)], settings, 0)
    assert "no state -1" in told(nac_vectors, predictor, structure, [(-1, VBM)], settings, 0)
    assert "paired with itself" in told(nac_vectors, predictor, structure, [(VBM, VBM)], settings, 0)
    limits = OverlapLimits(0, 0.0, 0.0, 0.0, {}, {8: 1e-3, 22: 0.0}, {8: 0.01, 22: 1.0})
    unknown = replace(predictor, table=LimitedTable(predictor.table, limits))
    assert "displaced" in told(nac_vectors, unknown, structure, PAIRS, settings, 0)


def test_degenerate_states(models):
    """Two formula units far apart are a level of two each."""
    predictor, bulk = models["pair"], md_frame(3)
    cell = np.diag([60.0, 30.0, 30.0])
    positions = np.concatenate([bulk.positions, bulk.positions + np.array([30.0, 0.0, 0.0])])
    twins = Structure(cell, positions, np.tile(bulk.numbers, 2))
    assert "degenerate" in told(nac_vectors, predictor, twins, [(46, 47)], StatesSettings(), 0)
    found = nac_vectors(predictor, twins, [(47, 48)], StatesSettings(), 0)
    np.testing.assert_array_equal(found.level_sizes, 2)


def test_command(models, tmp_path, monkeypatch):
    """A trajectory's frames to data and arrows, with the couplings of its velocities."""
    monkeypatch.setattr(model_bands, "loaded", lambda path: models["pair"])
    model, source = tmp_path / "model.pt", tmp_path / "trajectory.h5"
    model.write_bytes(b"read elsewhere")
    frames = [md_frame(k) for k in (2, 3, 4)]
    positions = np.array([frame.positions for frame in frames])
    velocities = np.random.default_rng(0).normal(scale=0.01, size=positions.shape)
    zeros = np.zeros(3)
    block = FrameBlock(positions, velocities, zeros, zeros, zeros)
    attributes = {"timestep_fs": 1.0, "temperature_K": 300.0}
    write_trajectory(source, frames[0], [block], attributes=attributes, config={}, inputs=[])
    data, arrows = tmp_path / "nac.h5", tmp_path / "nac.extxyz"
    fixed = ["vectors", "--model", str(model), "--structure", str(source)]
    both = ["--pair", "VBM,CBM", "--pair", "22 CBM+1", "--frame", "1", "--frame", "2"]
    written = ["--out", str(data), "--out", str(arrows)]
    done = CliRunner().invoke(app, [*fixed, *both, *written], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found = vectors_of(models["pair"], frames[1])
    with open_hdf5(data, "n2amd/nac-vectors") as file:
        assert file.attrs["n_occupied"] == VBM + 1
        np.testing.assert_array_equal(file["bands"], [[VBM, VBM + 1], [VBM - 1, VBM + 2]])
        np.testing.assert_array_equal(file["frames"], [1, 2])
        np.testing.assert_allclose(file["nac"][0], found.nac[[0, 2]], atol=1e-10)
        coupling = HBAR_EV_FS * np.einsum("pac,ac->p", file["nac"][1], velocities[2])
        np.testing.assert_allclose(file["coupling"][1], coupling, atol=1e-12)
    images = read(arrows, ":")
    assert len(images) == 4
    np.testing.assert_allclose(images[0].arrays["nac"], found.nac[0], atol=1e-8)
    np.testing.assert_array_equal(images[0].arrays["Displacement"], images[0].arrays["nac"])
    assert images[0].info["gap_eV"] == pytest.approx(np.ptp(found.energies[0]))

    def refused(*arguments) -> str:
        error = CliRunner().invoke(app, [*fixed, *arguments]).exception
        assert isinstance(error, InputError), error
        return str(error)

    named = ["--out", str(data), "--frame", "1"]
    assert "names no state" in refused("--pair", "VBM,HOMO", *named)
    assert "no pair of states" in refused("--pair", "VBM", *named)
    assert "none is named" in refused("--out", str(data))
    assert "are not written" in refused("--out", str(tmp_path / "nac.txt"), "--frame", "1")


def test_another_k_point_in_arrows(models, tmp_path, monkeypatch):
    monkeypatch.setattr(model_bands, "loaded", lambda path: models["pair"])
    model, arrows = tmp_path / "model.pt", tmp_path / "nac.xyz"
    model.write_bytes(b"read elsewhere")
    arguments = ["--model", str(model), "--structure", str(TITANIA / "rutile.vasp"), "--out", str(arrows)]
    general = ["--settings", '{"kpoint": [0.13, 0.2, -0.31]}']
    done = CliRunner().invoke(app, ["vectors", *arguments, *general], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    (image,) = read(arrows, ":", format="extxyz")
    assert np.abs(image.arrays["nac_imaginary"]).max() > 1e-3
