"""Which image of an atom a column of H stands for: auxiliary supercells, Gamma-only runs, atoms outside."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from model_run import H_RANGE, PROJECTOR_RADIUS, RADIUS, Model, model_structure, random_model, write_run

from n2amd.blocks.matrix import BlockMatrix
from n2amd.dft.siesta.constants import LEGACY
from n2amd.dft.siesta.frame import read_frame
from n2amd.dft.siesta.run import Run
from n2amd.dft.siesta.supercell import lattice_vectors, nearest_images
from n2amd.dft.siesta.tables import read_orbital_table, read_xv
from n2amd.dft.siesta.tshs import read_tshs
from n2amd.errors import InputError
from n2amd.frames.frame import Frame
from n2amd.structure import Structure

FORMATS = ["HSX 0", "HSX 1", "HSX 2", "TSHS"]
DATA = Path(__file__).parents[1] / "data"


def assert_same_blocks(frame: Frame, model: Model, accuracy: float) -> None:
    for found, expected in ((frame.hamiltonian, model.hamiltonian), (frame.overlap, model.overlap)):
        for key, index in expected.pairs.items():
            assert found.pairs[key].same_as(index)
            assert found.values[key] == pytest.approx(expected.values[key], abs=accuracy)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("move", [(1, 0, 0), (-2, 3, 1)])
def test_atoms_outside_the_cell(move, format, tmp_path):
    """SIESTA names an image modulo the supercell; an atom far outside its cell needs other images."""
    inside = model_structure()
    positions = inside.positions + np.array([[0, 0, 0], move]) @ inside.cell
    model = random_model(1, Structure(inside.cell, positions, inside.numbers))
    assert max(np.abs(index.shift).max() for index in model.hamiltonian.pairs.values()) >= 2
    write_run(tmp_path, model, 1, format)
    assert_same_blocks(read_frame(tmp_path, "siesta")[0], model, 2e-5 if format == "HSX 0" else 1e-9)


def molecule(edge: float, positions: list[list[float]]) -> Model:
    """A Gamma-only run in a cube."""
    structure = Structure(np.eye(3) * edge, np.array(positions), np.array([31, 33]))
    return random_model(1, structure, cells=(1, 1, 1))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("second", [[2.6, 0.3, 0.2], [11.0, 0.3, 0.2], [26.6, 0.3, -11.8]])
def test_a_gamma_only_run_in_a_large_cell_is_unfolded(second, format, tmp_path):
    """One image of a pair interacts, wherever the atoms are; the frame then has no LABEL.KP."""
    model = molecule(12.0, [[0.0, 0.0, 0.0], second])
    write_run(tmp_path, model, 1, format)
    frame, _ = read_frame(tmp_path, "siesta")
    assert_same_blocks(frame, model, 2e-5 if format == "HSX 0" else 1e-9)
    assert (frame.bands.kpoints.tolist(), frame.bands.weights.tolist()) == ([[0, 0, 0]], [1])


@pytest.mark.parametrize("format", FORMATS)
def test_a_gamma_only_run_in_a_small_cell_is_refused(format, tmp_path):
    """Two images of a pair within the range of H: their sum cannot be undone."""
    edge = 2 * (RADIUS + PROJECTOR_RADIUS) - 0.1
    write_run(tmp_path, molecule(edge, [[0.0, 0.0, 0.0], [2.6, 0.3, 0.2]]), 1, format)
    with pytest.raises(InputError, match=r"Gamma only and its cell is too small.*ForceAuxCell"):
        read_frame(tmp_path, "siesta")


def test_a_gamma_only_run_without_radii_is_refused(tmp_path):
    write_run(tmp_path, molecule(12.0, [[0.0, 0.0, 0.0], [2.6, 0.3, 0.2]]), 1, "HSX 0")
    for file in tmp_path.glob("*.ion.xml"):
        file.unlink()
    with pytest.raises(InputError, match=r"Gamma-only run without \.ion\.xml"):
        read_frame(tmp_path, "siesta")


@pytest.mark.parametrize("name", ["honpas-gaas2-hse06-sz/frame_0001", "honpas-si2/frame_0000"])
def test_every_source_of_the_lattice_vectors_says_the_same(name):
    """On real runs: ORB_INDX, the TSHS file's own list, and the nearest image."""
    run = Run(DATA / name, name.split("-")[1][:5].replace("gaas2", "GaAs2").replace("si2/f", "Si2"))
    matrices = read_tshs(run.require("TSHS"))
    structure, _, _ = read_xv(run.require("XV"), LEGACY)
    table = read_orbital_table(run.require("ORB_INDX"))
    expected = table.shift[matrices.column]
    for source in (table, None):
        found = lattice_vectors(run.folder, matrices, structure, source, LEGACY, None)
        assert np.array_equal(found, expected)


