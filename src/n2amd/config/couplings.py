"""The configuration's section `couplings`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from n2amd.config.section import Section


class CouplingsSettings(Section):
    """Overlaps across time, tracking and couplings."""

    overlap: Literal["exact", "electron-translation-free"] = Field(
        "exact", description="S(t, t+dt) between the two geometries, or S at one time (drops the ETF term)."
    )
    scheme: Literal["hst", "analytic"] = Field(
        "hst",
        description="Couplings between states: hst (finite differences of overlaps) or analytic (dH/dt and "
        "dS/dt of the model along the velocities). Dynamics take them with `dynamics.scheme: hst`.",
    )
    degeneracy_meV: float = Field(
        5.0,
        ge=0,
        le=200,
        description="States closer than this are transported together where they mix too fast for the step.",
    )
    order: Literal["energy", "character"] = Field(
        "energy", description="Columns: the k-th state of each frame, or one state through all crossings."
    )
