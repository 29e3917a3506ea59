"""What the methods have in common, and each one against an independent reference."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from classical_paths import constant_two_state, fluctuating

from n2amd.errors import InputError
from n2amd.hopping import decoherence, dish, ensemble, fssh, propagators, renewal
from n2amd.hopping.methods import METHODS
from n2amd.hopping.parallel import Processes
from n2amd.hopping.path import ClassicalPath
from n2amd.hopping.philox import draw, uniform
from n2amd.units import BOLTZMANN_EV_K, HBAR_EV_FS


def with_overlaps(path: ClassicalPath) -> ClassicalPath:
    return replace(path, overlap=propagators.exponential(1j * path.nac / HBAR_EV_FS))


def plan(path: ClassicalPath, method: str, **changes: object) -> ensemble.Plan:
    options: dict = {
        "method": method,
        "scheme": "local_diabatic",
        "temperature": 300.0,
        "dephasing_time": 9.3 * (1 - np.eye(path.states)),
        "start_frames": np.array([3, 70]),
        "start_states": np.array([1, 1]),
        "trajectories": 80,
        "steps": 300,
    }
    return ensemble.Plan(**options | changes)


def run(path: ClassicalPath, method: str, folder: Path, **changes: object) -> ensemble.Result:
    result = ensemble.run(path, plan(path, method, **changes), folder / method, Processes())
    assert result is not None
    return result


@pytest.mark.parametrize("method", METHODS)
def test_phases_of_the_states_do_not_matter(tmp_path: Path, method: str) -> None:
    """Complex overlaps, as at k-points or with spinors; phases are drawn anew in every frame."""
    states = 2 if method == "dish_renewal" else 4
    path = with_overlaps(
        fluctuating(states, 121, gap=0.3, across=0.02, within=0.02, complex_couplings=True, seed=5)
    )
    phase = np.exp(2j * np.pi * np.random.default_rng(1).random((121, states)))
    turned = replace(path, overlap=phase[:-1].conj()[:, :, None] * path.overlap * phase[1:][:, None, :])
    one, other = run(path, method, tmp_path / "one"), run(turned, method, tmp_path / "other")
    np.testing.assert_allclose(one.population, other.population, atol=1e-9)
    np.testing.assert_array_equal(one.hops, other.hops)
    np.testing.assert_allclose(one.population.sum(axis=2), 1, atol=1e-12)
    # something happened
    assert one.population[:, -1, 1].max() < 0.99


def plain_trajectory(
    path: ClassicalPath, steps_of_path: np.ndarray, correction: str, trajectory: int, steps: int
) -> np.ndarray:
    """FSSH with decoherence by matrix algebra, one step at a time, with the same random numbers."""
    c = np.zeros(path.states, complex)
    c[1] = 1
    active, history = 1, [1]
    for step in range(1, steps + 1):
        interval = (7 + step - 1) % path.intervals
        u = steps_of_path[interval]
        new = u @ c
        shared = np.real(new.conj()[:, None] * u * c[None, :])
        probability = np.maximum(0, (shared - shared.T)[:, active]) / abs(c[active]) ** 2
        words = draw(5, 2, trajectory, step, 2)
        chosen = np.searchsorted(np.cumsum(probability), uniform(*words[:2]), side="right")
        c = new
        if chosen < path.states:
            cost = path.sign * (
                path.midstep_energies[interval, chosen] - path.midstep_energies[interval, active]
            )
            if uniform(*words[2:]) < np.exp(-max(0, cost) / (BOLTZMANN_EV_K * 300)):
                active = int(chosen)
            if correction == "ida":
                c = np.eye(path.states, dtype=complex)[active]
        if correction == "sdm":
            difference = abs(path.energies[interval + 1] - path.energies[interval + 1, active])
            c = c * np.exp(-difference / HBAR_EV_FS / (1 + 2.7211386 / 8.0))
            others = np.sum(np.abs(c) ** 2) - abs(c[active]) ** 2
            c[active] *= np.sqrt((1 - others) / abs(c[active]) ** 2)
        history.append(active)
    return np.array(history)


@pytest.mark.parametrize("correction", ["sdm", "ida", "none"])
@pytest.mark.parametrize("carrier", ["electron", "hole"])
def test_decoherence_against_plain_rules(correction: decoherence.Correction, carrier: str) -> None:
    path = fluctuating(
        4, 101, gap=0.15, spacing=0.04, across=0.03, within=0.03, carrier=carrier, complex_couplings=True
    )
    steps_of_path = propagators.hst(path.energies, path.nac, 1.0, 4)
    tables = decoherence.prepare(path, steps_of_path, 300.0, correction=correction, kinetic_energy=8.0)
    hops = 0
    for trajectory in range(8):
        block = decoherence.run_block(
            tables,
            seed=5,
            sample=2,
            start_frame=7,
            start_state=1,
            steps=250,
            stride=1,
            trajectories=range(trajectory, trajectory + 1),
        )
        expected = plain_trajectory(path, steps_of_path, correction, trajectory, 250)
        np.testing.assert_array_equal(block.population.argmax(axis=1), expected)
        hops += int(block.hops.sum())
    assert hops > 8


def test_trajectories_without_decoherence_follow_the_exact_chain() -> None:
    path = fluctuating(5, 201, gap=0.3, across=0.01, within=0.02)
    steps_of_path = propagators.hst(path.energies, path.nac, 1.0)
    common: dict = {"seed": 3, "sample": 0, "start_frame": 20, "start_state": 2, "steps": 300, "stride": 1}
    exact = fssh.run_sample(
        fssh.prepare(path, steps_of_path, 300.0), trajectories=range(0), **common
    ).population
    tables = decoherence.prepare(path, steps_of_path, 300.0, correction="none")
    drawn = decoherence.run_block(tables, trajectories=range(10_000), **common).population / 10_000
    assert exact[-1, 2] < 0.9
    assert np.abs(exact - drawn).max() < 4.5 * np.sqrt(0.25 / 10_000)


def test_flows_are_those_of_fine_substeps() -> None:
    """F_ij of one step against the integral of Tully's 2 Re(c_i* c_j d_ij), across a wide gap."""
    path = fluctuating(4, 201, gap=2.5, across=0.004, within=0.01, complex_couplings=True)
    d, energies = path.nac[0] / HBAR_EV_FS, path.energies[0]
    hamiltonian = np.diag(energies) - 1j * HBAR_EV_FS * d
    generator = np.random.default_rng(2)
    c = generator.normal(size=4) + 1j * generator.normal(size=4)
    c /= np.linalg.norm(c)
    u = propagators.exponential(hamiltonian, 1.0 / HBAR_EV_FS)
    fine, part = c, propagators.exponential(hamiltonian, 1.0 / HBAR_EV_FS / 2000)
    expected = np.zeros((4, 4))
    for _ in range(2000):
        middle = 0.5 * (fine + part @ fine)
        expected += 2 * np.real(middle.conj()[:, None] * middle[None, :] * d) / 2000
        fine = part @ fine
    found = np.array([[fssh.flow(u, c, u @ c, i, j) for j in range(4)] for i in range(4)])
    np.testing.assert_allclose(found, expected, atol=0.01 * np.abs(expected).max())
    np.testing.assert_allclose(found.sum(axis=1), np.abs(c) ** 2 - np.abs(u @ c) ** 2, atol=1e-12)


