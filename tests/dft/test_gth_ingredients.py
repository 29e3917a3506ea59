"""Ingredients of H0 from CP2K's files: H is CP2K's again, and what H0 cannot have is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg

from n2amd.baseline.gth import GthChannel
from n2amd.baseline.model_density import ModelDensity, choose_functions, fit_equations, frame_density
from n2amd.baseline.rebuilt import rebuilt_hamiltonian
from n2amd.baseline.scf_kpoints import scf_kpoints
from n2amd.baseline.smearing import Smearing
from n2amd.baseline.zeroth import ZerothHamiltonian
from n2amd.blocks.matrix import fold
from n2amd.dft.cp2k.frame import read_frame
from n2amd.dft.cp2k.inputs import read_sections
from n2amd.dft.cp2k.log import read_log
from n2amd.dft.cp2k.zeroth_order import functional_of
from n2amd.errors import InputError

DATA = Path(__file__).parents[1] / "data" / "cp2k"
POTENTIAL = """\
Si GTH-PBE-q4 GTH-PBE
    2    2
     0.44000000    1    -6.26928833
"""


@pytest.fixture
def run(cp2k_runs, tmp_path) -> Path:
    """A writable copy of the Si2 run, its basis file beside it."""
    shutil.copy(DATA / "BASIS_MOLOPT_Si", tmp_path / "BASIS_MOLOPT")
    return shutil.copytree(cp2k_runs / "si2", tmp_path / "si2")


def edit(folder: Path, pattern: str, old: str, new: str) -> None:
    (path,) = folder.glob(pattern)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_h0_of_a_frames_own_density_is_cp2ks_hamiltonian(run) -> None:
    """On the absolute zero of energies, CP2K's multigrids against one grid: 0.02 meV."""
    frame, basis = read_frame(run)
    assert "h0" not in frame.origin
    rebuilt = rebuilt_hamiltonian(frame, basis, frame.ingredients)
    assert np.abs(rebuilt.values[14, 14] - frame.hamiltonian.values[14, 14]).max() < 5e-5


def test_k_points_have_the_digits_of_their_mesh(run) -> None:
    frame, _ = read_frame(run)
    points, weights = scf_kpoints(frame)
    assert len(points) == 27
    np.testing.assert_array_equal(np.unique(points), np.array([-1, 0, 1]) / 3)
    np.testing.assert_allclose(weights, 1 / 27)
    assert Smearing.of_origin(frame.origin) == Smearing.filled()


def test_pseudopotentials_of_the_log(cp2k_runs) -> None:
    """Oxygen's l = 1 has a radius and no projector, hydrogen has none at all."""
    setup = read_log(next((cp2k_runs / "h2o_a").glob("*.out"))).setup
    oxygen, hydrogen = setup.potentials[8], setup.potentials[1]
    assert (oxygen.name, oxygen.charge, oxygen.electrons) == ("GTH-PBE-q6", 6, (2, 4))
    assert (oxygen.radius, oxygen.coefficients) == (0.244554, (-16.667215, 2.487311))
    assert oxygen.channels == (GthChannel(0, 0.220956, ((18.337458,),)),)
    assert hydrogen.electrons == (1,)
    assert hydrogen.channels == ()
    assert setup.mesh_shape == (150, 150, 150)
    assert setup.others == frozenset()


@pytest.mark.parametrize(
    ("pattern", "old", "new", "reason"),
    [
        ("*.out", "XC derivatives" + 58 * " " + "PW", "XC derivatives NN50", "are taken by NN50"),
        ("*.out", "     GTH Potential information", "     Potential", "GTH pseudopotential of Si"),
        ("*.out", " BRILLOUIN|     3 ", " BRILLOUIN|     x ", "does not list all k points"),
        ("*.out", "Points:          30", "Points:          32", "is 32 x 32 x 32, that of 150 Ry is 30 x 30"),
        ("*.inp", "&XC_FUNCTIONAL PBE", "&XC_FUNCTIONAL BLYP", "H0 does not have the functional BLYP"),
        ("*.inp", "&MGRID", "&EFIELD\n&END EFIELD\n&MGRID", "an external field"),
    ],
)
def test_what_h0_does_not_have_is_named(run, pattern: str, old: str, new: str, reason: str) -> None:
    edit(run, pattern, old, new)
    frame, _ = read_frame(run)
    assert frame.ingredients is None
    assert reason in frame.origin["h0"]


