"""What nequip's training process gets from us: history, schedule, order of batches; all resume exactly.

nequip instantiates these from the rendered configuration. Lightning calls checkpoint callbacks last, so that
a checkpoint holds what these did in its epoch.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Generator
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.utils.data import DataLoader, Dataset, DistributedSampler


class EpochHistory(Callback):
    """Append the validation errors of every epoch to a JSON-lines file.

    Parameters
    ----------
    file
        File to append to.
    """

    def __init__(self, file: str) -> None:
        self.file = Path(file)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the line of this epoch."""
        metrics = trainer.callback_metrics
        line = {
            "epoch": trainer.current_epoch,
            "force_mae_eV_A": float(metrics["val0_epoch/forces_mae"]),
            "energy_mae_eV_per_atom": float(metrics["val0_epoch/per_atom_energy_mae"]),
            "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
        }
        with open(self.file, "a") as stream:
            # the newline comes first: it also ends a line that a kill cut short
            stream.write("\n" + json.dumps(line))
            stream.flush()
            os.fsync(stream.fileno())


class PlateauSchedule(Callback):
    """Reduce the learning rate when a metric stops falling, and stop training at a small one.

    Lightning steps a plateau scheduler after the epoch's checkpoint and never for the epoch it resumes from,
    so that a resumed training would differ; here the step comes before the checkpoint, which holds its state.

    Parameters
    ----------
    monitor
        Metric.
    patience, factor
        After more than `patience` epochs without a better metric the learning rate is multiplied by `factor`.
    stop_at
        Training ends once the learning rate is at or below this.
    """

    def __init__(self, monitor: str, patience: int, factor: float, stop_at: float) -> None:
        self.monitor, self.patience, self.factor, self.stop_at = monitor, patience, factor, stop_at
        self._state: dict[str, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Attach to the optimizer, with the state of the checkpoint where there is one."""
        self._scheduler = ReduceLROnPlateau(trainer.optimizers[0], factor=self.factor, patience=self.patience)
        if self._state:
            self._scheduler.load_state_dict(self._state)
        self._stop_if_done(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Step."""
        self._scheduler.step(float(trainer.callback_metrics[self.monitor]))
        self._stop_if_done(trainer)

    def _stop_if_done(self, trainer: Trainer) -> None:
        if trainer.optimizers[0].param_groups[0]["lr"] <= self.stop_at:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """Return what goes into the checkpoint."""
        return self._scheduler.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what was in the checkpoint."""
        self._state = state_dict


def shuffled_loader(
    dataset: Dataset[Any],
    batch_size: int,
    seed: int,
    collate_fn: Callable[[list[Any]], Any],
    generator: Generator,
) -> DataLoader[Any]:
    """Return a loader whose order is a function of seed and epoch alone.

    nequip restores the state of its shuffling generator too late for a resumed training to use it.

    Parameters
    ----------
    dataset, batch_size, collate_fn
        As of `DataLoader`.
    seed
        Of the shuffling.
    generator
        nequip's; not used for the order.
    """
    # one replica: this sampler shuffles by (seed, epoch), and Lightning tells it the epoch
    sampler: DistributedSampler[Any] = DistributedSampler(dataset, num_replicas=1, rank=0, seed=seed)
    return DataLoader(dataset, batch_size, sampler=sampler, collate_fn=collate_fn, generator=generator)
