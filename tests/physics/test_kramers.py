"""Kramers pairs: what a diagonalisation chooses within a pair, frame by frame, changes no population."""

from __future__ import annotations

import numpy as np
import pytest
from kramers_model import couplings_of, hamiltonian

from n2amd.analysis.edges import edge_series
from n2amd.couplings.store import in_kramers_pairs
from n2amd.errors import InputError
from n2amd.hopping import dish_pairs, ehrenfest, propagators, renewal
from n2amd.hopping.dephasing import matrix as dephasing_matrix
from n2amd.hopping.path import path_of, window_of

TAU, TEMPERATURE = 9.0, 300.0


def populations(couplings, carrier):
    """Of Ehrenfest dynamics and DISH; the renewal lifetime."""
    path = path_of(couplings, carrier)
    steps = propagators.build(path, "local_diabatic")
    tau = TAU * (1 - np.eye(path.states))
    one = {"seed": 3, "sample": 0, "start_frame": 5, "start_state": 1, "steps": 1500, "stride": 1}
    coherent = ehrenfest.run_sample(steps, trajectories=range(1), members=path.members, **one)
    tables = dish_pairs.prepare(path, steps, tau, TEMPERATURE, absorbing=False)
    hopped = dish_pairs.run_block(tables, trajectories=range(60), **one)
    whole = path.whole
    life = renewal.lifetime(whole, propagators.build(whole, "local_diabatic"), TAU, TEMPERATURE)
    return coherent.population, hopped.population / 60, hopped.hops, life


@pytest.mark.parametrize(("levels", "carrier"), [(2, "electron"), (2, "hole"), (4, "electron")])
def test_random_rotations_in_every_frame_change_no_population(levels, carrier):
    matrix = hamiltonian(levels, 240)
    reference, *others = (
        couplings_of(matrix, seed, cuts) for seed, cuts in ((None, ()), (1, ()), (2, ()), (3, (80, 160)))
    )
    assert in_kramers_pairs(reference)
    coherent, hopped, hops, life = populations(reference, carrier)
    assert coherent.shape == (1501, levels if carrier == "electron" else 2)
    assert coherent[:, 0].max() > 0.01
    assert hops.sum() > 10
    for couplings in others:
        np.testing.assert_allclose(couplings.nac, reference.nac, atol=1e-11)
        found = populations(couplings, carrier)
        np.testing.assert_allclose(found[0], coherent, atol=1e-12)
        np.testing.assert_allclose(found[1], hopped, atol=1e-12)
        assert found[3] == pytest.approx(life, rel=1e-11)


def test_pairs_are_levels_and_their_gap_that_of_the_bands():
    couplings = couplings_of(hamiltonian(3, 60), 1)
    path, window = path_of(couplings, "electron"), window_of(couplings)
    assert path.states == 3
    assert path.members == 2
    assert path.band_index.tolist() == [0, 2, 4]
    assert dephasing_matrix(path.energies, 1.0).shape == (3, 3)
    np.testing.assert_allclose(path.energies, couplings.energies[:, ::2], atol=1e-9)
    edges = edge_series(window)
    np.testing.assert_allclose(edges.gap, couplings.gap, atol=1e-9)
    square = (np.abs(couplings.nac[:, :2, 2:4]) ** 2).sum(axis=(1, 2)) / 2
    np.testing.assert_allclose(np.abs(edges.coupling) ** 2, square, rtol=1e-9)
    np.testing.assert_allclose(couplings.edge_coupling**2, square, rtol=1e-12)


def test_electron_hole_pairs_of_spinors_are_one_sentence():
    with pytest.raises(
        InputError, match="pairs of an electron and a hole are not known with spin-orbit coupling"
    ):
        path_of(couplings_of(hamiltonian(2, 20), None), "pair")
