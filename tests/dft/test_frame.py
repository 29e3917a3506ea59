from __future__ import annotations

import re

import numpy as np
import pytest

from n2amd.blocks.matrix import canonical_half, fold
from n2amd.dft.files import read_text
from n2amd.dft.siesta.frame import find_frames, read_frame
from n2amd.dft.siesta.hsx import read_hsx
from n2amd.dft.siesta.tables import read_orbital_table
from n2amd.errors import InputError
from n2amd.orbitals.two_centre import OverlapTable, overlap
from n2amd.units import SIESTA_RYDBERG_EV


@pytest.fixture(scope="module")
def folder(resources):
    return resources / "TiO2_6_train" / "frame_0001"


@pytest.fixture(scope="module")
def loaded(folder):
    return read_frame(folder)


def test_matrices_fold_to_those_of_the_raw_file(loaded, folder):
    """Dense H(k) and S(k) straight from the orbital-wise records, against the folded blocks."""
    frame, basis = loaded
    raw = read_hsx(folder / "TiO2.HSX.xz")
    table = read_orbital_table(folder.parent / "TiO2.ORB_INDX.xz")
    assert raw.n_images == len(table.shift) // table.n_orbitals
    k = np.array([0.137, -0.211, 0.379])
    phase = np.exp(2j * np.pi * table.shift[raw.column] @ k)
    m = table.quantum[: raw.n_orbitals, 2]
    sign = np.where(m % 2, -1.0, 1.0)
    offsets = basis.orbital_offsets(frame.structure.numbers)
    for values, matrix in (
        (raw.hamiltonian[0] * SIESTA_RYDBERG_EV, frame.hamiltonian),
        (raw.overlap, frame.overlap),
    ):
        dense = np.zeros((raw.n_orbitals, raw.n_orbitals), complex)
        np.add.at(dense, (raw.row, table.unit_orbital[raw.column]), values * phase)
        assert fold(matrix, offsets, k) == pytest.approx(sign[:, None] * dense * sign, abs=2e-6)


def test_blocks_are_the_hermitian_half(loaded):
    frame, basis = loaded
    for (zi, zj), index in frame.hamiltonian.pairs.items():
        assert zi <= zj
        assert canonical_half(index, zi == zj).all()
        shape = len(index), basis[zi].n_orbitals, basis[zj].n_orbitals
        assert frame.hamiltonian.values[zi, zj].shape == frame.overlap.values[zi, zj].shape == (1, *shape)
    assert frame.hermiticity_error < 1e-5


def test_overlap_is_the_one_of_the_radial_functions(loaded):
    frame, basis = loaded
    table = OverlapTable.from_basis(basis)
    for key, index in frame.overlap.pairs.items():
        error = np.abs(frame.overlap.values[key][0] - table.evaluate(key, index.vectors(frame.structure)))
        assert error[~index.on_site].max() < 1e-5
        assert error[index.on_site].max(initial=0.0) < 1e-4
    rebuilt = overlap(table, frame.structure)
    for key, index in rebuilt.pairs.items():
        assert len(index) <= len(frame.overlap.pairs[key])


def test_observables_agree_with_the_log(loaded, folder):
    frame, _ = loaded
    log = read_text(folder / "out.xz")
    number = r"\s*([-\d.]+)"
    assert frame.energy == pytest.approx(
        float(re.search(f"siesta:         Total ={number}", log)[1]), abs=1e-5
    )
    assert frame.fermi_level == pytest.approx(float(re.search(f"Fermi ={number}", log)[1]), abs=1e-5)
    assert frame.structure.volume == pytest.approx(
        float(re.search(f"Cell volume ={number}", log)[1]), abs=1e-4
    )
    block = log.split("Stress tensor (static) (eV/Ang**3):")[1].splitlines()[1:4]
    stress = [[float(x) for x in line.split()[1:]] for line in block]
    assert frame.stress == pytest.approx(np.array(stress), abs=2e-6)
    block = log.split("siesta: Atomic forces (eV/Ang):")[-1].splitlines()[1:7]
    assert frame.forces == pytest.approx(
        np.array([[float(x) for x in line.split()[2:]] for line in block]), abs=1e-6
    )
    assert frame.origin["version"] == "4.1.5"
    assert frame.origin["functional"] == "PBE"
    assert frame.origin["k_mesh"] == "4 4 6"
    assert (frame.n_electrons, frame.charge, frame.velocities) == (pytest.approx(48), 0, None)


