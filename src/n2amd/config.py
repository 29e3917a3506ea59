"""The whole configuration as pydantic models, each field with its description, its bounds and its unit.

A stage's command gets only its own section (so that a changed material reruns only itself); the Snakefile
validates the whole. Unknown keys are errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from n2amd.config_contradictions import contradictions
from n2amd.config_data import DATA_SECTIONS, DataSource
from n2amd.config_data import Scissor as Scissor  # of the interface: dynamics and analysis take it
from n2amd.config_faults import faults_of
from n2amd.config_hamiltonian import HamiltonianSettings as HamiltonianSettings
from n2amd.config_section import (
    SUPERCELL,
    FrameOfData,
    Preset,
    PristineCell,
    Section,
    Seed,
    Supercells,
    Text,
    Unique,
    WrittenPath,
)
from n2amd.config_states import StatesSettings
from n2amd.config_trajectory import TrajectorySettings as TrajectorySettings
from n2amd.config_yaml import parse_yaml, read_yaml
from n2amd.errors import InputError, raise_all
from n2amd.paths import folder_named, near_names

Method = Literal["dish", "dish_renewal", "fssh", "fssh_mc", "ehrenfest", "sdm", "ida"]


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


class DynamicsSettings(Section):
    """Surface hopping on the classical path."""

    methods: Annotated[list[Method], Unique] = Field(
        ["dish", "fssh"], min_length=1, description="Methods to run."
    )
    carrier: Literal["electron", "hole", "pair"] = Field(
        "electron", description="What relaxes: an electron, a hole, or an electron-hole pair."
    )
    pair_states: int | None = Field(
        None, ge=2, le=10000, description="States of a pair to keep, lowest mean energies; default: all."
    )
    scheme: Literal["local_diabatic", "hst"] = Field(
        "local_diabatic",
        description="Propagation: local_diabatic by overlaps, hst by couplings (of either "
        "`couplings.scheme`).",
    )
    samples: int = Field(20, ge=1, le=100000, description="Initial conditions (start frames).")
    trajectories: int = Field(200, ge=1, le=10**7, description="Trajectories per initial condition.")
    duration_fs: float = Field(
        1000.0, gt=0, le=1e9, description="Length, fs; longer than the trajectory: head to tail."
    )
    dephasing_time_fs: float | None = Field(
        None,
        gt=0,
        le=10**6,
        description="One pure-dephasing time for all pairs, fs; default: from the gap fluctuations.",
    )
    waiting: Literal["deterministic", "exponential"] = Field(
        "deterministic", description="Decoherence waiting time."
    )
    absorbing: bool = Field(
        True, description="Whether DISH trajectories end at the final state, or go on and may leave it again."
    )
    detailed_balance: Literal["gap", "none"] = Field(
        "gap", description="Factor of uphill hops: Boltzmann's of the energy gap, or one."
    )
    substeps: int = Field(10, ge=1, le=10000, description="Electronic sub-steps per frame (hst scheme).")
    kinetic_energy_eV: float | None = Field(
        None,
        gt=0,
        le=10**9,
        description="Kinetic energy of the nuclei (sdm), eV; default: that of a large solid.",
    )
    output_stride: int = Field(1, ge=1, le=10**9, description="Steps between stored populations.")
    seeds: Annotated[list[Seed], Unique] = Field([1], min_length=1, description="Seeds; one run each.")

    @model_validator(mode="after")
    def _options_of_methods(self) -> DynamicsSettings:
        if not self.absorbing and "dish_renewal" in self.methods:
            raise ValueError("dish_renewal is absorbing only: set absorbing to true or leave the method out")
        if self.pair_states is not None and self.carrier != "pair":
            raise ValueError(
                f"pair_states is of carrier pair only, not of {self.carrier}: set carrier or leave it out"
            )
        return self


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


#: Sections that a material may override in part.
OVERRIDABLE = ("forcefield", "hamiltonian", "trajectory", "states", "couplings", "dynamics", "analysis")


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


class Config(Section):
    """A whole job: the graph is materials x functionals x supercells x methods x seeds."""

    materials: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")], Material] = Field(
        min_length=1, description="Materials by name."
    )
    supercells: Supercells = Field(min_length=1, description="Supercells as AxBxC, e.g. 2x2x2.")
    results: WrittenPath = Field(Path("results"), description="Output folder.")
    forcefield: ForceFieldSettings = Field(default_factory=ForceFieldSettings)
    hamiltonian: HamiltonianSettings = Field(default_factory=HamiltonianSettings)
    trajectory: TrajectorySettings = Field(default_factory=TrajectorySettings)
    states: StatesSettings = Field(default_factory=StatesSettings)
    couplings: CouplingsSettings = Field(default_factory=CouplingsSettings)
    dynamics: DynamicsSettings = Field(default_factory=DynamicsSettings)
    analysis: AnalysisSettings = Field(default_factory=AnalysisSettings)

    def forcefield_source(self, material: str) -> tuple[str, str]:
        """Return the material and functional whose data the force field of a material is trained on."""
        owner = self.materials[material].forcefield_of or material
        return owner, self.materials[owner].trajectory_functional

    def section(self, name: str, material: str, label: str | None = None) -> Any:
        """Return the settings of a stage for a material, its overrides and a functional's spin applied."""
        general, own = getattr(self, name), self.materials[material]
        overrides = own.overrides.get(name, {})
        if name == "states" and label is not None and (spin := own.functionals[label].spin):
            overrides = {**overrides, "spin": spin}
        return type(general).model_validate({**general.model_dump(), **overrides}) if overrides else general


