from __future__ import annotations

import lzma

import numpy as np
import pytest

from n2amd.dft.siesta.ion_xml import read_basis, read_ion_xml
from n2amd.errors import InputError
from n2amd.orbitals.basis import Basis
from n2amd.units import SIESTA_BOHR_ANGSTROM


@pytest.fixture
def titanium(resources) -> str:
    return lzma.open(resources / "TiO2_6_md" / "Ti.ion.xml.xz", "rt").read()


def test_shells_of_the_data_set(resources):
    basis = read_basis(resources / "TiO2_6_md" / "frame_0000")
    assert [s.label for s in basis[22].shells] == ["3s", "4s", "4s z2", "3p", "4p", "3d", "3d z2"]
    assert [s.label for s in basis[8].shells] == ["2s", "2s z2", "2p", "2p z2", "3d"]
    assert (basis[22].n_orbitals, basis[8].n_orbitals) == (19, 13)
    assert (basis[22].valence_charge, basis[8].valence_charge) == (12, 6)
    assert basis[22].shells[5].radial.cutoff == pytest.approx(5.12400089191 * SIESTA_BOHR_ANGSTROM, abs=1e-12)


def test_radial_functions_are_normalised_in_angstrom(resources):
    for atom in read_basis(resources / "TiO2_6_md").atoms.values():
        for shell in atom.shells:
            r = shell.radial.step * np.arange(len(shell.radial.values))
            assert np.trapezoid((shell.radial.values * r ** (shell.l + 1)) ** 2, r) == pytest.approx(
                1, abs=1e-6
            )
            assert r[-1] == pytest.approx(shell.radial.cutoff, abs=1e-9)
            assert shell.radial.values[-1] == 0


def test_basis_survives_json(resources):
    basis = read_basis(resources / "TiO2_6_md")
    assert Basis.from_json(basis.to_json()) == basis


def test_a_cut_file_is_refused(titanium, tmp_path):
    path = tmp_path / "Ti.ion.xml"
    path.write_text(titanium[: len(titanium) // 2])
    with pytest.raises(InputError, match=r"Ti\.ion\.xml: not a complete \.ion\.xml"):
        read_ion_xml(path)


def test_a_ghost_atom_is_refused(titanium, tmp_path):
    path = tmp_path / "Ti.ion.xml"
    path.write_text(titanium.replace("<z>                        22", "<z>                       -22"))
    with pytest.raises(InputError, match="atomic number -22 is a ghost"):
        read_ion_xml(path)


def test_two_bases_of_one_element_are_refused(titanium, tmp_path):
    (tmp_path / "Ti.ion.xml").write_text(titanium)
    (tmp_path / "Ti2.ion.xml").write_text(titanium.replace("3.70219954150", "3.70219954151"))
    with pytest.raises(InputError, match="second species of element 22"):
        read_basis(tmp_path)


def test_a_folder_without_radial_functions_is_refused(tmp_path):
    (tmp_path / "set" / "frame").mkdir(parents=True)
    with pytest.raises(InputError, match=r"no \.ion\.xml file here nor in the folder above"):
        read_basis(tmp_path / "set" / "frame")
