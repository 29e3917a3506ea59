from __future__ import annotations

import re
import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import two_centre_crystal as crystal
from two_centre_crystal import band_error

from n2amd.blocks.matrix import fold, with_partners
from n2amd.dataset.gate import measure, verdict
from n2amd.dft.cp2k.frame import FOLDED, find_frames, read_frame
from n2amd.dft.cp2k.inputs import read_cell, read_coordinates, read_sections
from n2amd.dft.folded import check_one_image, nearest_images, unfold
from n2amd.dft.images import image_translations
from n2amd.dft.orbital_matrices import Elements, gather_blocks
from n2amd.errors import InputError
from n2amd.orbitals.conventions import two_centre_residual
from n2amd.orbitals.harmonics import real_wigner
from n2amd.orbitals.two_centre import OverlapTable, overlap
from n2amd.structure import Structure

DATA = Path(__file__).parents[1] / "data" / "cp2k"


@pytest.fixture(scope="session")
def si2(cp2k_runs):
    return read_frame(cp2k_runs / "si2")


@pytest.fixture
def run(cp2k_runs, tmp_path):
    """A writable copy of the Si2 run."""
    return shutil.copytree(cp2k_runs / "si2", tmp_path / "si2")


@pytest.mark.parametrize("name", ["si2", "si2_uks", "h2o_a", "h2o_b", "h2o_gamma"])
def test_bands_are_cp2ks_own(name, cp2k_runs):
    """All bands that CP2K printed, to 0.01 meV; they are printed to 1e-8 eV."""
    frame, basis = read_frame(cp2k_runs / name)
    assert band_error(frame, basis) < 1e-8
    figures = measure(frame, basis)
    verdict(frame, figures)
    # in a run without &KPOINTS second images are left in the blocks
    assert figures["two_centre_residual"] < (1e-8 if name == "h2o_gamma" else 1e-12)
    assert frame.hermiticity_error < 1e-12


def test_radial_functions_give_cp2ks_overlap(run):
    """From the basis file that the input names, here beside the run."""
    bare, basis = read_frame(run)
    assert all(shell.radial is None for atom in basis.atoms.values() for shell in atom.shells)
    assert "no file BASIS_MOLOPT" in bare.origin["radial_functions"]
    shutil.copy(DATA / "BASIS_MOLOPT_Si", run.parent / "BASIS_MOLOPT")
    frame, basis = read_frame(run)
    figures = measure(frame, basis)
    verdict(frame, figures)
    assert "radial_functions" not in frame.origin
    assert figures["overlap_error"] < 1e-6
    assert figures["overlap_error_on_site"] < 1e-6


def test_a_basis_file_with_other_shells_is_refused(run):
    text = (DATA / "BASIS_MOLOPT_Si").read_text()
    other = text.replace("SZV-MOLOPT-SR-GTH", "X").replace("DZVP-MOLOPT-SR-GTH", "SZV-MOLOPT-SR-GTH")
    (run / "BASIS_MOLOPT").write_text(other)
    with pytest.raises(InputError, match="the log of l = ") as caught:
        read_frame(run)
    assert caught.value.field == "BASIS_SET"


@pytest.mark.parametrize("installed", [False, True], ids=["no basis file", "basis file"])
def test_observables(cp2k_runs, tmp_path, monkeypatch, installed):
    """Only the radial functions depend on whether CP2K's basis files are on this machine."""
    unknown = "unknown: no file BASIS_MOLOPT with SZV-MOLOPT-SR-GTH of Si; set CP2K_DATA_DIR"
    missing = {"radial_functions": unknown, "h0": f"the radial functions are {unknown}"}
    if installed:
        shutil.copy(DATA / "BASIS_MOLOPT_Si", tmp_path / "BASIS_MOLOPT")
        monkeypatch.setenv("CP2K_DATA_DIR", str(tmp_path))
        missing = {}
    frame, basis = read_frame(cp2k_runs / "si2")
    assert all((shell.radial is not None) is installed for shell in basis[14].shells)
    assert frame.energy == pytest.approx(-7.792688957728517 * 27.2113838565563)
    unit = 27.2113838565563 / 0.529177208590
    assert frame.forces[0] == pytest.approx(np.array([-0.06196678, -0.02217777, 0.02439407]) * unit)
    # under compression CP2K prints a positive trace: 9.27 GPa
    assert np.trace(frame.stress) / 3 == pytest.approx(-9.27488689195 / 160.21766208)
    assert frame.stress[0, 1] == pytest.approx(-3.65796844929 / 160.21766208)
    assert (frame.n_electrons, frame.charge, frame.fermi_level) == (8, 0, None)
    assert [(s.l, s.label) for s in basis[14].shells] == [(0, "2s"), (1, "3p")]
    assert basis[14].valence_charge == 4
    origin = dict(frame.origin)
    assert origin.pop("k_points").startswith("[[-0.333333333")
    assert origin == {
        "code": "cp2k",
        "version": "2023.1",
        "functional": "PBE",
        "k_mesh": "3 3 3",
        "mesh_cutoff": "150 Ry",
        "basis": "SZV-MOLOPT-SR-GTH",
        "smearing": "Fermi-Dirac of order 0, 0.0001 eV",
        **missing,
    }
    assert frame.bands.kpoints[[0, 5, 10]] == pytest.approx(
        np.array([[0.5, 0.5, 0.5], [0, 0, 0], [0.5, 0.25, 0.75]])
    )
    assert frame.bands.weights == pytest.approx(np.full(11, 1 / 11))


