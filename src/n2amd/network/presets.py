"""Named sets of hyper-parameters; single values can be overridden in the configuration."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from n2amd.config import HamiltonianSettings
from n2amd.network.loop import Schedule


@dataclass(frozen=True)
class Preset:
    """Shape of the network and schedule of its training.

    Attributes
    ----------
    channels, layers, message_cutoff_A, n_radial, radial_hidden
        See `n2amd.network.model.Architecture`.
    steps, band_steps
        Optimiser steps of stage 1 (MAE of H) and stage 2 (+ band energies).
    batch_size
        Frames a step.
    learning_rate, final_learning_rate
        AdamW's first and last rate.
    ema_decay
        Decay of the averaged weights, the ones that are kept.
    validate_every
        Steps between validations; also between restart points.
    """

    channels: tuple[int, ...]
    layers: int
    message_cutoff_A: float
    n_radial: int
    radial_hidden: int
    steps: int
    band_steps: int
    batch_size: int
    learning_rate: float
    final_learning_rate: float
    ema_decay: float
    validate_every: int

    @property
    def schedule(self) -> Schedule:
        """Both stages as one."""
        return Schedule(
            self.steps + self.band_steps,
            self.learning_rate,
            self.final_learning_rate,
            1e-4,
            self.ema_decay,
            self.validate_every,
        )


PRESETS = {
    "test": Preset((8, 6, 4, 2, 2), 1, 4.0, 6, 16, 60, 10, 2, 5e-3, 1e-4, 0.9, 20),
    "quick": Preset((32, 24, 16, 8, 4), 2, 5.0, 10, 48, 200, 1000, 2, 3e-3, 1e-5, 0.99, 100),
    "paper": Preset((64, 48, 32, 24, 16), 5, 6.0, 16, 128, 20000, 180000, 4, 1e-3, 1e-5, 0.999, 1000),
}


def resolve(settings: HamiltonianSettings) -> Preset:
    """Return the preset with the settings' own values put in."""
    preset = PRESETS[settings.preset]
    chosen: dict[str, Any] = {
        "channels": tuple(settings.channels) if settings.channels else None,
        "layers": settings.layers,
        "message_cutoff_A": settings.message_cutoff_A,
        "steps": settings.steps,
        "band_steps": settings.band_steps,
        "batch_size": settings.batch_size,
        "learning_rate": settings.learning_rate,
    }
    return replace(preset, **{key: value for key, value in chosen.items() if value is not None})
