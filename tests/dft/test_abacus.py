from __future__ import annotations

import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import two_centre_crystal as crystal
from abacus_writer import LATTICE_CONSTANT, LAYOUTS, assert_same, names, orb, write_run
from ase.data import chemical_symbols

from n2amd.dataset.gate import measure, verdict
from n2amd.dft.abacus.frame import find_frames, read_frame
from n2amd.dft.abacus.orbital_file import read_orbitals
from n2amd.dft.abacus.stru import BOHR_ANGSTROM, read_stru
from n2amd.errors import InputError
from n2amd.orbitals.conventions import two_centre_residual


@pytest.fixture(scope="module")
def basis():
    return crystal.basis(radial=False)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory, basis):
    """A spin-unpolarised run in the layout of 3.10."""
    return write_run(tmp_path_factory.mktemp("abacus") / "run", crystal.frame(), basis)


@pytest.fixture
def run(pristine, tmp_path):
    """A writable copy of it."""
    return shutil.copytree(pristine, tmp_path / "run")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("n_spin", [1, 2, 4])
def test_a_run_is_read_back_in_every_layout_and_spin(n_spin, layout, tmp_path, basis):
    expected = crystal.frame(n_spin)
    folder = write_run(tmp_path / "run", expected, basis, layout=layout)
    frame, found_basis = read_frame(folder)
    assert found_basis == basis
    assert frame.structure.positions == pytest.approx(expected.structure.positions, abs=1e-10)
    assert_same(frame, expected, basis)
    assert two_centre_residual(frame.overlap, basis, frame.structure) < 1e-8
    assert crystal.band_error(frame, basis) < 1e-7
    assert frame.bands.energies.shape == (3, 2 if n_spin == 2 else 1, 12)
    assert frame.bands.weights == pytest.approx(crystal.WEIGHTS)
    assert frame.hermiticity_error < 1e-12
    assert (frame.n_electrons, frame.charge, basis.valence_electrons(frame.structure.numbers)) == (16, 0, 16)
    assert (frame.origin["version"], frame.origin["functional"]) == (f"{layout}.0", "PBE")


def test_the_gate_accepts_the_run(run):
    frame, basis = read_frame(run)
    figures = measure(frame, basis)
    verdict(frame, figures)
    assert figures["eigenvalue_error"] < 1e-4
    assert figures["two_centre_residual"] < 1e-8


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("positions", ["Direct", "Cartesian", "Cartesian_angstrom"])
def test_positions_in_every_unit(positions, layout, tmp_path, basis):
    folder = write_run(tmp_path / "run", crystal.frame(), basis, positions=positions, layout=layout)
    assert read_frame(folder)[0].structure.positions == pytest.approx(
        crystal.structure().positions, abs=1e-10
    )


def test_an_upper_triangle_is_completed(tmp_path, basis):
    folder = write_run(tmp_path / "run", crystal.frame(), basis, triangle=True)
    assert_same(read_frame(folder)[0], crystal.frame(), basis)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_observables(layout, tmp_path, basis):
    rng = np.random.default_rng(0)
    stress = rng.normal(size=(3, 3))
    expected = replace(crystal.frame(), forces=rng.normal(size=(3, 3)), stress=stress + stress.T)
    frame, _ = read_frame(write_run(tmp_path / "run", expected, basis, layout=layout))
    assert frame.forces == pytest.approx(expected.forces, abs=1e-9)
    assert frame.stress == pytest.approx(expected.stress, abs=1e-9)
    assert (frame.energy, frame.fermi_level) == (-123.456, -1.3605698)
    assert (frame.n_electrons, frame.charge) == (16, 0)
    assert frame.origin == {
        "code": "abacus",
        "version": f"{layout}.0",
        "functional": "PBE",
        "k_mesh": "4 4 2",
    }


