"""What H0 needs, from .ion.xml, input and log; and why some runs do not give it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from n2amd.dft.files import read_text
from n2amd.dft.siesta.constants import CODATA_2018, LEGACY
from n2amd.dft.siesta.frame import read_frame
from n2amd.dft.siesta.ion_potentials import integral
from n2amd.dft.siesta.ion_xml import read_ion_xml
from n2amd.dft.siesta.log import Origin
from n2amd.dft.siesta.log_facts import LogFacts, energy_terms, read_log_facts
from n2amd.dft.siesta.occupations import energy_in_rydberg, smearing_of_run
from n2amd.dft.siesta.spin import held_spin
from n2amd.dft.siesta.zeroth_order import ingredients_of_run
from n2amd.errors import InputError
from n2amd.frames.ingredients import Ingredients
from n2amd.orbitals.bessel_transform import interpolate
from n2amd.structure import Structure

DATA = Path(__file__).parents[1] / "data"
PBE = {"functional": "PBE"}
INPUT = {"meshcutoff": "200 Ry", "xcauthors": "PBE"}


@pytest.fixture(scope="module")
def text(resources) -> str:
    return read_text(resources / "TiO2_6_train" / "Ti.ion.xml.xz")


@pytest.fixture
def read(tmp_path):
    def of(text: str):
        path = tmp_path / "Ti.ion.xml"
        path.write_text(text)
        return read_ion_xml(path, LEGACY)

    return of


@pytest.fixture(scope="module")
def ions(resources):
    folder = resources / "TiO2_6_train"
    return tuple(read_ion_xml(folder / f"{label}.ion.xml.xz", LEGACY) for label in ("Ti", "O"))


TITANIA = Structure(4 * np.eye(3), np.array([[0.0, 0, 0], [2.0, 0, 0]]), np.array([22, 8]))


def test_projectors_and_potentials_of_titanium(text, read):
    found = read(text).ingredients
    assert [p.shell.l for p in found.projectors] == [0, 0, 1, 1, 2, 3]
    assert found.projectors[0].energy == pytest.approx(-5.12568462299 * LEGACY.rydberg)
    for projector in found.projectors:
        radial, l = projector.shell.radial, projector.shell.l
        r = np.linspace(0, radial.cutoff, 20001)
        assert np.trapezoid((interpolate(radial)(r) * r ** (l + 1)) ** 2, r) == pytest.approx(1, abs=1e-5)
    assert found.neutral_potential.cutoff == pytest.approx(5.25371844433 * LEGACY.bohr)
    assert found.neutral_potential.values[-1] == 0
    assert integral(found.core_density) == pytest.approx(3.04, abs=0.01)


def test_atomic_density_is_that_of_the_occupied_orbitals(text, read):
    ion = read(text)
    density = ion.ingredients.density
    assert integral(density) == pytest.approx(12, abs=3e-7)
    # off the grid, with 2 electrons in 4s, 3s and 3d, 6 in 3p
    r = np.linspace(0.0013, density.cutoff, 3001)
    expected = np.zeros(len(r))
    for shell, electrons in zip(ion.atom.shells, (2, 2, 0, 6, 0, 2, 0)):
        inside = r < shell.radial.cutoff
        expected[inside] += electrons / (4 * np.pi) * (interpolate(shell.radial)(r) * r**shell.l)[inside] ** 2
    np.testing.assert_allclose(interpolate(density)(r), expected, atol=3e-8)
    assert 4 * np.pi * np.trapezoid((interpolate(density)(r) - expected) * r**2, r) == pytest.approx(
        0, abs=12e-9
    )


def test_ingredients_follow_the_constants_of_the_run(text, tmp_path):
    path = tmp_path / "Ti.ion.xml"
    path.write_text(text)
    ours, theirs = (read_ion_xml(path, constants).ingredients for constants in (LEGACY, CODATA_2018))
    ratio = CODATA_2018.rydberg / LEGACY.rydberg
    assert theirs.projectors[0].energy / ours.projectors[0].energy == pytest.approx(ratio, rel=1e-12)
    assert theirs.neutral_potential.values[3] / ours.neutral_potential.values[3] == pytest.approx(ratio)


@pytest.mark.parametrize(
    ("pattern", "replacement", "reason"),
    [
        (r"<vna>.*</vna>", "", "<vna> is missing"),
        (r"<kbs>.*</kbs>", "", "<kbs> is missing"),
        (r"<nprojs_nl> +6", "<nprojs_nl> 7", "6 of 7 projectors"),
        (r'ref_energy="', r'j="0.5" ref_energy="', "depend on j"),
        (r' n="                        2"( \n ref_energy)', r' n="1"\1', "depend on j"),
        (r'population="     2.0', 'population="     1.0', "populations .* add up to 9.0000, not to 12"),
        (r"<chlocal>.*</chlocal>", "", "<chlocal> is missing"),
    ],
)
def test_what_a_file_lacks_is_said(text, read, pattern, replacement, reason):
    changed = re.sub(pattern, replacement, text, flags=re.DOTALL)
    assert changed != text
    ion = read(changed)
    assert ion.ingredients is None
    assert re.search(reason, ion.lacks)


def test_a_core_may_be_absent(text, read):
    assert read(re.sub(r"<core>.*</core>", "", text, flags=re.DOTALL)).ingredients.core_density is None


def test_a_frame_has_its_ingredients(resources):
    frame, _ = read_frame(resources / "TiO2_6_train" / "frame_0000")
    found = frame.ingredients
    assert (found.scheme, found.functional, found.mesh_cutoff) == ("siesta", "PBE", 200)
    assert (found.rydberg, found.bohr) == (LEGACY.rydberg, LEGACY.bohr)
    assert sorted(found.atoms) == [8, 22]
    assert "h0" not in frame.origin
    assert frame.origin["smearing"] == "Fermi-Dirac of order 0, 0.025 eV"
    # those of the last step, not of the first
    assert energy_terms(frame.origin)["Ekin"] == 2529.414186
    assert energy_terms(frame.origin)["Exc"] == -1050.970327
    assert Ingredients.from_json(found.to_json()) == found


def test_a_hybrid_functional_keeps_its_semilocal_parent():
    frame, _ = read_frame(DATA / "honpas-gaas2-hse06-sz" / "frame_0001")
    assert frame.ingredients.functional == "PBE"
    assert frame.origin["h0"] == "that of PBE: the exact exchange of HSE06 is not part of it"


def test_a_run_without_ion_files_has_none(frame_folder):
    for path in frame_folder.parent.glob("*.ion.xml.xz"):
        path.unlink()
    frame, _ = read_frame(frame_folder)
    assert frame.ingredients is None
    assert frame.origin["h0"] == "there is no .ion.xml file"


def test_another_mesh_in_the_log_is_refused(frame_folder):
    log = read_text(frame_folder / "out.xz")
    (frame_folder / "out.xz").unlink()
    (frame_folder / "out").write_text(re.sub(r"MESH =( +)40 x", r"MESH =\g<1>48 x", log))
    with pytest.raises(InputError, match="MESH': the mesh is 48 x 40 x 30, that of 200 Ry in this cell"):
        read_frame(frame_folder)


def test_the_mesh_cutoff_of_the_input_is_enough(frame_folder):
    (frame_folder / "out.xz").unlink()
    assert read_frame(frame_folder)[0].ingredients.mesh_cutoff == 200
    shutil.move(frame_folder / "in.fdf.xz", frame_folder.parent / "kept")
    frame, _ = read_frame(frame_folder)
    assert (frame.ingredients, "smearing" in frame.origin) == (None, False)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"dftuproj": "Ti 1"}, "Hubbard"),
        ({"ldauproj": "Ti 1"}, "Hubbard"),
        ({"externalelectricfield": "0 0 1 V/Ang"}, "electric field"),
        ({"slabdipolecorrection": "true"}, "dipole correction"),
        ({"xcfunctional": "VDW", "xcauthors": "DRSLL"}, "functional"),
        ({"xcmix": "2"}, "functional"),
        ({"meshsizes": "[40 40 40]"}, "Mesh.Sizes"),
        ({"meshsubdivisions": "3"}, "MeshSubDivisions"),
        ({"meshcutoff": "many"}, "mesh cutoff is unknown"),
    ],
)
def test_runs_that_h0_does_not_have(ions, settings, reason):
    found, note = ingredients_of_run(TITANIA, ions, Origin(PBE, settings={**INPUT, **settings}), LEGACY)
    assert found is None
    assert reason in note


def test_terms_of_the_log_tell_of_a_field_without_an_input(ions):
    for term, reason in (("DUext", "field"), ("Edftu", "Hubbard")):
        facts = LogFacts(Path("out"), 200.0, terms={term: 0.3})
        assert reason in ingredients_of_run(TITANIA, ions, Origin(PBE, facts=facts), LEGACY)[1]


@pytest.mark.parametrize(
    ("name", "label"),
    [("PBEsol", "PBEsol"), ("revPBE", "revPBE"), ("ca", "PZ"), (None, "PZ"), ("B3LYP", None)],
)
def test_functionals(ions, name, label):
    settings = {"meshcutoff": "200 Ry"} if name is None else INPUT
    provenance = {} if name is None else {"functional": name}
    found, note = ingredients_of_run(TITANIA, ions, Origin(provenance, settings=settings), LEGACY)
    assert (found and found.functional, bool(note)) == (label, label is None)


def test_the_cutoff_has_the_digits_of_the_input(ions):
    def cutoff(given: str, printed: float | None) -> float:
        facts = None if printed is None else LogFacts(Path("out"), printed)
        origin = Origin(PBE, settings={**INPUT, "meshcutoff": given}, facts=facts)
        return ingredients_of_run(TITANIA, ions, origin, LEGACY)[0].mesh_cutoff

    assert cutoff("2500 eV", None) == pytest.approx(2500 / LEGACY.rydberg)
    assert cutoff("2500 eV", 183.745) == pytest.approx(2500 / LEGACY.rydberg)
    assert cutoff("100 Ha", 200.0) == 200
    # the log is of a cutoff that the program raised
    assert cutoff("150 Ry", 200.0) == 200


def test_the_last_mesh_of_a_log_counts():
    facts = read_log_facts(
        Path("out"),
        "InitMesh: MESH =    40 x    40 x    30 =       48000\n"
        "InitMesh: Mesh cutoff (required, used) =   200.000   209.428 Ry\n"
        "siesta: Enl     =      -752.335815\nsiesta: Ekin    = ************\n"
        "InitMesh: MESH =    40 x    40 x    32 =       51200\n",
    )
    assert (facts.mesh_shape, facts.mesh_cutoff, facts.terms) == ((40, 40, 32), 200, {"Enl": -752.335815})


def test_energies_of_an_input():
    assert energy_in_rydberg("200", 13.6) == 200
    assert energy_in_rydberg("1.d2 Ha", 13.6) == 200
    assert energy_in_rydberg("25 meV", 13.6) * 13.6 == pytest.approx(0.025)
    assert energy_in_rydberg("300 K", 13.6) * 13.6 == pytest.approx(0.0258520, abs=1e-7)
    with pytest.raises(ValueError, match="unknown unit 'parsec'"):
        energy_in_rydberg("1 parsec", 13.6)


def test_fixed_total_spin():
    def moment(**settings: str) -> float | None:
        return held_spin(Origin(settings={**INPUT, **settings}))

    assert moment() is None
    assert moment(fixspin=".false.", totalspin="1.0") is None
    assert moment(fixspin=".true.", totalspin="1.0") == 1
    assert moment(spinfix="yes", spintotal="-2.0") == -2  # names of newer versions
    assert moment(fixspin="T") == 0  # the code's default
    with pytest.raises(InputError, match="holds the total spin at 'one', which is no number"):
        moment(fixspin="T", totalspin="one")


def test_occupation_functions():
    def smearing(**settings: str) -> str | None:
        return smearing_of_run(Origin(settings={**INPUT, **settings}), LEGACY.rydberg)

    assert smearing() == "Fermi-Dirac of order 0, 0.02585199979 eV"
    assert (
        smearing(electronictemperature="5 meV", occupationfunction="MP")
        == "Methfessel-Paxton of order 1, 0.005 eV"
    )
    assert smearing(occupationfunction="Cold") == "OccupationFunction cold"
    assert smearing(fixspin=".false.") == smearing()
    assert smearing(fixspin=".true.") == smearing()
    assert smearing_of_run(Origin(facts=LogFacts(Path("out"), temperature=0.1)), 13.6) == (
        "Fermi-Dirac of order 0, 0.1 eV"
    )
