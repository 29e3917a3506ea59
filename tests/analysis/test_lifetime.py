import dataclasses

import numpy as np
import pytest
from synthetic import gaussian_process, write_couplings

from n2amd.analysis.edges import band_edge_weights, edge_series, read_window
from n2amd.analysis.lifetime import (
    Resampling,
    estimate,
    hop_probabilities,
    renewal_lifetime,
    scan_length,
)
from n2amd.errors import ComputationError, InputError
from n2amd.hopping import renewal
from n2amd.hopping.path import ClassicalPath
from n2amd.hopping.propagators import build
from n2amd.units import HBAR_EV_FS

QUICK = Resampling(block_fs=50.0, resamples=60, confidence=0.95, seed=1)


def constant_path(gap: float, nac: float, frames: int, timestep: float) -> ClassicalPath:
    coupling = nac * np.array([[0.0, 1.0], [-1.0, 0.0]])
    return ClassicalPath(
        energies=np.tile([0.0, gap], (frames, 1)),
        timestep_fs=timestep,
        carrier="electron",
        band_index=np.array([0, 1]),
        start=1,
        final=0,
        nac=np.tile(coupling, (frames - 1, 1, 1)),
    )


def edge_pair(path: ClassicalPath) -> ClassicalPath:
    """The two edge states as if there were no others."""
    return dataclasses.replace(path.part([path.final, path.start], start=1, final=0), source=None)


def lifetime_of(path: ClassicalPath, tau: float, scheme: str = "hst", steps: int | None = None):
    steps = steps or scan_length(tau, path.timestep_fs, len(path.energies))
    start, final = band_edge_weights(path, None)
    probability = hop_probabilities(build(path, scheme, 40), start, final, steps)  # type: ignore[arg-type]
    return probability, renewal_lifetime(probability, tau, path.timestep_fs, QUICK)


def test_constant_coupling_is_a_rabi_oscillation() -> None:
    gap, nac, timestep = 0.6, 0.02, 0.5
    probability, _ = lifetime_of(constant_path(gap, nac, 200, timestep), 10.0)
    time = timestep * np.arange(1, len(probability) + 1)
    rabi = np.sqrt(gap**2 + 4 * nac**2)
    expected = 4 * nac**2 / rabi**2 * np.sin(0.5 * rabi * time / HBAR_EV_FS) ** 2
    np.testing.assert_allclose(probability[:, 0], expected, atol=3e-6)
    assert np.isnan(probability[-1, -1])
    assert np.isfinite(probability[-1, 0])


def test_lifetime_at_constant_coupling_ripples_as_the_formula_says() -> None:
    gap, nac, timestep = 0.6, 0.002, 0.5
    _, result = lifetime_of(constant_path(gap, nac, 400, timestep), 10.2)
    steps = renewal.waiting_steps(10.2, timestep)
    waiting = steps * timestep
    rate = 4 * nac**2 / gap**2 * np.sin(0.5 * gap * waiting / HBAR_EV_FS) ** 2 / waiting
    assert result.steps == steps
    assert result.lifetime.value == pytest.approx(1 / rate, rel=1e-3)
    assert result.band[0] < 1 / rate < result.band[1]


def test_exponential_waiting_at_constant_coupling_is_the_lorentzian_rate() -> None:
    gap, nac, tau, timestep = 0.6, 0.002, 10.0, 0.05
    _, result = lifetime_of(constant_path(gap, nac, 4000, timestep), tau)
    expected = (1 + (gap * tau / HBAR_EV_FS) ** 2) * HBAR_EV_FS**2 / (2 * nac**2 * tau)
    assert result.exponential_waiting == pytest.approx(expected, rel=0.01)
    assert estimate(tau, gap, nac) == pytest.approx(expected, rel=0.02)


def test_agrees_with_the_renewal_lifetime_of_the_dynamics(tmp_path) -> None:
    path = edge_pair(read_window(write_couplings(tmp_path / "c.h5", frames=3000)))
    _, result = lifetime_of(path, 15.3, "local_diabatic", steps=20)
    reference = renewal.lifetime(path, build(path, "local_diabatic"), 15.3, 300.0)
    # theirs also starts in the last 16 frames and goes over the join
    assert result.lifetime.value == pytest.approx(reference, rel=0.03)


