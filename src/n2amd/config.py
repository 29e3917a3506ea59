"""The whole configuration as pydantic models, each field with its description, its bounds and its unit.

A stage's command gets only its own section (so that a changed material reruns only itself); the Snakefile
validates the whole. Unknown keys are errors.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from n2amd.config_contradictions import contradictions
from n2amd.config_data import DATA_SECTIONS, DataSource
from n2amd.config_data import Scissor as Scissor  # of the interface: dynamics and analysis take it
from n2amd.config_section import Section
from n2amd.config_states import StatesSettings
from n2amd.config_trajectory import TrajectorySettings as TrajectorySettings
from n2amd.errors import InputError

Method = Literal["dish", "dish_renewal", "fssh", "fssh_mc", "ehrenfest", "sdm", "ida"]
Preset = Literal["test", "quick", "paper"]


class ForceFieldSettings(Section):
    """Allegro through nequip's command line."""

    preset: Preset = Field(
        "quick", description="`quick`: laptop; `paper`: the paper's, for a GPU; `test`: CI."
    )
    max_epochs: int | None = Field(None, ge=1, description="Training epochs; default: the preset's.")
    batch_size: int | None = Field(None, ge=1, description="Frames a step; default: the preset's.")
    learning_rate: float | None = Field(None, gt=0, lt=1, description="Adam's; default: the preset's.")
    validation_fraction: float = Field(
        0.1, gt=0, lt=0.5, description="Held out for the schedule and the best model."
    )
    test_fraction: float = Field(0.1, gt=0, lt=0.5, description="Held out for the report.")
    compile: Literal["auto", "never", "always"] = Field(
        "auto", description="Ahead-of-time compilation for MD; auto: where a C++ compiler is found."
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where to train and run.")
    seed: int = Field(1, ge=0, description="Seed of splits and weights.")


class HamiltonianSettings(Section):
    """The equivariant Hamiltonian network and its training."""

    preset: Preset = Field("quick", description="`quick`: CPU minutes; `paper`: GPU; `test`: CI.")
    model: Literal["auto", "density", "density+pair", "atoms+pair", "pair"] = Field(
        "auto",
        description="H is made of: `density`, H0 from atoms with a learned density; `pair`, a network of "
        "atom pairs, on top of H0 or alone; auto: the best that the data allow.",
    )
    density_steps: int | None = Field(
        None, ge=1, description="Optimiser steps of the density network; default: the preset's."
    )
    channels: list[int] | None = Field(None, description="Channels per l = 0..l_max; default: the preset's.")
    layers: int | None = Field(None, ge=1, le=8, description="Message-passing layers; default: the preset's.")
    message_cutoff_A: float | None = Field(
        None, gt=1, le=12, description="Cutoff of message passing, Angstrom."
    )
    steps: int | None = Field(None, ge=1, description="Optimiser steps of stage 1 (MAE of H).")
    band_steps: int | None = Field(
        None, ge=0, description="Optimiser steps of stage 2 (+ the error seen by the states)."
    )
    band_weight: float = Field(1.0, ge=0, description="Weight of the error seen by the states in stage 2.")
    batch_size: int | None = Field(None, ge=1, description="Frames a step; default: the preset's.")
    learning_rate: float | None = Field(None, gt=0, lt=1, description="AdamW's; default: the preset's.")
    validation_fraction: float = Field(
        0.1, gt=0, lt=0.5, description="Held out for the schedule and the best model."
    )
    test_fraction: float = Field(0.1, gt=0, lt=0.5, description="Held out for the report.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where to train and predict.")
    seed: int = Field(1, ge=0, description="Seed of splits, weights and batches.")

    @field_validator("channels")
    @classmethod
    def _positive(cls, value: list[int] | None) -> list[int] | None:
        if value is not None and (not value or min(value) < 1):
            raise ValueError("channels must list at least one positive number, one for each l = 0..l_max")
        return value


class CouplingsSettings(Section):
    """Overlaps across time, tracking and couplings."""

    overlap: Literal["exact", "electron-translation-free"] = Field(
        "exact", description="S(t, t+dt) between the two geometries, or S at one time (drops the ETF term)."
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

    methods: list[Method] = Field(["dish", "fssh"], min_length=1, description="Methods to run.")
    carrier: Literal["electron", "hole", "pair"] = Field(
        "electron", description="What relaxes: an electron, a hole, or an electron-hole pair."
    )
    pair_states: int | None = Field(
        None, ge=2, le=10000, description="States of a pair to keep, lowest mean energies; default: all."
    )
    scheme: Literal["local_diabatic", "hst"] = Field("local_diabatic", description="Propagation scheme.")
    samples: int = Field(20, ge=1, le=100000, description="Initial conditions (start frames).")
    trajectories: int = Field(200, ge=1, le=10**7, description="Trajectories an initial condition.")
    duration_fs: float = Field(
        1000.0, gt=0, le=1e9, description="Length, fs; longer than the trajectory: head to tail."
    )
    dephasing_time_fs: float | None = Field(
        None,
        gt=0,
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
    substeps: int = Field(10, ge=1, le=10000, description="Electronic sub-steps a frame (hst scheme).")
    kinetic_energy_eV: float | None = Field(
        None, gt=0, description="Kinetic energy of the nuclei (sdm), eV; default: that of a large solid."
    )
    output_stride: int = Field(1, ge=1, description="Steps between stored populations.")
    seeds: list[int] = Field([1], min_length=1, description="Seeds; one run each.")

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
    block_fs: float = Field(50.0, gt=0, description="Shortest memory that a trajectory is taken to have, fs.")
    seed: int = Field(1, ge=0, description="Seed of the bootstrap.")
    model_doubt: bool = Field(
        True, description="Intervals of lifetimes hold the network's doubt (`states.doubt_stride`)."
    )
    layers: dict[str, list[int | str]] | None = Field(
        None,
        description="Layers that populations are projected on, by name: atoms counted from 0, ranges `0-11`, "
        "elements; default: found by bonds, then by gaps along the third lattice vector.",
    )
    spectrum_lag_fs: float | None = Field(
        None,
        gt=0,
        description="Largest lag of the spectral density, fs: longer resolves more and knows it worse; "
        "default: half of the trajectory, at most 1000.",
    )


#: Sections that a material may override in part.
OVERRIDABLE = ("forcefield", "hamiltonian", "trajectory", "states", "couplings", "dynamics", "analysis")


class Material(Section):
    """A crystal with its DFT data."""

    structure: Path = Field(description="Unit cell that supercells are built of (any format ASE reads).")
    functionals: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")], DataSource] = Field(
        min_length=1, description="Data sets by functional label."
    )
    forcefield_functional: str | None = Field(
        None, description="Functional whose data train the force field; default: the first."
    )
    overrides: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="Keys of the general sections that differ for this material."
    )

    @model_validator(mode="after")
    def _known(self) -> Material:
        label = self.forcefield_functional
        if label is not None and label not in self.functionals:
            raise ValueError(
                f"forcefield_functional {label!r} is not among functionals {sorted(self.functionals)}"
            )
        if unknown := set(self.overrides) - set(OVERRIDABLE):
            raise ValueError(
                f"overrides: unknown section {sorted(unknown)[0]!r}, choose from {list(OVERRIDABLE)}"
            )
        return self

    @property
    def trajectory_functional(self) -> str:
        """Functional whose force field drives the trajectory."""
        return self.forcefield_functional or next(iter(self.functionals))


class Config(Section):
    """A whole job: the graph is materials x functionals x supercells x methods x seeds."""

    materials: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")], Material] = Field(
        min_length=1, description="Materials by name."
    )
    supercells: list[Annotated[str, Field(pattern=r"^[1-9]\d*x[1-9]\d*x[1-9]\d*$")]] = Field(
        min_length=1, description="Supercells as AxBxC."
    )
    results: Path = Field(Path("results"), description="Output folder.")
    forcefield: ForceFieldSettings = Field(default_factory=ForceFieldSettings)
    hamiltonian: HamiltonianSettings = Field(default_factory=HamiltonianSettings)
    trajectory: TrajectorySettings = Field(default_factory=TrajectorySettings)
    states: StatesSettings = Field(default_factory=StatesSettings)
    couplings: CouplingsSettings = Field(default_factory=CouplingsSettings)
    dynamics: DynamicsSettings = Field(default_factory=DynamicsSettings)
    analysis: AnalysisSettings = Field(default_factory=AnalysisSettings)

    @model_validator(mode="after")
    def _sections_valid(self) -> Config:
        for material in self.materials:
            for name in OVERRIDABLE:
                self.section(name, material)
            if problem := next(contradictions(self, material), None):
                raise ValueError(problem)
        return self

    def section(self, name: str, material: str) -> Any:
        """Return the settings of one stage for one material, its overrides applied."""
        general = getattr(self, name)
        overrides = self.materials[material].overrides.get(name, {})
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
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)x([1-9]\d*)", text)
    if match is None:
        raise InputError(
            f"{text!r} is not a supercell", field="supercell", remedy="write three numbers as in 2x2x2"
        )
    return tuple(int(g) for g in match.groups())  # type: ignore[return-value]


