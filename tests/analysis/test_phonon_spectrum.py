from __future__ import annotations

import numpy as np
import pytest

from n2amd.analysis.phonon_spectrum import density_of_modes, overlap_of_densities, vibrational_density
from n2amd.errors import InputError
from n2amd.units import LIGHT_CM_FS

MASSES = np.array([16.0, 48.0])


def two_modes(frames: int, modes=(200.0, 600.0)) -> np.ndarray:
    """Two atoms against each other along x and along y with equal energies, the whole drifting along z."""
    time = np.arange(frames)
    velocities = np.zeros((frames, 2, 3))
    reduced = MASSES[::-1] / MASSES.sum()
    for axis, mode in enumerate(modes):
        wave = np.cos(2 * np.pi * LIGHT_CM_FS * mode * time + axis)
        velocities[:, :, axis] = wave[:, None] * reduced * np.array([1.0, -1.0])
    velocities[:, :, 2] = 0.3
    velocities[:, 0, 2] += 1e-6 * np.sin(time)
    return velocities


def test_every_mode_counts_alike():
    grid, density, resolution = vibrational_density(two_modes(8000), MASSES, 1.0, lag=2000)
    assert np.trapezoid(density, grid) == pytest.approx(3.0)
    low = grid < 400
    assert np.trapezoid(density[low], grid[low]) == pytest.approx(1.5, abs=0.03)
    assert grid[density[low].argmax()] == pytest.approx(200, abs=0.2 * resolution)
    high = density[~low].argmax() + low.sum()
    assert grid[high] == pytest.approx(600, abs=0.2 * resolution)


def test_lines_of_modes():
    grid = np.linspace(0, 1000, 2001)
    density = density_of_modes(np.array([200.0, 600.0, 600.0]), grid, 30.0)
    assert np.trapezoid(density, grid) == pytest.approx(3.0)
    top = density_of_modes(np.array([500.0]), grid, 30.0)
    above = grid[top > 0.5 * top.max()]
    assert above[-1] - above[0] == pytest.approx(30.0, abs=1.0)


def test_overlap():
    grid = np.linspace(0, 1000, 2001)
    first, second = (density_of_modes(np.array([mode]), grid, 20.0) for mode in (200.0, 800.0))
    assert overlap_of_densities(first, 3 * first, grid) == pytest.approx(1.0)
    assert overlap_of_densities(first, second, grid) == pytest.approx(0.0, abs=1e-6)
    assert overlap_of_densities(first, first + second, grid) == pytest.approx(0.5, abs=1e-6)


def test_velocities_of_other_atoms():
    with pytest.raises(InputError, match="velocities of shape"):
        vibrational_density(two_modes(50), np.ones(3), 1.0)
