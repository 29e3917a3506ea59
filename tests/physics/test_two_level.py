"""Propagators against closed forms: Rabi, Landau-Zener, a crossing within one step."""

import numpy as np
import pytest
from classical_paths import constant_two_state

from n2amd.hopping import propagators
from n2amd.units import HBAR_EV_FS


def rotation(angle: np.ndarray) -> np.ndarray:
    """<i(t)|j(t+dt)> of two states that turn into each other by an angle."""
    c, s = np.cos(angle), np.sin(angle)
    return np.moveaxis(np.array([[c, s], [-s, c]]), -1, 0)


def populations(steps: np.ndarray, start: int) -> np.ndarray:
    return np.abs(propagators.cumulative(steps)[:, :, start]) ** 2


@pytest.mark.parametrize("gap", [0.3, 1.2, 3.2])
@pytest.mark.parametrize("scheme", ["trotter", "exponential", "local_diabatic"])
def test_rabi(gap: float, scheme: str) -> None:
    coupling, frames = 0.05, 400
    path = constant_two_state(gap, coupling, frames)
    if scheme == "local_diabatic":
        overlap = rotation(np.full(frames - 1, coupling / HBAR_EV_FS))
        steps = propagators.local_diabatic(path.energies, overlap, 1.0)
    else:
        # a Trotter step is second order in its length: many of them for a strict comparison
        substeps = 1000 if scheme == "trotter" else 1
        steps = propagators.hst(path.energies, path.nac, 1.0, substeps, scheme)
    total = np.hypot(gap, 2 * coupling)
    time = np.arange(frames)
    expected = (2 * coupling / total) ** 2 * np.sin(total * time / (2 * HBAR_EV_FS)) ** 2
    # a coupling that turns the states for ever is no polynomial: after 400 fs the phase is off by 0.01
    tolerance = {"trotter": 1e-4, "exponential": 1e-9, "local_diabatic": 0.01}[scheme] * expected.max()
    np.testing.assert_allclose(populations(steps, 1)[:, 0], expected, atol=tolerance)


def test_bare_local_diabatisation_would_overestimate_transfer_across_a_gap() -> None:
    """Why the rotation is spread over the step: all of it at mid-step gives (x / sin x)^2 too much."""
    gap, coupling, frames = 3.2, 1e-3, 300
    path = constant_two_state(gap, coupling, frames)
    overlap = rotation(np.full(frames - 1, coupling / HBAR_EV_FS))
    half = np.exp(-0.5j / HBAR_EV_FS * path.energies)
    bare = half[1:, :, None] * overlap.swapaxes(1, 2) * half[:-1, None, :]
    spread = propagators.local_diabatic(path.energies, overlap, 1.0)
    x = gap / (2 * HBAR_EV_FS)
    largest = populations(bare, 1)[:, 0].max(), populations(spread, 1)[:, 0].max()
    assert largest[0] / largest[1] == pytest.approx((x / np.sin(x)) ** 2, rel=0.02)
    assert largest[1] == pytest.approx((2 * coupling / gap) ** 2, rel=0.02)


@pytest.mark.parametrize("scheme", ["hst", "local_diabatic"])
def test_landau_zener(scheme: str) -> None:
    coupling, sweep, timestep = 0.05, 0.0125, 0.05
    expected = np.exp(-2 * np.pi * coupling**2 / (HBAR_EV_FS * sweep))
    time = np.arange(-400, 400 + timestep / 2, timestep)

    def energies_at(t: np.ndarray) -> np.ndarray:
        upper = 0.5 * np.hypot(sweep * t, 2 * coupling)
        return np.stack([-upper, upper], -1)

    if scheme == "hst":
        middle = 0.5 * (time[1:] + time[:-1])
        nac = HBAR_EV_FS * sweep * coupling / ((sweep * middle) ** 2 + 4 * coupling**2)
        zero = np.zeros_like(nac)
        matrix = np.moveaxis(np.array([[zero, nac], [-nac, zero]]), -1, 0)
        steps = propagators.hst(energies_at(time), matrix, timestep, 4)
    else:
        angle = 0.5 * np.arctan2(2 * coupling, sweep * time)
        steps = propagators.local_diabatic(energies_at(time), rotation(np.diff(angle)), timestep)
    final = populations(steps, 0)[-1, 1]
    assert final == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("angle", [0.1, 0.5, 1.0, np.pi / 2])
def test_crossing_within_one_step(angle: float) -> None:
    """Overlaps transfer sin^2(theta) exactly, finite-difference couplings sin^2(sin theta)."""
    energies = np.zeros((2, 2))
    overlap = rotation(np.array([angle]))
    exact = propagators.local_diabatic(energies, overlap, 1.0)
    nac = HBAR_EV_FS * (overlap - overlap.swapaxes(1, 2)) / 2
    finite = propagators.hst(energies, nac, 1.0, 10)
    assert abs(exact[0, 0, 1]) ** 2 == pytest.approx(np.sin(angle) ** 2, abs=1e-12)
    assert abs(finite[0, 0, 1]) ** 2 == pytest.approx(np.sin(np.sin(angle)) ** 2, abs=1e-12)
