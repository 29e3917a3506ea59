from __future__ import annotations

import json
import re
from dataclasses import replace

import h5py
import numpy as np
import pytest
import scipy.linalg
import two_centre_crystal as crystal
from boxed_molecule import molecule

from n2amd.blocks.matrix import fold
from n2amd.dataset.gate import measure
from n2amd.dft.deeph.frame import find_frames, read_frame
from n2amd.dft.readers import reader_for
from n2amd.errors import InputError
from n2amd.interop.deeph import write_deeph
from n2amd.orbitals.basis import AtomBasis, Basis, Shell
from n2amd.orbitals.conventions import two_centre_residual


@pytest.fixture(scope="module")
def basis():
    return crystal.basis(radial=False)


@pytest.fixture
def present(tmp_path, basis):
    write_deeph(tmp_path, [crystal.frame()], basis)
    return tmp_path / "000000"


@pytest.fixture
def legacy(tmp_path, basis):
    write_deeph(tmp_path, [crystal.frame()], basis, legacy=True)
    return tmp_path / "000000"


@pytest.mark.parametrize("old", [False, True], ids=["present", "legacy"])
@pytest.mark.parametrize("n_spin", [1, 2, 4])
def test_round_trip(n_spin, old, tmp_path, basis):
    expected = crystal.frame(n_spin)
    bands = np.sort(expected.bands.energies.reshape(len(expected.bands.kpoints), -1))
    highest = 8 if n_spin == 1 else 16
    fermi = float(bands[:, highest - 1 : highest + 1].mean())
    expected = replace(expected, fermi_level=fermi)
    assert write_deeph(tmp_path / "out", [expected, expected], basis, legacy=old) == 2
    frame, found = read_frame(tmp_path / "out" / "000001")
    assert {z: [s.l for s in found[z].shells] for z in found.numbers} == {
        z: [s.l for s in basis[z].shells] for z in basis.numbers
    }
    assert np.array_equal(frame.structure.positions, expected.structure.positions)
    assert np.array_equal(frame.structure.cell, expected.structure.cell)
    for ours, theirs in ((frame.hamiltonian, expected.hamiltonian), (frame.overlap, expected.overlap)):
        assert ours.n_spin == theirs.n_spin
        for key, blocks in theirs.values.items():
            order = np.lexsort(
                np.column_stack([theirs.pairs[key].shift, theirs.pairs[key].j, theirs.pairs[key].i]).T
            )
            same = np.lexsort(
                np.column_stack([ours.pairs[key].shift, ours.pairs[key].j, ours.pairs[key].i]).T
            )
            assert np.array_equal(ours.pairs[key].shift[same], theirs.pairs[key].shift[order])
            assert ours.values[key][:, same] == pytest.approx(blocks[:, order], abs=1e-15)
    assert (frame.n_electrons, frame.fermi_level, frame.bands) == (16, fermi, None)
    assert frame.origin == {"code": "deeph", "bands": "none"}
    assert frame.hermiticity_error < 1e-14
    assert two_centre_residual(frame.overlap, found, frame.structure) < 1e-8


