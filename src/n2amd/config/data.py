"""The configuration's functionals: DFT frames that exist, or structures and a program to run."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from n2amd.config.active_learning import ActiveLearningSettings
from n2amd.config.engines import Engine
from n2amd.config.scissor import Scissor
from n2amd.config.section import Section, Text, Unique, WrittenPath, WrittenPaths
from n2amd.config.states import Channel
from n2amd.config.structures import StructureSettings

DftCode = Literal["honpas", "siesta", "openmx", "cp2k", "abacus", "deeph", "pyscf"]


def _name(value: object) -> object:
    # YAML reads a frame called 12 as a number
    return str(value) if isinstance(value, int) else value


#: Name of a frame, or a pattern of names.
FrameName = Annotated[Text, BeforeValidator(_name)]


def _labels_once(scissors: list[Scissor]) -> list[Scissor]:
    labels = [scissor.label for scissor in scissors]
    for label in labels:
        if labels.count(label) > 1:
            raise ValueError(f"two scissors have the label {label!r}; give each a label of its own")
    return scissors


class RebuiltFrames(Section):
    """Frames kept as densities, whose H and S are made again: a data set where the DFT files have no room."""

    densities: WrittenPath = Field(description="Their file (`n2amd hamiltonian densities`).")
    material: Text = Field(
        description="Material with frames of the same basis, pseudopotentials and k spacing."
    )
    functional: Text = Field(description="That functional of it.")


class DataSource(Section):
    """One functional: DFT data, given or to be computed, with a network of its own."""

    code: DftCode | None = Field(None, description="The DFT code that wrote the files in `paths`.")
    paths: WrittenPaths = Field(
        default_factory=list,
        description="Folders of independent frames, for training; patterns such as `data/set_*` stand for "
        "what they match, in natural order, here and in the other lists of paths.",
    )
    exclude: Annotated[list[FrameName], Unique] = Field(
        default_factory=list,
        description="Frames of `paths` to leave out, by name or pattern (`frame_0012`, `md_*_1?`; with a `/` "
        "the folders above count too, `set_1/frame_*`).",
    )
    near_duplicates: Literal["refuse", "skip"] = Field(
        "refuse",
        description="What to do with copies: refuse a geometry that is there twice; or skip it, and every "
        "frame nearer than 0.03 Angstrom (root mean square) to one before.",
    )
    grid_cell_sampling: Literal[1, 2, 4] = Field(
        1,
        description="Places of the DFT code's mesh over which energies and forces of `paths` are means: 2 or "
        "4 take out the force that the mesh exerts on the atoms (SIESTA's GridCellSampling, computed from H "
        "and S at ingestion). For SIESTA and HONPAS; also for frames of `active_learning` by `scf`.",
    )
    spin: Channel | None = Field(
        None,
        description="Spin channel of spin-polarised data that states and dynamics are of; default: "
        "`states.spin`. Both channels: two functionals with the same paths.",
    )
    engine: Engine | None = Field(
        None, description="DFT to run instead of `paths`: `program` (`cp2k` or `pyscf`) and its options."
    )
    rebuilt: RebuiltFrames | None = Field(
        None, description="Frames kept as densities instead of `paths`; they have no forces."
    )
    structures: StructureSettings = Field(
        default_factory=StructureSettings, description="Structures that the engine computes."
    )
    trajectory_paths: WrittenPaths = Field(
        default_factory=list, description="Folders of consecutive DFT frames, for the parity of couplings."
    )
    density_paths: WrittenPaths = Field(
        [],
        max_length=1,
        description="Further frames of which only the densities are kept (`n2amd hamiltonian densities`): "
        "they train the density network.",
    )
    forcefield_paths: WrittenPaths = Field(
        default_factory=list,
        description="Extended XYZ files of further DFT frames with energies and forces, for the force field.",
    )
    forcefield_test_paths: WrittenPaths = Field(
        default_factory=list,
        description="Extended XYZ files of DFT frames that only judge the force field.",
    )
    trajectory_timestep_fs: float = Field(
        1.0, ge=0.001, le=10, description="Time between consecutive frames, fs."
    )
    without_bands: bool = Field(
        False, description="Accept frames whose code left no eigenvalues; H is not verified then."
    )
    electrons: float | None = Field(
        None, gt=0, le=10**6, description="Electrons in the cell, where the files do not say (DeepH folders)."
    )
    fit_overlap: bool | None = Field(
        None,
        description="Recover the radial functions from the overlaps, where the files have none; default: for "
        "DeepH folders.",
    )
    active_learning: ActiveLearningSettings = Field(
        default_factory=ActiveLearningSettings,
        description="Rounds of frames that the network chooses and that are labelled.",
    )
    scissors: Annotated[list[Scissor], AfterValidator(_labels_once)] = Field(
        default_factory=list, description="Scissor variants."
    )
    band_path: list[Text] = Field(
        default_factory=list,
        description="Special points for the band structure, e.g. [G, X, M, G]; empty: seekpath's.",
    )

    @model_validator(mode="after")
    def _given_or_computed(self) -> DataSource:
        if bool(self.paths) + (self.engine is not None) + (self.rebuilt is not None) != 1:
            raise ValueError(
                "give either paths (DFT frames that exist) or engine (DFT to run), or rebuilt (densities)"
            )
        if self.rebuilt is not None and self.active_learning.rounds:
            raise ValueError("active_learning is not for rebuilt frames: set rounds to 0")
        if self.engine is None and self.code is None:
            raise ValueError("code is missing: name the DFT code that wrote the files in paths")
        if self.engine is not None and self.code not in (None, self.engine.program):
            raise ValueError(
                f"code is {self.code!r}, but engine runs {self.engine.program!r}; leave code out"
            )
        if self.electrons is not None and self.written_by != "deeph":
            raise ValueError(
                f"electrons is for DeepH folders; the files of {self.written_by} say it themselves"
            )
        if self.grid_cell_sampling > 1 and self.written_by not in ("siesta", "honpas"):
            raise ValueError(
                f"grid_cell_sampling is for SIESTA and HONPAS; no energies of {self.written_by} are made of "
                "the parts of H0; leave it out"
            )
        if self.fit_overlap is False and self.written_by == "deeph":
            raise ValueError(
                "fit_overlap is false, but DeepH folders hold no radial functions, without which overlaps of "
                "new geometries are unknown; leave it out"
            )
        if self.active_learning.label_by == "engine" and self.engine is None:
            raise ValueError(
                "active_learning.label_by is engine, but the functional has none: choose scf or folder"
            )
        return self

    @property
    def labelled_by(self) -> Literal["scf", "engine", "folder"]:
        """Who labels the frames of active learning."""
        return self.active_learning.label_by or ("scf" if self.engine is None else "engine")

    @property
    def fits_overlap(self) -> bool:
        """Whether radial functions are recovered from overlaps."""
        return self.written_by == "deeph" if self.fit_overlap is None else self.fit_overlap

    @property
    def lacks_forces(self) -> str | None:
        """Why the frames will have no forces, None where they may have."""
        if self.written_by == "deeph":
            return "DeepH folders hold no energies and forces"
        if self.engine is not None and not self.engine.forces:
            return "its engine computes no forces"
        if self.rebuilt is not None:
            return "rebuilt frames have none"
        return None

    @property
    def written_by(self) -> DftCode:
        """The DFT code of the frames."""
        return self.engine.program if self.engine is not None else self.code  # type: ignore[return-value]