def test_orbital_files_give_the_radial_functions_of_the_overlap(run):
    """S rebuilt from the .orb files is the S of the run."""
    expected = crystal.basis()
    for z in expected.numbers:
        (run / f"{chemical_symbols[z]}.orb").write_text(orb(expected[z]))
    frame, basis = read_frame(run)
    for z in expected.numbers:
        for ours, theirs in zip(basis[z].shells, expected[z].shells):
            assert (ours.l, ours.label) == (theirs.l, theirs.label)
            assert ours.radial.step == pytest.approx(theirs.radial.step)
            # the grid has no point for R / r^l at 0 when l > 0
            assert ours.radial.values[1:] == pytest.approx(theirs.radial.values[1:], rel=1e-5, abs=1e-9)
            assert ours.radial.values[0] == pytest.approx(theirs.radial.values[0], rel=1e-4)
    figures = measure(frame, basis)
    assert figures["overlap_error"] < 1e-5
    assert figures["uncovered_pairs"] == 0


@pytest.mark.parametrize(
    ("latname", "parameters", "volume"),
    [
        ("sc", [], 1), ("fcc", [], 1 / 4), ("bcc", [], 1 / 2), ("hexagonal", [1.6], 1.6 * np.sqrt(3) / 2),
        ("trigonal", [0.1], np.sqrt(1 - 3 * 0.01 + 2 * 0.001)), ("st", [1.3], 1.3), ("bct", [1.3], 0.65),
        ("so", [1.1, 1.2], 1.32), ("baco", [1.1, 1.2], 0.66), ("fco", [1.1, 1.2], 0.33),
        ("bco", [1.1, 1.2], 0.66),
        ("sm", [1.1, 1.2, 0.1], 1.32 * np.sqrt(0.99)), ("bacm", [1.1, 1.2, 0.1], 0.66 * np.sqrt(0.99)),
        ("triclinic", [1.1, 1.2, 0.1, 0.2, 0.3], 1.32 * np.sqrt(1 - 0.14 + 2 * 0.006)),
    ],
)  # fmt: skip
def test_named_lattices_have_the_volume_of_their_cell(latname, parameters, volume, run):
    text = (run / "STRU").read_text()
    block = "LATTICE_PARAMETERS\n" + " ".join(map(str, parameters)) + "\n" if parameters else ""
    text = re.sub(r"LATTICE_VECTORS\n(.*\n){3}", block, text)
    (run / "STRU").write_text(text)
    cell = read_stru(run / "STRU", latname).structure.cell
    assert np.linalg.det(cell) == pytest.approx(volume * (LATTICE_CONSTANT * BOHR_ANGSTROM) ** 3)
    if latname == "triclinic":
        unit = cell / np.linalg.norm(cell, axis=1, keepdims=True)
        assert [unit[0] @ unit[1], unit[0] @ unit[2], unit[1] @ unit[2]] == pytest.approx([0.1, 0.2, 0.3])


@pytest.mark.parametrize("heading", ["ABFS_ORBITAL", "ABFS_JLES_ORBITAL", "NUMERICAL_DESCRIPTOR"])
def test_other_blocks_of_stru_are_no_orbital_files(heading, run):
    text = (run / "STRU").read_text()
    (run / "STRU").write_text(
        text.replace("LATTICE_CONSTANT", f"{heading}\na.abfs\nb.abfs\n\nLATTICE_CONSTANT")
    )
    assert list(read_stru(run / "STRU").orbital_files.values()) == ["orbitals/Mo.orb", "orbitals/S.orb"]


def test_frames_are_found_by_their_output_folders(run):
    assert find_frames([run.parent]) == [run]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("STRU", "no file STRU"),
        ("OUT.test/running_scf.log", r"no file running_scf\.log"),
        ("OUT.test/data-HR-sparse_SPIN0.csr", r"no file data-HR-sparse_SPIN0\.csr"),
        ("OUT.test/data-SR-sparse_SPIN0.csr", r"no file data-SR-sparse_SPIN0\.csr"),
    ],
)
def test_a_missing_file_is_named(name, message, run):
    (run / name).unlink()
    with pytest.raises(InputError, match=message) as caught:
        read_frame(run)
    assert caught.value.remedy