SECTIONS: dict[str, type[Section]] = {
    "forcefield": ForceFieldSettings,
    "hamiltonian": HamiltonianSettings,
    "trajectory": TrajectorySettings,
    "states": StatesSettings,
    "couplings": CouplingsSettings,
    "dynamics": DynamicsSettings,
    "analysis": AnalysisSettings,
    **DATA_SECTIONS,
}


def parse_supercell(text: str) -> tuple[int, int, int]:
    """Read "2x2x2" as (2, 2, 2)."""
    if re.fullmatch(SUPERCELL, text, re.ASCII) is None:
        raise InputError(
            f"{text!r} is not a supercell", field="supercell", remedy="write three numbers as in 2x2x2"
        )
    return tuple(int(word) for word in text.split("x"))  # type: ignore[return-value]


def validate(document: Any, file: str | None = None) -> Config:
    """Check a whole configuration.

    Raises
    ------
    InputError
        A sentence for each fault, naming the option, the value and the remedy.
    """
    try:
        job = Config.model_validate(document)
    except ValidationError as error:
        raise_all(faults_of(error, Config, document, file, sections=SECTIONS))
        raise  # of no kind that is known
    raise_all(list(_overrides_faults(job, file)))
    problems = dict.fromkeys(problem for name in job.materials for problem in contradictions(job, name))
    raise_all([InputError(problem, file=file) for problem in problems])
    return job


def _overrides_faults(job: Config, file: str | None) -> Iterator[InputError]:
    """Say what is wrong with the options that materials override."""
    for name, material in job.materials.items():
        for section, overrides in material.overrides.items():
            try:
                job.section(section, name)
            except ValidationError as error:
                place = ("materials", name, "overrides", section)
                yield from faults_of(error, SECTIONS[section], overrides, file, place, SECTIONS)


def load(path: str | Path, *changes: str | Path) -> Config:
    """Read and check a configuration file (YAML), with the keys of further files laid over it.

    Snakemake merges several `--configfile` in the same way: mappings key by key, lists replaced whole.
    """
    document = read_yaml(path)
    if document is None:
        raise InputError(
            "the configuration is empty",
            file=path,
            remedy="name materials and supercells, see config/test.yaml",
        )
    for change in changes:
        above = read_yaml(change)
        document = document if above is None else _merged(document, above)
    return validate(document, ", ".join(map(str, (path, *changes))))


def _merged(below: Any, above: Any) -> Any:
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    return {**below, **{key: _merged(below.get(key), value) for key, value in above.items()}}


def load_section(name: str, text: str | None, changes: dict[str, Any] | None = None) -> Any:
    """Return one stage's settings from inline JSON/YAML, from a file, or (None) the defaults.

    Parameters
    ----------
    name
        Key of `SECTIONS`.
    text
        "{...}" inline, or the path of a YAML file holding just this section.
    changes
        Laid over it: what options of a command say, None where they say nothing.
    """
    document: Any = {}
    file = f"--settings of {name}"
    if text is not None:
        if text.lstrip().startswith("{"):
            document = parse_yaml(text, file)
        else:
            file, document = text, read_yaml(text)
    document = {} if document is None else document
    if isinstance(document, dict):
        document = {**document, **{key: value for key, value in (changes or {}).items() if value is not None}}
    try:
        return SECTIONS[name].model_validate(document)
    except ValidationError as error:
        raise_all(faults_of(error, SECTIONS[name], document, file, sections=SECTIONS))
        raise