def test_the_nearest_image_is_found_in_a_skewed_cell():
    rng = np.random.default_rng(5)
    cell = np.array([[4.0, 0.0, 0.0], [1.9, 3.6, 0.0], [-1.8, 1.1, 3.9]])
    structure = Structure(cell, rng.uniform(-9, 9, (6, 3)), np.full(6, 14))
    pairs = np.argwhere(np.ones((6, 6)))
    shifts, period = rng.integers(-9, 9, (36, 3)), np.array([3, 5, 1])
    found, second = nearest_images(structure, pairs, shifts, period)
    assert not np.any((found - shifts) % period)
    far = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in (7, 5, 28))), -1).reshape(-1, 3) * period
    for pair, shift, nearest, next_one in zip(pairs, shifts, found, second):
        bond = structure.positions[pair[1]] - structure.positions[pair[0]]
        lengths = np.sort(np.linalg.norm(bond + (shift + far) @ cell, axis=1))
        assert np.linalg.norm(bond + nearest @ cell) == pytest.approx(lengths[0], abs=1e-9)
        assert next_one == pytest.approx(lengths[1], abs=2e-6)


@pytest.mark.parametrize("format", FORMATS[1:])
def test_positions_of_another_step_are_refused(format, tmp_path):
    model = random_model(1)
    write_run(tmp_path / "run", model, 1, format)
    moved = replace(
        model, structure=model.structure.with_positions(model.structure.positions + np.array([0, 0, 0.02]))
    )
    write_run(tmp_path / "other", moved, 1, format)
    (tmp_path / "other" / "model.XV").replace(tmp_path / "run" / "model.XV")
    with pytest.raises(InputError, match="not the one the matrices were computed for"):
        read_frame(tmp_path / "run", "siesta")


def test_a_hamiltonian_longer_than_the_overlap_is_kept(tmp_path):
    """Projectors carry H to atoms whose orbitals do not overlap; the pattern is that of H."""
    model = random_model(1)
    write_run(tmp_path, model, 1, "TSHS")
    frame, basis = read_frame(tmp_path, "siesta")
    assert 2 * basis[31].cutoff == pytest.approx(2 * RADIUS)
    beyond = _beyond_the_orbitals(frame.hamiltonian, frame.structure, 2 * RADIUS)
    assert beyond > 0.1
    assert _beyond_the_orbitals(frame.overlap, frame.structure, 2 * RADIUS) == 0
    reach = max(
        np.linalg.norm(index.vectors(frame.structure), axis=1).max()
        for index in frame.hamiltonian.pairs.values()
    )
    assert 2 * RADIUS < reach < H_RANGE


def test_a_real_hamiltonian_reaches_beyond_its_orbitals():
    """GaAs: 2 meV at 6.92 A, where the orbitals' radii end at 6.67 A, and S is zero there."""
    frame, basis = read_frame(DATA / "honpas-gaas2-hse06-sz" / "frame_0001")
    touching = 2 * basis[31].cutoff
    assert touching == pytest.approx(6.671, abs=1e-3)
    assert _beyond_the_orbitals(frame.hamiltonian, frame.structure, touching) == pytest.approx(
        0.0022, abs=1e-4
    )
    assert _beyond_the_orbitals(frame.overlap, frame.structure, touching) == 0


def _beyond_the_orbitals(matrix: BlockMatrix, structure: Structure, distance: float) -> float:
    return max(
        float(
            np.abs(values[0, np.linalg.norm(matrix.pairs[key].vectors(structure), axis=1) > distance]).max(
                initial=0
            )
        )
        for key, values in matrix.values.items()
    )
