"""A functional's section `active_learning`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from n2amd.config.section import Section, Supercell


class ActiveLearningSettings(Section):
    """Rounds of labelling what the network knows least: choose frames of a trajectory, label, train."""

    rounds: int = Field(
        0, ge=0, le=20, description="Rounds; 0: the network learns from the given data alone."
    )
    frames: int = Field(8, ge=1, le=1000, description="Frames that are chosen and labelled in each round.")
    label_by: Literal["scf", "engine", "folder"] | None = Field(
        None,
        description="`scf`: self-consistent frames with what the data hold of their DFT code; `engine`: the "
        "functional's own `engine`; `folder`: you compute them, the run stops and says where the results go. "
        "Default: `engine` where there is one, else `scf`.",
    )
    supercell: Supercell | None = Field(
        None,
        description="Supercell AxBxC whose trajectory the frames are chosen from; default: the job's first.",
    )
    candidates: int = Field(
        200, ge=1, le=10**5, description="Frames of the trajectory looked at, evenly spaced."
    )

    @model_validator(mode="after")
    def _enough_candidates(self) -> ActiveLearningSettings:
        if self.candidates < self.frames:
            raise ValueError(
                f"candidates is {self.candidates}, fewer than the {self.frames} frames to choose from them"
            )
        return self
