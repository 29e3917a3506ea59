from __future__ import annotations

from pathlib import Path

import pytest

from n2amd.dataset.store import create_dataset
from n2amd.dft.readers import reader_for

RESOURCES = Path(__file__).parents[2] / "resources" / "tio2-honpas"


@pytest.fixture(scope="session")
def rutile_file() -> Path:
    return RESOURCES / "rutile.vasp"


@pytest.fixture(scope="session")
def dataset(tmp_path_factory) -> Path:
    """Eight frames of rutile with 6 atoms."""
    path = tmp_path_factory.mktemp("data") / "dataset.h5"
    with create_dataset(path, code="honpas") as writer:
        for number in range(8):
            frame, basis = reader_for("honpas").read(
                RESOURCES / "TiO2_6_train" / f"frame_{number:04d}", "honpas"
            )
            writer.append(frame, basis, {})
    return path