@pytest.mark.parametrize(("line", "named"), [("    NLCC 1\n", True), ("", False)])
def test_a_core_correction_is_named(run, line: str, named: bool) -> None:
    """The log does not print it: the potential file does."""
    (run.parent / "GTH_POTENTIALS").write_text(POTENTIAL + line)
    frame, _ = read_frame(run)
    assert (frame.ingredients is None) is named
    assert ("non-linear core correction" in frame.origin.get("h0", "")) is named


def test_orbitals_without_radial_functions_have_no_h0(cp2k_runs) -> None:
    frame, _ = read_frame(cp2k_runs / "si2")
    assert frame.ingredients is None
    assert "radial functions" in frame.origin["h0"]


@pytest.mark.parametrize(
    ("lines", "label", "note"),
    [
        ("&XC_FUNCTIONAL PBE\n&END", "PBE", ""),
        ("&XC_FUNCTIONAL\n&PBE\nPARAMETRIZATION PBESOL\n&END\n&END", "PBEsol", ""),
        ("&XC_FUNCTIONAL\n&PBE\nSCALE_X 0.5\n&END\n&END", "", "this form of PBE"),
        ("&XC_FUNCTIONAL\n&PBE\n&END\n&XWPBE\n&END\n&END\n&HF\n&END", "PBE", "exact exchange of HSE06"),
        ("&XC_FUNCTIONAL PBE\n&END\n&VDW_POTENTIAL\n&NON_LOCAL\n&END\n&END", "", "does not have"),
        ("", "", "unknown"),
    ],
)
def test_functionals(tmp_path, lines: str, label: str, note: str) -> None:
    path = tmp_path / "x.inp"
    path.write_text(f"&FORCE_EVAL\n&DFT\n&XC\n{lines}\n&END\n&END\n&END\n")
    found, said = functional_of(read_sections(path))
    assert found == label
    assert note in said if note else not said


def test_unknown_k_points_are_no_bands(run) -> None:
    """The bands of CP2K may lie on a path: they are not those of the SCF cycle."""
    frame, _ = read_frame(run)
    origin = {key: value for key, value in frame.origin.items() if key != "k_points"}
    frame = type(frame)(**{**vars(frame), "origin": origin})
    with pytest.raises(InputError, match="k points of the SCF cycle are unknown"):
        scf_kpoints(frame)


def test_the_origin_lists_k_points_as_text(run) -> None:
    frame, _ = read_frame(run)
    assert np.shape(json.loads(frame.origin["k_points"])) == (27, 4)


def test_density_functions_hold_the_charge_of_a_bond(run) -> None:
    """H0 of a fitted density has CP2K's band edges: products of s and p orbitals alone have no l = 3."""
    frame, basis = read_frame(run)
    density = frame_density(frame, basis, frame.ingredients)
    auxiliary = choose_functions([density], frame.ingredients.density_orbitals(basis))
    zeroth = ZerothHamiltonian(basis, frame.ingredients, ModelDensity(auxiliary, {}))
    coefficients = fit_equations(density, auxiliary).solve(auxiliary.charges_of(frame.structure.numbers))
    h0 = zeroth.matrix(frame.structure, coefficients, frame.hamiltonian.pairs)
    offsets = basis.orbital_offsets(frame.structure.numbers)
    for k in frame.bands.kpoints[:3]:
        overlap = fold(frame.overlap, offsets, k)
        ours, cp2ks = (
            scipy.linalg.eigvalsh(fold(matrix, offsets, k), overlap)[3:5]
            for matrix in (h0, frame.hamiltonian)
        )
        np.testing.assert_allclose(ours, cp2ks, rtol=0, atol=0.01)
