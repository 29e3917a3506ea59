from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from n2amd.config.forcefield import ForceFieldSettings
from n2amd.forcefield.presets import MONITORED, PRESETS, render, resolve

SHIFTS = {"O": -430.0, "Ti": -1600.0}


def rendered(name: str, **settings) -> dict:
    return render(
        resolve(ForceFieldSettings(preset=name, **settings)),
        energy_shifts=SHIFTS,
        files={"train": Path("train.extxyz"), "validation": Path("validation.extxyz")},
        run_dir=Path("run"),
        device="cpu",
        seed=5,
    )


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_alone(name):
    assert resolve(ForceFieldSettings(preset=name)) == PRESETS[name]


def test_settings_come_before_the_preset():
    found = resolve(ForceFieldSettings(preset="quick", max_epochs=7, batch_size=3, learning_rate=0.1))
    assert (found.max_epochs, found.batch_size, found.learning_rate) == (7, 3, 0.1)
    assert (found.layers, found.cutoff_A) == (PRESETS["quick"].layers, PRESETS["quick"].cutoff_A)


def test_the_paper():
    # two interaction layers, l = 2, 6 A; plateau schedule from 2e-3 to 1e-5
    paper = PRESETS["paper"]
    assert (paper.layers, paper.l_max, paper.cutoff_A) == (2, 2, 6.0)
    assert (paper.learning_rate, paper.final_learning_rate, paper.schedule) == (2e-3, 1e-5, "plateau")


@pytest.mark.parametrize("name", PRESETS)
def test_what_nequip_needs(name):
    document = rendered(name)
    assert {"run", "data", "trainer", "training_module"} <= set(document)
    assert yaml.safe_load(yaml.safe_dump(document)) == document
    module = document["training_module"]
    assert {"loss", "val_metrics", "optimizer", "model"} <= set(module)
    assert module["model"]["r_max"] == document["data"]["transforms"][1]["r_max"] == PRESETS[name].cutoff_A
    assert module["model"]["type_names"] == document["data"]["stats_manager"]["type_names"] == ["O", "Ti"]
    assert module["model"]["per_type_energy_shifts"] == SHIFTS
    assert module["model"]["seed"] == document["data"]["seed"] == 5
    assert document["data"]["train_dataloader"]["seed"] == 5


def test_epochs_reach_the_trainer_and_the_schedule():
    document = rendered("quick", max_epochs=11)
    assert document["trainer"]["max_epochs"] == 11
    assert document["training_module"]["lr_scheduler"]["scheduler"]["T_max"] == 11


def test_schedules():
    names = [callback["_target_"].split(".")[-1] for callback in rendered("paper")["trainer"]["callbacks"]]
    assert names == ["PlateauSchedule", "EpochHistory", "ModelCheckpoint", "ModelCheckpoint"]
    assert rendered("paper")["training_module"]["lr_scheduler"] is None
    plateau = rendered("paper")["trainer"]["callbacks"][0]
    assert (plateau["factor"], plateau["patience"], plateau["stop_at"]) == (0.5, 10, 1e-5)
    names = [callback["_target_"].split(".")[-1] for callback in rendered("quick")["trainer"]["callbacks"]]
    assert "PlateauSchedule" not in names
    cosine = rendered("quick")["training_module"]["lr_scheduler"]["scheduler"]
    assert cosine["_target_"] == "torch.optim.lr_scheduler.CosineAnnealingLR"
    assert cosine["eta_min"] == PRESETS["quick"].final_learning_rate


def test_best_and_last_are_kept():
    kept = {
        callback["filename"]: callback["monitor"]
        for callback in rendered("quick")["trainer"]["callbacks"]
        if "filename" in callback
    }
    assert kept == {"best": MONITORED, "last": None}


def test_device():
    assert rendered("quick")["trainer"]["accelerator"] == "cpu"