def test_present_files_are_a_lattice_sum_of_canonical_blocks(tmp_path, basis):
    """H(k) straight from the arrays, spinors as [[uu, ud], [du, dd]], has the bands of the frame."""
    expected = crystal.frame(4)
    write_deeph(tmp_path, [expected], basis)
    k = crystal.KPOINTS[2]
    offsets = basis.orbital_offsets(expected.structure.numbers)
    n = int(offsets[-1])
    dense = {}
    for name, spins in (("hamiltonian", 2), ("overlap", 1)):
        dense[name] = np.zeros((spins, n, spins, n), complex)
        with h5py.File(tmp_path / "000000" / f"{name}.h5") as file:
            for pair, start, shape in zip(file["atom_pairs"], file["chunk_boundaries"], file["chunk_shapes"]):
                i, j = (slice(offsets[atom], offsets[atom + 1]) for atom in pair[3:])
                chunk = file["entries"][start : start + shape[0] * shape[1]]
                block = chunk.reshape(spins, shape[0] // spins, spins, shape[1] // spins)
                dense[name][:, i, :, j] += np.exp(2j * np.pi * pair[:3] @ k) * block
    overlap = np.kron(np.eye(2), dense["overlap"].reshape(n, n))
    bands = scipy.linalg.eigvalsh(dense["hamiltonian"].reshape(2 * n, 2 * n), overlap)
    assert bands == pytest.approx(expected.bands.energies[2, 0], abs=1e-9)
    info = json.loads((tmp_path / "000000" / "info.json").read_text())
    assert (info["spinful"], info["atoms_quantity"], info["orbits_quantity"]) == (True, 3, 39)
    assert info["elements_orbital_map"] == {"S": [0, 0, 1, 2], "Mo": [0, 1, 1, 2, 3]}


def test_legacy_files_are_in_the_order_of_openmx(legacy):
    """p as x, y, z and atoms from 1: the on-site p block of the first S atom, element by element."""
    expected = crystal.frame()
    on_site = expected.hamiltonian.pairs[16, 16].on_site
    block = expected.hamiltonian.values[16, 16][0, np.flatnonzero(on_site)[0]]
    with h5py.File(legacy / "hamiltonians.h5") as file:
        stored = file["[0, 0, 0, 2, 2]"][:]
        assert [f"[0, 0, 0, {n}, {n}]" in file for n in range(5)] == [False, True, True, True, False]
    assert stored[2:5, 2:5] == pytest.approx(block[2:5, 2:5][np.ix_([2, 0, 1], [2, 0, 1])])
    cell = expected.structure.cell
    vectors, reciprocal = (np.loadtxt(legacy / name).T for name in ("lat.dat", "rlat.dat"))
    assert vectors == pytest.approx(cell)
    assert reciprocal @ cell.T == pytest.approx(2 * np.pi * np.eye(3), abs=1e-12)


@pytest.mark.parametrize("n_spin", [1, 2, 4])
def test_electrons_are_counted_below_the_fermi_level(n_spin, tmp_path, basis):
    frame = crystal.frame(n_spin)
    mesh = np.array(np.meshgrid(*[[0, 1 / 3, -1 / 3]] * 3)).reshape(3, -1).T
    bands = np.sort(np.array([crystal.energies(frame, basis, k).ravel() for k in mesh]), axis=1)
    gaps = bands[:, 1:].min(axis=0) - bands[:, :-1].max(axis=0)
    level = int(np.argmax(gaps))
    assert gaps[level] > 0.05
    fermi = (bands[:, level].max() + bands[:, level + 1].min()) / 2
    write_deeph(tmp_path, [replace(frame, fermi_level=float(fermi))], basis)
    info = tmp_path / "000000" / "info.json"
    content = json.loads(info.read_text())
    del content["occupation"]
    info.write_text(json.dumps(content))
    assert read_frame(tmp_path / "000000")[0].n_electrons == (level + 1) * (2 if n_spin == 1 else 1)


@pytest.mark.parametrize(
    ("fermi", "message"),
    [
        (None, "nor a Fermi level"),
        (0.0, "nor a Fermi level"),
        ("in a band", "a metal, or not its level"),
    ],
)
def test_electrons_that_cannot_be_counted_are_asked_for(fermi, message, present):
    info = json.loads((present / "info.json").read_text())
    del info["occupation"]
    frame = crystal.frame()
    info["fermi_energy_eV"] = float(frame.bands.energies[:, 0, 5].mean()) if fermi == "in a band" else fermi
    (present / "info.json").write_text(json.dumps(info))
    with pytest.raises(InputError, match=message) as caught:
        read_frame(present)
    assert "occupation" in caught.value.remedy
    assert "--electrons" in caught.value.remedy
    assert read_frame(present, n_electrons=10.0)[0].n_electrons == 10.0


def change_info(folder, **entries):
    path = folder / "info.json"
    content = json.loads(path.read_text()) | entries
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


@pytest.mark.parametrize("old", [False, True], ids=["present", "legacy"])
def test_the_occupation_of_the_folder_is_the_electrons(old, tmp_path, basis):
    """DeepH's own key, written and read; 0.0 for a Fermi level that a converter does not have."""
    write_deeph(tmp_path, [crystal.frame()], basis, legacy=old)
    folder = tmp_path / "000000"
    info = json.loads((folder / "info.json").read_text())
    assert (info["occupation"], type(info["occupation"])) == (16, int)
    change_info(folder, occupation=14, **{"fermi_level" if old else "fermi_energy_eV": 0.0})
    frame, _ = read_frame(folder)
    assert (frame.n_electrons, frame.fermi_level) == (14, None)
    change_info(folder, occupation=None, electrons_quantity=12.0)
    assert read_frame(folder)[0].n_electrons == 12
    change_info(folder, occupation=12)
    assert read_frame(folder, n_electrons=12.0)[0].n_electrons == 12


def test_two_numbers_of_electrons_are_refused(present):
    change_info(present, electrons_quantity=18)
    with pytest.raises(InputError, match="occupation = 16 and electrons_quantity = 18"):
        read_frame(present)
    change_info(present, electrons_quantity=None)
    with pytest.raises(InputError, match=r"info\.json says 16 electrons, 10 are given"):
        read_frame(present, n_electrons=10.0)


@pytest.mark.parametrize("n_spin", [1, 2, 4])
def test_an_occupation_that_contradicts_a_gap_is_refused(n_spin, tmp_path):
    """Two electrons below a Fermi level in a gap of 7 eV are not four, nor one; a doped one may be 2.3."""
    frame, atoms = molecule(0.74, 12.0)
    if n_spin == 2:
        both = {key: np.concatenate([b, b]) for key, b in frame.hamiltonian.values.items()}
    elif n_spin == 4:
        both = {
            key: np.concatenate([b, 1e-9j * b, -1e-9j * b, b]) for key, b in frame.hamiltonian.values.items()
        }
    else:
        both = dict(frame.hamiltonian.values)
    frame = replace(frame, hamiltonian=frame.hamiltonian.map(both), bands=None)
    fermi = float(np.mean(molecule(0.74, 12.0)[0].bands.energies))
    write_deeph(tmp_path, [replace(frame, fermi_level=fermi)], atoms)
    folder = tmp_path / "000000"
    assert read_frame(folder)[0].n_electrons == 2
    for wrong in (3, 1, 3.5):
        change_info(folder, occupation=wrong)
        with pytest.raises(InputError, match=f"{wrong} electrons .* 2 below .* from any band") as caught:
            read_frame(folder)
        assert "occupation" in caught.value.remedy
    change_info(folder, occupation=2.3)
    assert read_frame(folder)[0].n_electrons == 2.3


@pytest.mark.parametrize("above", [0.0, 0.018, 0.09])
def test_electrons_are_asked_for_where_a_band_may_be_partly_filled(above, tmp_path):
    """An open shell 2/3 full has its level kT ln 2 below that of Fermi; some codes put that on the level."""
    frame, atoms = molecule(0.74, 12.0)
    write_deeph(tmp_path, [replace(frame, fermi_level=float(frame.bands.energies[0, 0, 0]) + above)], atoms)
    folder = tmp_path / "000000"
    assert read_frame(folder)[0].n_electrons == 2
    change_info(folder, occupation=None)
    with pytest.raises(InputError, match="may be partly filled") as caught:
        read_frame(folder)
    assert "occupation" in caught.value.remedy


def test_electrons_are_not_taken_where_files_have_them():
    with pytest.raises(InputError, match="say how many electrons"):
        reader_for("siesta", n_electrons=8.0)


def test_the_gate_measures_what_there_is(present):
    figures = measure(*read_frame(present))
    assert figures["two_centre_residual"] < 1e-8
    assert figures["uncovered_pairs"] == 0
    assert "eigenvalue_error" not in figures


def test_frames_are_found_in_both_layouts(tmp_path, basis):
    write_deeph(tmp_path / "a", [crystal.frame()] * 2, basis)
    write_deeph(tmp_path / "b", [crystal.frame()], basis, legacy=True)
    assert [str(p.relative_to(tmp_path)) for p in find_frames([tmp_path])] == [
        "a/000000",
        "a/000001",
        "b/000000",
    ]


def test_atoms_of_one_element_need_not_follow_each_other(tmp_path, basis):
    frame = crystal.frame()
    order = np.array([1, 0, 2])  # S, Mo, S
    back = np.argsort(order)
    pairs = {
        key: type(index)(back[index.i], back[index.j], index.shift)
        for key, index in frame.hamiltonian.pairs.items()
    }
    structure = frame.structure
    mixed = replace(
        frame,
        structure=type(structure)(structure.cell, structure.positions[order], structure.numbers[order]),
        hamiltonian=type(frame.hamiltonian)(pairs, frame.hamiltonian.values),
        overlap=type(frame.overlap)(pairs, frame.overlap.values),
    )
    for old in (False, True):
        write_deeph(tmp_path / str(old), [mixed], basis, legacy=old)
        found, found_basis = read_frame(tmp_path / str(old) / "000000")
        assert found.structure.numbers.tolist() == [16, 42, 16]
        assert two_centre_residual(found.overlap, found_basis, found.structure) < 1e-8
        offsets = found_basis.orbital_offsets(found.structure.numbers)
        k = crystal.KPOINTS[1]
        bands = scipy.linalg.eigvalsh(fold(found.hamiltonian, offsets, k), fold(found.overlap, offsets, k))
        assert bands == pytest.approx(frame.bands.energies[1, 0], abs=1e-9)


def test_an_existing_folder_is_not_overwritten(present, basis):
    with pytest.raises(InputError, match="exists already"):
        write_deeph(present.parent, [crystal.frame()], basis)


def test_shells_without_a_legacy_order_are_refused(tmp_path):
    atoms = Basis({1: AtomBasis(1, (Shell(4, "g"),))})
    with pytest.raises(InputError, match="no order for shells of l = 4"):
        write_deeph(tmp_path, [], atoms, legacy=True)


@pytest.mark.parametrize(
    ("name", "old", "message"),
    [
        ("POSCAR", False, "no file POSCAR"),
        ("info.json", False, r"no file info\.json"),
        ("hamiltonian.h5", False, r"no file hamiltonian\.h5"),
        ("overlap.h5", False, r"no file overlap\.h5"),
        ("lat.dat", True, r"no file lat\.dat"),
        ("site_positions.dat", True, r"no file site_positions\.dat"),
        ("element.dat", True, r"no file element\.dat"),
        ("orbital_types.dat", True, r"no file orbital_types\.dat"),
        ("hamiltonians.h5", True, r"no file hamiltonians\.h5"),
        ("overlaps.h5", True, r"no file overlaps\.h5"),
    ],
)
def test_a_missing_file_is_named(name, old, message, tmp_path, basis):
    write_deeph(tmp_path, [crystal.frame()], basis, legacy=old)
    (tmp_path / "000000" / name).unlink()
    with pytest.raises(InputError, match=message) as caught:
        read_frame(tmp_path / "000000")
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("info.json", '"atoms_quantity": 3', '"atoms_quantity": 4', "4 atoms, the structure .* has 3"),
        ("info.json", '"orbits_quantity": 39', '"orbits_quantity": 40', "40 orbitals, .* has 39"),
        ("info.json", r'"Mo": \[0, 1, 1, 2, 3\]', '"W": [0]', "no element 42, which POSCAR has"),
        ("info.json", r'"Mo": ', '"Xx": ', "'Xx' is no element"),
        ("info.json", r'"spinful": false', '"spinful": true', "1 spin components, .* spinful = True"),
        ("info.json", r'"spinful": false, ', "", "field 'spinful': is missing, a bool is needed"),
        ("info.json", r"\[0, 1, 1, 2, 3\]", "[0, 1, 1, 2, 7]", "7] of Mo is no list of angular momenta"),
        ("info.json", r"\[0, 1, 1, 2, 3\]", "3", "3 of Mo is no list of angular momenta"),
        ("info.json", '"occupation": 16', '"occupation": -16.0', "-16 electrons in 39 orbitals"),
        ("info.json", '"occupation": 16', '"occupation": 800', "800 electrons in 39 orbitals"),
        ("info.json", '"occupation": 16', '"occupation": true', "True is no number"),
        ("info.json", r'"fermi_energy_eV": [^,}]+', '"fermi_energy_eV": NaN', "nan is no energy"),
        ("info.json", r'"fermi_energy_eV": [^,}]+', '"fermi_energy_eV": -99.0', "16 electrons .*, 0 below"),
        ("info.json", r'"orthogonal_basis": false', '"orthogonal_basis": true', "is not supported"),
        ("info.json", r"\{", "", "not JSON"),
        ("info.json", '"occupation": 16', '"occupation": "many"', "'many' is no number"),
        ("POSCAR", "1 2", "1 3", "not a POSCAR|atoms"),
        ("POSCAR", "Mo S", "S Mo", "orbitals, the structure with its basis has"),
    ],
)  # fmt: skip
def test_contradictions_of_the_texts_are_named(name, old, new, message, present):
    path = present / name
    text, count = re.subn(old, new, path.read_text(), count=1)
    assert count
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_frame(present)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("element.dat", r"42\n", "", "2 atoms in element.dat, 3 in site_positions.dat"),
        ("orbital_types.dat", r"0 0 1 2\n$", "0 0 1\n", "two atoms of element 16 have other shells"),
        ("orbital_types.dat", "0 1 1 2 3", "0 1 x", "are not angular momenta"),
        ("lat.dat", r"\n.*\n$", "\n", "2 rows instead of 3"),
        ("site_positions.dat", r"^\S+", "nowhere", "not a table of numbers"),
        ("info.json", '"nsites": 3', '"nsites": 2', "2 atoms, the structure"),
        ("info.json", '"isorthogonal": false', '"isorthogonal": true', "is not supported"),
    ],
)
def test_contradictions_of_legacy_texts_are_named(name, old, new, message, legacy):
    path = legacy / name
    text, count = re.subn(old, new, path.read_text(), count=1)
    assert count
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_frame(legacy)
    assert caught.value.remedy


