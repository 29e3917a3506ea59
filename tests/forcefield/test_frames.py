"""Which frames a force field learns from: of a data set, of files without matrices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from n2amd.config.forcefield import ForceFieldSettings
from n2amd.dataset.split import split_frames
from n2amd.dataset.store import read_frames, read_structures
from n2amd.errors import InputError
from n2amd.forcefield import frames as module
from n2amd.forcefield.frames import (
    gather,
    read_labelled,
    reference_energies,
    weighted_by_size,
    without_stress,
)
from n2amd.interop.extxyz import LabelledFrame, read_labelled_frames, write_extxyz
from n2amd.structure import Structure

SETTINGS = ForceFieldSettings(preset="test")


def labelled(numbers, energy: float) -> LabelledFrame:
    positions = np.arange(3.0 * len(numbers)).reshape(-1, 3)
    structure = Structure(9.0 * np.eye(3), positions, np.array(numbers))
    return LabelledFrame("made up", structure, energy, np.ones((len(numbers), 3)))


@given(shifts=arrays(float, 3, elements=st.floats(-2e3, 2e3)))
def test_reference_energies_of_distinct_compositions(shifts):
    compositions = [[1], [1, 8], [8, 22, 22], [1, 8, 22], [22]]
    order = {1: 0, 8: 1, 22: 2}
    frames = [labelled(c, float(sum(shifts[order[z]] for z in c))) for c in compositions]
    found = reference_energies(frames)
    assert list(found) == ["H", "O", "Ti"]
    np.testing.assert_allclose(list(found.values()), shifts, atol=1e-8)


def test_reference_energies_of_one_composition():
    found = reference_energies([labelled([22, 8, 8], -930.0), labelled([22, 8, 8], -936.0)])
    assert found["Ti"] + 2 * found["O"] == pytest.approx(-933.0)
    assert found["O"] == pytest.approx(2 * found["Ti"])  # minimum norm: by the number of atoms


@pytest.mark.parametrize("field", ["energy", "forces"])
def test_frames_without_labels_are_named(dataset, monkeypatch, field):
    frames = [replace(frame, **{field: None}) for frame in read_frames(dataset, [3])]
    monkeypatch.setattr(module, "read_frames", lambda path, indices: iter(frames))
    with pytest.raises(InputError, match=f"the frame has no {field}") as caught:
        read_labelled(dataset, [3])
    assert caught.value.frame == frames[0].name


def test_labels_survive_the_file(dataset, tmp_path):
    file = tmp_path / "frames.extxyz"
    known = list(read_frames(dataset, [0, 5]))
    write_extxyz(file, known)
    for before, after in zip(known, read_labelled_frames(file), strict=True):
        assert after.name == before.name
        assert after.energy == pytest.approx(before.energy, abs=1e-6)
        np.testing.assert_allclose(after.forces, before.forces, atol=1e-7)
        np.testing.assert_allclose(after.stress, before.stress, atol=1e-7)
        np.testing.assert_allclose(after.structure.positions, before.structure.positions, atol=1e-7)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"energy": None}, "the frame has no energy"),
        ({"forces": None}, "the frame has no forces"),
        ({"energy": np.nan}, "its energy are not finite"),
    ],
)
def test_a_frame_of_a_file_without_labels(dataset, tmp_path, change, complaint):
    file = tmp_path / "frames.extxyz"
    first, second = read_frames(dataset, [0, 1])
    write_extxyz(file, [first, replace(second, **change)])
    with pytest.raises(InputError, match=complaint) as caught:
        read_labelled_frames(file)
    assert caught.value.frame == 1


def test_files_leave_the_split_of_the_data_set_alone(dataset, tmp_path):
    file = tmp_path / "frames.extxyz"
    write_extxyz(file, [*read_frames(dataset, range(8)), *read_frames(dataset, range(4))])
    alone, both = gather(dataset, [], SETTINGS), gather(dataset, [file], SETTINGS)
    structures = read_structures(dataset)
    own = split_frames(structures, SETTINGS.validation_fraction, SETTINGS.test_fraction, SETTINGS.seed)
    for name in ("train", "validation", "test"):
        assert alone.split[name] == both.split[name] == getattr(own, name).tolist()
        assert len(getattr(both, name)) == len(both.split[name]) + len(both.split["further"][name])
    assert sorted(k for part in both.split["further"].values() for k in part) == list(range(12))
    assert "further" not in alone.split


def test_a_few_frames_all_train(dataset, tmp_path):
    file = tmp_path / "frames.extxyz"
    write_extxyz(file, read_frames(dataset, range(8)))
    assert gather(dataset, [file], SETTINGS).split["further"]["train"] == list(range(8))


def test_energies_from_another_zero(dataset, tmp_path):
    file = tmp_path / "frames.extxyz"
    (frame,) = read_frames(dataset, [0])
    write_extxyz(file, [replace(frame, energy=frame.energy + 6 * 5.0)])
    with pytest.raises(InputError, match=r"its energy is \+5\.\d eV/atom from those of the data set"):
        gather(dataset, [file], SETTINGS)


def test_another_composition_has_no_energy_to_compare_with(dataset, tmp_path):
    file = tmp_path / "frames.extxyz"
    write_extxyz(file, [labelled([22, 8], -5.0)])
    assert len(gather(dataset, [file], SETTINGS).train) == 7


def test_larger_frames_come_more_often():
    small, twice, large = labelled([8] * 6, 0.0), labelled([8] * 12, 0.0), labelled([8] * 48, 0.0)
    assert weighted_by_size([small, twice, large]) == [small, twice, large, large, large]
    assert weighted_by_size([large, large]) == [large, large]


def test_stress_is_left_out(dataset):
    (frame,) = read_frames(dataset, [0])
    assert frame.stress is not None
    kept = without_stress(frame)
    assert kept.stress is None
    assert (kept.energy, kept.name) == (frame.energy, frame.name)