def test_ehrenfest_populations_are_those_of_the_amplitudes(tmp_path: Path) -> None:
    path = with_overlaps(fluctuating(4, 61, gap=0.3, across=0.02, within=0.03))
    found = run(path, "ehrenfest", tmp_path, steps=150, stride=3, start_frames=np.array([3, 40])).population[
        0
    ]
    c = np.eye(4, dtype=complex)[1]
    steps_of_path = propagators.build(path, "local_diabatic")
    for step in range(150):
        c = steps_of_path[(3 + step) % 60] @ c
    np.testing.assert_allclose(found[-1], np.abs(c) ** 2, atol=1e-12)
    assert len(found) == 51


@pytest.mark.parametrize("waiting", ["deterministic", "exponential"])
def test_renewal_populations_are_those_of_trajectories(waiting: str) -> None:
    path = fluctuating(2, 398, gap=1.0, sigma=0.04, across=0.015, seed=4)
    steps_of_path = propagators.hst(path.energies, path.nac, 1.0, 10)
    common: dict = {
        "seed": 1,
        "sample": 0,
        "start_frame": 50,
        "start_state": 1,
        "steps": 40_000,
        "stride": 400,
    }
    chain = renewal.prepare(path, steps_of_path, 12.3, 300.0, waiting=waiting)
    outcome = renewal.run_sample(chain, trajectories=range(2000), **common)
    exact = outcome.population
    arrived = np.sort(outcome.arrival_step[outcome.arrival_step >= 0])
    counted = np.searchsorted(arrived, np.arange(0, 40_001, 400), side="right") / 2000
    assert np.abs(exact[:, 0] - counted).max() < 4 * np.sqrt(0.25 / 2000)
    tables = dish.prepare(path, steps_of_path, 12.3 * (1 - np.eye(2)), 300.0, waiting=waiting)
    drawn = dish.run_block(tables, trajectories=range(2000), **common).population / 2000
    assert exact[-1, 0] > 0.2
    # the rare decoherence of the active state, which is left out, is worth about 3 %
    assert np.abs(exact - drawn).max() < 4 * np.sqrt(0.25 / 2000)