def test_interval_holds_the_long_trajectory_value(tmp_path) -> None:
    """Windows of 400 frames, each with its interval, against the whole of 8000 frames."""
    whole = edge_pair(read_window(write_couplings(tmp_path / "c.h5", frames=8000, seed=5)))
    _, truth = lifetime_of(whole, 15.3, "local_diabatic", steps=17)
    hits = 0
    for begin in range(0, 8000, 400):
        window = dataclasses.replace(
            whole,
            energies=whole.energies[begin : begin + 400],
            overlap=whole.overlap[begin : begin + 399],
            nac=None,
        )
        _, part = lifetime_of(window, 15.3, "local_diabatic", steps=17)
        hits += part.lifetime.low <= truth.lifetime.value <= part.lifetime.high
    assert hits >= 16


def test_two_coupled_pairs_share_the_thermal_weight() -> None:
    """Two degenerate conduction states, one of which couples: half the rate."""
    rng = np.random.default_rng(1)
    frames, nac = 400, 0.004
    energies = np.zeros((frames, 3))
    energies[:, 0] = -1.0 + 0.04 * gaussian_process(frames, 8, 2)[:, 0]
    coupling = np.zeros((frames - 1, 3, 3))
    coupling[:, 0, 1] = nac * rng.standard_normal(frames - 1)
    coupling[:, 1, 0] = -coupling[:, 0, 1]
    path = ClassicalPath(energies, 1.0, "electron", np.arange(3), start=1, final=0, nac=coupling)
    propagators = build(path, "hst")
    start, final = band_edge_weights(path, 300.0)
    np.testing.assert_allclose(start[:, 1:], 0.5)
    np.testing.assert_allclose(final[:, 0], 1.0)
    both = hop_probabilities(propagators, start, final, 20)
    single = np.zeros_like(start)
    single[:, 1] = 1.0
    alone = hop_probabilities(propagators, single, final, 20)
    np.testing.assert_allclose(both, 0.5 * alone, rtol=1e-10)


def test_hole_and_electron_weights_mirror_each_other(tmp_path) -> None:
    file = write_couplings(tmp_path / "c.h5", valence=2, conduction=2)
    electron, hole = (
        band_edge_weights(read_window(file, carrier), 300.0) for carrier in ("electron", "hole")
    )
    np.testing.assert_array_equal(electron[0], hole[1])
    np.testing.assert_array_equal(electron[1], hole[0])
    np.testing.assert_allclose(electron[0].sum(axis=1), 1.0)


def test_edges_follow_the_energy_order(tmp_path) -> None:
    path = read_window(write_couplings(tmp_path / "c.h5", conduction=2))
    energies = path.energies.copy()
    energies[100:, [2, 3]] = energies[100:, [3, 2]]
    swapped = dataclasses.replace(path, energies=energies)
    np.testing.assert_allclose(edge_series(swapped).gap, edge_series(path).gap)
    series = edge_series(swapped)
    np.testing.assert_allclose(series.coupling[200], path.nac[200, 1, 3])
    assert series.nac_rms > series.nac_mean > 0


# gap eV, dephasing fs, NAC rms meV -> lifetime ns of the paper's Tables 1 and 2, and the estimate for them
PAPER = [
    (1.79, 16.5, 0.77, 44.6),
    (3.22, 16.5, 0.77, 144.0),
    (3.22, 15.3, 0.43, 429.0),
    (3.13, 18.9, 0.19, 2.56e3),
    (3.05, 17.5, 0.099, 8.3e3),
    (3.00, 16.0, 0.043, 3.9e4),
    (2.91, 18.2, 0.022, 1.6e5),
]


@pytest.mark.parametrize(("gap", "tau", "nac", "expected"), PAPER)
def test_estimate_on_the_published_tables(gap: float, tau: float, nac: float, expected: float) -> None:
    assert 1e-6 * estimate(tau, gap, nac / 1000) == pytest.approx(expected, rel=0.015)


def test_too_short_a_trajectory_is_refused() -> None:
    with pytest.raises(InputError, match=r"20 frames of 1 fs are too few for a dephasing time of 15\.0 fs"):
        scan_length(15.0, 1.0, 20)


def test_no_coupling_has_no_lifetime() -> None:
    with pytest.raises(ComputationError, match="the couplings are zero"):
        lifetime_of(constant_path(1.0, 0.0, 100, 1.0), 10.0)
    with pytest.raises(InputError, match="rms coupling is zero"):
        estimate(10.0, 1.0, 0.0)
