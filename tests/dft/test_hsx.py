"""The binary files of H and S: what is written is read, and what is broken is refused."""

from __future__ import annotations

import struct
from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest
from hsx_writer import (
    hsx_records,
    hsx_records_1_or_2,
    record,
    tshs_records,
    write_hsx,
    write_records,
    write_tshs,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from n2amd.dft.siesta.hsx import read_hsx
from n2amd.dft.siesta.ion_xml import shell_label
from n2amd.dft.siesta.matrices import Geometry, SparseMatrices, Species
from n2amd.dft.siesta.tshs import read_tshs
from n2amd.errors import InputError

FILES = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)


@st.composite
def sparse_matrices(draw: st.DrawFn, *, double: bool = False, with_geometry: bool = False) -> SparseMatrices:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    species = []
    for k in range(draw(st.integers(1, 3))):
        l_values = sorted(draw(st.lists(st.integers(0, 3), min_size=1, max_size=4)))
        seen: dict[int, int] = {}
        shells = []
        for l in l_values:
            seen[l] = seen.get(l, 0) + 1
            shells.append((l, shell_label(l + 1, l, seen[l])))
        species.append(Species(f"X{k}", float(rng.integers(1, 13)), tuple(shells)))
    sizes = np.array([sum(2 * l + 1 for l, _ in entry.shells) for entry in species])
    atom_species = rng.integers(len(species), size=draw(st.integers(1, 4)))
    orbital_atom = np.repeat(np.arange(len(atom_species)), sizes[atom_species])
    n, images = len(orbital_atom), draw(st.integers(1, 5))
    counts = rng.integers(0, n * images + 1, size=n)
    columns = [np.sort(rng.choice(n * images, size=count, replace=False)) for count in counts]
    total = int(counts.sum())
    width = float if double else np.float32
    values = lambda *shape: rng.normal(size=shape).astype(width).astype(float)  # noqa: E731
    shifts = np.stack([np.arange(images), np.zeros(images), np.zeros(images)], axis=-1).astype(int)
    return SparseMatrices(
        n,
        images,
        np.repeat(np.arange(n), counts),
        np.concatenate(columns).astype(np.int64),
        values(draw(st.sampled_from([1, 2, 4, 8])), total),
        values(total),
        float(rng.integers(1, 100)),
        orbital_atom,
        double_precision=double,
        fermi_level=float(rng.normal()) if with_geometry else None,
        bonds=None if with_geometry else values(total, 3),
        geometry=Geometry(rng.normal(size=(3, 3)), rng.normal(size=(len(atom_species), 3)), shifts)
        if with_geometry
        else None,
        species=tuple(species),
        atom_species=atom_species,
    )


def assert_same(found: object, expected: object) -> None:
    for field in fields(expected):
        mine, theirs = getattr(found, field.name), getattr(expected, field.name)
        if is_dataclass(theirs):
            assert_same(mine, theirs)
        else:
            assert np.array_equal(mine, theirs) if isinstance(theirs, np.ndarray) else mine == theirs


@FILES
@given(matrices=sparse_matrices(), suffix=st.sampled_from(["", ".xz"]))
def test_what_is_written_is_read(matrices, suffix, tmp_path):
    path = tmp_path / f"A.HSX{suffix}"
    write_hsx(path, matrices)
    assert_same(read_hsx(path), matrices)


@FILES
@given(data=st.data(), double=st.booleans(), version=st.sampled_from([1, 2]))
def test_the_versions_of_siesta_5_are_read(data, double, version, tmp_path):
    matrices = data.draw(sparse_matrices(double=double, with_geometry=True))
    write_hsx(tmp_path / "A.HSX", matrices, version)
    assert_same(read_hsx(tmp_path / "A.HSX"), matrices)


@FILES
@given(matrices=sparse_matrices(double=True, with_geometry=True))
def test_tshs_is_read(matrices, tmp_path):
    write_tshs(tmp_path / "A.TSHS", matrices)
    assert_same(read_tshs(tmp_path / "A.TSHS"), replace(matrices, species=(), atom_species=None))


@FILES
@given(matrices=sparse_matrices(double=True, with_geometry=True), data=st.data())
def test_a_tshs_file_cut_anywhere_is_refused(matrices, data, tmp_path):
    path = tmp_path / "A.TSHS"
    write_tshs(path, matrices)
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(InputError, match=r"A\.TSHS, field 'TSHS': the file ends at byte"):
        read_tshs(path)


def test_a_fermi_level_that_siesta_did_not_compute_is_absent(matrices, tmp_path):
    write_hsx(tmp_path / "A.HSX", with_cell(matrices), version=2)
    assert read_hsx(tmp_path / "A.HSX").fermi_level is None


