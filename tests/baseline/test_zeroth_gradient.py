"""Derivatives of weighted elements of H0, and their parts, against differences."""

from __future__ import annotations

import numpy as np
import pytest

from n2amd.baseline.exchange_correlation_response import xc_potential_changes
from n2amd.baseline.mesh_potential import xc_potential
from n2amd.baseline.multipoles import multipole_gradient, superpose_multipoles
from n2amd.errors import InputError
from n2amd.frames.mesh import Mesh
from n2amd.orbitals.basis import RadialFunction, Shell
from n2amd.structure import Structure

CELL = np.array([[3.1, 0.0, 0.2], [0.9, 2.8, 0.0], [-0.4, 0.7, 3.4]])
SHAPE = (9, 8, 10)
UNITS = {"rydberg": 13.6, "bohr": 0.529}


@pytest.mark.parametrize("functional", ["PBE", "PW92", "CA"])
@pytest.mark.parametrize("gradient", ["siesta", "openmx", "fourier"])
def test_change_of_the_potential(functional, gradient):
    """Along one change against fourth-order differences, symmetric between two."""
    rng = np.random.default_rng(1)
    mesh, density = Mesh(CELL, SHAPE), rng.uniform(0.05, 0.5, size=SHAPE)
    changes = rng.normal(size=(2, *SHAPE))

    def potential(step):
        return xc_potential(density + step * changes[0], mesh, functional, **UNITS, gradient=gradient)[
            1
        ].numpy()

    found = xc_potential_changes(density, changes, mesh, functional, **UNITS, gradient=gradient)
    h = 1e-4
    expected = (8 * (potential(h) - potential(-h)) - potential(2 * h) + potential(-2 * h)) / (12 * h)
    assert np.abs(found[0] - expected).max() < 1e-7 * np.abs(expected).max()
    assert np.vdot(found[0], changes[1]) == pytest.approx(np.vdot(found[1], changes[0]), rel=1e-9)


def test_change_of_another_mesh_is_refused():
    with pytest.raises(InputError, match="do not fit the mesh"):
        xc_potential_changes(np.ones(SHAPE), np.ones((1, 4, 4, 4)), Mesh(CELL, SHAPE), "PBE", **UNITS)


@pytest.mark.parametrize("steps", [(0.02, 0.02), (0.02, 0.03)])
def test_gradient_of_multipoles(steps):
    """All l up to 4, on one grid and on several, in a cell that each atom reaches out of."""
    rng = np.random.default_rng(2)

    def shell(l, exponent, cutoff, step):
        r = step * np.arange(round(cutoff / step) + 1)
        return Shell(
            l, f"{l}", RadialFunction(step, np.exp(-exponent * r**2) * (1 - (r / cutoff) ** 2) ** 6, cutoff)
        )

    functions = {
        3: (shell(0, 1.0, 1.8, steps[0]), shell(1, 0.8, 2.4, steps[1])),
        21: tuple(shell(l, 0.9 + 0.1 * l, 1.8 + 0.06 * l, steps[l % 2]) for l in range(5)),
    }
    fractional = np.array([[0.1, 0.2, 0.3], [0.55, 0.6, 0.8], [1.7, -0.4, 0.45]])
    structure, mesh = Structure(CELL, fractional @ CELL, np.array([21, 3, 3])), Mesh(CELL, SHAPE)
    coefficients, field = rng.normal(size=25 + 2 * 4), rng.normal(size=SHAPE)
    found = multipole_gradient(structure, mesh, functions, coefficients, field)
    h = 1e-4
    for atom, axis in ((0, 0), (0, 2), (1, 1), (2, 2)):
        moved = []
        for sign in (1, -1):
            positions = structure.positions.copy()
            positions[atom, axis] += sign * h
            moved.append(
                superpose_multipoles(structure.with_positions(positions), mesh, functions, coefficients)
            )
        expected = float(np.vdot(moved[0] - moved[1], field)) / (2 * h)
        assert found[atom, axis] == pytest.approx(expected, abs=1e-6 * np.abs(found).max())
    with pytest.raises(InputError, match="coefficients of shape"):
        multipole_gradient(structure, mesh, functions, coefficients[:-1], field)
    with pytest.raises(InputError, match="a field of shape"):
        multipole_gradient(structure, mesh, functions, coefficients, field[1:])
