"""The bookkeeping around nequip, with stand-ins for its commands."""

from __future__ import annotations

import json
import sys
import zipfile

import pytest

from n2amd.config.forcefield import ForceFieldSettings
from n2amd.dataset.store import read_frames
from n2amd.errors import ComputationError, InputError
from n2amd.forcefield import training
from n2amd.forcefield.training import train
from n2amd.interop.extxyz import write_extxyz

TEST = ForceFieldSettings(preset="test")


# ---- the whole of `train`, nequip's commands replaced


TRAIN = """#!{python}
import json, pathlib, sys, yaml, zipfile
run = pathlib.Path(sys.argv[sys.argv.index("-cp") + 1])
with open(run / "calls", "a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
epochs = yaml.safe_load((run / "config.yaml").read_text())["trainer"]["max_epochs"]
assert (run / "train.extxyz").exists() and (run / "validation.extxyz").exists()
with open(run / "history.jsonl", "a") as history:
    for epoch in range(epochs):
        line = dict(epoch=epoch, force_mae_eV_A=1 / (epoch + 1), energy_mae_eV_per_atom=0.1)
        history.write("\\n" + json.dumps(line))
for name in ("best", "last"):
    with zipfile.ZipFile(run / f"{{name}}.ckpt", "w") as checkpoint:
        checkpoint.writestr("a", name)
"""
PACKAGE = """#!{python}
import sys, zipfile
assert zipfile.ZipFile(sys.argv[2]).read("a") == b"best"
with zipfile.ZipFile(sys.argv[3], "w") as archive:
    archive.writestr("model/package_metadata.txt", "")
"""


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """A folder with stand-ins for nequip's commands beside the interpreter."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in (("nequip-train", TRAIN), ("nequip-package", PACKAGE)):
        (folder / name).write_text(text.format(python=sys.executable))
        (folder / name).chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setattr("n2amd.forcefield.subprocesses._POLL_SECONDS", 0.02)
    return folder


@pytest.fixture
def calls(tmp_path):
    file = tmp_path / "work/run/calls"
    return lambda: [json.loads(line) for line in file.read_text().splitlines()]


def test_one_model_file_comes_out(tmp_path, dataset, tools, calls, capsys):
    facts, _ = train(dataset, TEST, tmp_path / "forcefield.model", tmp_path / "work")
    with zipfile.ZipFile(tmp_path / "forcefield.model") as archive:
        assert archive.namelist() == ["model/package_metadata.txt", "model/n2amd.seal"]
    assert facts["species"] == ["O", "Ti"]
    assert facts["compiled"] is False
    assert facts["history"]["epoch"] == [0, 1, 2, 3, 4]
    assert facts["history"]["validation_force_mae_meV_per_A"] == pytest.approx(
        [1000 / k for k in range(1, 6)]
    )
    assert sorted(k for part in facts["split"].values() for k in part) == list(range(8))
    assert "epoch 5/5, validation force MAE 200.0 meV/A" in capsys.readouterr().err
    assert not any("ckpt_path" in argument for argument in calls()[0])


def test_frames_of_files_train_too(tmp_path, dataset, tools, calls):
    further = tmp_path / "further.extxyz"
    write_extxyz(further, read_frames(dataset, [0, 1]))
    facts, parts = train(dataset, TEST, tmp_path / "forcefield.model", tmp_path / "work", [further])
    assert facts["split"]["further"] == {"train": [0, 1], "validation": [], "test": []}
    written = (tmp_path / "work/run/train.extxyz").read_text().count("Lattice=")
    assert written == len(parts.train) == len(facts["split"]["train"]) + 2
    write_extxyz(further, read_frames(dataset, [0]))
    train(dataset, TEST, tmp_path / "forcefield.model", tmp_path / "work", [further])
    assert len(calls()) == 1  # other frames, another training


def test_a_finished_training_is_not_repeated(tmp_path, dataset, tools, calls):
    for _ in range(2):
        train(dataset, TEST, tmp_path / "forcefield.model", tmp_path / "work")
    assert len(calls()) == 1


def test_an_unfinished_training_goes_on_from_its_last_checkpoint(tmp_path, dataset, tools, calls):
    train(dataset, TEST, tmp_path / "forcefield.model", tmp_path / "work")
    (tmp_path / "work/trained").unlink()
    facts, _ = train(dataset, TEST, tmp_path / "forcefield.model", tmp_path / "work")
    assert calls()[1][-1] == f"++ckpt_path={tmp_path / 'work/run/last.ckpt'}"
    assert facts["history"]["epoch"] == [0, 1, 2, 3, 4]


def test_a_torn_checkpoint_is_not_used(tmp_path, dataset, tools, calls):
    train(dataset, TEST, tmp_path / "forcefield.model", tmp_path / "work")
    (tmp_path / "work/trained").unlink()
    last = tmp_path / "work/run/last.ckpt"
    last.write_bytes(last.read_bytes()[:30])
    train(dataset, TEST, tmp_path / "forcefield.model", tmp_path / "work")
    assert not any("ckpt_path" in argument for argument in calls()[1])


def test_best_weights_that_are_damaged_are_trained_again(tmp_path, dataset, tools, calls, capsys):
    for content in (b"junk", None):
        train(dataset, TEST, tmp_path / "forcefield.model", tmp_path / "work")
        best = tmp_path / "work/run/best.ckpt"
        best.write_bytes(content or best.read_bytes()[:-9])
        train(dataset, TEST, tmp_path / "forcefield.model", tmp_path / "work")
        assert not any("ckpt_path" in argument for argument in calls()[-1])
        assert "best.ckpt is damaged" in capsys.readouterr().err
    assert len(calls()) == 3


@pytest.mark.parametrize("change", [{"max_epochs": 3}, {"seed": 2}])
def test_other_settings_start_afresh(tmp_path, dataset, tools, calls, change, capsys):
    work = tmp_path / "work"
    train(dataset, TEST, tmp_path / "forcefield.model", work)
    (work / "notes.txt").write_text("of the user")
    train(dataset, TEST.model_copy(update=change), tmp_path / "forcefield.model", work)
    assert len(calls()) == 1
    assert "started afresh" in capsys.readouterr().err
    assert (work / "notes.txt").read_text() == "of the user"


def test_another_way_to_export_trains_nothing(tmp_path, dataset, tools, calls):
    train(dataset, TEST, tmp_path / "forcefield.model", tmp_path / "work")
    train(
        dataset,
        TEST.model_copy(update={"compile": "never"}),
        tmp_path / "forcefield.model",
        tmp_path / "work",
    )
    assert len(calls()) == 1


def test_a_folder_of_something_else_is_left_alone(tmp_path, dataset, tools):
    (tmp_path / "work/run").mkdir(parents=True)
    (tmp_path / "work/run/data").write_text("years of work")
    with pytest.raises(InputError, match="is not of a force-field training"):
        train(dataset, TEST, tmp_path / "forcefield.model", tmp_path / "work")
    assert (tmp_path / "work/run/data").read_text() == "years of work"


def test_compiling_needs_a_compiler(tmp_path, dataset, tools, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(InputError, match=r"needs a C\+\+ compiler"):
        train(
            dataset,
            TEST.model_copy(update={"compile": "always"}),
            tmp_path / "forcefield.model",
            tmp_path / "work",
        )
    assert not (tmp_path / "work/run").exists()


def test_a_training_without_a_best_epoch_fails(tmp_path, dataset, tools):
    (tools / "nequip-train").write_text("#!/bin/sh\n")
    with pytest.raises(ComputationError, match=r"no best\.ckpt"):
        train(dataset, TEST, tmp_path / "forcefield.model", tmp_path / "work")
    assert not (tmp_path / "forcefield.model").exists()


def test_history_of_a_killed_and_resumed_run(tmp_path):
    file = tmp_path / "history.jsonl"
    line = '\n{{"epoch": {}, "force_mae_eV_A": {}, "energy_mae_eV_per_atom": 0.01, "learning_rate": 0.1}}'
    # epoch 1 was cut short, epoch 2 was lost with its checkpoint and came again
    text = line.format(0, 0.4) + line.format(1, 0.3)[:-30] + line.format(1, 0.3) + line.format(2, 0.25)
    file.write_text(text + line.format(2, 0.2) + line.format(3, 0.1))
    history = training._history(file)
    assert history["epoch"] == [0, 1, 2, 3]
    assert history["validation_force_mae_meV_per_A"] == pytest.approx([400, 300, 200, 100])
    assert history["validation_energy_mae_meV_per_atom"] == pytest.approx([10] * 4)


def test_no_history_yet(tmp_path):
    assert training._history(tmp_path / "none")["epoch"] == []


def test_a_gpu_that_is_not_there(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert training.choose_device("auto") == training.choose_device("cpu") == "cpu"
    with pytest.raises(InputError, match="no CUDA device"):
        training.choose_device("cuda")
