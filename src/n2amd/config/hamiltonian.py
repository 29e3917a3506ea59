"""The configuration's section `hamiltonian`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from n2amd.config.section import Preset, Section, Seed


class HamiltonianSettings(Section):
    """The equivariant Hamiltonian network and its training."""

    preset: Preset = Field("quick", description="`quick`: CPU minutes; `paper`: GPU; `test`: CI.")
    model: Literal["auto", "density", "density+pair", "atoms+pair", "pair"] = Field(
        "auto",
        description="H is made of: `density`, H0 from atoms with a learned density; `pair`, a network of "
        "atom pairs, on top of H0 or alone; auto: the best that the data allow.",
    )
    density_steps: int | None = Field(
        None, ge=1, le=10**8, description="Optimiser steps of the density network; default: the preset's."
    )
    density_channels: list[Annotated[int, Field(ge=1, le=4096)]] | None = Field(
        None,
        min_length=1,
        max_length=9,
        description="Channels per l = 0..l_max of the density network; default: the preset's.",
    )
    density_layers: int | None = Field(
        None, ge=1, le=8, description="Message-passing layers of the density network; default: the preset's."
    )
    density_message_cutoff_A: float | None = Field(
        None, gt=1, le=12, description="Cutoff of message passing of the density network, Angstrom."
    )
    density_learning_rate: float | None = Field(
        None, gt=0, lt=1, description="First learning rate of the density network; default: the preset's."
    )
    channels: list[Annotated[int, Field(ge=1, le=4096)]] | None = Field(
        None,
        min_length=1,
        max_length=9,
        description="Channels per l = 0..l_max of the pair network; default: the preset's.",
    )
    layers: int | None = Field(
        None, ge=1, le=8, description="Message-passing layers of the pair network; default: the preset's."
    )
    message_cutoff_A: float | None = Field(
        None, gt=1, le=12, description="Cutoff of message passing of the pair network, Angstrom."
    )
    steps: int | None = Field(
        None, ge=1, le=10**8, description="Optimiser steps of the pair network's stage 1 (MAE of H)."
    )
    band_steps: int | None = Field(
        None, ge=0, le=10**8, description="Optimiser steps of stage 2 (+ the error seen by the states)."
    )
    band_weight: float = Field(
        1.0, ge=0, le=10**6, description="Weight of the error seen by the states in stage 2."
    )
    batch_size: int | None = Field(
        None, ge=1, description="Frames per step of the pair network; default: the preset's."
    )
    learning_rate: float | None = Field(
        None, gt=0, lt=1, description="AdamW's, of the pair network; default: the preset's."
    )
    validation_fraction: float = Field(
        0.1, gt=0, lt=0.5, description="Held out for the schedule and the best model."
    )
    test_fraction: float = Field(0.1, gt=0, lt=0.5, description="Held out for the report.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where to train and predict.")
    seed: Seed = Field(1, description="Seed of splits, weights and batches.")
