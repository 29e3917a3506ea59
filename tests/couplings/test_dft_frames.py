"""Couplings of real DFT frames: rutile TiO2, PBE, 1 fs apart."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from n2amd.config.couplings import CouplingsSettings
from n2amd.config.states import StatesSettings
from n2amd.couplings.parity import parity
from n2amd.dft.siesta.frame import read_frame
from n2amd.orbitals.two_centre import OverlapTable, overlap

FOLDER = Path(__file__).parents[2] / "resources" / "tio2-honpas" / "TiO2_6_md"


class DftHamiltonian:
    """DFT's own H with the overlap of the two-centre tables, as the network has it."""

    def __init__(self, frames, basis, table):
        self.basis, self.table, self.frames = basis, table, frames

    def predict(self, structure):
        for frame in self.frames:
            if np.array_equal(frame.structure.positions, structure.positions):
                return frame.hamiltonian, overlap(self.table, structure)
        raise AssertionError("a geometry that is none of the frames")


@pytest.fixture(scope="module")
def dft():
    read = [read_frame(FOLDER / f"frame_{number:04d}") for number in (6, 7, 8, 9)]
    frames, basis = [frame for frame, _ in read], read[0][1]
    return frames, DftHamiltonian(frames, basis, OverlapTable.from_basis(basis))


@pytest.mark.parametrize("kpoint", [(0.0, 0.0, 0.0), (0.25, 0.0, 0.1)])
@pytest.mark.parametrize("kind", ["exact", "electron-translation-free"])
def test_tables_in_place_of_dfts_overlap_leave_the_couplings(dft, kpoint, kind):
    frames, model = dft
    document = parity(
        frames,
        model,
        partial(overlap, model.table),
        CouplingsSettings(overlap=kind),
        StatesSettings(kpoint=kpoint),
        1.0,
    )
    assert document["mae_meV"] < 0.01
    assert document["gap_edge"]["mae_meV"] < 1e-3
    assert 0.05 < document["gap_edge"]["rms_dft_meV"] < 2.0
    assert document["pairs"][0]["states"] == [22, 23]


def test_the_two_kinds_of_overlap_differ_across_the_gap(dft):
    frames, model = dft
    cross = partial(overlap, model.table)
    rms = {
        kind: parity(frames, model, cross, CouplingsSettings(overlap=kind), StatesSettings(), 1.0)[
            "gap_edge"
        ]["rms_dft_meV"]
        for kind in ("exact", "electron-translation-free")
    }
    assert abs(rms["exact"] - rms["electron-translation-free"]) > 0.05
