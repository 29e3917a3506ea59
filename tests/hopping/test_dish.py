"""The fast kernel against the plain rules, step by step, with the same random numbers."""

import numpy as np
import pytest
from classical_paths import constant_two_state, fluctuating

from n2amd.hopping import dish, dish_plain, propagators


@pytest.mark.parametrize("waiting", ["deterministic", "exponential"])
@pytest.mark.parametrize(
    ("states", "carrier", "complex_couplings", "within", "absorbing"),
    [
        (2, "electron", False, 0.02, False),
        (3, "hole", False, 0.02, True),
        (5, "electron", True, 0.03, False),
        (6, "electron", False, 0.01, True),
    ],
)
def test_agrees_with_the_plain_rules(
    states: int, carrier: str, complex_couplings: bool, within: float, absorbing: bool, waiting: str
) -> None:
    path = fluctuating(
        states,
        151,
        gap=0.15,
        spacing=0.05,
        across=0.03,
        within=within,
        carrier=carrier,
        complex_couplings=complex_couplings,
    )
    steps_of_path = propagators.hst(path.energies, path.nac, 1.0, 4)
    generator = np.random.default_rng(3)
    tau = generator.uniform(6, 20, (states, states))
    tau = (tau + tau.T) / 2 * (1 - np.eye(states))
    tables = dish.prepare(
        path,
        steps_of_path,
        tau,
        300.0,
        waiting=waiting,
        absorbing=absorbing,
    )
    hops = 0
    for trajectory in range(12):
        # longer than the path: twice head to tail
        common = {"seed": 5, "sample": 2, "steps": 400}
        block = dish.run_block(
            tables,
            start_frame=40,
            start_state=1,
            stride=1,
            trajectories=range(trajectory, trajectory + 1),
            **common,
        )
        history = dish_plain.run_trajectory(
            path,
            steps_of_path,
            tau,
            300.0,
            trajectory=trajectory,
            start_frame=40,
            start_state=1,
            waiting=waiting,
            absorbing=absorbing,
            **common,
        )
        np.testing.assert_array_equal(block.population.argmax(axis=1), history)
        hops += int(block.hops.sum())
    assert hops > 5


def test_blocks_and_stride_do_not_matter() -> None:
    path = fluctuating(4, 201, gap=0.2, within=0.02)
    tables = dish.prepare(
        path, propagators.hst(path.energies, path.nac, 1.0, 2), 12.0 * (1 - np.eye(4)), 300.0, absorbing=False
    )
    common = {"seed": 1, "sample": 0, "start_frame": 3, "start_state": 1, "steps": 300}
    whole = dish.run_block(tables, stride=1, trajectories=range(40), **common)
    parts = [dish.run_block(tables, stride=7, trajectories=r, **common) for r in (range(13), range(13, 40))]
    np.testing.assert_array_equal(parts[0].population + parts[1].population, whole.population[::7])
    np.testing.assert_array_equal(parts[0].hops + parts[1].hops, whole.hops)
    np.testing.assert_array_equal(np.concatenate([p.arrival_step for p in parts]), whole.arrival_step)
    assert (whole.population.sum(axis=1) == 40).all()


def test_without_coupling_nothing_happens() -> None:
    path = constant_two_state(1.0, 0.0, 50)
    tables = dish.prepare(path, propagators.hst(path.energies, path.nac, 1.0), 10.0 * (1 - np.eye(2)), 300.0)
    block = dish.run_block(
        tables, seed=1, sample=0, start_frame=0, start_state=1, steps=500, stride=1, trajectories=range(5)
    )
    assert block.hops.sum() == 0
    assert (block.population[:, 1] == 5).all()


def test_arrivals_are_the_absorbed_trajectories() -> None:
    path = fluctuating(2, 301, gap=0.2, across=0.02)
    tables = dish.prepare(path, propagators.hst(path.energies, path.nac, 1.0), 8.0 * (1 - np.eye(2)), 300.0)
    block = dish.run_block(
        tables, seed=2, sample=0, start_frame=0, start_state=1, steps=600, stride=1, trajectories=range(200)
    )
    arrived = np.sort(block.arrival_step[block.arrival_step >= 0])
    expected = np.searchsorted(arrived, np.arange(601), side="right")
    np.testing.assert_array_equal(block.population[:, 0], expected)
    assert len(arrived) > 50
    assert set(block.arrival_source[block.arrival_step >= 0]) == {1}
