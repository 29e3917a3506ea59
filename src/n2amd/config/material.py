"""Materials of a job: a crystal, its functionals, and what of the general sections differs for it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator, model_validator

from n2amd.config.data import DataSource
from n2amd.config.section import Section, Supercell, Text, WrittenPath
from n2amd.paths import folder_named, near_names

#: Sections that a material may override in part.
OVERRIDABLE = ("forcefield", "hamiltonian", "trajectory", "states", "couplings", "dynamics", "analysis")


class FrameOfData(Section):
    """A structure that is a frame of the data."""

    frame: str = Field(description="Name of its folder, or of the end of its path.")


class PristineCell(Section):
    """The cell without the defect, that rates through its levels are compared with."""

    material: Text = Field(description="Name of its material in this job.")
    supercell: Supercell = Field(description="Its supercell, of those of the job.")
    functional: Text | None = Field(
        None, description="Its functional; default: the one of the same label, or else its first."
    )


class Material(Section):
    """A crystal with its DFT data."""

    functionals: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")], DataSource] = Field(
        min_length=1, description="Data sets by functional label."
    )
    structure: WrittenPath = Field(
        description="Unit cell that supercells are built of: a file of any format ASE reads, the folder of a "
        "DFT frame, or `{frame: NAME}`, a frame found by its name in the `paths` of the functionals."
    )
    forcefield_functional: str | None = Field(
        None, description="Functional whose data train the force field; default: the first."
    )
    forcefield_of: Text | None = Field(
        None, description="Another material of the job whose force field moves this one; default: its own."
    )
    pristine: PristineCell | None = Field(
        None, description="Cell without the defect that rates are compared with; for `states.defect`."
    )
    overrides: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="Keys of the general sections that differ for this material."
    )

    @field_validator("structure", mode="before", json_schema_input_type=Path | FrameOfData)
    @classmethod
    def _of_a_frame(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, dict):
            return value
        name = value.get("frame")
        if set(value) != {"frame"} or not isinstance(name, str | int):
            raise ValueError(f"{value} names no frame; write a path, or {{frame: NAME}}")
        sources = info.data.get("functionals", {}).values()  # none where these are wrong themselves
        return folder_named(str(name), [path for source in sources for path in source.paths])

    @model_validator(mode="after")
    def _known(self) -> Material:
        label = self.forcefield_functional
        for what, name, known in (
            *(("forcefield_functional", label, list(self.functionals)) for _ in range(label is not None)),
            *(("overrides: section", section, list(OVERRIDABLE)) for section in self.overrides),
        ):
            if name not in known:
                near = near_names(str(name), known)
                meant = f"; did you mean {near[0]}?" if near else ""
                raise ValueError(f"{what} {name!r} is none of {', '.join(known)}{meant}")
        return self

    @property
    def trajectory_functional(self) -> str:
        """Functional whose force field drives the trajectory, of this material or of `forcefield_of`."""
        return self.forcefield_functional or next(iter(self.functionals))

    def trains_forcefield(self, label: str) -> bool:
        """Whether a force field is trained on the data of a functional."""
        return self.forcefield_of is None and label == self.trajectory_functional