def test_collinear_spins(cp2k_runs):
    frame, _ = read_frame(cp2k_runs / "si2_uks")
    assert frame.spin == 2.0  # multiplicity 3
    assert (frame.hamiltonian.n_spin, frame.overlap.n_spin) == (2, 1)
    assert frame.bands.energies.shape == (5, 2, 8)
    assert frame.bands.energies[0, :, 0] == pytest.approx([-7.28957077, -6.20387328])
    assert frame.n_electrons == 8


def test_polarisation_shells_in_the_order_of_the_log(cp2k_runs):
    _, basis = read_frame(cp2k_runs / "h2o_a")
    assert [s.label for s in basis[8].shells] == ["2s", "3s", "3p", "4p", "4d"]
    assert [s.label for s in basis[1].shells] == ["2s", "3s", "3p"]


def test_image_indices_refer_to_wrapped_atoms(si2):
    """Without the correction of one atom outside [-1/2, 1/2) bands stay right, bonds do not."""
    frame, basis = si2
    fractional = frame.structure.positions @ np.linalg.inv(frame.structure.cell)
    assert np.rint(fractional[1]).any()
    wrapped = Structure(
        frame.structure.cell,
        (fractional - np.rint(fractional)) @ frame.structure.cell,
        frame.structure.numbers,
    )
    # the same blocks between wrapped atoms, as if the file's R were taken for the positions of the input
    assert two_centre_residual(frame.overlap, basis, wrapped) > 0.1
    assert two_centre_residual(frame.overlap, basis, frame.structure) < 1e-12


@pytest.mark.parametrize("origin", [-0.5, 0.0])
def test_atoms_on_the_border_are_placed_by_the_overlap(origin, si2):
    """Move the crystal until atoms lie on the border, wrap them to either side, recover the side."""
    frame, _ = si2
    whole = with_partners(frame.overlap)
    inverse = np.linalg.inv(frame.structure.cell)
    fractional = frame.structure.positions @ inverse
    for atom in (0, 1):
        moved = fractional + origin - fractional[atom] + [0, 0, 2]
        structure = frame.structure.with_positions(moved @ frame.structure.cell)
        base = np.floor(moved - origin + 1e-9).astype(int)
        for side in ((0, 0, 0), (1, 0, 0), (0, 1, 1), (1, 1, 1)):
            shifts = base.copy()
            shifts[atom] -= side
            code = {
                key: type(index)(index.i, index.j, index.shift + shifts[index.j] - shifts[index.i])
                for key, index in whole.pairs.items()
            }
            found = image_translations(type(whole)(code, whole.values, hermitian=False), structure, origin)
            assert (found - found[0]).tolist() == (shifts - shifts[0]).tolist()


