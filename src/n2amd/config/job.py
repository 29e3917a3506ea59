"""The whole configuration of a job.

A stage's command gets only its own section (so that a changed material reruns only itself); the Snakefile
validates the whole. Unknown keys are errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError

from n2amd.config.analysis import AnalysisSettings
from n2amd.config.contradictions import contradictions
from n2amd.config.couplings import CouplingsSettings
from n2amd.config.dynamics import DynamicsSettings
from n2amd.config.faults import faults_of
from n2amd.config.forcefield import ForceFieldSettings
from n2amd.config.hamiltonian import HamiltonianSettings
from n2amd.config.material import Material
from n2amd.config.section import Section, Supercells, WrittenPath
from n2amd.config.sections import SECTIONS
from n2amd.config.states import StatesSettings
from n2amd.config.trajectory import TrajectorySettings
from n2amd.config.yaml import read_yaml
from n2amd.errors import InputError, raise_all
from n2amd.paths import place_of_results


class Config(Section):
    """A whole job: the graph is materials x functionals x supercells x methods x seeds."""

    materials: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")], Material] = Field(
        min_length=1, description="Materials by name."
    )
    supercells: Supercells = Field(min_length=1, description="Supercells as AxBxC, e.g. 2x2x2.")
    results: Annotated[WrittenPath, AfterValidator(place_of_results)] = Field(
        Path("results"), description="Output folder."
    )
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
