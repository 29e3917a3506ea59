"""A flipped bit in a file is an error, or changes nothing that is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from n2amd.errors import InputError
from n2amd.network.checkpoint import load_state, save_state
from n2amd.seals import require_sound_archive
from n2amd.storage import create_hdf5, open_hdf5


def write(path: Path) -> None:
    """A file with arrays of every kind that stages write: plain, grouped, growing, compressed."""
    rng = np.random.default_rng(5)
    with create_hdf5(path, "example") as file:
        file.attrs["vbm"] = 7
        file["energies"] = rng.normal(size=(30, 4))
        file["number"] = np.arange(5)
        file["flags"] = np.array([True, False])
        file["overlap/complex"] = rng.normal(size=(3, 2, 2)) + 1j
        group = file.create_group("window")
        group["nac"] = rng.normal(size=(9, 3))
        group.create_dataset("mixing", data=np.ones((40, 10)), compression="gzip", shuffle=True)
        grown = file["window"].create_dataset("grown", (0, 3), "f8", maxshape=(None, 3), chunks=(4, 3))
        grown.resize(6, axis=0)
        grown[:] = rng.normal(size=(6, 3))


def content(path: Path) -> dict[str, Any]:
    """Everything in a file."""
    found: dict[str, Any] = {}

    def keep(name: str, item: h5py.Dataset | h5py.Group) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    with open_hdf5(path, "example") as file:
        found |= {f"@{name}": value for name, value in file.attrs.items()}
        file.visititems(keep)
    return found


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether all numbers are the same; text of variable length has no checksum."""
    return a.keys() == b.keys() and all(
        np.array_equal(a[name], b[name]) for name in a if not isinstance(a[name], str)
    )


def test_every_array_has_a_checksum(tmp_path: Path) -> None:
    write(tmp_path / "file.h5")
    without: list[str] = []

    def keep(name: str, item: h5py.Dataset | h5py.Group) -> None:
        if isinstance(item, h5py.Dataset) and not item.fletcher32:
            without.append(name)

    with open_hdf5(tmp_path / "file.h5", "example") as file:
        file.visititems(keep)
    assert without == []


@pytest.mark.parametrize("seed", range(8))
def test_a_flipped_bit_never_gives_another_number(tmp_path: Path, seed: int) -> None:
    path, broken = tmp_path / "file.h5", tmp_path / "broken.h5"
    write(path)
    whole, expected = path.read_bytes(), content(path)
    rng, told = np.random.default_rng(seed), 0
    for place in rng.integers(0, len(whole), 60):
        bits = bytearray(whole)
        bits[place] ^= 1 << int(rng.integers(8))
        broken.write_bytes(bits)
        try:
            assert same(content(broken), expected), f"byte {place}"
        except InputError:
            told += 1
    assert told > 0


def test_frames_are_read_without_their_neighbours(tmp_path: Path) -> None:
    """Chunks are whole rows, several of small ones; a huge row is cut."""
    shapes = {"small": (1000, 4), "frame": (3, 500, 500), "huge": (2, 2000, 1100)}
    with create_hdf5(tmp_path / "file.h5", "example") as file:
        for name, shape in shapes.items():
            file[name] = np.zeros(shape)
    with open_hdf5(tmp_path / "file.h5", "example") as file:
        assert file["small"].chunks == (1000, 4)
        assert file["frame"].chunks == (1, 500, 500)
        assert file["huge"].fletcher32
        assert np.prod(file["huge"].chunks) < 2000 * 1100


def test_a_flipped_bit_in_weights_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    save_state(path, {"weights": torch.arange(2000.0)})
    whole = path.read_bytes()
    place = whole.index(np.arange(2000, dtype=np.float32)[500:503].tobytes())
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    with pytest.raises(InputError, match=r"model\.pt, field '.*data/0': damaged \(a checksum fails\)"):
        load_state(path)


def test_a_cut_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "forcefield.model"
    save_state(path, {"weights": torch.arange(2000.0)})
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"forcefield\.model: damaged .*; copy it again"):
        require_sound_archive(path, "copy it again")
