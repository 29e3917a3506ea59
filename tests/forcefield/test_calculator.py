from __future__ import annotations

import json
import zipfile

import pytest

from n2amd.errors import InputError
from n2amd.forcefield.calculator import ForceField, file_kind, load_forcefield, require_species


def archive(path, **files):
    with zipfile.ZipFile(path, "w") as stream:
        for name, text in files.values():
            stream.writestr(name, text)
    return path


def compiled(path, device="cuda"):
    return archive(
        path,
        code=("model/data/aotinductor/model/a.wrapper.so", ""),
        facts=("model/data/aotinductor/model/a_metadata.json", json.dumps({"AOTI_DEVICE_KEY": device})),
    )


def packaged(path):
    return archive(path, facts=("model/extra/package_metadata.txt", ""))


def test_kinds_are_told_by_content(tmp_path):
    assert file_kind(compiled(tmp_path / "a.model")) == "compiled"
    assert file_kind(packaged(tmp_path / "b.model")) == "packaged"


def test_files_that_are_no_force_field(tmp_path):
    other_zip = archive(tmp_path / "zip", file=("readme.txt", "hello"))
    text = tmp_path / "text"
    text.write_text("hello")
    empty = tmp_path / "empty"
    empty.touch()
    torn = packaged(tmp_path / "torn")
    torn.write_bytes(torn.read_bytes()[:-30])
    for file in (other_zip, text, empty, torn):
        with pytest.raises(InputError, match="not a force field") as caught:
            load_forcefield(file)
        assert caught.value.file == file
        assert "\n" not in str(caught.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"none.model: the force field does not exist; make it with"):
        load_forcefield(tmp_path / "none.model")


def test_a_folder(tmp_path):
    with pytest.raises(InputError, match=r"cannot be read \(Is a directory\)"):
        load_forcefield(tmp_path)


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_compiled_for_a_gpu_that_is_not_there(tmp_path, monkeypatch, device):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(InputError, match="there is no CUDA device"):
        load_forcefield(compiled(tmp_path / "a.model"), device)


@pytest.mark.parametrize(("made_for", "wanted"), [("cuda", "cpu"), ("cpu", "cuda")])
def test_compiled_for_another_device(tmp_path, made_for, wanted):
    with pytest.raises(InputError, match=f"compiled for {made_for}, not {wanted}"):
        load_forcefield(compiled(tmp_path / "a.model", made_for), wanted)


def test_elements_it_has_never_seen():
    known = ForceField(None, ("O", "Ti"), 5.0, "packaged", "cpu")
    require_species(known, ["O", "Ti", "O"], "a.vasp")
    with pytest.raises(InputError, match=r"a\.vasp.* does not know Fe \(it knows O, Ti\)"):
        require_species(known, ["Ti", "O", "Fe", "Zn"], "a.vasp")