def test_k_points_lie_on_the_mesh_of_the_input(loaded):
    bands = loaded[0].bands
    steps = bands.kpoints * [4, 4, 6]
    assert steps == pytest.approx(np.rint(steps), abs=1e-4)
    assert bands.weights.sum() == pytest.approx(1)
    assert bands.energies.shape == (60, 1, 90)
    n = loaded[0].n_occupied
    gap = bands.energies[:, 0, n].min() - bands.energies[:, 0, n - 1].max()
    assert 1.2 < gap < 2.2


def test_frames_are_found_in_the_order_of_their_numbers(tmp_path):
    for name in ("frame_10", "frame_2", "frame_1"):
        (tmp_path / "set" / name).mkdir(parents=True)
        (tmp_path / "set" / name / "A.XV.xz").touch()
    (tmp_path / "set" / "notes").mkdir()
    assert [p.name for p in find_frames([tmp_path])] == ["frame_1", "frame_2", "frame_10"]


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_no_frame_is_an_error(name, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no such folder|no frame found"):
        find_frames([tmp_path / name])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("TiO2.HSX.xz", r"no file \*\.HSX or \*\.TSHS \(plain or compressed\)"),
        ("TiO2.XV", r"no file TiO2\.XV \(plain or compressed\)"),
        ("TiO2.KP.xz", r"no file TiO2\.KP"),
    ],
)
def test_a_missing_file_is_named(name, message, frame_folder):
    (frame_folder / name).unlink()
    with pytest.raises(InputError, match=message):
        read_frame(frame_folder)


def test_the_orbital_table_is_a_check_and_not_needed(frame_folder):
    """The lattice vector of a column follows from the bond vectors; ORB_INDX must say the same."""
    expected, _ = read_frame(frame_folder)
    (frame_folder.parent / "TiO2.ORB_INDX.xz").unlink()
    frame, _ = read_frame(frame_folder)
    for key, index in expected.hamiltonian.pairs.items():
        assert frame.hamiltonian.pairs[key].same_as(index)
        assert np.array_equal(frame.hamiltonian.values[key], expected.hamiltonian.values[key])


def test_energy_and_forces_come_from_whichever_file_has_them(frame_folder):
    whole, _ = read_frame(frame_folder)
    (frame_folder / "TiO2.FA").unlink()
    frame, _ = read_frame(frame_folder)
    assert (frame.energy, frame.stress.tolist()) == (whole.energy, whole.stress.tolist())
    assert frame.forces == pytest.approx(whole.forces, abs=1e-6)
    (frame_folder / "FORCE_STRESS").unlink()
    frame, _ = read_frame(frame_folder)
    assert (frame.forces, frame.stress) == (None, None)
    assert frame.energy == pytest.approx(whole.energy, abs=1e-5)


def test_forces_and_log_may_be_absent(frame_folder):
    for name in ("TiO2.FA", "FORCE_STRESS", "in.fdf.xz", "out.xz"):
        (frame_folder / name).unlink()
    frame, _ = read_frame(frame_folder)
    assert (frame.forces, frame.energy, frame.stress, dict(frame.origin)) == (
        None,
        None,
        None,
        {"code": "honpas", "h0": "the functional is unknown"},
    )


def test_an_scf_cycle_that_did_not_converge_is_refused(frame_folder):
    log = read_text(frame_folder / "out.xz")
    (frame_folder / "out.xz").unlink()
    (frame_folder / "out").write_text(log.replace("SCF cycle converged", "SCF_NOT_CONV"))
    with pytest.raises(InputError, match="does not end with a converged SCF cycle"):
        read_frame(frame_folder)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("TiO2.XV", "  1    22  ", "  1     0  ", "atomic number 0 is no element"),
        ("TiO2.XV", "  1    22  ", "  1    14  ", "is element 14 in XV and 22 in the input"),
        ("TiO2.XV", "  1    22  ", "  2    22  ", "have other species"),
        ("TiO2.XV", "  1    22  ", "  1   -22  ", "atomic number -22 is a ghost"),
        ("TiO2.FA", "     1  ", "     1  x ", "field 'forces': not a number"),
        ("TiO2.FA", "     6\n", "     5\n", "24 numbers instead of 20"),
        ("FORCE_STRESS", "-380", "-***", "not a number"),
    ],
)
def test_damaged_text_is_named(name, old, new, message, frame_folder):
    path = frame_folder / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=message) as caught:
        read_frame(frame_folder)
    assert caught.value.exit_code == 2
    assert caught.value.remedy


def test_the_geometry_of_another_frame_is_refused(frame_folder):
    path = frame_folder / "TiO2.XV"
    path.write_text(path.read_text().replace("4.", "4.1", 1))
    with pytest.raises(InputError, match="not the one the matrices were computed for"):
        read_frame(frame_folder)
