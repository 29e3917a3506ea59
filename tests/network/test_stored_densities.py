"""Frames kept as densities: what they train on is what the frames themselves would have given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import eigvalsh

from n2amd.baseline.model_density import choose_functions, frame_density
from n2amd.baseline.zeroth import ZerothHamiltonian
from n2amd.blocks.matrix import fold
from n2amd.dft.siesta.frame import read_frame
from n2amd.errors import InputError
from n2amd.frames.ingredients import Ingredients
from n2amd.network.density_data import fit_frame, frame_of_density, without_means
from n2amd.network.stored_densities import (
    StoredDensity,
    read_densities,
    store,
    with_exact_states,
    write_densities,
)
from n2amd.orbitals.basis import Basis

FRAME = Path(__file__).resolve().parents[2] / "resources/tio2-honpas/TiO2_6_train/frame_0000"


@pytest.fixture(scope="module")
def real():
    frame, basis = read_frame(FRAME)
    auxiliary = choose_functions([frame_density(frame, basis, frame.ingredients)], basis)
    zeroth = ZerothHamiltonian(basis, frame.ingredients, without_means(auxiliary))
    return frame, basis, zeroth, fit_frame(frame, zeroth, 5.0)


def test_states_are_exact_after_a_small_move(real):
    _, _, zeroth, fitted = real
    charges = zeroth.model.auxiliary.charges_of(fitted.structure.numbers)
    moved = with_exact_states(fitted, charges)
    assert charges @ moved == pytest.approx(fitted.sample.excess, abs=1e-8)
    before, after = (
        fitted.sample.state_errors(_tensor(c)).abs().mean() for c in (fitted.coefficients, moved)
    )
    assert after < 0.1 * before
    left, right = (float(fitted.sample.density_error(_tensor(c))) for c in (fitted.coefficients, moved))
    assert right < left + 0.01 * fitted.sample.norm


def test_a_stored_frame_trains_like_the_frame(real):
    """The same Gram matrix and edges; H0 of the stored density has DFT's band edges to a few meV."""
    frame, basis, zeroth, fitted = real
    (stored,) = store([fitted], zeroth.model.auxiliary)
    again = frame_of_density(stored.name, stored.structure, stored.coefficients, stored.excess, zeroth, 5.0)
    scale = float(fitted.sample.matrix.max())
    np.testing.assert_allclose(again.sample.matrix, fitted.sample.matrix, atol=1e-6 * scale)
    assert again.sample.edges == fitted.sample.edges
    assert again.sample.state_errors(_tensor(stored.coefficients)).abs().max() < 1e-5
    h0 = zeroth.matrix(frame.structure, stored.coefficients, frame.hamiltonian.pairs)
    offsets = basis.orbital_offsets(frame.structure.numbers)
    found, wanted = (
        eigvalsh(fold(h, offsets), fold(frame.overlap, offsets)) for h in (h0, frame.hamiltonian)
    )
    edges = slice(frame.n_occupied - 1, frame.n_occupied + 1)
    np.testing.assert_allclose(found[edges], wanted[edges], atol=3e-3)


def test_file_round_trip_and_refusals(real, tmp_path):
    frame, basis, zeroth, fitted = real
    frames = [StoredDensity(f"frame {k}", frame.structure, 0.0, fitted.coefficients) for k in range(2)]
    path = tmp_path / "densities.h5"
    auxiliary = zeroth.model.auxiliary
    write_densities(path, frames, auxiliary, basis, frame.ingredients)
    found = read_densities(path, basis, frame.ingredients)
    assert found.auxiliary == auxiliary
    assert [f.name for f in found.frames] == ["frame 0", "frame 1"]
    for stored in found.frames:
        np.testing.assert_allclose(stored.coefficients, fitted.coefficients, rtol=1e-6, atol=1e-7)
        assert np.array_equal(stored.structure.positions, frame.structure.positions)
    other = Ingredients("siesta", "PBE", 300.0, 13.6058, 0.529177, frame.ingredients.atoms)
    with pytest.raises(InputError, match="functional or mesh"):
        read_densities(path, basis, other)
    with pytest.raises(InputError, match="another basis"):
        read_densities(path, Basis({8: basis[8]}), frame.ingredients)


def _tensor(values):
    import torch

    return torch.from_numpy(np.asarray(values, dtype=np.float64))