def test_a_rotated_molecule_has_the_rotated_hamiltonian(cp2k_runs):
    """H(Rx) = D H D^T between two runs of CP2K; what is left is the real-space grid of 600 Ry."""
    first, second = (read_frame(cp2k_runs / name) for name in ("h2o_a", "h2o_b"))
    basis = first[1]
    bonds = []
    for frame, _ in (first, second):
        vectors = frame.structure.positions[1:] - frame.structure.positions[0]
        bonds.append(np.vstack([vectors, np.cross(*vectors)]))
    rotation = np.linalg.solve(bonds[0], bonds[1]).T
    assert rotation @ rotation.T == pytest.approx(np.eye(3), abs=1e-9)
    assert np.abs(rotation - np.eye(3)).max() > 0.5
    blocks = [real_wigner(shell.l, rotation) for z in first[0].structure.numbers for shell in basis[z].shells]
    turn = scipy.linalg.block_diag(*blocks)
    for name, tolerance in (("overlap", 1e-11), ("hamiltonian", 5e-3)):
        before, after = (
            _within_the_molecule(getattr(frame, name), frame, basis) for frame, _ in (first, second)
        )
        assert np.abs(after).max() > 0.99
        assert after == pytest.approx(turn @ before @ turn.T, abs=tolerance)
        # a missing (-1)^m, say, is seen
        sign = np.array([(-1) ** abs(m) for b in blocks for m in range(-(len(b) // 2), len(b) // 2 + 1)])
        wrong = np.abs(after - turn @ (sign[:, None] * before * sign) @ turn.T).max()
        assert wrong > 0.1


def _within_the_molecule(matrix, frame, basis):
    """Dense matrix of the pairs of one molecule: those without a lattice vector between them."""
    kept = {key: index.select(~index.shift.any(axis=1)) for key, index in matrix.pairs.items()}
    values = {key: v[:, ~matrix.pairs[key].shift.any(axis=1)] for key, v in matrix.values.items()}
    return fold(type(matrix)(kept, values), basis.orbital_offsets(frame.structure.numbers))


def test_the_upper_triangle_alone_is_enough(si2, run):
    """UPPER_TRIANGULAR T of CP2K leaves out the elements below the diagonal of every image."""
    for path in run.glob("*.csr"):
        lines = [line.split() for line in path.read_text().splitlines()]
        kept = [" ".join(words) for words in lines if int(words[0]) <= int(words[1])]
        path.write_text("\n".join([*kept, ""]))
    frame, basis = read_frame(run)
    offsets = basis.orbital_offsets(frame.structure.numbers)
    for k in ([0, 0, 0], [0.1, 0.2, -0.3]):
        assert fold(frame.hamiltonian, offsets, k) == pytest.approx(fold(si2[0].hamiltonian, offsets, k))


def test_compressed_files_are_read(si2, run):
    import lzma

    for path in [*run.glob("*R_1-1_0.csr"), *run.glob("*.out"), *run.glob("*.inp")]:
        path.with_name(path.name + ".xz").write_bytes(lzma.compress(path.read_bytes()))
        path.unlink()
    assert read_frame(run)[0].energy == si2[0].energy


def test_logs_of_other_programs_do_no_harm(si2, run):
    (run / "slurm-17.out").write_text("Running on 16 nodes\n")
    (run / "si2.out").rename(run / "si2.log")
    assert read_frame(run)[0].energy == si2[0].energy
    (run / "again.out").write_text((run / "si2.log").read_text())
    with pytest.raises(InputError, match=r"2 main outputs: again\.out, si2\.log"):
        read_frame(run)


def test_line_ends_of_windows_do_no_harm(si2, run):
    for path in [*run.glob("*.csr"), *run.glob("*.out"), *run.glob("*.inp")]:
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_frame(run)[0].energy == si2[0].energy


def test_frames_are_found_by_matrices_and_bands(cp2k_runs):
    assert [path.name for path in find_frames([cp2k_runs])] == [
        "h2o_a",
        "h2o_b",
        "h2o_gamma",
        "si2",
        "si2_uks",
    ]


def test_cell_and_coordinates_in_other_forms(tmp_path):
    path = tmp_path / "x.inp"
    path.write_text(
        "&force_eval ! comment\n &SUBSYS\n  &CELL\n   ABC [bohr] 10 1.0D1 0.2d+2\n"
        "   ALPHA_BETA_GAMMA 90 90 120\n  &END\n"
        "  &COORD\n   SCALED\n   O 0.5 0.25 0.1\n   UNIT 1 2 3\n  &END COORD\n &END\n&END force_eval\n"
    )
    root = read_sections(path)
    cell = read_cell(path, root)
    bohr = 0.529177208590
    assert cell == pytest.approx(
        np.array([[10, 0, 0], [-5, 10 * np.sqrt(0.75), 0], [0, 0, 20]]) * bohr, abs=1e-9
    )
    assert read_coordinates(path, root, cell)[0] == pytest.approx([0.5, 0.25, 0.1] @ cell)


@pytest.mark.parametrize("what", ["KS", "S"])
def test_matrices_without_any_element_are_refused(what, cp2k_runs, tmp_path):
    for name in ("si2", "h2o_gamma"):
        run = shutil.copytree(cp2k_runs / name, tmp_path / name)
        for path in run.glob(f"*-{what}_SPIN_*.csr"):
            path.write_text("")
        with pytest.raises(InputError, match=f"of {what} hold no element") as caught:
            read_frame(run)
        assert caught.value.remedy


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("si2.out", "no main output"),
        ("in.inp", r"neither an input \*\.inp"),
        ("si2-KS_SPIN_1_R_17-1_0.csr", "1 of 279 images of KS are missing, the first is 17"),
        ("si2-S_SPIN_1_R_*.csr", r"no file \*-S_SPIN_1_R_"),
    ],
)
def test_a_missing_file_is_named(pattern, message, run):
    for path in list(run.glob(pattern)):
        path.unlink()
    with pytest.raises(InputError, match=message) as caught:
        read_frame(run)
    assert caught.value.remedy


def test_without_bands_the_gate_refuses(run):
    (run / "bands").unlink()
    frame, basis = read_frame(run)
    with pytest.raises(InputError, match="own eigenvalues are missing"):
        verdict(frame, measure(frame, basis))


S5, BANDS = "si2-S_SPIN_1_R_5-1_0.csr", "bands"


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        (S5, r"E-\d+\n$", "", r"S_SPIN_1_R_5.*a line is not whole"),
        (S5, r"\d\.\d+E.*\n$", "\n", r"S_SPIN_1_R_5.*cut or damaged"),
        (S5, r"0\.\d+E", "x.E", r"S_SPIN_1_R_5.*cut or damaged"),
        (S5, r"       8 ", "       9 ", r"S_SPIN_1_R_5.*orbitals 1 to 9 where the basis has 8"),
        ("si2.out", "SCF run converged", "SCF run NOT converged", "converged SCF cycle"),
        ("si2.out", r"KS CSR write\| 279", "KS CSR write| 280", "279 images of KS are listed, 280 announced"),
        ("si2.out", r"( ENERGY\|.*)", r"\1\n\1", "2 energies"),
        ("si2.out", "Normalised Cartesian", "", "orbitals of kind Si are not printed"),
        ("si2.out", r"(?s)  S CSR write.*?Mulliken", "", "images of S are not listed"),
        ("si2.out", r"Number of spin states +1", "Number of spin states   2", "electrons is not printed"),
        ("si2.out", r"-7\.79268895772\d+", "-7.79****", "a number in the log is damaged"),
        ("in.inp", r"A 0\.0 2\.715", "A 0.0 2.815", "CELL.*differs from the log by 0.1 A"),
        ("in.inp", r"Si 0\.1 ", "Si 0.2 ", "COORD.*differs from the log by 0.1 A"),
        ("in.inp", r"Si 0\.1 .*\n", "", "1 atoms, the log has 2"),
        ("in.inp", r"A 0\.0 2\.715", "A ${A}", "instead of three numbers"),
        ("in.inp", r"&CELL\n", "&CELL\nMULTIPLE_UNIT_CELL 1 1 2\n", "the cell is repeated 1 1 2 times"),
        ("in.inp", r"&END CELL\n", "", "is not closed"),
        (BANDS, r"Spin 1:", "Spin 2:", r"spins \[1, 2\] where the run has 1"),
        (BANDS, r"       2 +.*\n", "", "unexpected line"),
        (BANDS, r"(?s).*", " SET:    1   TOTAL:   8\n", "or of a version of CP2K whose layout is not known"),
        (BANDS, r"(?s)\n[^\n]*\n[^\n]*\n$", "\n", "the k points have"),
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


def test_a_file_cut_at_the_end_of_a_line_fails_the_gate(run):
    path = run / S5
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:30], ""]))
    frame, basis = read_frame(run)
    with pytest.raises(InputError, match="hermiticity_error"):
        verdict(frame, measure(frame, basis))


