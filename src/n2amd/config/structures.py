"""A functional's section `structures`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from n2amd.config.section import Section, Seed, Supercell, WrittenPath


class StructureSettings(Section):
    """Structures that DFT is run on: a supercell with random strain, slid or bent layers, rattled atoms."""

    file: WrittenPath | None = Field(
        None,
        description="Structures to take as they are (extxyz: MD, active learning), instead of making them.",
    )
    chunks: int = Field(1, ge=1, le=10**5, description="Jobs that the structures are cut into.")
    frames_per_chunk: int = Field(10, ge=1, le=10**5, description="Structures of one job.")
    supercell: Supercell = Field("1x1x1", description="Supercell of the material's structure, AxBxC.")
    temperatures_K: list[Annotated[float, Field(gt=0, le=5000)]] = Field(
        [300.0], min_length=1, description="Temperatures of the rattle, Kelvin, taken in turn."
    )
    debye_temperature_K: float | None = Field(
        None, gt=0, le=5000, description="Debye temperature, Kelvin: with it the rattle is thermal."
    )
    sigma_A: float | None = Field(
        None, gt=0, le=1, description="Standard deviation of the rattle along each axis, Angstrom."
    )
    closest: float = Field(
        0.7,
        gt=0,
        lt=1,
        description="Shortest distance a rattle may leave, as a fraction of the species pair's before it.",
    )
    strain: float = Field(0.0, ge=0, le=0.3, description="Largest component of the random strain.")
    slide_A: float = Field(0.0, ge=0, le=10, description="Largest slide of a layer in its plane, Angstrom.")
    slide_axis: Literal["a", "b", "c"] = Field(
        "c", description="Lattice vector that layers are stacked along."
    )
    ripple_per_A: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Largest curvature, 1/Angstrom, of a sheet bent into a wave (1 / radius of a tube).",
    )
    layer_gap_A: float = Field(1.5, gt=0, le=20, description="Empty height, Angstrom, that parts two layers.")
    seed: Seed = Field(1, description="Seed; structure n depends on the seed and on n alone.")

    @property
    def frames(self) -> int:
        """Structures in all."""
        return self.chunks * self.frames_per_chunk

    @model_validator(mode="after")
    def _one_width(self) -> StructureSettings:
        if self.sigma_A is not None and self.debye_temperature_K is not None:
            raise ValueError("give sigma_A or debye_temperature_K, not both")
        return self
