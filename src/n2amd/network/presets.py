"""Named sets of hyper-parameters; single values can be overridden in the configuration."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from n2amd.config.hamiltonian import HamiltonianSettings
from n2amd.network.loop import Schedule


@dataclass(frozen=True)
class DensityPreset:
    """Shape of the density network and schedule of its training.

    Attributes
    ----------
    channels, layers, message_cutoff_A, n_radial, radial_hidden, n_latent
        See `n2amd.network.density_model.DensityArchitecture`.
    schedule
        Length and rates.
    atoms_per_step
        Frames are drawn until a step holds about this many atoms.
    state_weight
        Weight of the errors of states against that of the density.
    """

    channels: tuple[int, ...]
    layers: int
    message_cutoff_A: float
    n_radial: int
    radial_hidden: int
    n_latent: int
    schedule: Schedule
    atoms_per_step: int
    state_weight: float


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
    density
        Of the density network.
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
    density: DensityPreset

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


_DENSITY = {
    "test": DensityPreset(
        (8, 6, 4, 2, 2), 1, 4.0, 6, 16, 2, Schedule(40, 5e-3, 1e-4, 0.0, 0.9, 20, "soap"), 12, 3.0
    ),
    "quick": DensityPreset(
        (24, 20, 16, 8, 6), 2, 5.0, 8, 32, 4, Schedule(760, 6e-3, 6e-5, 0.0, 0.98, 50, "soap"), 48, 1.0
    ),
    "paper": DensityPreset(
        (48, 40, 32, 16, 12), 3, 6.0, 12, 64, 8, Schedule(6000, 3e-3, 1e-5, 0.0, 0.995, 250, "soap"), 96, 3.0
    ),
}

PRESETS = {
    "test": Preset((8, 6, 4, 2, 2), 1, 4.0, 6, 16, 60, 10, 2, 5e-3, 1e-4, 0.9, 20, _DENSITY["test"]),
    "quick": Preset(
        (32, 24, 16, 8, 4), 2, 5.0, 10, 48, 200, 1000, 2, 3e-3, 1e-5, 0.99, 100, _DENSITY["quick"]
    ),
    "paper": Preset(
        (64, 48, 32, 24, 16), 5, 6.0, 16, 128, 20000, 180000, 4, 1e-3, 1e-5, 0.999, 1000, _DENSITY["paper"]
    ),
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
    preset = replace(preset, **{key: value for key, value in chosen.items() if value is not None})
    return replace(preset, density=_density(preset.density, settings))


def _density(preset: DensityPreset, settings: HamiltonianSettings) -> DensityPreset:
    shape: dict[str, Any] = {
        "channels": tuple(settings.density_channels) if settings.density_channels else None,
        "layers": settings.density_layers,
        "message_cutoff_A": settings.density_message_cutoff_A,
    }
    course: dict[str, Any] = {
        "steps": settings.density_steps,
        "learning_rate": settings.density_learning_rate,
    }
    schedule = replace(preset.schedule, **{key: value for key, value in course.items() if value is not None})
    chosen = {key: value for key, value in shape.items() if value is not None}
    return replace(preset, schedule=schedule, **chosen)
