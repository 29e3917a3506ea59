"""Generated structures: the distributions they are drawn from, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk, graphene

from n2amd.config.structures import StructureSettings
from n2amd.errors import InputError
from n2amd.interop.extxyz import read_structures, write_structures
from n2amd.structure import Structure
from n2amd.structures.distortions import (
    find_layers,
    generate,
    random_strain,
    rattle,
    shortest_distances,
    slid,
    strained,
    thermal_sigma,
)
from n2amd.units import AMU_A2_FS2_IN_EV, BOLTZMANN_EV_K, HBAR_EV_FS

SILICON = np.array([14])
MASS = 28.085 * AMU_A2_FS2_IN_EV


@pytest.fixture(scope="module")
def silicon() -> Structure:
    return Structure.from_ase(bulk("Si", a=5.43, cubic=True))


@pytest.fixture(scope="module")
def graphite() -> Structure:
    layer = graphene(vacuum=1.675)
    layer.pbc = True
    return Structure.from_ase(layer.repeat((1, 1, 2)))


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_hot_atoms_obey_equipartition() -> None:
    """The classical limit of a Debye crystal, <u^2> = 3 hbar^2 T / (M k theta^2)."""
    classical = 3 * HBAR_EV_FS**2 * 1e5 / (MASS * BOLTZMANN_EV_K * 645.0**2)
    assert thermal_sigma(SILICON, 1e5, 645.0)[0] ** 2 == pytest.approx(classical, rel=1e-4)


def test_cold_atoms_keep_their_zero_point_motion() -> None:
    zero_point = 0.75 * HBAR_EV_FS**2 / (MASS * BOLTZMANN_EV_K * 645.0)
    assert thermal_sigma(SILICON, 0.1, 645.0)[0] ** 2 == pytest.approx(zero_point, rel=1e-4)


def test_light_atoms_move_more() -> None:
    sigma = thermal_sigma(np.array([1, 16]), 300.0, 500.0)
    assert sigma[0] / sigma[1] == pytest.approx(np.sqrt(32.06 / 1.008), rel=1e-3)


def test_displacements_are_gaussian(silicon: Structure) -> None:
    cell = silicon.supercell((5, 5, 5))
    moved, redrawn = rattle(cell, np.full(cell.n_atoms, 0.05), generator())
    displacements = (moved.positions - cell.positions).ravel()
    assert redrawn == 0
    assert displacements.std() == pytest.approx(0.05, rel=0.05)
    assert np.mean(displacements**4) / np.mean(displacements**2) ** 2 == pytest.approx(3.0, rel=0.15)


def test_atoms_that_come_too_close_draw_again(silicon: Structure) -> None:
    cell = silicon.supercell((3, 3, 3))
    moved, redrawn = rattle(cell, np.full(cell.n_atoms, 0.2), generator(), closest=0.75)
    assert 0 < redrawn < cell.n_atoms / 2
    shortest = shortest_distances(moved)[14, 14]
    assert shortest >= 0.75 * shortest_distances(cell)[14, 14]


def test_a_rattle_that_makes_atoms_collide_is_refused(silicon: Structure) -> None:
    with pytest.raises(InputError, match=r"atoms collide: rattled by 0.900 A .* use a smaller sigma"):
        rattle(silicon, np.full(8, 0.9), generator())


def test_shortest_distances_count_images() -> None:
    rocksalt = Structure.from_ase(bulk("NaCl", "rocksalt", a=5.64))
    shortest = shortest_distances(rocksalt)
    assert shortest[11, 17] == pytest.approx(2.82)
    assert shortest[11, 11] == shortest[17, 17] == pytest.approx(5.64 / np.sqrt(2))


def test_two_atoms_at_one_place_are_refused(silicon: Structure) -> None:
    with pytest.raises(InputError, match="two atoms are at the same place"):
        shortest_distances(silicon.with_positions(np.zeros((8, 3))))


def test_strain_is_symmetric_and_moves_atoms_with_the_cell(silicon: Structure) -> None:
    strain = random_strain(0.02, generator())
    assert np.array_equal(strain, strain.T)
    assert np.abs(strain).max() <= 0.02
    made = strained(silicon, strain)
    fractional = silicon.positions @ np.linalg.inv(silicon.cell)
    assert made.positions @ np.linalg.inv(made.cell) == pytest.approx(fractional)
    assert made.volume / silicon.volume == pytest.approx(np.linalg.det(np.eye(3) + strain))


def test_layers_slide_as_wholes_in_their_plane(graphite: Structure) -> None:
    assert [len(atoms) for atoms in find_layers(graphite, 2, 1.5)] == [2, 2]
    made, slides = slid(graphite, 1.0, 2, 1.5, generator())
    moved = made.positions - graphite.positions
    assert moved[:, 2] == pytest.approx(0.0)
    assert not slides[0].any()
    assert 0 < np.linalg.norm(slides[1]) <= 1.0
    assert sorted(np.linalg.norm(moved, axis=1).round(9)) == pytest.approx(
        sorted([0, 0] + [np.linalg.norm(slides[1])] * 2)
    )


def test_a_layer_across_the_border_of_the_cell_stays_whole(graphite: Structure) -> None:
    """The lower layer comes to lie on the border, half of it below."""
    heights = -graphite.positions[0, 2] + np.array([0.3, -0.3, 0.3, -0.3])
    puckered = graphite.with_positions(graphite.positions + np.outer(heights, [0, 0, 1]))
    assert sorted(sorted(atoms.tolist()) for atoms in find_layers(puckered, 2, 1.5)) == [[0, 1], [2, 3]]


def test_sliding_what_has_no_layers_is_refused(silicon: Structure) -> None:
    with pytest.raises(InputError, match="no two layers along c"):
        slid(silicon, 1.0, 2, 1.5, generator())


def test_structures_do_not_depend_on_how_many_are_asked_for(silicon: Structure) -> None:
    recipe = StructureSettings(sigma_A=0.05, strain=0.01, temperatures_K=[100.0, 300.0], supercell="2x1x1")
    some, more = list(generate(silicon, recipe, 2, 3)), list(generate(silicon, recipe, 0, 5))
    assert np.array_equal(some[1].structure.positions, more[3].structure.positions)
    assert not np.array_equal(more[0].structure.positions, more[1].structure.positions)
    other = next(generate(silicon, recipe.model_copy(update={"seed": 2}), 2, 2))
    assert not np.array_equal(some[0].structure.positions, other.structure.positions)


def test_temperatures_are_taken_in_turn(silicon: Structure) -> None:
    recipe = StructureSettings(debye_temperature_K=645.0, temperatures_K=[100.0, 300.0])
    records = [made.record for made in generate(silicon, recipe, 0, 3)]
    assert [record["temperature_K"] for record in records] == [100.0, 300.0, 100.0, 300.0]
    assert records[0]["sigma_A"] < records[1]["sigma_A"]


def test_a_recipe_that_changes_nothing_is_refused(silicon: Structure) -> None:
    with pytest.raises(InputError, match="would all be the same"):
        next(generate(silicon, StructureSettings(), 0, 3))


def test_structures_survive_their_file(silicon: Structure, tmp_path: Path) -> None:
    recipe = StructureSettings(sigma_A=0.05, strain=0.01)
    made = list(generate(silicon, recipe, 0, 2))
    count = write_structures(tmp_path / "s.extxyz", [(m.structure, m.record) for m in made])
    read = read_structures(tmp_path / "s.extxyz")
    assert count == len(read) == 3
    for before, after in zip(made, read):
        assert after.positions == pytest.approx(before.structure.positions, abs=1e-7)
        assert after.cell == pytest.approx(before.structure.cell, abs=1e-7)
    assert "redrawn=0" in (tmp_path / "s.extxyz").read_text()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[: len(text) // 2 - 20], "cannot be read as extended XYZ"),
        (lambda text: text.replace("Si ", "Qq ", 1), "cannot be read as extended XYZ"),
        (lambda text: text.replace("0.", "nan ", 1), r"cannot be read|not a finite number"),
        (lambda text: text.replace("Lattice", "Gitter"), "no three lattice vectors"),
        (lambda text: "", "holds no structure|cannot be read"),
    ],
)
def test_a_damaged_file_is_named(silicon: Structure, tmp_path: Path, change, message: str) -> None:
    path = tmp_path / "s.extxyz"
    write_structures(path, [(silicon, {"index": n}) for n in range(3)])
    path.write_text(change(path.read_text()))
    with pytest.raises(InputError, match=message) as caught:
        read_structures(path)
    assert str(caught.value).startswith(str(path))
    assert caught.value.remedy
