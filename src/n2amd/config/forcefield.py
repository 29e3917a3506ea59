"""The configuration's section `forcefield`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from n2amd.config.section import Preset, Section, Seed


class ForceFieldSettings(Section):
    """Allegro through nequip's command line."""

    preset: Preset = Field(
        "quick", description="`quick`: laptop; `paper`: the paper's, for a GPU; `test`: CI."
    )
    max_epochs: int | None = Field(
        None, ge=1, le=10**6, description="Training epochs; default: the preset's."
    )
    batch_size: int | None = Field(None, ge=1, description="Frames per step; default: the preset's.")
    learning_rate: float | None = Field(None, gt=0, lt=1, description="Adam's; default: the preset's.")
    validation_fraction: float = Field(
        0.1, gt=0, lt=0.5, description="Held out for the schedule and the best model."
    )
    test_fraction: float = Field(0.1, gt=0, lt=0.5, description="Held out for the report.")
    compile: Literal["auto", "never", "always"] = Field(
        "auto", description="Ahead-of-time compilation for MD; auto: where a C++ compiler is found."
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where to train and run.")
    seed: Seed = Field(1, description="Seed of splits and weights.")
