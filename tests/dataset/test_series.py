from __future__ import annotations

import numpy as np
import pytest
from ase.data import atomic_masses

from n2amd.dataset.series import verlet_velocities
from n2amd.units import AMU_A2_FS2_IN_EV


def test_velocities_of_velocity_verlet_are_recovered():
    """An anharmonic two-atom trajectory: positions and forces give back the integrator's own velocities."""
    numbers, dt, stiffness = np.array([8, 22]), 0.7, 8.0
    mass = AMU_A2_FS2_IN_EV * atomic_masses[numbers][:, None]
    force = lambda r: -stiffness * (r + 0.3 * r**3)  # noqa: E731
    rng = np.random.default_rng(3)
    r, v = rng.normal(size=(2, 3)) * 0.2, rng.normal(size=(2, 3)) * 0.01
    path = []
    for _ in range(12):
        path.append((r, v, force(r)))
        half = v + force(r) / mass * dt / 2
        r = r + half * dt
        v = half + force(r) / mass * dt / 2
    positions, velocities, forces = (np.array(part) for part in zip(*path))
    assert verlet_velocities(positions, forces, numbers, dt) == pytest.approx(velocities, abs=1e-14)
