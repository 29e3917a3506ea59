from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import pytest

CP2K_DATA = Path(__file__).parents[1] / "data" / "cp2k"
RESOURCES = Path(__file__).parents[2] / "resources" / "tio2-honpas"


@pytest.fixture(scope="session")
def resources() -> Path:
    return RESOURCES


@pytest.fixture
def frame_folder(tmp_path: Path) -> Path:
    """A writable copy of one frame, with the files its set shares beside it."""
    source = RESOURCES / "TiO2_6_md"
    for file in source.iterdir():
        if file.is_file():
            shutil.copy(file, tmp_path)
    return Path(shutil.copytree(source / "frame_0000", tmp_path / "frame_0000"))


@pytest.fixture(scope="session")
def cp2k_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The CP2K runs of tests/data, unpacked."""
    folder = tmp_path_factory.mktemp("cp2k")
    for archive in CP2K_DATA.glob("*.tar.xz"):
        with tarfile.open(archive) as tar:
            tar.extractall(folder)
    return folder