def test_a_frame_without_eigenvalues_is_read_and_refused_by_the_gate(run):
    (run / "OUT.test" / "istate.info").unlink()
    frame, basis = read_frame(run)
    with pytest.raises(InputError, match="own eigenvalues are missing"):
        verdict(frame, measure(frame, basis))


H, LOG = "OUT.test/data-HR-sparse_SPIN0.csr", "OUT.test/running_scf.log"


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        (H, r"H\(R\): 39", "H(R): 50", "matrix dimension 50, the basis has 39 orbitals"),
        (H, r"Matrix number of H\(R\): \d+", "Matrix number of H(R): 999", "lattice vectors of 999"),
        (H, r"STEP: 0\n", "STEP: 0\nSTEP: 1\n", "2 ionic steps"),
        (H, r"e-\d\d ", "e-xx ", "not numbers at R"),
        (H, r"STEP: 0\n.*\n", "", "no header with the matrix dimension"),
        ("STRU", r"\n\nS\n0.0\n2\n", "\n\nS\n0.0\n3\n", "2 of 3 atoms S"),
        ("STRU", r"LATTICE_CONSTANT\n\S+", "LATTICE_CONSTANT\n1.7", "the cell differs from the log"),
        ("STRU", r"0\.0000000000000000 0\.13", "0.0100000000000000 0.13", "positions differ from the log"),
        ("STRU", "Direct", "Cartesian_angstrom_center_xy", "is not supported"),
        ("STRU", r"Mo 1.0 Mo.upf\n", "", "label Mo is not in ATOMIC_SPECIES"),
        ("STRU", r"LATTICE_VECTORS\n(.*\n){3}", "", "no lattice vectors, and latname"),
        (LOG, "convergence is achieved", "convergence has NOT been achieved", "converged SCF cycle"),
        (LOG, "nspin = 1", "nspin = 2", "no file data-HR-sparse_SPIN1"),
        (LOG, "L=3, number of zeta = 1", "L=3, number of zeta = 2", "the basis has 46 orbitals"),
        (LOG, r"0\.5000000000", "0.500000000*", "a number in the log is damaged"),
        (LOG, "TOTAL ATOM NUMBER = 3", "TOTAL ATOM NUMBER = 4", "COORDINATES is not complete"),
        ("OUT.test/istate.info", r"(?m)^ *12 +-?\d", "12 x", "is not an energy"),
        ("OUT.test/istate.info", r"(?s)BAND.*\n\n(BAND.*)", r"\1", "1 k points, the log has 3"),
    ],
)  # fmt: skip
def test_defects_are_named(name, old, new, message, run):
    path = run / name
    text, count = re.subn(old, new, path.read_text(), count=1)
    assert count
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_frame(run)
    assert caught.value.remedy
    assert caught.value.file


@pytest.mark.parametrize("layout", ["3.10", "3.9", "3.11"])
@pytest.mark.parametrize("fraction", [0.3, 0.55, 0.8])
def test_half_a_matrix_is_named(layout, fraction, tmp_path, basis):
    folder = write_run(tmp_path / "run", crystal.frame(), basis, layout=layout)
    path = folder / "OUT.test" / names(layout, 1)[1]
    text = path.read_text()
    path.write_text(text[: int(fraction * len(text))])
    with pytest.raises(
        InputError, match=r"arrays of R|ends inside R|lattice vectors of|not numbers|instead of a"
    ):
        read_frame(folder)


