"""DFT frames of one functional: of the named code, there once, and enough for the whole job."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from n2amd.config.data import DataSource
from n2amd.config.job import Config
from n2amd.dataset.electrons import Census
from n2amd.dft.files import frame_name
from n2amd.dft.readers import MODULES, reader_for
from n2amd.errors import InputError
from n2amd.ingestion.offer import Offer, geometries_of_frames, offer_of_frames
from n2amd.interop.extxyz import read_labelled_frames
from n2amd.network.stored_densities import (
    read_density_electrons,
    read_density_structures,
    require_one_kind,
)
from n2amd.preflight.faults import Faults
from n2amd.preflight.suitability import Demands, check_suits
from n2amd.structure import Structure


def check_frames(source: DataSource, place: str, faults: Faults) -> bool:
    """Look for frames in every folder that is named; whether all have some, each of them once."""
    before = len(faults.errors)
    trained_on: set[Path] = set()
    for field in ("paths", "trajectory_paths"):
        folders: list[Path] = []
        for path in getattr(source, field):
            if path.is_dir():  # archives are looked into later
                with faults.at(f"{place}.{field}"):
                    folders += _frames_in(path, source)
        for first, second in _twice(folders):
            error = InputError(
                f"the frame {frame_name(first)} is there twice: as {first} and as {second}",
                remedy="name each folder once, and none inside another",
            )
            faults.add(f"{place}.{field}", error)
        both = trained_on.intersection(folder.resolve() for folder in folders)
        if both:
            faults.warn(
                f"{place}.{field}",
                f"{len(both)} of these frames are in paths, too: what was learned from judges the network",
            )
        trained_on.update(folder.resolve() for folder in folders)
    return len(faults.errors) == before


def _frames_in(path: Path, source: DataSource) -> list[Path]:
    """Frames below a path; where there is none of the named code, say of which code there are."""
    code = source.written_by
    try:
        return reader_for(code).find([path])
    except InputError as error:
        others = [other for other in MODULES if MODULES[other] != MODULES[code] and _has_frames(path, other)]
        if not others:
            raise
        raise InputError(
            f"{path} holds no frame of {code}, but frames of {' or '.join(others)}",
            field="code",
            remedy=f"set code to {others[0]}",
        ) from error


def _has_frames(path: Path, code: str) -> bool:
    try:
        return bool(reader_for(code).find([path]))  # type: ignore[arg-type]
    except InputError:
        return False


def _twice(folders: Sequence[Path]) -> Iterator[tuple[Path, Path]]:
    """Folders that are the same one, once for each pair of places that they are found in."""
    known: dict[Path, Path] = {}
    told = set()
    for folder in folders:
        first = known.setdefault(folder.resolve(), folder)
        if first is not folder and (pair := (first.parent, folder.parent)) not in told:
            told.add(pair)
            yield first, folder


def check_data(job: Config, name: str, label: str, structure: Structure, faults: Faults) -> list[Structure]:
    """Hold the frames of one functional against all that the job asks of them; return their geometries."""
    material = job.materials[name]
    source = material.functionals[label]
    place = f"materials.{name}.functionals.{label}"
    if source.rebuilt is not None:
        return _check_rebuilt(job, name, label, structure, faults)
    given = (source.paths, source.written_by, source.electrons)
    elements = {int(z) for z in structure.numbers}
    with faults.at(place):
        demands = _demands(job, name, label, structure)
        check_suits(offer_of_frames(*given, elements, source.exclude), demands)
    frames = faults.attempt(place, lambda: geometries_of_frames(*given, source.exclude)) or []
    if source.near_duplicates == "refuse":
        for first, second in _same_geometry(frames):
            error = InputError(
                f"frames {frame_name(first)} and {frame_name(second)} have one geometry",
                field="paths",
                remedy="name one of them in exclude, or set near_duplicates to skip",
            )
            faults.add(place, error)
    if source.trajectory_paths:
        with faults.at(place):
            _check_trajectory(source)
    return [structure for _, structure in frames]


def _demands(job: Config, name: str, label: str, structure: Structure) -> Demands:
    """What the job asks of the data of one functional."""
    material = job.materials[name]
    return Demands(
        structure,
        job.supercells,
        job.section("states", name, label),
        job.section("hamiltonian", name),
        job.section("forcefield", name) if material.trains_forcefield(label) else None,
        material.functionals[label].fits_overlap,
    )


def _check_rebuilt(
    job: Config, name: str, label: str, structure: Structure, faults: Faults
) -> list[Structure]:
    """Hold frames kept as densities against the job; their basis is that of the frames they are like."""
    kept = job.materials[name].functionals[label].rebuilt
    assert kept is not None
    like = job.materials[kept.material].functionals[kept.functional]
    place = f"materials.{name}.functionals.{label}.rebuilt"
    with faults.at(place):
        electrons = read_density_electrons(kept.densities)
        require_one_kind({frame: moment is not None for frame, _, _, moment in electrons})
        elements = {int(z) for _, numbers, _, _ in electrons for z in numbers}
        found = offer_of_frames(like.paths, like.written_by, like.electrons, elements, like.exclude)
        n_spin = 1 if electrons[0][3] is None else 2
        neutral = [(f, numbers, found.basis.valence_electrons(numbers)) for f, numbers, _, _ in electrons]
        census = Census.of(neutral)
        first = dict.fromkeys(("energy", "forces"), electrons[0][0])
        offer = Offer(len(electrons), census, found.basis, n_spin, first, electrons)
        check_suits(offer, _demands(job, name, label, structure))
    return faults.attempt(place, lambda: read_density_structures(kept.densities)) or []


def _check_trajectory(source: DataSource) -> None:
    if offer_of_frames(source.trajectory_paths, source.written_by, source.electrons, ()).n_frames < 2:
        raise InputError(
            "one frame holds no interval, so there are no couplings to compare",
            field="trajectory_paths",
            remedy="give at least two consecutive frames, or leave it out",
        )


def _same_geometry(frames: Sequence[tuple[Path, Structure]]) -> Iterator[tuple[Path, Path]]:
    known: dict[bytes, Path] = {}
    for folder, structure in frames:
        values = np.rint(1e6 * np.concatenate([structure.cell, structure.positions])).astype(np.int64)
        first = known.setdefault(values.tobytes() + structure.numbers.tobytes(), folder)
        if first is not folder:
            yield first, folder


def check_forcefield_frames(source: DataSource, place: str, faults: Faults, wrong: set[str]) -> None:
    """Read the further frames of the force field."""
    for field in ("forcefield_paths", "forcefield_test_paths"):
        if f"{place}.{field}" in wrong:
            continue
        for path in getattr(source, field):
            faults.attempt(f"{place}.{field}", lambda path=path: read_labelled_frames(path))  # type: ignore[misc]
