"""A real frame and analytic orbitals for the tests of overlaps."""

from __future__ import annotations

from pathlib import Path

import pytest
from analytic_orbitals import gaussian_shell

from n2amd.dft.siesta.frame import read_frame
from n2amd.frames.frame import Frame
from n2amd.orbitals.basis import AtomBasis, Basis

TIO2 = Path(__file__).parents[2] / "resources" / "tio2-honpas"


@pytest.fixture(scope="session")
def tio2_frames() -> list[Frame]:
    """Eight thermally displaced and strained frames of 6 atoms, one of 12."""
    folders = [TIO2 / "TiO2_6_train" / f"frame_{k:04d}" for k in range(8)]
    return [read_frame(folder)[0] for folder in [*folders, TIO2 / "TiO2_12_train" / "frame_0001"]]


@pytest.fixture(scope="session")
def tio2_basis() -> Basis:
    return read_frame(TIO2 / "TiO2_6_train" / "frame_0000")[1]


@pytest.fixture(scope="session")
def gaussian_basis() -> Basis:
    """Two elements with s to f shells."""
    first = AtomBasis(1, tuple(gaussian_shell(l, a) for l, a in [(0, 0.9), (0, 2.0), (1, 1.3), (3, 1.8)]))
    second = AtomBasis(6, tuple(gaussian_shell(l, a) for l, a in [(0, 1.1), (1, 0.8), (2, 1.6)]))
    return Basis({1: first, 6: second})
