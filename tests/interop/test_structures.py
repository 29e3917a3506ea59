from __future__ import annotations

import bz2
import gzip
import lzma
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import write

from n2amd.errors import InputError
from n2amd.interop.structures import read_structure

SUFFIX = {gzip: ".gz", bz2: ".bz2", lzma: ".xz"}
RUTILE = Path(__file__).parents[2] / "resources" / "tio2-honpas" / "rutile.vasp"


def test_rutile():
    found = read_structure(RUTILE)
    assert found.numbers.tolist() == [22, 22, 8, 8, 8, 8]
    assert found.pbc == (True, True, True)
    np.testing.assert_allclose(found.cell, np.diag([4.59, 4.59, 2.956]), atol=1e-6)
    bond = np.linalg.norm(found.positions[2] - found.positions[0])
    assert bond == pytest.approx(np.sqrt(2) * 0.305 * 4.59, abs=1e-4)


@pytest.mark.parametrize("name", ["POSCAR", "a.vasp", "a.cif", "a.extxyz", "a.xsf"])
def test_formats(tmp_path, name):
    crystal = bulk("Si", cubic=True)
    file = tmp_path / name
    write(file, crystal)
    found = read_structure(file)
    assert found.numbers.tolist() == [14] * 8
    np.testing.assert_allclose(found.cell, crystal.cell.array, atol=1e-5)
    order = np.lexsort(found.positions.round(3).T), np.lexsort(crystal.positions.round(3).T)
    np.testing.assert_allclose(found.positions[order[0]], crystal.positions[order[1]], atol=1e-5)


def test_the_last_frame_of_many(tmp_path):
    frames = [bulk("Si"), bulk("Ge")]
    write(tmp_path / "a.extxyz", frames)
    assert read_structure(tmp_path / "a.extxyz").numbers.tolist() == [32, 32]


def refusal(file) -> str:
    with pytest.raises(InputError) as caught:
        read_structure(file)
    assert caught.value.file == file
    assert "\n" not in str(caught.value)
    return caught.value.problem


def test_a_missing_file(tmp_path):
    assert "does not exist" in refusal(tmp_path / "none.cif")


@pytest.mark.parametrize(("name", "text"), [("a.xsf", "not a structure\n"), ("b", "?"), ("c.cif", "")])
def test_files_that_are_no_structure(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert "cannot read a structure" in refusal(tmp_path / name)


@pytest.mark.parametrize("name", ["POSCAR", "a.vasp", "run_CONTCAR"])
def test_a_poscar_without_elements_is_told_so(tmp_path, name):
    (tmp_path / name).write_text("made up\n1.0\n3 0 0\n0 3 0\n0 0 3\n2 1\nDirect\n" + "0 0 0\n" * 3)
    assert "no elements: line 6 has the numbers of atoms (2 1) at once" in refusal(tmp_path / name)


@pytest.mark.parametrize("module", [gzip, bz2, lzma])
def test_a_compressed_poscar(tmp_path, module):
    crystal = bulk("Si", cubic=True)
    write(tmp_path / "POSCAR", crystal)
    path = tmp_path / f"POSCAR{SUFFIX[module]}"
    with module.open(path, "wb") as file:
        file.write((tmp_path / "POSCAR").read_bytes())
    assert read_structure(path).numbers.tolist() == [14] * 8
    for damaged in (path.read_bytes()[:40], b"junk in its place"):
        path.write_bytes(damaged)
        assert "cannot be read" in refusal(path)


def test_a_folder(tmp_path):
    assert "is a folder without a DFT frame" in refusal(tmp_path)


@pytest.mark.parametrize("atoms", [molecule("H2O"), Atoms("H", cell=[3, 3, 0])])
def test_a_molecule_has_no_cell(tmp_path, atoms):
    write(tmp_path / "a.extxyz", atoms)
    assert "no three lattice vectors" in refusal(tmp_path / "a.extxyz")