def test_renewal_without_coupling_keeps_everything() -> None:
    path = constant_two_state(1.0, 0.0, 30)
    chain = renewal.prepare(path, propagators.hst(path.energies, path.nac, 1.0), 5.0, 300.0)
    found = renewal.run_sample(
        chain, seed=1, sample=0, start_frame=0, start_state=1, steps=100, stride=1, trajectories=range(0)
    )
    assert (found.population[:, 1] == 1).all()


def test_renewal_leaves_out_states_that_do_not_matter(tmp_path: Path) -> None:
    """A third state 0.5 eV up carries no weight; 20 meV up it does, and is refused by name."""
    far = with_overlaps(fluctuating(3, 201, gap=0.8, spacing=0.5, across=0.02))
    found = run(far, "dish_renewal", tmp_path, steps=2000).population
    assert (found[:, :, 2] == 0).all()
    assert found[:, -1, 0].min() > 0.01
    near = with_overlaps(fluctuating(3, 201, gap=0.8, spacing=0.02, sigma=0.001, across=0.02))
    with pytest.raises(InputError, match=r"more than two states matter: 0\.4\d .* in band 2.*limit is 0\.05"):
        run(near, "dish_renewal", tmp_path / "near")
    with pytest.raises(InputError, match="starts away from the band edge"):
        run(far, "dish_renewal", tmp_path / "start", start_states=np.array([1, 2]))


def test_renewal_is_refused_where_the_active_state_decoheres_too_often(tmp_path: Path) -> None:
    path = with_overlaps(fluctuating(2, 398, gap=1.0, sigma=0.04, across=0.03, seed=4))
    with pytest.raises(InputError, match=r"too strong for the renewal picture: .* about \+\d+ %"):
        run(path, "dish_renewal", tmp_path, dephasing_time=12.3 * (1 - np.eye(2)))


def test_units_are_short_and_not_too_many() -> None:
    path = fluctuating(2, 10)
    for trajectories, steps, longest in ((200, 1000, 64), (10**6, 1000, 15625), (200, 10**9, 5)):
        units = ensemble._units(plan(path, "dish", trajectories=trajectories, steps=steps), 2)
        lengths = [len(block) for sample, block in units if sample == 0]
        assert max(lengths) == longest
        assert sum(lengths) == trajectories
