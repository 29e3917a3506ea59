"""Named sizes of the force field and the nequip configuration they render to.

`paper` is the set-up of the N2AMD paper (2 layers, l_max 2, 6 A); its feature counts, which the paper does
not give, are those of Allegro's tutorial. `quick` was tuned on rutile TiO2 for a laptop
(docs/decisions/force-field-cells.md has the trials).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from n2amd.config.forcefield import ForceFieldSettings


@dataclass(frozen=True)
class ForceFieldPreset:
    """Everything about the network and its training that the data do not fix.

    Attributes
    ----------
    cutoff_A
        Neighbour cutoff, Angstrom.
    l_max, layers
        Order of the spherical harmonics and number of Allegro layers.
    scalar_features, tensor_features
        Multiplicities of the two tracks of a layer.
    mlp_width
        Width of every hidden layer.
    n_bessel
        Radial basis functions.
    optimizer
        `adam`, or `soap` (see `n2amd.soap`).
    max_epochs, batch_size, learning_rate
        The optimizer's; `learning_rate` is where the schedule starts.
    schedule
        `plateau`: the paper's, halved after 10 epochs without a better validation loss, the end at
        `final_learning_rate`; `cosine`: down to `final_learning_rate` over `max_epochs`.
    final_learning_rate
        See `schedule`.
    energy_weight, force_weight
        Weights of the mean squared errors of the energy per atom and of the forces.
    ema_decay
        Decay of the averaged weights that are validated and kept, a step.
    compile_by_default
        Whether `compile: auto` compiles ahead of time; it costs about a minute, which long MD pays back.
    """

    cutoff_A: float
    l_max: int
    layers: int
    scalar_features: int
    tensor_features: int
    mlp_width: int
    n_bessel: int
    optimizer: Literal["adam", "soap"]
    max_epochs: int
    batch_size: int
    learning_rate: float
    schedule: Literal["plateau", "cosine"]
    final_learning_rate: float
    energy_weight: float
    force_weight: float
    ema_decay: float
    compile_by_default: bool


#: What the best epoch and the plateau schedule go by.
MONITORED = "val0_epoch/weighted_sum"

OPTIMIZERS = {"adam": "torch.optim.Adam", "soap": "n2amd.soap.Soap"}

PRESETS: dict[str, ForceFieldPreset] = {
    "test": ForceFieldPreset(
        cutoff_A=4.0,
        l_max=1,
        layers=1,
        scalar_features=8,
        tensor_features=4,
        mlp_width=16,
        n_bessel=8,
        optimizer="soap",
        max_epochs=5,
        batch_size=2,
        learning_rate=1e-2,
        schedule="cosine",
        final_learning_rate=1e-4,
        energy_weight=1.0,
        force_weight=1.0,
        ema_decay=0.9,
        compile_by_default=False,
    ),
    "quick": ForceFieldPreset(
        cutoff_A=5.0,
        l_max=2,
        layers=1,
        scalar_features=32,
        tensor_features=8,
        mlp_width=32,
        n_bessel=8,
        optimizer="soap",
        max_epochs=100,
        batch_size=2,
        learning_rate=3e-2,
        schedule="cosine",
        final_learning_rate=1e-4,
        energy_weight=1.0,
        force_weight=1.0,
        ema_decay=0.98,
        compile_by_default=False,
    ),
    "paper": ForceFieldPreset(
        cutoff_A=6.0,
        l_max=2,
        layers=2,
        scalar_features=64,
        tensor_features=32,
        mlp_width=64,
        n_bessel=8,
        optimizer="adam",
        max_epochs=2000,
        batch_size=5,
        learning_rate=2e-3,
        schedule="plateau",
        final_learning_rate=1e-5,
        energy_weight=1.0,
        force_weight=1.0,
        ema_decay=0.999,
        compile_by_default=True,
    ),
}


def resolve(settings: ForceFieldSettings) -> ForceFieldPreset:
    """Return the preset that the settings name, with the settings' own values in its place where given."""
    given = {
        key: value
        for key in ("max_epochs", "batch_size", "learning_rate")
        if (value := getattr(settings, key)) is not None
    }
    return replace(PRESETS[settings.preset], **given)


