from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch

from n2amd.forcefield.monitor import EpochHistory, PlateauSchedule, shuffled_loader

# falls, then stands still
METRICS = [1.0, 0.5, 0.4, 0.41, 0.42, 0.43, 0.39, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]


def trainer_at(rate: float):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate)
    return SimpleNamespace(optimizers=[optimizer], callback_metrics={}, should_stop=False, current_epoch=0)


def rates(schedule: PlateauSchedule, trainer, metrics) -> list[float]:
    schedule.on_train_start(trainer, None)
    found = []
    for metric in metrics:
        if trainer.should_stop:
            break
        trainer.callback_metrics["loss"] = torch.tensor(metric)
        schedule.on_validation_end(trainer, None)
        found.append(trainer.optimizers[0].param_groups[0]["lr"])
    return found


def plateau() -> PlateauSchedule:
    return PlateauSchedule("loss", patience=2, factor=0.5, stop_at=0.2)


def test_plateau_halves_and_stops():
    trainer = trainer_at(1.0)
    # halved at the third epoch without a better loss: the 6th, the 10th, the 13th of METRICS
    assert rates(plateau(), trainer, METRICS) == [1.0] * 5 + [0.5] * 4 + [0.25] * 3 + [0.125]
    assert trainer.should_stop


@pytest.mark.parametrize("epoch", range(1, 13))
def test_plateau_resumes_exactly(epoch):
    whole = rates(plateau(), trainer_at(1.0), METRICS)
    first, trainer = plateau(), trainer_at(1.0)
    before = rates(first, trainer, METRICS[:epoch])
    saved = first.state_dict()
    second = plateau()
    second.load_state_dict(saved)
    # the optimizer's own state is restored by Lightning
    assert before + rates(second, trainer_at(before[-1]), METRICS[epoch:]) == whole


def test_a_finished_plateau_trains_no_further():
    trainer = trainer_at(0.125)
    assert rates(plateau(), trainer, METRICS) == []


def test_history_survives_a_line_cut_short(tmp_path):
    file = tmp_path / "history.jsonl"
    file.write_text('\n{"epoch": 0, "force_')
    trainer = trainer_at(0.1)
    trainer.callback_metrics = {
        "val0_epoch/forces_mae": torch.tensor(0.25),
        "val0_epoch/per_atom_energy_mae": torch.tensor(0.5),
    }
    EpochHistory(str(file)).on_validation_end(trainer, None)
    assert json.loads(file.read_text().splitlines()[-1]) == {
        "epoch": 0,
        "force_mae_eV_A": 0.25,
        "energy_mae_eV_per_atom": 0.5,
        "learning_rate": 0.1,
    }


def test_batches_are_a_function_of_seed_and_epoch():
    def batches(seed, epoch):
        loader = shuffled_loader(range(10), 4, seed, lambda batch: batch, torch.Generator())
        loader.sampler.set_epoch(epoch)
        list(loader)  # what was drawn before does not matter
        return list(loader)

    assert sorted(k for batch in batches(1, 0) for k in batch) == list(range(10))
    assert [len(batch) for batch in batches(1, 0)] == [4, 4, 2]
    assert batches(1, 3) == batches(1, 3)
    assert batches(1, 3) != batches(1, 4)
    assert batches(1, 3) != batches(2, 3)
