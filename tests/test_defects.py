"""Point defects: which atom goes, what is left, and which atoms are around it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from n2amd.commands.structures import app
from n2amd.errors import InputError
from n2amd.interop.extxyz import read_structures
from n2amd.interop.structures import read_structure
from n2amd.structure import Structure
from n2amd.structures.defects import choose_atom, with_defect

RUTILE = Path(__file__).parents[1] / "resources" / "tio2-honpas" / "rutile.vasp"


@pytest.fixture(scope="module")
def rutile() -> Structure:
    return read_structure(RUTILE).supercell((2, 2, 2))


def test_a_vacancy_of_rutile_has_three_titanium_neighbours(rutile):
    place = choose_atom(rutile, element="O")
    made = with_defect(rutile, place)
    assert made.kind == "V_O"
    assert made.structure.n_atoms == 47
    np.testing.assert_array_equal(made.structure.positions, np.delete(rutile.positions, place, axis=0))
    assert [int(made.structure.numbers[k]) for k in made.neighbours] == [22, 22, 22]
    assert made.distances == pytest.approx((1.9458, 1.9458, 1.9800), abs=0.03)
    # the same atoms, by their numbers in the cell with the defect
    from ase.geometry import find_mic

    apart = find_mic(made.structure.positions - made.site, rutile.cell)[1]
    assert sorted(np.argsort(apart)[:3].tolist()) == sorted(made.neighbours)


def test_a_substitution_keeps_every_number(rutile):
    place = choose_atom(rutile, element="o", position=rutile.positions[40] + 0.1)
    made = with_defect(rutile, place, "N")
    assert made.kind == "N_O"
    assert made.structure.n_atoms == 48
    changed = np.flatnonzero(made.structure.numbers != rutile.numbers)
    assert changed.tolist() == [place]
    assert made.structure.numbers[place] == 7
    assert place not in made.neighbours


def test_the_image_of_a_position_is_the_same_atom(rutile):
    there = rutile.positions[17] + rutile.cell[0] - 2 * rutile.cell[2]
    assert choose_atom(rutile, position=there) == 17


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({}, "name the atom by its number, or by element or position"),
        ({"atom": 0, "element": "O"}, "name the atom by its number, or by element or position"),
        ({"atom": 48}, r"there is no atom 48, the cell has 48 \(counted from 0\)"),
        ({"element": "Xx"}, "'Xx' is no element"),
        ({"element": "Si"}, "there is no Si in the cell"),
        ({"position": np.array([1.0, 1.0, 1.0])}, r"the nearest such atom, \d+, is \d\.\d\d A away"),
    ],
)
def test_an_atom_that_is_not_there_is_refused(rutile, named, said):
    with pytest.raises(InputError, match=said):
        choose_atom(rutile, **named)


def test_what_is_no_defect_is_refused(rutile):
    with pytest.raises(InputError, match="atom 0 is Ti already"):
        with_defect(rutile, 0, "Ti")
    with pytest.raises(InputError, match="the cell has one atom"):
        with_defect(Structure(np.eye(3), np.zeros((1, 3)), np.array([22])), 0)


@pytest.mark.parametrize("name", ["cell.extxyz", "cell.vasp", "POSCAR"])
def test_the_command_writes_what_is_read_again(name, tmp_path, rutile):
    out = tmp_path / name
    arguments = ["defect", str(RUTILE), "--out", str(out), "--element", "O", "--supercell", "2x2x2"]
    made = CliRunner().invoke(app, arguments)
    assert made.exit_code == 0, made.output
    assert "V_O at" in made.output
    found = read_structures(out)[0] if name == "cell.extxyz" else read_structure(out)
    wanted = with_defect(rutile, choose_atom(rutile, element="O")).structure
    np.testing.assert_array_equal(found.numbers, wanted.numbers)
    np.testing.assert_allclose(found.positions, wanted.positions, atol=1e-7)


def test_a_position_is_three_numbers(tmp_path):
    out = str(tmp_path / "x.extxyz")
    made = CliRunner().invoke(app, ["defect", str(RUTILE), "--out", out, "--position", "1,2"])
    assert "'1,2' is no position" in str(made.exception)
