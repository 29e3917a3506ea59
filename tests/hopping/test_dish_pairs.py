"""DISH among Kramers pairs: without spin-orbit coupling it is that of single states, draw by draw."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from classical_paths import fluctuating

from n2amd.errors import InputError
from n2amd.hopping import dish_pairs, dish_plain, methods, propagators
from n2amd.hopping.path import Source


def path_of_states(carrier="electron"):
    return fluctuating(4, 151, gap=0.15, spacing=0.05, across=0.03, within=0.02, carrier=carrier)


def of_pairs(path):
    """The same path, each state of which is a pair of spinors."""
    window = replace(path, multiplicity=2)
    return replace(path, source=Source(window, 2 * np.arange(path.states), members=2))


@pytest.mark.parametrize("waiting", ["deterministic", "exponential"])
@pytest.mark.parametrize(("carrier", "absorbing"), [("electron", False), ("hole", True)])
def test_without_coupling_of_spins_pairs_hop_as_states_do(waiting, carrier, absorbing):
    path = path_of_states(carrier)
    steps = propagators.hst(path.energies, path.nac, 1.0, 4)
    spins = np.kron(np.ones((len(steps), 1, 1)), np.eye(2))
    doubled = np.einsum("fij,fst->fisjt", steps, spins).reshape(len(steps), 8, 8)
    tau = np.random.default_rng(3).uniform(6, 20, (4, 4))
    tau = (tau + tau.T) / 2 * (1 - np.eye(4))
    options = {"waiting": waiting, "absorbing": absorbing}
    tables = dish_pairs.prepare(of_pairs(path), doubled, tau, 300.0, **options)
    common = {"seed": 5, "sample": 2, "steps": 400, "start_frame": 40, "start_state": 1}
    hops = 0
    for trajectory in range(12):
        found = dish_pairs.run_block(
            tables, stride=1, trajectories=range(trajectory, trajectory + 1), **common
        )
        plain = dish_plain.run_trajectory(path, steps, tau, 300.0, trajectory=trajectory, **common, **options)
        np.testing.assert_array_equal(found.population.argmax(axis=1), plain)
        hops += int(found.hops.sum())
    assert hops > 10


def test_what_hops_between_single_states_is_refused_for_pairs():
    plan = SimpleNamespace(method="fssh", absorbing=True, detailed_balance="gap")
    with pytest.raises(
        InputError, match=r"fssh hops between single states.*choose of dish, dish_renewal, ehrenfest"
    ):
        methods.check(of_pairs(path_of_states()), plan)