def _change(path, field, change):
    with h5py.File(path, "r+") as file:
        value = change(file[field][:])
        del file[field]
        file[field] = value


@pytest.mark.parametrize(
    ("field", "change", "message"),
    [
        ("entries", lambda x: x[:-5], "entries where the chunks have"),
        ("chunk_boundaries", lambda x: x + 1, "entries where the chunks have"),
        ("atom_pairs", lambda x: x[:-1], "with chunk_shapes"),
        ("atom_pairs", lambda x: x + np.array([0, 0, 0, 1, 1]), "atom 3 .from 0. where the structure has 3"),
        ("atom_pairs", lambda x: np.concatenate([x[:1], x[:-1]]), "is listed twice"),
        ("chunk_shapes", lambda x: x[:, ::-1], "the basis says"),
        ("chunk_shapes", lambda x: x + 0.5, "the numbers are no integers"),
        ("entries", lambda x: x.astype("S8"), "where numbers belong"),
        ("entries", lambda x: np.where(np.arange(len(x)) == 7, np.nan, x), "has NaN or infinite values"),
        ("entries", lambda x: x + 0.1j, "is complex, and without spin"),
    ],
)
def test_damaged_arrays_are_named(field, change, message, present):
    _change(present / "hamiltonian.h5", field, change)
    with pytest.raises(InputError, match=message) as caught:
        read_frame(present)
    assert caught.value.file.name == "hamiltonian.h5"
    assert caught.value.remedy


