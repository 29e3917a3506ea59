"""The whole of a job, looked at before it starts."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from n2amd.analysis.layers import assign_layers
from n2amd.baseline.schemes import HYBRIDS
from n2amd.config.data import DataSource
from n2amd.config.job import Config
from n2amd.config.section import parse_supercell
from n2amd.errors import InputError
from n2amd.interop.extxyz import read_structures
from n2amd.interop.structures import read_structure
from n2amd.network.stored_densities import read_density_structures
from n2amd.network.target_cells import (
    TrainingCells,
    cells_to_come,
    judge_target,
    training_cells,
    with_frames_to_come,
)
from n2amd.preflight.data import check_data, check_forcefield_frames, check_frames
from n2amd.preflight.engines import check_engine
from n2amd.preflight.faults import Faults
from n2amd.preflight.places import check_places
from n2amd.preflight.structures import structure_faults, supercell_faults, timestep_warnings
from n2amd.states.band_path import band_path
from n2amd.structure import Structure

#: Package and module of direct solvers that need one.
PACKAGES = {"pardiso": ("pypardiso", "pypardiso"), "mumps": ("pymumps", "mumps")}


def check_job(job: Config, file: Path, *, frames: bool = True) -> Faults:
    """Open everything that a job names, and hold it against the rest of the job.

    Parameters
    ----------
    job
        The configuration.
    file
        Its file, for messages.
    frames
        Whether DFT frames are read.

    Returns
    -------
    faults
        All that is wrong, and what is unusual.
    """
    faults = Faults()
    wrong = check_places(job, file, faults)
    for name in job.materials:
        _check_material(job, name, file, wrong, faults, frames)
    return faults


def _check_material(
    job: Config, name: str, file: Path, wrong: set[str], faults: Faults, frames: bool
) -> None:
    material, place = job.materials[name], f"materials.{name}"
    package, module = PACKAGES.get(job.section("states", name).factorisation, ("", ""))
    if package and find_spec(module) is None:
        faults.add(
            place,
            InputError(
                f"{package} is not installed",
                field="states.factorisation",
                remedy=f"pip install {package}, or set it to block_ldl",
            ),
        )
    structure = None
    if f"{place}.structure" not in wrong:
        structure = faults.attempt(f"{place}.structure", lambda: read_structure(material.structure))
    sound = structure is not None and _check_structure(job, name, structure, faults)
    for label, source in material.functionals.items():
        here = f"{place}.functionals.{label}"
        with faults.at(here):
            _check_rounds(job, name, label)
        for scissor in source.scissors:
            if scissor.reference_gap_eV is not None and scissor.gap_eV < scissor.reference_gap_eV:
                faults.warn(
                    here,
                    f"scissor {scissor.label} closes the gap, from {scissor.reference_gap_eV:g} to "
                    f"{scissor.gap_eV:g} eV",
                )
        named = not any(option.startswith(f"{here}.") for option in wrong)
        found = check_frames(source, here, faults) if named and source.engine is None else named
        if structure is not None and sound:
            with faults.at(here):
                band_path(structure, list(source.band_path) or None, 2)
        if frames:
            check_forcefield_frames(source, here, faults, wrong)
            if structure is not None and sound and found:
                _check_functional(job, name, label, structure, faults)


def _check_structure(job: Config, name: str, structure: Structure, faults: Faults) -> bool:
    """Whether a material's structure and its supercells can be used."""
    before, path = len(faults.errors), job.materials[name].structure
    faults.errors += structure_faults(structure, path)
    if len(faults.errors) > before:
        return False
    faults.errors += supercell_faults(structure, job.supercells, path)
    if len(faults.errors) > before:
        return False
    for warning in timestep_warnings(job, name, structure):
        faults.warn(f"materials.{name}", warning)
    if (layers := job.section("analysis", name).layers) is not None:
        for text in job.supercells:
            with faults.at(f"materials.{name}, supercell {text}"):
                assign_layers(structure.supercell(parse_supercell(text)), layers)
    return True


def _check_functional(job: Config, name: str, label: str, structure: Structure, faults: Faults) -> None:
    """Hold the frames of a functional, given or to be made, against the job."""
    source, place = job.materials[name].functionals[label], f"materials.{name}.functionals.{label}"
    before = len(faults.errors)
    if source.engine is None:
        geometries = check_data(job, name, label, structure, faults)
        if not geometries:  # which is told
            return
        cells = faults.attempt(place, lambda: _cells_of_data(job, name, source, geometries))
    else:
        made = faults.attempt(place, lambda: _structures_to_compute(source, structure))
        if made is None:
            return
        check_engine(source, place, made, faults)
        cells = faults.attempt(place, lambda: _cells_to_compute(job, name, source, made))
    if cells is None or len(faults.errors) > before:
        return
    loop = source.active_learning
    if loop.rounds:
        chosen_from = structure.supercell(parse_supercell(loop.supercell or job.supercells[0]))
        new = loop.rounds * loop.frames
        cells = with_frames_to_come(cells, chosen_from, new, job.section("hamiltonian", name))
    for text in job.supercells:
        target = structure.supercell(parse_supercell(text))
        for finding in judge_target(text, target, cells, structure.n_atoms):
            faults.warn(place, str(finding))


def _cells_of_data(job: Config, name: str, source: DataSource, frames: list[Structure]) -> TrainingCells:
    further = [s for path in source.density_paths for s in read_density_structures(path)]
    return training_cells(frames, job.section("hamiltonian", name), further)


def _structures_to_compute(source: DataSource, structure: Structure) -> list[Structure]:
    """Structures that the engine gets; of those that are yet to be made one, which all are like."""
    if source.structures.file is None:
        return [structure.supercell(parse_supercell(source.structures.supercell))]
    return read_structures(source.structures.file)


def _cells_to_compute(job: Config, name: str, source: DataSource, made: list[Structure]) -> TrainingCells:
    settings = job.section("hamiltonian", name)
    if source.structures.file is not None:
        return training_cells(made, settings)
    return cells_to_come(made[0], source.structures.frames, settings)


def _check_rounds(job: Config, name: str, label: str) -> None:
    """Refuse rounds of active learning that a hybrid functional leaves without doubt or without labels."""
    source = job.materials[name].functionals[label]
    if not source.active_learning.rounds or label.lower() not in HYBRIDS:
        return
    if job.section("hamiltonian", name).model == "auto":
        raise InputError(
            f"{label} is learned by a network of atom pairs, which has no doubt to choose frames by",
            field="active_learning",
            remedy="set hamiltonian.model to density+pair for this material, or rounds to 0",
        )
    if source.labelled_by == "scf":
        raise InputError(
            f"the self-consistent cycle has no exact exchange, which {label} needs",
            field="active_learning.label_by",
            remedy="set it to folder and compute the frames with the code itself",
        )
