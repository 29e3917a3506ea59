from __future__ import annotations

import lzma
from pathlib import Path

import numpy as np
import pytest

from n2amd.dft.siesta.constants import CODATA_2018, LEGACY
from n2amd.dft.siesta.ion_xml import read_ion_xml, read_ions
from n2amd.errors import InputError
from n2amd.orbitals.basis import Basis
from n2amd.units import SIESTA_BOHR_ANGSTROM


@pytest.fixture
def titanium(resources) -> str:
    return lzma.open(resources / "TiO2_6_md" / "Ti.ion.xml.xz", "rt").read()


def read_basis(folder: Path) -> Basis:
    return Basis({ion.atom.number: ion.atom for ion in read_ions(folder, LEGACY)})


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
        read_ion_xml(path, LEGACY)


def test_a_ghost_atom_is_refused(titanium, tmp_path):
    path = tmp_path / "Ti.ion.xml"
    path.write_text(titanium.replace("<z>                        22", "<z>                       -22"))
    with pytest.raises(InputError, match="atomic number -22 is a ghost"):
        read_ion_xml(path, LEGACY)


def test_two_bases_of_one_element_are_refused(titanium, tmp_path):
    (tmp_path / "Ti.ion.xml").write_text(titanium)
    other = titanium.replace("<label> Ti </label>", "<label> Ti2 </label>")
    assert other != titanium
    (tmp_path / "Ti2.ion.xml").write_text(other)
    assert [ion.label for ion in read_ions(tmp_path, LEGACY)] == ["Ti", "Ti2"]
    (tmp_path / "Ti2.ion.xml").write_text(other.replace("3.70219954150", "3.70219954151"))
    with pytest.raises(InputError, match="second species of element 22"):
        read_ions(tmp_path, LEGACY)
    assert [ion.label for ion in read_ions(tmp_path, LEGACY, {"Ti"})] == ["Ti"]


def test_two_files_of_one_species_are_refused(titanium, tmp_path):
    (tmp_path / "Ti.ion.xml").write_text(titanium)
    (tmp_path / "copy.ion.xml").write_text(titanium)
    with pytest.raises(InputError, match="a second file of species Ti"):
        read_ions(tmp_path, LEGACY)


def test_a_folder_without_radial_functions_has_none(tmp_path):
    (tmp_path / "set" / "frame").mkdir(parents=True)
    assert read_ions(tmp_path / "set" / "frame", LEGACY) == ()


def test_the_projectors_bound_the_reach_of_the_hamiltonian(titanium, tmp_path):
    (tmp_path / "Ti.ion.xml").write_text(titanium)
    ion = read_ion_xml(tmp_path / "Ti.ion.xml", LEGACY)
    projectors = titanium.split("<kbs>")[1].split("</kbs>")[0]
    radii = [float(part.split("</cutoff>")[0]) for part in projectors.split("<cutoff>")[1:]]
    assert len(radii) >= 3
    assert ion.projector_radius == pytest.approx(max(radii) * SIESTA_BOHR_ANGSTROM, abs=1e-12)
    assert ion.projector_radius < ion.atom.cutoff


def test_lengths_follow_the_constants_of_the_run(titanium, tmp_path):
    (tmp_path / "Ti.ion.xml").write_text(titanium)
    old, new = (read_ion_xml(tmp_path / "Ti.ion.xml", known).atom.cutoff for known in (LEGACY, CODATA_2018))
    assert new / old == pytest.approx(0.529177210903 / 0.529177, abs=1e-15)
