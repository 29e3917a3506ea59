from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

RESOURCES = Path(__file__).parents[2] / "resources" / "tio2-honpas"
# the writer of synthetic HSX files lives with the tests of its reader
sys.path.insert(0, str(Path(__file__).parents[1] / "dft"))


@pytest.fixture(scope="session")
def resources() -> Path:
    return RESOURCES


@pytest.fixture
def copy_frames(tmp_path: Path) -> Callable[..., Path]:
    """Copy frames of one set, with what they share, into a writable set folder."""

    def copy(*numbers: int, source: str = "TiO2_6_md") -> Path:
        target = tmp_path / source
        target.mkdir()
        for file in (RESOURCES / source).iterdir():
            if file.is_file():
                shutil.copy(file, target)
        for number in numbers:
            name = f"frame_{number:04d}"
            shutil.copytree(RESOURCES / source / name, target / name)
        return target

    return copy
