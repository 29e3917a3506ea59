"""The configuration's section `analysis`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from n2amd.config.section import Section, Seed, Text


class AnalysisSettings(Section):
    """Dephasing, lifetimes and figures."""

    bootstrap: int = Field(200, ge=10, le=100000, description="Bootstrap resamples of initial conditions.")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Confidence level of intervals.")
    block_fs: float = Field(
        50.0, gt=0, le=10**9, description="Shortest memory that a trajectory is taken to have, fs."
    )
    seed: Seed = Field(1, description="Seed of the bootstrap.")
    model_doubt: bool = Field(
        True, description="Intervals of lifetimes hold the network's doubt (`states.doubt_stride`)."
    )
    layers: dict[Text, Annotated[list[int | str], Field(min_length=1)]] | None = Field(
        None,
        min_length=1,
        description="Layers that populations are projected on, by name: atoms counted from 0, ranges `0-11`, "
        "elements; default: found by bonds, then by gaps along the third lattice vector.",
    )
    spectrum_lag_fs: float | None = Field(
        None,
        gt=0,
        le=10**9,
        description="Largest lag of the spectral density, fs: longer resolves more and knows it worse; "
        "default: half of the trajectory, at most 1000.",
    )
