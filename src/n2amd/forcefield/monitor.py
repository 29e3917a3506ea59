"""A Lightning callback: one line of history an epoch, and the end of training at a small learning rate."""

from __future__ import annotations

import json
import os
from pathlib import Path

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback


class EpochMonitor(Callback):
    """Append validation errors to a JSON-lines file and stop when the schedule has run out.

    nequip instantiates it in the training process from the rendered configuration.

    Parameters
    ----------
    history
        File to append to.
    stop_below
        Training ends once the learning rate is at or below this.
    """

    def __init__(self, history: str, stop_below: float) -> None:
        self.history, self.stop_below = Path(history), stop_below

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the line of this epoch."""
        metrics = trainer.callback_metrics
        line = {
            "epoch": trainer.current_epoch,
            "force_mae_eV_A": float(metrics["val0_epoch/forces_mae"]),
            "energy_mae_eV_per_atom": float(metrics["val0_epoch/per_atom_energy_mae"]),
            "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
        }
        with open(self.history, "a") as stream:
            stream.write(json.dumps(line) + "\n")
            stream.flush()
            os.fsync(stream.fileno())

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop where the paper stops: at its final learning rate."""
        if trainer.optimizers[0].param_groups[0]["lr"] <= self.stop_below:
            trainer.should_stop = True