def test_images_that_exchanged_their_names_fail_the_gate(run):
    first, second = (run / f"si2-S_SPIN_1_R_{n}-1_0.csr" for n in (2, 5))
    content = first.read_text(), second.read_text()
    first.write_text(content[1])
    second.write_text(content[0])
    frame, basis = read_frame(run)
    with pytest.raises(InputError, match=r"hermiticity_error|two_centre_residual"):
        verdict(frame, measure(frame, basis))


def test_sums_over_images_are_taken_apart_in_a_large_cell():
    """Three atoms of which one is wrapped three times over: every block is where its overlap is."""
    at, basis = crystal.structure(), crystal.basis()
    at = replace(at, cell=4.5 * at.cell)
    at = replace(at, positions=at.positions + np.array([[1, -1, 2], [0, 0, 0], [0, 3, 0]]) @ at.cell)
    expected = overlap(OverlapTable.from_basis(basis), at)
    dense = fold(expected, basis.orbital_offsets(at.numbers)).real
    row, column = np.nonzero(dense)
    listed = Elements(row, column, np.zeros((len(row), 3), dtype=np.int64), dense[row, column])
    images = check_one_image(Path("run"), at, basis, FOLDED)
    whole = unfold(listed, images, basis, at.numbers)
    found, _, hermiticity = gather_blocks([whole], whole, at, basis, None)
    assert hermiticity < 1e-15
    compared = 0
    for key, pairs in with_partners(found).pairs.items():
        theirs = with_partners(expected).pairs[key]
        place = {(i, j, *s): n for n, (i, j, s) in enumerate(zip(theirs.i, theirs.j, theirs.shift.tolist()))}
        for n, (i, j, s) in enumerate(zip(pairs.i, pairs.j, pairs.shift.tolist())):
            block = with_partners(found).values[key][0, n]
            assert block == pytest.approx(with_partners(expected).values[key][0, place[i, j, *s]], abs=1e-12)
            compared += 1
    assert compared >= 5


