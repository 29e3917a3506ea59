"""Doubt of the density network: a linear model's posterior, its calibration, its place in the model file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest_network import add_to_last_layers
from test_density_model import made_up_samples, network, predict, shaken

from n2amd.network.doubt import DensityDoubt, n_weights, weight_changes
from n2amd.network.doubt_fit import N_DRAWS, density_doubt, level_spreads
from n2amd.network.ewald import FieldWaves
from n2amd.network.graph import build_graph
from n2amd.network.one_pass import density_draws


def frame_of(structure):
    return build_graph(structure, (8, 22), 4.0, {}, torch.float32), FieldWaves.of(structure)


def samples(rutile, count=5):
    return made_up_samples(network(), [shaken(rutile, k) for k in range(count)])


def doubt_of(rutile, **changes) -> DensityDoubt:
    made = samples(rutile)
    arguments = {"state_weight": 1.0, "seed": 1, **changes}
    return density_doubt(network(), made[:4], made[4:], **arguments)


def test_changes_are_those_of_a_network_with_other_weights(rutile):
    structure, model = shaken(rutile), network()
    changes = torch.randn(1, n_weights(model), generator=torch.Generator().manual_seed(3))
    found = weight_changes(model, *frame_of(structure), changes)[:, 0]
    before = predict(model, structure)
    taken = add_to_last_layers([model.site_readout(z).second for z in model.numbers], changes[0])
    assert taken == n_weights(model)
    after = predict(model, structure)
    assert (after - before - found).abs().max() < 1e-5 * (after - before).abs().max()


def test_unit_changes_are_the_default(rutile):
    model, frame = network(), frame_of(shaken(rutile))
    changes = torch.randn(3, n_weights(model), generator=torch.Generator().manual_seed(0))
    linear = weight_changes(model, *frame) @ changes.double().T
    assert torch.allclose(weight_changes(model, *frame, changes), linear, atol=1e-4)


def test_every_draw_has_the_right_electrons(rutile):
    model = network()
    draws = density_draws(model, doubt_of(rutile), rutile)
    assert draws.shape == (N_DRAWS, model.auxiliary.offsets(rutile.numbers)[-1])
    assert np.abs(draws @ model.auxiliary.charges_of(rutile.numbers)).max() < 1e-9
    assert draws.std(axis=0).max() > 0


def test_spreads_are_calibrated_on_the_frames_held_out(rutile):
    made, doubt = samples(rutile), doubt_of(rutile)
    errors, spread = level_spreads(network(), doubt, made[4])
    assert float((errors / spread).square().mean()) == pytest.approx(1.0, rel=1e-4)
    assert doubt.spread_eV == pytest.approx(float(spread.square().mean().sqrt()), rel=1e-4)
    assert doubt.n_levels == 2


def test_twice_the_errors_are_twice_the_doubt(rutile):
    made = samples(rutile)
    model, last = network(), made[4]
    wrong = last.state_errors(predict(model, shaken(rutile, 4)))
    worse = replace(last, wanted=last.wanted - wrong)
    once, twice = (density_doubt(model, made[:4], [held], state_weight=1.0, seed=1) for held in (last, worse))
    assert twice.temperature == pytest.approx(2 * once.temperature, rel=1e-3)
    assert torch.allclose(twice.draws, 2 * once.draws, rtol=1e-3)


def test_frames_unlike_the_training_data_are_doubted_more(rutile):
    """A strongly distorted cell against one like the trained ones, relative to how its coefficients vary."""
    model, doubt = network(), doubt_of(rutile)

    def spread(structure):
        return np.sqrt(weight_changes(model, *frame_of(structure), doubt.draws).square().mean().item())

    rng = np.random.default_rng(5)
    wild = rutile.with_positions(rutile.positions + rng.normal(scale=0.5, size=rutile.positions.shape))
    assert spread(wild) > 1.3 * spread(shaken(rutile, 9))


def test_document_round_trip(rutile):
    doubt = doubt_of(rutile)
    again = DensityDoubt.from_dict(doubt.to_dict())
    assert torch.equal(again.draws, doubt.draws)
    assert replace(again, draws=doubt.draws) == doubt
