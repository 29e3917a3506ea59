"""The same surface hopping on couplings of two Hamiltonians: no difference where there is none, and rates."""

import numpy as np
import pytest
from test_parity import Model, dft_frames

from n2amd.config.couplings import CouplingsSettings
from n2amd.config.states import StatesSettings
from n2amd.couplings.parity import own_couplings, solve_both
from n2amd.errors import InputError
from n2amd.hopping.path import ClassicalPath
from n2amd.hopping.population_parity import compare_populations, relaxation
from n2amd.units import BOLTZMANN_EV_K

SETTINGS, STATES = CouplingsSettings(), StatesSettings(valence=2, conduction=2, margin=2)


def both(model, n_frames=8):
    found = solve_both(dft_frames(n_frames), model, model.overlap, SETTINGS, STATES)
    return [own_couplings(found, which, SETTINGS, STATES, 1.0) for which in ("dft", "model")]


def test_the_same_physics_has_the_same_populations():
    document = compare_populations(*both(Model(shift=0.7)), 300.0)
    assert document["largest_difference"] < 1e-7
    recombined = document["recombination"]
    assert recombined["lifetime_ratio"] == pytest.approx(1, abs=1e-6)
    assert 0 < recombined["dft"][-1] < 1
    assert document["time_fs"][[0, -1]] == pytest.approx([0, 1000])
    for found in document["relaxation"].values():
        assert found["dft"].shape == (len(document["time_fs"]), 3)
        np.testing.assert_allclose(found["dft"].sum(axis=1), 1, atol=1e-9)
        assert found["dft"][0, -1] == 1
        assert found["dft"][-1, -1] < 1


def test_another_hamiltonian_has_another_lifetime_at_the_same_dephasing_time():
    dft, model = both(Model(error=0.05))
    document = compare_populations(dft, model, 300.0)
    recombined = document["recombination"]
    assert document["largest_difference"] >= document["rms_difference"] > 0
    assert abs(recombined["lifetime_ratio"] - 1) > 0.01
    assert recombined["lifetime_model_ns"] / recombined["lifetime_dft_ns"] == recombined["lifetime_ratio"]
    # early on, what has recombined is time over lifetime
    expected = 1e-6 * document["time_fs"][-1] / recombined["lifetime_dft_ns"]
    if expected < 0.05:
        assert recombined["dft"][-1] == pytest.approx(expected, rel=0.1)
    given = compare_populations(dft, model, 300.0, 5.0)
    assert (given["dephasing_fs"], given["dephasing_definition"]) == (5.0, "given")


def test_too_few_frames_and_other_frames():
    dft, model = both(Model(), 3)
    assert compare_populations(dft, model, 300.0) is None
    with pytest.raises(InputError, match="3 and 8 frames"):
        compare_populations(dft, both(Model())[1], 300.0)


def two_level(gap, coupling, frames=12):
    """Two states with a constant coupling: every interval is the same rotation."""
    angle = coupling
    overlap = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return ClassicalPath(
        energies=np.tile([0.0, gap], (frames, 1)),
        timestep_fs=1.0,
        carrier="electron",
        band_index=np.array([0, 1]),
        start=1,
        final=0,
        overlap=np.tile(overlap, (frames - 1, 1, 1)),
    )


def test_two_degenerate_levels_turn_by_the_angle_of_a_coherent_interval():
    """Degenerate: the angle adds up over three steps, then the state is measured, and so on."""
    found = relaxation(two_level(0.0, 0.01), 2.5, 300.0)
    stay = np.cos(0.03) ** 2
    np.testing.assert_allclose(found[:3, 1], 1)
    np.testing.assert_allclose(found[3:6, 1], stay, rtol=1e-9)
    np.testing.assert_allclose(found[6:9, 1], stay**2 + (1 - stay) ** 2, rtol=1e-9)
    assert found[-1, 1] == pytest.approx(0.5 + 0.5 * (2 * stay - 1) ** (1000 // 3), rel=1e-6)


def test_populations_end_in_detailed_balance():
    """Both ways have one transition probability, so that the ratio ends at the Boltzmann factor."""
    gap = 0.02
    found = relaxation(two_level(gap, 0.05), 10.0, 300.0)
    factor = np.exp(-gap / (BOLTZMANN_EV_K * 300.0))
    assert found[-1, 1] / found[-1, 0] == pytest.approx(factor, rel=1e-3)
