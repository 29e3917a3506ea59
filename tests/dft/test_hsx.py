from __future__ import annotations

import struct
from dataclasses import fields, replace

import numpy as np
import pytest
from hsx_writer import hsx_records, record, write_hsx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from n2amd.dft.siesta.hsx import SparseMatrices, Species, read_hsx
from n2amd.dft.siesta.ion_xml import shell_label
from n2amd.errors import InputError

FILES = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)


@st.composite
def sparse_matrices(draw: st.DrawFn) -> SparseMatrices:
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
    single = lambda *shape: rng.normal(size=shape).astype(np.float32).astype(float)  # noqa: E731
    return SparseMatrices(
        n,
        n * images,
        np.repeat(np.arange(n), counts),
        np.concatenate(columns).astype(np.int64),
        np.tile(np.arange(n), images),
        single(draw(st.sampled_from([1, 2])), total),
        single(total),
        single(total, 3),
        float(rng.integers(1, 100)),
        tuple(species),
        atom_species,
        orbital_atom,
    )


@FILES
@given(matrices=sparse_matrices(), suffix=st.sampled_from(["", ".xz"]))
def test_what_is_written_is_read(matrices, suffix, tmp_path):
    path = tmp_path / f"A.HSX{suffix}"
    write_hsx(path, matrices)
    found = read_hsx(path)
    for field in fields(SparseMatrices):
        expected, value = getattr(matrices, field.name), getattr(found, field.name)
        assert np.array_equal(expected, value) if isinstance(expected, np.ndarray) else expected == value


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
        np.zeros(1, int),
        np.ones((1, 1)),
        np.ones(1),
        np.zeros((1, 3)),
        1.0,
        (Species("H", 1.0, ((0, "1s"),)),),
        np.zeros(1, int),
        np.zeros(1, int),
    )


@pytest.mark.parametrize(
    ("first_records", "message"),
    [
        ([struct.pack("<i", 1)], "version 1 is not supported"),
        ([b"0123456"], "not an HSX file"),
        ([struct.pack("<4i", 1, 1, 8, 1)], "8 spin components"),
        ([struct.pack("<4i", 1, 1, 1, 1), struct.pack("<i", -1)], "Gamma only.*ForceAuxCell"),
    ],
)
def test_other_kinds_of_files_are_refused_by_name(first_records, message, matrices, tmp_path):
    rest = hsx_records(matrices)[len(first_records) :]
    path = tmp_path / "A.HSX"
    path.write_bytes(b"".join(record(payload) for payload in first_records + rest))
    with pytest.raises(InputError, match=message):
        read_hsx(path)


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
