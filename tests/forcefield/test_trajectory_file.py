from __future__ import annotations

import numpy as np
import pytest
from ase.io import read
from springs import copper

from n2amd.errors import InputError
from n2amd.storage import open_hdf5
from n2amd.trajectory.file import (
    FIELDS,
    FrameBlock,
    export_extxyz,
    read_trajectory,
    write_trajectory,
)
from n2amd.units import AMU_A2_FS2_IN_EV

ATTRIBUTES = {"timestep_fs": 2.0, "temperature_K": 300.0, "material": "Cu", "supercell": "2x2x2", "seed": 4}


def block(structure, frames: int, seed: int) -> FrameBlock:
    rng = np.random.default_rng(seed)
    shape = frames, structure.n_atoms, 3
    velocities = rng.normal(scale=1e-3, size=shape)
    masses = structure.to_ase().get_masses()
    kinetic = 0.5 * AMU_A2_FS2_IN_EV * np.einsum("a,fax,fax->f", masses, velocities, velocities)
    # beyond the cell: positions are not wrapped
    positions = structure.positions + rng.normal(scale=5.0, size=shape)
    return FrameBlock(positions, velocities, rng.normal(size=frames), kinetic, rng.uniform(200, 400, frames))


@pytest.fixture
def written(tmp_path):
    structure = copper()
    blocks = [block(structure, 5, 0), block(structure, 3, 1)]
    file = tmp_path / "trajectory.h5"
    write_trajectory(file, structure, iter(blocks), attributes=ATTRIBUTES, config=None, inputs=[])
    whole = FrameBlock(*(np.concatenate([getattr(b, name) for b in blocks]) for name in FIELDS))
    return file, structure, whole


def test_what_is_written_is_read(written):
    file, structure, whole = written
    found = read_trajectory(file)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(found.frames, name), getattr(whole, name))
    np.testing.assert_array_equal(found.structure.cell, structure.cell)
    np.testing.assert_array_equal(found.structure.numbers, structure.numbers)
    np.testing.assert_array_equal(found.structure.positions, whole.positions[0])
    assert found.structure.pbc == (True, True, True)
    assert (found.timestep_fs, found.temperature_K) == (2.0, 300.0)
    assert ATTRIBUTES.items() <= found.attributes.items()
    assert found.attributes["n_frames"] == 8


def test_the_layout_of_the_file(written):
    file, structure, whole = written
    with open_hdf5(file, "trajectory") as stream:
        n = structure.n_atoms
        shapes = {name: dataset.shape for name, dataset in stream.items()}
        assert shapes == {
            **{"cell": (3, 3), "numbers": (n,), "pbc": (3,)},
            **{"positions": (8, n, 3), "velocities": (8, n, 3)},
            **dict.fromkeys(("potential_energy", "kinetic_energy", "conserved", "temperature"), (8,)),
        }
        expected = whole.potential_energy + whole.kinetic_energy
        np.testing.assert_array_equal(stream["conserved"][...], expected)


def test_export(written, tmp_path):
    file, structure, whole = written
    out = tmp_path / "trajectory.extxyz"
    assert export_extxyz(file, out) == 8
    images = read(out, index=":")
    assert len(images) == 8
    for index, atoms in enumerate(images):
        assert atoms.get_kinetic_energy() == pytest.approx(whole.kinetic_energy[index], rel=1e-5)
        assert atoms.get_potential_energy() == pytest.approx(whole.potential_energy[index], abs=1e-8)
        assert atoms.info["time_fs"] == 2.0 * index
        assert atoms.pbc.all()
        np.testing.assert_allclose(atoms.positions, whole.positions[index], atol=1e-7)
        np.testing.assert_allclose(atoms.cell.array, structure.cell, atol=1e-7)


def test_another_file_is_refused(dataset, tmp_path):
    with pytest.raises(InputError, match=r"format is 'n2amd/dataset', expected 'n2amd/trajectory'"):
        export_extxyz(dataset, tmp_path / "out.extxyz")
    assert not (tmp_path / "out.extxyz").exists()
