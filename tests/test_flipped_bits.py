"""A bit flipped or an end cut off in any kind of file: one sentence naming the file, or the same numbers."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from edited import edited
from n2amd.checksums import first_damaged
from n2amd.errors import InputError
from n2amd.network.checkpoint import load_state, save_state
from n2amd.provenance import sha256_of_file
from n2amd.seals import require_made_from, require_sound_archive, seal_archive
from n2amd.storage import create_hdf5, open_hdf5, read_json, write_json

FLIPS = 150


def write_hdf5(path: Path) -> None:
    rng = np.random.default_rng(5)
    with create_hdf5(path, "example", inputs=[__file__] * 700) as file:
        file.attrs["order"] = "energy"
        file["basis"] = json.dumps({"cutoff": 3.25, "note": "Å" * 40})
        file["number"] = 2.5
        file["energies"] = rng.normal(size=(30, 4))
        names = [f"frame_{k}" for k in range(50)]
        file.create_group("frames").create_dataset("name", data=names, compression="gzip")


def read_hdf5(path: Path) -> Any:
    with open_hdf5(path, "example") as file:
        return (
            file.attrs["order"],
            file.attrs["inputs"],
            file["basis"].asstr()[()],
            float(file["number"][()]),
            file["energies"][...].tolist(),
            file["frames/name"].asstr()[...].tolist(),
        )


def write_report(path: Path) -> None:
    write_json(path, {"lifetime_ns": 1.25e-3, "text": "Å", "table": np.arange(5) / 3})


def read_report(path: Path) -> Any:
    # the name of the hash may be hit: then it is a document without one, of the same content
    found = read_json(path)
    return [found.get(key) for key in ("lifetime_ns", "text", "table")]


def write_network(path: Path) -> None:
    state = {"format": "n2amd/hamiltonian", "weights": torch.arange(300.0), "seed": 5, "created_by": "me"}
    save_state(path, state)


def read_network(path: Path) -> Any:
    found = load_state(path)
    return {**found, "weights": found["weights"].tolist()}


KINDS: dict[str, tuple[Callable[[Path], None], Callable[[Path], Any]]] = {
    "couplings.h5": (write_hdf5, read_hdf5),
    "lifetime.json": (write_report, read_report),
    "hamiltonian.pt": (write_network, read_network),
}


def refusal(read: Callable[[Path], Any], path: Path) -> str | None:
    """The sentence with which a file is refused."""
    try:
        read(path)
    except InputError as error:
        return str(error)
    return None


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", KINDS)
def test_flipped_bits(tmp_path: Path, name: str, seed: int) -> None:
    write, read = KINDS[name]
    path = tmp_path / name
    write(path)
    whole, expected = path.read_bytes(), read(path)
    rng, told = np.random.default_rng(seed), 0
    for place in rng.integers(0, len(whole), FLIPS):
        bits = bytearray(whole)
        bits[place] ^= 1 << int(rng.integers(8))
        path.unlink()
        path.write_bytes(bits)
        if (sentence := refusal(read, path)) is None:
            assert read(path) == expected, f"byte {place}"
        else:
            assert str(path) in sentence
            assert "\n" not in sentence
            told += 1
    assert told > FLIPS / 10


@pytest.mark.parametrize("name", KINDS)
def test_cut_files(tmp_path: Path, name: str) -> None:
    write, read = KINDS[name]
    path = tmp_path / name
    write(path)
    whole, rng = path.read_bytes(), np.random.default_rng(1)
    # a JSON document without its last line break is whole
    for length in [0, 1, len(whole) - 2, *rng.integers(2, len(whole) - 2, 30)]:
        path.unlink()
        path.write_bytes(whole[:length])
        with pytest.raises(InputError) as caught:
            read(path)
        assert str(path) in str(caught.value), length


OTHER_FILES = {
    "half": (lambda whole: whole[: len(whole) // 2], "its end is missing; delete it and train again"),
    "empty": (lambda whole: b"", "is empty, or nothing but zeros; "),
    "zeros": (lambda whole: bytes(len(whole)), "is empty, or nothing but zeros; "),
    "text": (lambda whole: b"notes on the run\n", "no network file; pass a hamiltonian.pt"),
}


@pytest.mark.parametrize("how", OTHER_FILES)
def test_what_is_no_network_is_told_without_words_of_torch(tmp_path: Path, how: str) -> None:
    path = tmp_path / "hamiltonian.pt"
    write_network(path)
    change, sentence = OTHER_FILES[how]
    path.write_bytes(change(path.read_bytes()))
    said = refusal(read_network, path)
    assert said is not None
    assert said.startswith(f"{path}: {sentence}")
    assert "orch" not in said


def test_a_folder_and_another_archive_are_no_network(tmp_path: Path) -> None:
    path = tmp_path / "hamiltonian.pt"
    path.mkdir()
    said = refusal(load_state, path)
    assert said == f"{path}: cannot be read (Is a directory); pass a hamiltonian.pt that you may read"
    other = tmp_path / "forcefield.model"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("model/a", "1")
    said = refusal(load_state, other)
    assert said is not None
    assert said.startswith(f"{other}: no network file (")
    assert len(said) < len(str(other)) + 100


def test_the_field_is_named(tmp_path: Path) -> None:
    path = tmp_path / "couplings.h5"
    write_hdf5(path)
    with h5py.File(path) as file:
        energies = file["energies"][...]
    whole = path.read_bytes()
    place = whole.index(energies[3].tobytes())
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
    assert first_damaged(path) == "energies"
    with pytest.raises(InputError, match=r"couplings\.h5, field 'energies': damaged .*; delete it and run"):
        read_hdf5(path)


def test_text_lies_outside_of_heaps(tmp_path: Path) -> None:
    """HDF5 may run for ever in a heap that is damaged."""
    write_hdf5(tmp_path / "a.h5")
    assert b"GCOL" not in (tmp_path / "a.h5").read_bytes()


def test_files_without_hashes_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_hdf5(tmp_path / "a.h5")
    with edited(tmp_path / "a.h5") as file:
        file.attrs["order"] = "character"
    assert read_hdf5(tmp_path / "a.h5")[0] == "character"
    (tmp_path / "a.json").write_text('{"x": 1, "provenance": {"created_by": "n2amd 0.1"}}')
    assert read_json(tmp_path / "a.json")["x"] == 1
    torch.save({"x": 1}, tmp_path / "a.pt")
    assert load_state(tmp_path / "a.pt") == {"x": 1}
    assert "a.pt holds no hash of itself" in capsys.readouterr().err


def test_a_part_taken_out_of_an_archive_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "forcefield.model"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/a", "1")
        archive.writestr("model/b", "2")
    seal_archive(path)
    assert require_sound_archive(path, "again")
    with zipfile.ZipFile(path) as archive:
        seal = archive.read("model/n2amd.seal")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/a", "1")
        archive.writestr("model/n2amd.seal", seal)
    with pytest.raises(InputError, match="it is not what was written"):
        require_sound_archive(path, "again")


def test_what_a_file_was_made_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Moved, or made again with the same numbers at another time, it is the same; with others it is not."""
    write_hdf5(tmp_path / "couplings.h5")
    for made in ("run.h5", "run.json"):
        if made.endswith("h5"):
            with create_hdf5(tmp_path / made, "populations", inputs=[tmp_path / "couplings.h5"]) as file:
                file["population"] = np.ones(3)
        else:
            write_json(tmp_path / made, {"x": 1}, inputs=[tmp_path / "couplings.h5"])
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    write_hdf5(tmp_path / "again.h5")
    assert (tmp_path / "again.h5").read_bytes() != (tmp_path / "couplings.h5").read_bytes()
    assert sha256_of_file(tmp_path / "again.h5") == sha256_of_file(tmp_path / "couplings.h5")
    os.rename(tmp_path / "couplings.h5", tmp_path / "moved.h5")
    with create_hdf5(tmp_path / "other.h5", "example") as file:
        file["energies"] = np.zeros(3)
    for made in ("run.h5", "run.json"):
        for source in ("again.h5", "moved.h5"):
            require_made_from(tmp_path / made, tmp_path / source)
        with pytest.raises(InputError, match=rf"{made}: was not made from .*other\.h5"):
            require_made_from(tmp_path / made, tmp_path / "other.h5")
    # an older file does not tell
    with edited(tmp_path / "run.h5") as file:
        del file.attrs["inputs"]
    require_made_from(tmp_path / "run.h5", tmp_path / "other.h5")
