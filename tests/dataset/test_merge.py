from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edited import edited
from n2amd.dataset.merge import merge
from n2amd.dataset.store import read_attributes, read_basis, read_frames, read_gate
from n2amd.errors import InputError
from n2amd.ingestion.ingest import ingest


@pytest.fixture(scope="module")
def parts(resources, tmp_path_factory) -> Callable[..., Path]:
    """Data sets of frames of the trajectory, made once each."""
    folder, made = tmp_path_factory.mktemp("parts"), {}

    def make(*numbers: int, timestep_fs: float | None = None) -> Path:
        key = (numbers, timestep_fs)
        if key not in made:
            made[key] = folder / f"{len(made)}.h5"
            sources = [resources / "TiO2_6_md" / f"frame_{n:04d}" for n in numbers]
            ingest(sources, made[key], code="honpas", timestep_fs=timestep_fs)
        return made[key]

    return make


def test_two_sets_are_the_set_of_all_frames(parts, tmp_path):
    whole, out = parts(0, 1, 2, 3, timestep_fs=1.0), tmp_path / "d.h5"
    assert merge([parts(0, 1, timestep_fs=1.0), parts(2, 3, timestep_fs=1.0)], out) == 4
    assert read_basis(out) == read_basis(whole)
    assert read_attributes(out)["velocities"] == read_attributes(whole)["velocities"]
    for found, expected in zip(read_frames(out), read_frames(whole), strict=True):
        assert found.name == expected.name
        # derived from the neighbours in the whole, not from the end of each part
        assert np.array_equal(found.velocities, expected.velocities)
        assert np.array_equal(found.hamiltonian.values[8, 22], expected.hamiltonian.values[8, 22])
    for name, values in read_gate(whole).items():
        assert np.array_equal(read_gate(out)[name], values)


def test_what_does_not_belong_together_is_refused(parts, tmp_path):
    out = tmp_path / "d.h5"
    md, later, single = parts(0, 1, timestep_fs=1.0), parts(2, 3, timestep_fs=1.0), parts(0)
    with pytest.raises(InputError, match="the geometry is that of frame TiO2_6_md/frame_0000"):
        merge([single, single], out)
    with pytest.raises(InputError, match="consecutive is 0"):
        merge([md, single], out)
    with pytest.raises(InputError, match=r"timestep_fs is 2\.0"):
        merge([md, parts(2, 3, timestep_fs=2.0)], out)
    other = tmp_path / "hse06.h5"
    shutil.copy(later, other)
    with edited(other) as file:
        file.attrs["functional"] = "hse06"
    with pytest.raises(InputError, match="functional is hse06") as caught:
        merge([md, other], out)
    assert caught.value.file == other
    assert not out.exists()


def test_consecutive_sets_must_go_on_from_each_other(parts, tmp_path):
    far = tmp_path / "far.h5"
    shutil.copy(parts(2, 3, timestep_fs=1.0), far)
    with edited(far) as file:
        file["atoms/positions"][...] += np.linspace(0, 1, 12)[:, None]
    with pytest.raises(InputError, match="a kinetic energy of"):
        merge([parts(0, 1, timestep_fs=1.0), far], tmp_path / "d.h5")
