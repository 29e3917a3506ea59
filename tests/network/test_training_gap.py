"""Where the training frames have their gap."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg

from n2amd.blocks.matrix import fold
from n2amd.dft.siesta.frame import read_frame
from n2amd.network.training_gap import middle_of_gap, norm_near_gap

TIO2 = Path(__file__).resolve().parents[2] / "resources/tio2-honpas"


def test_middle_of_the_gap_is_that_of_the_codes_own_bands() -> None:
    frame, basis = read_frame(TIO2 / "TiO2_6_train/frame_0000")
    larger, _ = read_frame(TIO2 / "TiO2_12_train/frame_0001")
    for frames, largest in (([frame], frame), ([frame, larger], larger)):
        (gamma,) = np.flatnonzero(~largest.bands.kpoints.any(axis=1))
        edges = largest.bands.energies[gamma, 0, largest.n_occupied - 1 : largest.n_occupied + 1]
        assert middle_of_gap(frames, basis) == pytest.approx(edges.mean(), abs=1e-4)


def test_open_shells_and_spins_have_none() -> None:
    frame, basis = read_frame(TIO2 / "TiO2_6_train/frame_0000")
    assert middle_of_gap([replace(frame, n_electrons=frame.n_electrons - 1)], basis) is None
    twice = {key: np.concatenate([v, v]) for key, v in frame.hamiltonian.values.items()}
    assert middle_of_gap([replace(frame, hamiltonian=frame.hamiltonian.map(twice))], basis) is None
    assert norm_near_gap([replace(frame, n_electrons=frame.n_electrons - 1)], basis) is None
    assert norm_near_gap([replace(frame, hamiltonian=frame.hamiltonian.map(twice))], basis) is None


def test_norm_is_the_largest_near_the_gap() -> None:
    frame, basis = read_frame(TIO2 / "TiO2_6_train/frame_0000")
    larger, _ = read_frame(TIO2 / "TiO2_12_train/frame_0001")
    offsets = basis.orbital_offsets(frame.structure.numbers)
    n = frame.n_occupied
    norms = []
    for k in np.ndindex(2, 2, 2):
        h, s = (fold(m, offsets, 0.5 * np.array(k)).real for m in (frame.hamiltonian, frame.overlap))
        norms.append((scipy.linalg.eigh(h, s)[1][:, n - 4 : n + 4] ** 2).sum(axis=0).max())
    found = norm_near_gap([frame], basis)
    assert found == pytest.approx(max(norms), rel=1e-9)
    assert norm_near_gap([larger, frame], basis) >= found
    assert norms[0] < found < 3.0
