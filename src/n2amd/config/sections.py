"""The sections by name, and one of them read: what a stage is given."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from n2amd.config.active_learning import ActiveLearningSettings
from n2amd.config.analysis import AnalysisSettings
from n2amd.config.couplings import CouplingsSettings
from n2amd.config.data import DataSource
from n2amd.config.dynamics import DynamicsSettings
from n2amd.config.engines import Cp2kSettings, PyscfSettings
from n2amd.config.faults import faults_of
from n2amd.config.forcefield import ForceFieldSettings
from n2amd.config.hamiltonian import HamiltonianSettings
from n2amd.config.scissor import Scissor
from n2amd.config.section import Section
from n2amd.config.states import StatesSettings
from n2amd.config.structures import StructureSettings
from n2amd.config.trajectory import TrajectorySettings
from n2amd.config.yaml import parse_yaml, read_yaml
from n2amd.errors import raise_all

#: Sections by the names that commands know them by.
SECTIONS: dict[str, type[Section]] = {
    "forcefield": ForceFieldSettings,
    "hamiltonian": HamiltonianSettings,
    "trajectory": TrajectorySettings,
    "states": StatesSettings,
    "couplings": CouplingsSettings,
    "dynamics": DynamicsSettings,
    "analysis": AnalysisSettings,
    # inside a functional, and the functional itself
    "source": DataSource,
    "scissor": Scissor,
    "structures": StructureSettings,
    "cp2k": Cp2kSettings,
    "pyscf": PyscfSettings,
    "active_learning": ActiveLearningSettings,
}


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