def _option_names() -> set[str]:
    models: list[type[Section]] = [Config, Material, *SECTIONS.values()]
    return {name for model in models for name in model.model_fields}


def _one_sentence(error: ValidationError, file: str | None) -> InputError:
    # a misspelt option explains the one that seems to be missing
    first = min(error.errors(), key=lambda entry: entry["type"] != "extra_forbidden")
    where = ".".join(str(part) for part in first["loc"]) or "(top level)"
    if first["type"] == "extra_forbidden":
        near = get_close_matches(str(first["loc"][-1]), _option_names(), n=1)
        problem = "there is no such option"
        remedy = f"did you mean {near[0]}?" if near else "look it up in docs/configuration.md"
    else:
        message = first["msg"].removeprefix("Value error, ")
        shown = repr(first.get("input"))
        value = "" if first["type"] in ("missing", "value_error") else f" (got {shown[:80]})"
        problem, remedy = f"{message[0].lower()}{message[1:]}{value}", "correct it in the configuration"
        choices = re.findall(r"'([^']+)'", first.get("ctx", {}).get("expected", ""))
        if near := get_close_matches(str(first.get("input")).lower(), choices, n=1):
            remedy = f"did you mean {near[0]}?"
    more = f" ({error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return InputError(problem + more, file=file, field=where, remedy=remedy)


