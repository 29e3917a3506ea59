from dataclasses import replace

import numpy as np
import pytest
from classical_paths import constant_two_state, fluctuating

from n2amd.hopping import fssh, propagators
from n2amd.hopping.path import ClassicalPath
from n2amd.units import HBAR_EV_FS


def with_overlaps(frames: int, **options: float) -> ClassicalPath:
    path = fluctuating(5, frames, within=0.01, **options)
    return replace(path, overlap=propagators.exponential(1j * path.nac / HBAR_EV_FS).real)


@pytest.fixture(scope="module", params=["hst", "local_diabatic"])
def tables(request: pytest.FixtureRequest) -> fssh.FsshTables:
    path = with_overlaps(201, gap=0.3, across=0.01)
    return fssh.prepare(path, propagators.build(path, request.param), 300.0)


COMMON = {"seed": 1, "sample": 0, "start_frame": 20, "start_state": 2}


def test_chain_against_20000_trajectories(tables: fssh.FsshTables) -> None:
    exact = fssh.run_sample(tables, steps=300, stride=1, trajectories=range(0), **COMMON).population
    counted = fssh.run_sample(tables, steps=300, stride=1, trajectories=range(20_000), counted=True, **COMMON)
    drawn = counted.population / 20_000
    assert exact[-1, 2] < 0.9
    np.testing.assert_allclose(exact.sum(axis=1), 1, atol=1e-12)
    assert np.abs(exact - drawn).max() < 4.5 * np.sqrt(0.25 / 20_000)


def test_hop_records_follow_the_chain(tables: fssh.FsshTables) -> None:
    """Expected numbers of hops are sums of p_i P_ij over time."""
    steps, trajectories = 300, 20_000
    outcome = fssh.run_sample(tables, steps=steps, stride=1, trajectories=range(trajectories), **COMMON)
    hop = np.concatenate(list(fssh.hop_probabilities(tables, 20, 2, steps)))
    expected = np.einsum("ti,tij->ij", outcome.population[:-1], hop) * trajectories
    off = ~np.eye(5, dtype=bool)
    deviation = (outcome.hops - expected)[off] / np.sqrt(expected[off] + 1)
    assert np.abs(deviation).max() < 5
    arrived = outcome.arrival_step >= 0
    assert arrived.any()
    assert outcome.hops[:, 0].sum() >= arrived.sum()


def test_schemes_agree() -> None:
    path = with_overlaps(301)
    results = [
        fssh.run_sample(
            fssh.prepare(path, propagators.build(path, scheme), 300.0),
            steps=250,
            stride=1,
            trajectories=range(0),
            **COMMON,
        ).population
        for scheme in ("hst", "local_diabatic")
    ]
    assert np.abs(results[0] - results[1]).max() < 0.005


def test_without_boltzmann_factor_chain_follows_the_amplitudes() -> None:
    """Fewest switches keeps populations and |c|^2 together as long as hops are free and sub-steps fine."""
    path = constant_two_state(0.05, 0.02, 100)
    tables = fssh.prepare(path, propagators.hst(path.energies, path.nac, 1.0, 200), 1e9)
    population = fssh.run_sample(
        tables, seed=1, sample=0, start_frame=0, start_state=1, steps=15, stride=1, trajectories=range(0)
    ).population
    total = np.hypot(0.05, 0.04)
    expected = (0.04 / total) ** 2 * np.sin(total * np.arange(16) / (2 * HBAR_EV_FS)) ** 2
    np.testing.assert_allclose(population[:, 0], expected, atol=2e-3)


def test_stride_and_length_beyond_the_path(tables: fssh.FsshTables) -> None:
    every = fssh.run_sample(tables, steps=5000, stride=1, trajectories=range(30), **COMMON)
    tenth = fssh.run_sample(tables, steps=5000, stride=10, trajectories=range(30), **COMMON)
    np.testing.assert_array_equal(every.population[::10], tenth.population)
    np.testing.assert_array_equal(every.hops, tenth.hops)


def test_trajectories_do_not_depend_on_their_block(tables: fssh.FsshTables) -> None:
    whole = fssh.run_sample(tables, steps=5000, stride=100, trajectories=range(30), **COMMON)
    part = fssh.run_sample(tables, steps=5000, stride=100, trajectories=range(10, 20), **COMMON)
    np.testing.assert_array_equal(whole.arrival_step[10:20], part.arrival_step)


def test_what_rounding_leaves_in_a_state_moves_no_trajectory() -> None:
    """After a swap by symmetry the hop uphill is refused: those left behind are where no amplitude is."""
    swap = np.array([[1.0, 0, 0], [0, 0, 1], [0, 1, 0]])
    turn = propagators.exponential(np.array([[0, 0.02j, 0], [-0.02j, 0, 0.02j], [0, -0.02j, 0]]))
    path = with_overlaps(5).part([0, 1, 2], start=1, final=0)
    energies = np.tile([0.0, 1.0, 1.02], (5, 1))
    path = replace(path, energies=energies)
    found = []
    for noise in (1e-17, -1e-17, 3e-17j):
        steps = np.array([swap, turn, turn, turn], dtype=complex)
        steps[0, 1, 1] = noise
        tables = fssh.prepare(path, steps, 300.0)
        outcome = fssh.run_sample(
            tables, seed=1, sample=0, start_frame=0, start_state=1, steps=4, stride=1, trajectories=range(0)
        )
        found.append(outcome.population)
    assert 0.2 < found[0][1, 1] < 0.9
    np.testing.assert_allclose(found[1], found[0], atol=1e-9)
    np.testing.assert_allclose(found[2], found[0], atol=1e-9)