def test_a_block_of_another_basis_is_named(legacy):
    with h5py.File(legacy / "overlaps.h5", "r+") as file:
        del file["[0, 0, 0, 1, 1]"]
        file["[0, 0, 0, 1, 1]"] = np.eye(18)
    with pytest.raises(InputError, match=r"overlaps\.h5.*\(18, 18\), the basis says \(19, 19\)"):
        read_frame(legacy)


@pytest.mark.parametrize("old", [False, True], ids=["present", "legacy"])
def test_half_a_file_is_named(old, tmp_path, basis):
    write_deeph(tmp_path, [crystal.frame()], basis, legacy=old)
    path = tmp_path / "000000" / ("overlaps.h5" if old else "overlap.h5")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=r"damaged or cut") as caught:
        read_frame(path.parent)
    assert caught.value.file == path


def test_a_missing_array_is_named(present):
    with h5py.File(present / "hamiltonian.h5", "r+") as file:
        del file["entries"]
    with pytest.raises(InputError, match=r"hamiltonian\.h5.*field 'entries'.*damaged or cut"):
        read_frame(present)


def test_a_partner_that_is_missing_is_refused_before_electrons_are_counted(legacy):
    with h5py.File(legacy / "hamiltonians.h5", "r+") as file:
        name = next(name for name in file if name.endswith("1, 2]") and np.abs(file[name]).max() > 0.1)
        del file[name]
    with pytest.raises(InputError, match=r"differs from the adjoint of its partner .* by 0\.\d"):
        read_frame(legacy)