def validate(document: Any, file: str | None = None) -> Config:
    """Check a whole configuration.

    Raises
    ------
    InputError
        One sentence naming the field, the value and the remedy.
    """
    try:
        return Config.model_validate(document)
    except ValidationError as error:
        raise _one_sentence(error, file) from None


def load(path: str | Path, *changes: str | Path) -> Config:
    """Read and check a configuration file (YAML), with the keys of further files laid over it.

    Snakemake merges several `--configfile` in the same way: mappings key by key, lists replaced whole.
    """
    document = _read_yaml(path)
    if document is None:
        raise InputError(
            "the configuration is empty",
            file=path,
            remedy="name materials and supercells, see config/test.yaml",
        )
    for change in changes:
        above = _read_yaml(change)
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
            document = _parse_yaml(text, file)
        else:
            file, document = text, _read_yaml(text)
    document = {} if document is None else document
    if isinstance(document, dict):
        document = {**document, **{key: value for key, value in (changes or {}).items() if value is not None}}
    try:
        return SECTIONS[name].model_validate(document)
    except ValidationError as error:
        raise _one_sentence(error, file) from None


def _read_yaml(path: str | Path) -> Any:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(
            "the configuration file does not exist", file=path, remedy="check the path"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read ({error})", file=path, remedy="pass a YAML file") from None
    return _parse_yaml(text, path)


def _parse_yaml(text: str, path: str | Path) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" near line {mark.line + 1}" if mark else ""
        raise InputError(
            f"not valid YAML{line}", file=path, remedy="correct the indentation or quoting"
        ) from None
