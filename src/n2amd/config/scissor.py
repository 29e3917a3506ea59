"""A functional's section `scissors`: rigid shifts of its conduction bands."""

from __future__ import annotations

from pydantic import Field

from n2amd.config.section import Section


class Scissor(Section):
    """A rigid shift of the conduction bands before dynamics; shares its parent's states."""

    label: str = Field(
        "scissor", pattern=r"^[A-Za-z0-9-]+$", description="Name of the variant: FUNCTIONAL+LABEL."
    )
    gap_eV: float = Field(gt=0, le=50, description="Gap at the equilibrium structure after the shift, eV.")
    reference_gap_eV: float | None = Field(
        None,
        gt=0,
        le=50,
        description="Gap that is shifted to gap_eV, eV; default: the trajectory's canonical mean.",
    )
