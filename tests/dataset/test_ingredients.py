"""What H0 needs of the runs stays with the data set."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edited import edited
from n2amd.dataset.merge import merge
from n2amd.dataset.store import create_dataset, read_attributes, read_frames, read_ingredients
from n2amd.dft.siesta.frame import read_frame
from n2amd.errors import InputError
from n2amd.ingestion.ingest import ingest


@pytest.fixture(scope="module")
def frames(resources):
    return [read_frame(resources / "TiO2_6_md" / f"frame_000{n}") for n in range(2)]


def write(path, frames, basis):
    with create_dataset(path, code="honpas") as writer:
        for frame in frames:
            writer.append(frame, basis, {})
    return path


def test_ingredients_are_kept_by_ingestion_and_merge(frames, copy_frames, tmp_path):
    folder, expected = copy_frames(0, 1), frames[0][0].ingredients
    for n in range(2):
        ingest([folder / f"frame_000{n}"], tmp_path / f"{n}.h5", code="honpas")
        assert read_ingredients(tmp_path / f"{n}.h5") == expected
    merge([tmp_path / "0.h5", tmp_path / "1.h5"], tmp_path / "both.h5")
    assert read_ingredients(tmp_path / "both.h5") == expected
    assert [frame.ingredients for frame in read_frames(tmp_path / "both.h5")] == [expected] * 2
    assert "h0" not in read_attributes(tmp_path / "both.h5")


def test_one_frame_without_leaves_the_set_without(frames, tmp_path):
    (first, basis), (second, _) = frames
    lacking = replace(second, ingredients=None, origin={"h0": "the run has an external electric field"})
    path = write(tmp_path / "d.h5", [first, lacking], basis)
    assert read_ingredients(path) is None
    assert read_attributes(path)["h0"] == (
        "no ingredients of H0 (TiO2_6_md/frame_0001: the run has an external electric field)"
    )


def test_a_note_is_kept(frames, tmp_path):
    frame, basis = frames[0]
    path = write(tmp_path / "d.h5", [replace(frame, origin={"h0": "that of PBE"})], basis)
    assert read_ingredients(path) is not None
    assert read_attributes(path)["h0"] == "that of PBE"


def test_frames_of_another_run_are_refused(frames, tmp_path):
    (first, basis), (second, _) = frames
    ours = second.ingredients
    oxygen = ours[8]
    softer = replace(oxygen.projectors[0], energy=oxygen.projectors[0].energy + 0.1)
    others = {
        "the mesh cutoff is 300 Ry, not 200 Ry": replace(ours, mesh_cutoff=300.0),
        "the functional is PBEsol by siesta, not PBE": replace(ours, functional="PBEsol"),
        "another Rydberg": replace(ours, rydberg=13.605693),
        "the non-local pseudopotential of element 8": replace(
            ours, atoms={**ours.atoms, 8: replace(oxygen, projectors=(softer, *oxygen.projectors[1:]))}
        ),
        "the partial core of element 8": replace(
            ours, atoms={**ours.atoms, 8: replace(oxygen, core_density=None)}
        ),
    }
    for message, other in others.items():
        with pytest.raises(InputError, match=message):
            write(tmp_path / "d.h5", [first, replace(second, ingredients=other)], basis)


def test_elements_of_all_frames_are_kept(frames, tmp_path):
    (first, basis), (second, _) = frames
    ours = first.ingredients
    only = replace(ours, atoms={8: ours[8]})
    path = write(tmp_path / "d.h5", [replace(first, ingredients=only), second], basis)
    assert read_ingredients(path) == ours


def test_data_sets_from_before_still_open(frames, tmp_path):
    frame, basis = frames[0]
    path = write(tmp_path / "d.h5", [frame], basis)
    with edited(path) as file:
        del file["ingredients"]
    assert read_ingredients(path) is None
    assert next(read_frames(path)).ingredients is None
