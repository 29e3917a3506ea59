"""Cube files as ASE reads them, archives of numpy as their page says to use them."""

from __future__ import annotations

import numpy as np
from ase.io.cube import read_cube

from n2amd.interop.cube import write_cube
from n2amd.structure import Structure
from n2amd.units import BOHR_ANGSTROM


def test_a_cube_file_is_read_back(tmp_path):
    cell = np.array([[4.0, 0.3, 0], [0, 5.0, 0], [0.5, 0, 6.0]])
    structure = Structure(cell, np.array([[0.1, 0.2, 0.3], [2.0, 2.5, 3.0]]), np.array([22, 8]))
    density = np.random.default_rng(0).uniform(0, 1, (4, 5, 7))
    write_cube(tmp_path / "a.cube", structure, density, "a\nstate")
    with open(tmp_path / "a.cube") as stream:
        found = read_cube(stream)
    np.testing.assert_allclose(found["atoms"].cell, cell, atol=1e-5)
    np.testing.assert_allclose(found["atoms"].positions, structure.positions, atol=1e-5)
    assert found["atoms"].numbers.tolist() == [22, 8]
    np.testing.assert_allclose(found["data"], density * BOHR_ANGSTROM**3, rtol=1e-5)
    lines = (tmp_path / "a.cube").read_text().splitlines()
    assert lines[0] == "a state"
    # six values a line, a line of points begins a line of text
    assert len(lines) == 2 + 4 + 2 + 2 * 20
    assert max(map(len, lines[8:])) == 6 * 13