def render(
    preset: ForceFieldPreset,
    *,
    energy_shifts: Mapping[str, float],
    files: Mapping[str, Path],
    run_dir: Path,
    device: Literal["cpu", "cuda"],
    seed: int,
) -> dict[str, Any]:
    """Build nequip's configuration (a Hydra document) for one training.

    Parameters
    ----------
    preset
        Network and training.
    energy_shifts
        Reference energy of each species, eV; its keys are the model's species, in order.
    files
        extxyz files under `train` and `validation`.
    run_dir
        Where checkpoints and history.jsonl go.
    device
        Where to train.
    seed
        Of weights and of the order of batches.
    """
    species = list(energy_shifts)
    coefficients = {"total_energy": preset.energy_weight, "forces": preset.force_weight}
    checkpoint = {
        "_target_": "lightning.pytorch.callbacks.ModelCheckpoint",
        "dirpath": str(run_dir),
        "enable_version_counter": False,
    }
    return {
        "run": ["train"],
        "data": {
            "_target_": "nequip.data.datamodule.ASEDataModule",
            "seed": seed,
            "train_file_path": str(files["train"]),
            "val_file_path": str(files["validation"]),
            "transforms": [
                {
                    "_target_": "nequip.data.transforms.ChemicalSpeciesToAtomTypeMapper",
                    "model_type_names": species,
                    "chemical_species_to_atom_type_map": {name: name for name in species},
                },
                {"_target_": "nequip.data.transforms.NeighborListTransform", "r_max": preset.cutoff_A},
            ],
            "train_dataloader": {
                "_target_": "n2amd.forcefield.monitor.shuffled_loader",
                "batch_size": preset.batch_size,
                "seed": seed,
            },
            "val_dataloader": {"_target_": "torch.utils.data.DataLoader", "batch_size": 16},
            "stats_manager": {
                "_target_": "nequip.data.CommonDataStatisticsManager",
                "dataloader_kwargs": {"batch_size": 16},
                "type_names": species,
            },
        },
        "trainer": {
            "_target_": "lightning.Trainer",
            "accelerator": "cpu" if device == "cpu" else "gpu",
            "devices": 1,
            "max_epochs": preset.max_epochs,
            "check_val_every_n_epoch": 1,
            "num_sanity_val_steps": 0,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "logger": False,
            "callbacks": [
                *_schedule_callback(preset),
                {
                    "_target_": "n2amd.forcefield.monitor.EpochHistory",
                    "file": str(run_dir / "history.jsonl"),
                },
                {**checkpoint, "filename": "best", "monitor": MONITORED},
                # `save_last` of the one above follows the best epoch, not the last
                {**checkpoint, "filename": "last", "monitor": None},
            ],
        },
        "training_module": {
            "_target_": "nequip.train.EMALightningModule",
            "ema_decay": preset.ema_decay,
            "loss": {
                "_target_": "nequip.train.EnergyForceLoss",
                "per_atom_energy": True,
                "coeffs": coefficients,
            },
            "val_metrics": {
                "_target_": "nequip.train.EnergyForceMetrics",
                "coeffs": {"per_atom_energy_mae": preset.energy_weight, "forces_mae": preset.force_weight},
            },
            "optimizer": {"_target_": OPTIMIZERS[preset.optimizer], "lr": preset.learning_rate},
            "lr_scheduler": _scheduler(preset),
            "model": {
                "_target_": "allegro.model.AllegroModel",
                "seed": seed,
                "model_dtype": "float32",
                "type_names": species,
                "r_max": preset.cutoff_A,
                "l_max": preset.l_max,
                "parity": True,
                "radial_chemical_embed": {
                    "_target_": "allegro.nn.TwoBodyBesselScalarEmbed",
                    "num_bessels": preset.n_bessel,
                },
                "radial_chemical_embed_dim": preset.scalar_features,
                "scalar_embed_mlp_hidden_layers_depth": 1,
                "scalar_embed_mlp_hidden_layers_width": preset.mlp_width,
                "num_layers": preset.layers,
                "num_scalar_features": preset.scalar_features,
                "num_tensor_features": preset.tensor_features,
                "allegro_mlp_hidden_layers_depth": 1,
                "allegro_mlp_hidden_layers_width": preset.mlp_width,
                "readout_mlp_hidden_layers_depth": 1,
                "readout_mlp_hidden_layers_width": preset.mlp_width // 2,
                "avg_num_neighbors": "${training_data_stats:num_neighbors_mean}",
                "per_type_energy_scales": "${training_data_stats:forces_rms}",
                "per_type_energy_shifts": dict(energy_shifts),
                "per_type_energy_shifts_trainable": False,
            },
        },
    }


def _scheduler(preset: ForceFieldPreset) -> dict[str, Any] | None:
    if preset.schedule == "plateau":
        return None  # see PlateauSchedule
    schedule = {
        "_target_": "torch.optim.lr_scheduler.CosineAnnealingLR",
        "T_max": preset.max_epochs,
        "eta_min": preset.final_learning_rate,
    }
    return {"scheduler": schedule, "interval": "epoch", "frequency": 1}


def _schedule_callback(preset: ForceFieldPreset) -> list[dict[str, Any]]:
    if preset.schedule == "cosine":
        return []
    return [
        {
            "_target_": "n2amd.forcefield.monitor.PlateauSchedule",
            "monitor": MONITORED,
            "patience": 10,
            "factor": 0.5,
            "stop_at": preset.final_learning_rate,
        }
    ]
