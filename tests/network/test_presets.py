from __future__ import annotations

from dataclasses import replace

import pytest

from n2amd.config.hamiltonian import HamiltonianSettings
from n2amd.network.presets import PRESETS, resolve


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_alone(name):
    assert resolve(HamiltonianSettings(preset=name)) == PRESETS[name]


def test_settings_of_the_density_network_are_its_own():
    quick = PRESETS["quick"]
    found = resolve(
        HamiltonianSettings(
            density_steps=7,
            density_channels=[6, 4, 2],
            density_layers=3,
            density_message_cutoff_A=4.5,
            density_learning_rate=1e-3,
        )
    )
    assert found.density == replace(
        quick.density,
        channels=(6, 4, 2),
        layers=3,
        message_cutoff_A=4.5,
        schedule=replace(quick.density.schedule, steps=7, learning_rate=1e-3),
    )
    assert replace(found, density=quick.density) == quick


def test_settings_of_the_pair_network_leave_the_density_alone():
    found = resolve(HamiltonianSettings(channels=[6, 4], layers=1, message_cutoff_A=3.5, learning_rate=1e-4))
    assert (found.channels, found.layers, found.message_cutoff_A) == ((6, 4), 1, 3.5)
    assert found.density == PRESETS["quick"].density
