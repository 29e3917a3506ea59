"""Projects to run workflows in."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from workflow_project import Project, copy_project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty project whose commands are stand-ins."""
    return copy_project(tmp_path, stand_in=True)


@pytest.fixture
def real_project(tmp_path: Path) -> Project:
    """An empty project with the real commands."""
    return copy_project(tmp_path, stand_in=False)


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project for dry runs only."""
    return copy_project(tmp_path_factory.mktemp("pristine"), stand_in=True)


@pytest.fixture(scope="session")
def _finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = copy_project(tmp_path_factory.mktemp("finished"), stand_in=True)
    project.snakemake("--configfile", "config/test.yaml", "--quiet", "all")
    return project


@pytest.fixture
def finished(_finished: Project, tmp_path: Path) -> Project:
    """A project in which the stand-ins have made everything that config/test.yaml asks for."""
    shutil.copytree(_finished.folder, tmp_path, symlinks=True, dirs_exist_ok=True)
    environment = {
        k: v.replace(str(_finished.folder), str(tmp_path)) for k, v in _finished.environment.items()
    }
    program = tmp_path / "bin/n2amd"
    program.write_text(program.read_text().replace(str(_finished.folder), str(tmp_path)))
    (tmp_path / "calls.log").unlink()
    return Project(tmp_path, environment)
