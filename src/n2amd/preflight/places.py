"""Files and folders that a job names: are they there, readable, of the right kind, and named once."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from n2amd.config.job import Config
from n2amd.dft.archives import archive_suffix
from n2amd.errors import InputError
from n2amd.paths import near_names
from n2amd.preflight.faults import Faults

#: Lists of files, and of folders of frames or archives of them.
FILE_LISTS = ("density_paths", "forcefield_paths", "forcefield_test_paths")
FOLDER_LISTS = ("paths", "trajectory_paths")


def named_places(job: Config, name: str) -> Iterator[tuple[str, Path, bool]]:
    """Yield the option, the path, and whether folders of frames are meant, of all that a material names."""
    material = job.materials[name]
    yield f"materials.{name}.structure", material.structure, material.structure.is_dir()
    for label, source in material.functionals.items():
        place = f"materials.{name}.functionals.{label}"
        for field in (*FOLDER_LISTS, *FILE_LISTS):
            for path in getattr(source, field):
                yield f"{place}.{field}", path, field in FOLDER_LISTS
        if source.rebuilt is not None:
            yield f"{place}.rebuilt.densities", source.rebuilt.densities, False
        if source.engine is not None and source.structures.file is not None:
            yield f"{place}.structures.file", source.structures.file, False


def check_places(job: Config, file: Path, faults: Faults) -> set[str]:
    """Open every path that the job names; return the options whose paths are at fault."""
    wrong = set()
    for name in job.materials:
        for option, path, folders in named_places(job, name):
            if (fault := _fault(path, folders, file)) is not None:
                faults.errors.append(InputError(fault[0], file=file, field=option, remedy=fault[1]))
                wrong.add(option)
    faults.errors += [InputError(said, file=file, field="results", remedy=do) for said, do in _results(job)]
    return wrong


def _fault(path: Path, folders: bool, file: Path) -> tuple[str, str] | None:
    """What is wrong with a path, and what to do; None where nothing is."""
    if not path.exists():
        if path.is_symlink():
            return f"{path} is a link to what is not there", "mend the link"
        beside = file.parent / path
        if not path.is_absolute() and beside.exists():
            return (
                f"{path} does not exist in {Path.cwd()}, only beside the configuration",
                f"write {beside.resolve()}: paths are relative to the folder the workflow is started in",
            )
        if "\\" in str(path):
            return f"{path} does not exist", "write / between folders, not \\, and the path on this machine"
        near = near_names(path.name, sorted(os.listdir(path.parent)) if path.parent.is_dir() else [])
        where = "" if path.is_absolute() else f" in {Path.cwd()}"
        return (
            f"{path} does not exist{where}",
            f"did you mean {path.parent / near[0]}?"
            if near
            else "give a path relative to the folder the workflow is started in",
        )
    if not os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0)):
        return f"{path} may not be read", "change its permissions"
    if folders and not path.is_dir() and archive_suffix(path) is None:
        return f"{path} is a file, but no archive", "name a folder of frames, or an archive of them"
    if not folders and path.is_dir():
        return f"{path} is a folder", "name a file"
    return None


def _why_not_written(folder: Path) -> str | None:
    """Why nothing can be made in a folder, None where it can: tried, permissions tell nothing of /proc."""
    try:
        os.rmdir(tempfile.mkdtemp(prefix=".n2amd-", dir=folder))
    except OSError as error:
        return error.strerror
    return None


def _results(job: Config) -> Iterator[tuple[str, str]]:
    """Say why results cannot be written where they should be."""
    results = job.results
    above = next(place for place in (results, *results.absolute().parents) if place.exists())
    if not above.is_dir():
        yield f"{above} is a file, no folder", "name another folder"
    elif (reason := _why_not_written(above)) is not None:
        yield f"{above} cannot be written to ({reason})", "name another folder, or change its permissions"
    inside = results.resolve()
    for name, material in job.materials.items():
        for label, source in material.functionals.items():
            for path in (*source.paths, *source.trajectory_paths):
                if inside.is_relative_to(path.resolve()):
                    yield (
                        f"{results} lies inside {path}, the data of {name} {label}, so that results would be "
                        "taken for data",
                        "name another folder",
                    )