@pytest.mark.parametrize("layout", ["3.10", "3.9", "3.11"])
def test_a_matrix_cut_between_two_lattice_vectors_is_named(layout, tmp_path, basis):
    """Also where lattice vectors without elements are counted but not written: there is R without -R."""
    folder = write_run(tmp_path / "run", crystal.frame(), basis, layout=layout)
    path = folder / "OUT.test" / names(layout, 1)[0][0]
    text = path.read_text()
    head = r"^-?\d+ -?\d+ -?\d+ \d+$" if layout == "3.10" else r"^ -?\d+ -?\d+ -?\d+ \d+\n # CSR values"
    ends = [match.start() for match in re.finditer(head, text, re.MULTILINE)]
    path.write_text(text[: ends[2 * len(ends) // 3]])
    with pytest.raises(InputError, match=r"lattice vectors of \d+.*the file is cut"):
        read_frame(folder)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("what", [0, 1])
def test_a_matrix_without_any_element_is_named(what, layout, tmp_path, basis):
    expected = crystal.frame()
    part = ("hamiltonian", "overlap")[what]
    matrix = getattr(expected, part)
    zero = matrix.map({key: 0 * blocks for key, blocks in matrix.values.items()})
    folder = write_run(tmp_path / "run", replace(expected, **{part: zero}), basis, layout=layout)
    with pytest.raises(InputError, match=r"none of the \d+ lattice vectors has an element") as caught:
        read_frame(folder)
    assert caught.value.remedy


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("n_spin", [1, 2])
@pytest.mark.parametrize("pools", [2, 3])
def test_k_points_of_several_pools(pools, n_spin, layout, tmp_path, basis):
    """With `kpar` the last table of k points is that of the first pool."""
    folder = write_run(tmp_path / "run", crystal.frame(n_spin), basis, layout=layout, pools=pools)
    frame, found = read_frame(folder)
    assert frame.bands.kpoints == pytest.approx(crystal.KPOINTS)
    assert frame.bands.weights == pytest.approx(crystal.WEIGHTS)
    assert crystal.band_error(frame, found) < 1e-7


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("explicit", [False, True])
@pytest.mark.parametrize("electrons", [18, 15.5])
def test_charged_cells(electrons, explicit, layout, tmp_path, basis):
    """`nelec_delta` adds to what the log sums up; `nelec` is in INPUT alone."""
    expected = replace(crystal.frame(), n_electrons=float(electrons))
    folder = write_run(tmp_path / "run", expected, basis, layout=layout, explicit_electrons=explicit)
    frame, found = read_frame(folder)
    assert (frame.n_electrons, frame.charge) == (electrons, 16 - electrons)
    assert found.valence_electrons(frame.structure.numbers) == 16


def test_electrons_that_nothing_tells_are_asked_for(tmp_path, basis):
    expected = replace(crystal.frame(), n_electrons=18.0)
    folder = write_run(tmp_path / "explicit", expected, basis, explicit_electrons=True)
    (folder / "OUT.test" / "INPUT").unlink()
    with pytest.raises(InputError, match="no number of electrons, and nelec is not set") as caught:
        read_frame(folder)
    assert caught.value.field == "nelec"
    text = (folder / LOG).read_text()
    (folder / LOG).write_text(re.sub(r".*valence electrons.*\n", "", text))
    with pytest.raises(InputError, match="valence electrons is not complete"):
        read_frame(folder)
    folder = write_run(tmp_path / "cut", expected, basis)
    path = folder / LOG
    path.write_text(re.sub(r".*nelec now.*\n", "", path.read_text()))
    with pytest.raises(InputError, match="nelec now is not complete"):
        read_frame(folder)


@pytest.mark.parametrize("explicit", [False, True])
def test_an_input_of_another_charge_is_refused(explicit, tmp_path, basis):
    """The log of a neutral run, or of one with `nelec`, beside an INPUT with `nelec_delta`."""
    expected = replace(crystal.frame(), n_electrons=18.0 if explicit else 16.0)
    folder = write_run(tmp_path / "run", expected, basis, explicit_electrons=explicit)
    path = folder / "OUT.test" / "INPUT"
    text = re.sub(r"nelec_delta.*\n", "", path.read_text() if path.exists() else "")
    path.write_text(text + "nelec_delta 2 # left over\n")
    with pytest.raises(InputError, match="nelec_delta is 2 in INPUT, the log has") as caught:
        read_frame(folder)
    assert caught.value.field == "nelec_delta"


def test_a_change_that_makes_up_for_nelec(tmp_path, basis):
    expected = replace(crystal.frame(), n_electrons=18.0)
    folder = write_run(tmp_path / "run", expected, basis)
    log, path = folder / LOG, folder / "OUT.test" / "INPUT"
    log.write_text(re.sub(r"(nelec now.*=) *\S+", r"\1 16", log.read_text(), flags=re.IGNORECASE))
    path.write_text(re.sub(r"(?m)^nelec .*\n", "", path.read_text()) + "nelec 14\n")
    frame, _ = read_frame(folder)
    assert (frame.n_electrons, frame.charge) == (16, 0)


@pytest.mark.parametrize("layout", ["3.9", "3.11"])
@pytest.mark.parametrize("n_spin", [1, 2])
def test_matrices_named_by_geometry_step(n_spin, layout, tmp_path, basis):
    expected = crystal.frame(n_spin)
    folder = write_run(tmp_path / "run", expected, basis, layout=layout, step=1)
    assert find_frames([tmp_path]) == [folder]
    assert_same(read_frame(folder)[0], expected, basis)
    out = folder / "OUT.test"
    (*hamiltonian, overlap, _) = (*names(layout, n_spin, 1)[0], *names(layout, n_spin, 1)[1:])
    shutil.copy(out / overlap, out / overlap.replace("g1", "g2"))
    with pytest.raises(InputError, match=r"g1_nao\.csr and .*g2_nao\.csr are of 2 geometry steps"):
        read_frame(folder)
    (out / overlap).unlink()
    with pytest.raises(InputError, match="are of 2 geometry steps or runs"):
        read_frame(folder)
    for name in (overlap.replace("g1", "g2"), *hamiltonian):
        (out / name).rename((out / name).with_suffix(".dat"))
    with pytest.raises(InputError, match=r"hrs1g1_nao\.dat is not text") as caught:
        read_frame(folder)
    assert "out_hsr 1" in caught.value.remedy


def test_a_relaxation_is_refused_by_its_log(run):
    (run / LOG).rename(run / "OUT.test" / "running_relax.log")
    with pytest.raises(InputError, match=r"running_relax\.log is not the log of a single point") as caught:
        read_frame(run)
    assert "calculation scf" in caught.value.remedy


def test_atoms_in_another_order_than_the_matrices_are_refused(run):
    """The two S atoms exchanged in STRU alone."""
    lines = (run / "STRU").read_text().splitlines()
    lines[-2:] = lines[-1], lines[-2]
    (run / "STRU").write_text("\n".join([*lines, ""]))
    with pytest.raises(InputError, match="another geometry or order"):
        read_frame(run)


def test_a_hamiltonian_in_another_unit_fails_the_gate(tmp_path, basis):
    expected = crystal.frame()
    wide = {key: 2 * blocks for key, blocks in expected.hamiltonian.values.items()}
    folder = write_run(tmp_path / "run", replace(expected, hamiltonian=expected.hamiltonian.map(wide)), basis)
    frame, found = read_frame(folder)
    with pytest.raises(InputError, match=r"eigenvalue_error.*2 times too wide"):
        verdict(frame, measure(frame, found))


def test_output_of_two_runs_is_refused(run):
    (run / "OUT.other").mkdir()
    with pytest.raises(InputError, match="2 folders OUT"):
        read_frame(run)


@pytest.mark.parametrize(("old", "new"), [(r"Mesh \d+", "Mesh 7"), (r"(?s)Type.*", ""), ("dr", "DR")])
def test_a_damaged_orbital_file_is_named(old, new, tmp_path):
    path = tmp_path / "S.orb"
    path.write_text(re.sub(old, new, orb(crystal.basis()[16]), count=1))
    with pytest.raises(InputError, match="not a complete orbital file"):
        read_orbitals(path)


def test_orbitals_of_another_basis_are_refused(run):
    (run / "Mo.orb").write_text(orb(crystal.basis()[16]))
    with pytest.raises(InputError, match="radial functions for l = 0, 1"):
        read_frame(run)