@FILES
@given(matrices=sparse_matrices(), data=st.data())
def test_a_file_cut_anywhere_is_refused(matrices, data, tmp_path):
    path = tmp_path / "A.HSX"
    write_hsx(path, matrices)
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(InputError, match=r"A\.HSX, field 'HSX': the file ends at byte"):
        read_hsx(path)


@FILES
@given(matrices=sparse_matrices(), data=st.data())
def test_a_damaged_record_mark_is_refused(matrices, data, tmp_path):
    records = hsx_records(matrices)
    victim = data.draw(st.integers(0, len(records) - 1))
    parts = [record(payload) for payload in records]
    parts[victim] = parts[victim][:-4] + struct.pack("<i", len(records[victim]) + 1)
    path = tmp_path / "A.HSX"
    path.write_bytes(b"".join(parts))
    with pytest.raises(InputError, match="no matching end mark"):
        read_hsx(path)


@pytest.fixture
def matrices() -> SparseMatrices:
    return SparseMatrices(
        1,
        1,
        np.zeros(1, int),
        np.zeros(1, int),
        np.ones((1, 1)),
        np.ones(1),
        1.0,
        np.zeros(1, int),
        double_precision=False,
        bonds=np.zeros((1, 3)),
        species=(Species("H", 1.0, ((0, "1s"),)),),
        atom_species=np.zeros(1, int),
    )


def with_cell(matrices: SparseMatrices) -> SparseMatrices:
    return replace(
        matrices, bonds=None, geometry=Geometry(np.eye(3), np.zeros((1, 3)), np.zeros((1, 3), int))
    )


@pytest.mark.parametrize(
    ("first_records", "message"),
    [
        ([struct.pack("<i", 3)], "version 3 is not supported, only 0, 1 and 2; write LABEL.TSHS instead"),
        ([b"0123456"], "not an HSX file"),
        ([struct.pack("<4i", 1, 1, 3, 1)], "3 spin components instead of 1, 2, 4 or 8"),
        ([struct.pack("<4i", 2, 3, 1, 1)], "3 orbitals in the supercell, 2 in the cell"),
        ([struct.pack("<4i", 1, 1, 1, 2)], "the rows hold 1 elements, the header says 2"),
    ],
)
def test_other_kinds_of_files_are_refused_by_name(first_records, message, matrices, tmp_path):
    rest = hsx_records(matrices)[len(first_records) :]
    write_records(tmp_path / "A.HSX", first_records + rest)
    with pytest.raises(InputError, match=message):
        read_hsx(tmp_path / "A.HSX")


@pytest.mark.parametrize(
    ("number", "payload", "message"),
    [
        (0, struct.pack("<5i", 1, 1, 1, 1, 1), "TSHS format version 0 is not supported.*use LABEL.HSX"),
        (1, struct.pack("<5i", 1, 1, 2, 1, 1), "2 orbitals in 1 cells of 1 orbitals"),
        (1, struct.pack("<5i", 1, 1, 1, 1, 7), "the rows hold 1 elements, the header says 7"),
        (4, struct.pack("<3i", 1, 1, 1), "the overlap only"),
        (8, struct.pack("<2i", 0, 3), r"the atoms have \[3\] orbitals, the cell 1"),
    ],
)
def test_a_tshs_file_that_contradicts_itself_is_refused(number, payload, message, matrices, tmp_path):
    records = tshs_records(replace(with_cell(matrices), fermi_level=0.1))
    records[number] = payload
    write_records(tmp_path / "A.TSHS", records)
    with pytest.raises(InputError, match=message):
        read_tshs(tmp_path / "A.TSHS")


def test_an_orbital_missing_from_a_shell_is_refused(matrices, tmp_path):
    records = hsx_records_1_or_2(with_cell(matrices), 1)
    records[6] = struct.pack("<3i", 2, 1, 1)
    write_records(tmp_path / "A.HSX", records)
    with pytest.raises(InputError, match="the shells of species 'H' are incomplete"):
        read_hsx(tmp_path / "A.HSX")


def test_a_column_outside_the_supercell_is_refused(matrices, tmp_path):
    write_hsx(tmp_path / "A.HSX", replace(matrices, column=np.array([1])))
    with pytest.raises(InputError, match=r"outside 1\.\.1"):
        read_hsx(tmp_path / "A.HSX")


def test_a_cut_compressed_file_is_refused(matrices, tmp_path):
    path = tmp_path / "A.HSX.xz"
    write_hsx(path, matrices)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"cut or damaged.*copy it again"):
        read_hsx(path)
