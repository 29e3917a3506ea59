"""H of a hybrid is H0 of its density and a part that no density makes: each network learns its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from n2amd.baseline.zeroth import ZerothHamiltonian
from n2amd.blocks.matrix import add_overlap
from n2amd.dft.siesta.frame import read_frame
from n2amd.network.checkpoint import HamiltonianModel
from n2amd.network.density_data import choose_model, fit_frame, with_means
from n2amd.network.density_model import DensityArchitecture, DensityNetwork
from n2amd.network.training import what_is_left

FRAME = Path(__file__).resolve().parents[2] / "resources/tio2-honpas/TiO2_6_train/frame_0000"
#: What the made-up functional adds to every state, eV: it moves all bands, and no potential of a density,
#: whose mean is zero, does that.
ADDED_EV = 1.3


@pytest.fixture(scope="module")
def parts():
    """A PBE frame; the same with a functional that adds to all states; H0 with functions chosen on them."""
    frame, basis = read_frame(FRAME)
    zeroth = ZerothHamiltonian(basis, frame.ingredients, choose_model([frame], basis, frame.ingredients))
    raised = replace(frame, hamiltonian=add_overlap(frame.hamiltonian, frame.overlap, ADDED_EV))
    return frame, raised, basis, zeroth


@pytest.fixture(scope="module")
def fits(parts):
    """Fits of the PBE frame, of the other one beside pairs, and of that one alone."""
    frame, raised, _, zeroth = parts
    return (
        fit_frame(frame, zeroth, 4.0),
        fit_frame(raised, zeroth, 4.0, beside_pairs=True),
        fit_frame(raised, zeroth, 4.0),
    )


def test_the_density_network_is_not_asked_for_what_no_density_makes(fits):
    """Its states are those of H0 of the frame's own density; alone it has to bend the density for them."""
    pbe, beside, alone = fits
    np.testing.assert_allclose(beside.coefficients, pbe.coefficients, atol=1e-6)
    wanted = [np.sqrt(np.mean((f.sample.wanted - pbe.sample.wanted).numpy() ** 2)) for f in (beside, alone)]
    assert wanted[0] < 1e-3
    assert wanted[1] > 0.3 * ADDED_EV


def test_the_pair_network_learns_what_no_density_makes_and_no_error_of_the_other(parts, fits):
    """Whatever the density network says: here one with random weights."""
    _, raised, basis, zeroth = parts
    model = with_means(zeroth.model, fits[:1])
    network = DensityNetwork(model.auxiliary, DensityArchitecture((6, 5, 4, 3, 2), 1, 4.0, 20.0))
    whole = HamiltonianModel(basis, ZerothHamiltonian(basis, zeroth.ingredients, model), network, None)
    left = what_is_left(whole, raised)
    for key, blocks in left.hamiltonian.values.items():
        expected = ADDED_EV * raised.overlap.values[key]
        np.testing.assert_allclose(blocks, expected, rtol=0, atol=2e-4)
