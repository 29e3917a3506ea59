"""The parts of H0 against the energies that HONPAS prints, through the density matrix of its own frame."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from n2amd.baseline.density_matrix import density_matrix
from n2amd.baseline.kinetic import kinetic_table
from n2amd.baseline.nonlocal_potential import nonlocal_matrix
from n2amd.baseline.projector_table import projector_table
from n2amd.baseline.smearing import Smearing
from n2amd.blocks.matrix import BlockMatrix, inner_product
from n2amd.dft.siesta.frame import read_frame
from n2amd.dft.siesta.log_facts import energy_terms
from n2amd.errors import InputError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def titania():
    return read_frame(ROOT / "resources" / "tio2-honpas" / "TiO2_6_train" / "frame_0000")


@pytest.fixture(scope="module")
def silicon():
    return read_frame(ROOT / "tests" / "data" / "honpas-si2" / "frame_0000", "honpas")


@pytest.mark.parametrize(
    "folder", ["resources/tio2-honpas/TiO2_6_train/frame_0000", "tests/data/honpas-si2/frame_0000"]
)
def test_energies_of_the_log(folder):
    frame, basis = read_frame(ROOT / folder)
    terms, found = energy_terms(frame.origin), frame.ingredients
    density = density_matrix(frame, basis)
    assert inner_product(density, frame.overlap) == pytest.approx(frame.n_electrons, abs=1e-9)
    table = kinetic_table(basis, found.rydberg, found.bohr)
    kinetic = frame.overlap.map(
        {key: table.evaluate(key, i.vectors(frame.structure))[None] for key, i in frame.overlap.pairs.items()}
    )
    assert inner_product(density, kinetic) == pytest.approx(terms["Ekin"], abs=2e-4)
    nonlocal_part = nonlocal_matrix(
        projector_table(basis, found), basis, frame.structure, frame.hamiltonian.pairs
    )
    assert inner_product(density, nonlocal_part) == pytest.approx(terms["Enl"], abs=2e-5)


def test_k_and_minus_k_are_one(silicon):
    frame, basis = silicon
    points, weights = frame.bands.kpoints, frame.bands.weights
    both = np.concatenate([points, -points]), np.concatenate([weights, weights])
    one, two = density_matrix(frame, basis), density_matrix(frame, basis, kpoints=both)
    for key, values in one.values.items():
        np.testing.assert_allclose(two.values[key], values, atol=1e-10)


def test_two_spins_alike_are_half_each(silicon):
    frame, basis = silicon
    twice = {key: np.concatenate([v, v]) for key, v in frame.hamiltonian.values.items()}
    one = density_matrix(frame, basis)
    two = density_matrix(replace(frame, hamiltonian=frame.hamiltonian.map(twice)), basis)
    for key, values in one.values.items():
        assert len(two.values[key]) == 2
        np.testing.assert_allclose(2 * two.values[key], np.concatenate([values, values]), atol=1e-10)


def test_split_spins_hold_all_electrons(silicon):
    frame, basis = silicon
    split = {
        key: np.concatenate([v + 0.5 * frame.overlap.values[key], v - 0.5 * frame.overlap.values[key]])
        for key, v in frame.hamiltonian.values.items()
    }
    hot = Smearing(0.3)
    density = density_matrix(replace(frame, hamiltonian=frame.hamiltonian.map(split)), basis, smearing=hot)
    electrons = [
        inner_product(
            BlockMatrix(density.pairs, {k: v[s : s + 1] for k, v in density.values.items()}), frame.overlap
        )
        for s in (0, 1)
    ]
    assert sum(electrons) == pytest.approx(frame.n_electrons, abs=1e-9)
    assert electrons[1] - electrons[0] > 0.05


def test_pairs_may_be_chosen(titania):
    frame, basis = titania
    gamma = np.zeros((1, 3)), np.ones(1)
    whole = density_matrix(frame, basis, kpoints=gamma)
    some = {(8, 22): frame.hamiltonian.pairs[8, 22].select(slice(3, 9))}
    chosen = density_matrix(frame, basis, kpoints=gamma, pairs=some)
    np.testing.assert_array_equal(chosen.values[8, 22], whole.values[8, 22][:, 3:9])


def test_more_bands_are_computed_where_they_are_needed(silicon):
    frame, basis = silicon
    hot = Smearing(3.0)
    density = density_matrix(
        replace(frame, bands=None), basis, kpoints=(np.zeros((1, 3)), np.ones(1)), smearing=hot
    )
    assert inner_product(density, frame.overlap) == pytest.approx(frame.n_electrons, abs=1e-9)


def test_what_cannot_be_occupied_is_refused(silicon):
    frame, basis = silicon
    four = {key: np.concatenate([v] * 4) for key, v in frame.hamiltonian.values.items()}
    with pytest.raises(InputError, match="spinors"):
        density_matrix(replace(frame, hamiltonian=frame.hamiltonian.map(four)), basis)
    with pytest.raises(InputError, match="k points of the SCF cycle are unknown"):
        density_matrix(replace(frame, bands=None), basis)
    with pytest.raises(InputError, match="is OccupationFunction cold"):
        density_matrix(replace(frame, origin={"smearing": "OccupationFunction cold"}), basis)