def test_sums_over_images_of_a_small_cell_are_refused(cp2k_runs, tmp_path):
    with pytest.raises(InputError, match=r"too small to tell these apart: atom \d overlaps by 0\.\d+ with"):
        check_one_image(tmp_path, crystal.structure(), crystal.basis(), FOLDED)
    run = shutil.copytree(cp2k_runs / "h2o_gamma", tmp_path / "run")
    written = (run / "h2o.inp").read_text()
    (run / "h2o.inp").write_text(written.replace("FILE_NAME BASIS_MOLOPT", "FILE_NAME ELSEWHERE"))
    with pytest.raises(InputError, match=r"sums over images .* basis file") as caught:
        read_frame(run)
    assert "CP2K_DATA_DIR" in caught.value.remedy


def test_sums_and_single_images_are_of_two_runs(cp2k_runs, tmp_path):
    run = shutil.copytree(cp2k_runs / "h2o_gamma", tmp_path / "run")
    shutil.copy(run / "h2o-S_SPIN_1-1_0.csr", run / "h2o-S_SPIN_1_R_1-1_0.csr")
    with pytest.raises(InputError, match="single images and of the sum"):
        read_frame(run)


def test_the_nearest_image_in_a_skewed_cell():
    cell = np.array([[6.0, 0, 0], [5.5, 3.0, 0], [0, 0, 8.0]])
    rng = np.random.default_rng(3)
    at = Structure(cell, rng.uniform(-9, 9, (5, 3)), np.full(5, 14))
    shifts = np.array(list(product(range(-6, 7), repeat=3)))
    for i, j in product(range(5), repeat=2):
        bonds = at.positions[j] - at.positions[i] + shifts @ cell
        nearest = np.linalg.norm(bonds, axis=1).min()
        chosen = at.positions[j] - at.positions[i] + nearest_images(at)[i, j] @ cell
        assert np.linalg.norm(chosen) == pytest.approx(nearest)


def test_matrices_of_two_runs_are_refused(run):
    (run / "other-KS_SPIN_1_R_1-1_0.csr").touch()
    with pytest.raises(InputError, match="several runs or steps"):
        read_frame(run)


def test_a_spin_too_many_is_refused(run):
    shutil.copy(run / "si2-KS_SPIN_1_R_1-1_0.csr", run / "si2-KS_SPIN_2_R_1-1_0.csr")
    with pytest.raises(InputError, match=r"spins \[1, 2\], the log has 1"):
        read_frame(run)
