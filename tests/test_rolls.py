"""Rolled sheets: they close with the sheet's own bonds, and what is above the sheet lies outside."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

from n2amd.commands.structures import app
from n2amd.errors import InputError
from n2amd.interop.extxyz import read_structures
from n2amd.structure import Structure
from n2amd.structures.rolls import read_indices, rolled


def honeycomb(buckling: float = 0.0) -> Structure:
    """One cell of a honeycomb sheet across the border of its cell; the upper atom is of another element."""
    a = 2.5
    cell = a * np.array([[1.0, 0.0, 0.0], [-0.5, np.sqrt(3) / 2, 0.0], [0.2, 0.1, 4.0]])
    places = np.array([np.zeros(3), (cell[0] + 2 * cell[1]) / 3 + np.array([0.0, 0.0, buckling])])
    return Structure(cell, places, np.array([5, 7]))


def neighbours(structure: Structure, cutoff: float) -> list[np.ndarray]:
    """Sorted lengths of each atom's bonds below a cutoff, Angstrom."""
    shifts = np.arange(-2, 3)[:, None] * structure.cell[2]
    apart = structure.positions[:, None, None] - structure.positions[None, :, None] + shifts
    lengths = np.linalg.norm(apart, axis=-1)
    return [np.sort(row[(row < cutoff) & (row > 0.1)]) for row in lengths]


@pytest.mark.parametrize(
    ("indices", "atoms"), [((8, 0), 32), ((5, 5), 20), ((0, 8), 32), ((8, -4), 112), ((5, -5), 20)]
)
def test_a_tube_has_the_sheets_bonds(indices, atoms):
    """Atoms: 4 (n^2 - nm + m^2) / gcd(2n - m, 2m - n) where the lattice vectors are at 120 degrees."""
    tube = rolled(honeycomb(), indices, 2, 12.0)
    assert tube.n_atoms == atoms
    cell = honeycomb().cell
    length = np.linalg.norm(indices[0] * cell[0] + indices[1] * cell[1])
    radius = np.hypot(*(tube.positions[:, :2] - tube.cell[0, 0] / 2).T)
    np.testing.assert_allclose(radius, length / (2 * np.pi), atol=1e-9)
    # area of the sheet is kept
    area = np.linalg.norm(np.cross(cell[0], cell[1])) * atoms / 2
    assert length * tube.cell[2, 2] == pytest.approx(area)
    bond = 2.5 / np.sqrt(3)
    found = neighbours(tube, 1.2 * bond)
    assert all(len(one) == 3 for one in found)
    # chords are shorter than arcs by (bond / radius)^2 / 24 at most
    assert np.concatenate(found).max() <= bond * (1 + 1e-9)
    assert np.concatenate(found).min() > bond * (1 - (bond / radius[0]) ** 2 / 20)


def test_what_is_above_the_sheet_lies_outside():
    tube = rolled(honeycomb(0.6), (9, 0), 2, 12.0)
    radius = np.hypot(*(tube.positions[:, :2] - tube.cell[0, 0] / 2).T)
    middle = 9 * 2.5 / (2 * np.pi)
    np.testing.assert_allclose(radius[tube.numbers == 7], middle + 0.3)
    np.testing.assert_allclose(radius[tube.numbers == 5], middle - 0.3)
    assert tube.cell[0, 0] == pytest.approx(2 * (middle + 0.3) + 12.0)


def test_tubes_that_cannot_be_are_told():
    with pytest.raises(InputError, match="radius"):
        rolled(honeycomb(0.6), (1, 0), 2, 12.0)
    flat = honeycomb()
    strained = Structure(
        flat.cell * [[1.0], [1.0371], [1.0]], flat.positions * [1.0, 1.0371, 1.0], flat.numbers
    )
    with pytest.raises(InputError, match="right angles"):
        rolled(strained, (5, 2), 2, 12.0)
    bulk = Structure(2.0 * np.eye(3), np.zeros((1, 3)), np.array([6]))
    with pytest.raises(InputError, match="no vacuum"):
        rolled(bulk, (6, 0), 2, 12.0)
    for text in ("6", "a,b", "0,0", "1,2,3"):
        with pytest.raises(InputError, match="circumference"):
            read_indices(text)


def test_command_rolls_each_tube_and_rattles_its_copies(tmp_path):
    honeycomb().to_ase().write(tmp_path / "sheet.vasp")
    out = tmp_path / "tubes.extxyz"
    options = ["--tube", "6,0", "--tube", "7,0", "--count", "2", "--sigma-a", "0.02", "--out", str(out)]
    made = CliRunner().invoke(app, ["roll", str(tmp_path / "sheet.vasp"), *options])
    assert made.exit_code == 0
    assert "4 structures of 2 tubes" in made.output
    tubes = read_structures(out)
    assert [s.n_atoms for s in tubes] == [24, 24, 28, 28]
    assert 0.005 < tubes[0].moved_from(tubes[1]) < 0.2
