"""Atom-centred functions on a mesh: against direct evaluation, and the projection as the transpose."""

from __future__ import annotations

import numpy as np
import pytest

from n2amd.baseline.multipole_table import MultipoleTable
from n2amd.baseline.multipoles import project_multipoles, superpose_multipoles
from n2amd.baseline.superposition import superpose
from n2amd.errors import InputError
from n2amd.frames.mesh import Mesh
from n2amd.orbitals.basis import RadialFunction, Shell
from n2amd.orbitals.bessel_transform import interpolate
from n2amd.orbitals.harmonics import solid_harmonics
from n2amd.structure import Structure

SKEW = np.array([[3.1, 0.0, 0.2], [0.9, 2.8, 0.0], [-0.4, 0.7, 3.4]])
MESH = Mesh(SKEW, (9, 8, 12))
ATOMS = Structure(
    SKEW, np.array([[0.1, 0.2, 0.3], [0.5, 0.6, 0.8], [1.7, -0.4, 2.4]]) @ SKEW, np.array([21, 3, 3])
)


def radial(exponent: float, cutoff: float, step: float = 0.02) -> RadialFunction:
    r = step * np.arange(round(cutoff / step) + 1)
    return RadialFunction(step, np.exp(-exponent * r**2) * (1 - (r / cutoff) ** 2) ** 2, cutoff)


def shells(number: int) -> list[Shell]:
    """Several functions of each l up to 4 (up to 2 for the light element), of two radii."""
    l_max = 4 if number == 21 else 2
    return [
        Shell(l, f"{l}{q}", radial(0.4 + 0.3 * q, 3.6 if q else 4.2))
        for q in range(3)
        for l in range(l_max + 1)
        if l < 3 or q < 2
    ]


FUNCTIONS = {z: shells(z) for z in (3, 21)}


def direct(atom: int, shell: Shell) -> np.ndarray:
    """One atom's shell and its images at every mesh point, (2 l + 1, n_points)."""
    grid = np.stack(np.meshgrid(*map(np.arange, MESH.shape), indexing="ij"), -1).reshape(-1, 3)
    points = (grid / MESH.shape) @ SKEW
    total = np.zeros((2 * shell.l + 1, len(points)))
    for shift in np.ndindex(11, 11, 11):
        d = points - ATOMS.positions[atom] - (np.array(shift) - 5) @ SKEW
        r = np.linalg.norm(d, axis=1)
        near = r < shell.radial.cutoff
        if near.any():
            values = interpolate(shell.radial)(r[near])
            total[:, near] += values * solid_harmonics(shell.l, d[near]).T[shell.l**2 :]
    return total


def test_superposition_against_direct_sums():
    functions = {3: [radial(0.5, 4.9, 0.007), radial(1.0, 2.0)], 21: [radial(0.9, 3.0), None]}
    fields = superpose(ATOMS, MESH, functions)
    expected = np.zeros_like(fields)
    for atom, number in enumerate(ATOMS.numbers):
        for field, function in zip(expected, functions[int(number)]):
            if function is not None:
                field += np.sqrt(4 * np.pi) * direct(atom, Shell(0, "s", function)).reshape(MESH.shape)
    np.testing.assert_allclose(fields, expected, atol=1e-12)
    parts = sum(superpose(ATOMS, MESH, functions, atoms=part) for part in (range(0, 1), range(1, 3)))
    np.testing.assert_allclose(parts, fields, atol=1e-13)


def test_multipoles_against_direct_sums_and_projection():
    rng = np.random.default_rng(1)
    rows = np.concatenate([direct(a, s) for a, z in enumerate(ATOMS.numbers) for s in FUNCTIONS[int(z)]])
    coefficients, field = rng.normal(size=len(rows)), rng.normal(size=MESH.shape)
    density = superpose_multipoles(ATOMS, MESH, FUNCTIONS, coefficients)
    expected = coefficients @ rows
    np.testing.assert_allclose(density.ravel(), expected, atol=1e-8 * np.abs(expected).max())
    projections = project_multipoles(ATOMS, MESH, FUNCTIONS, field)
    exact = rows @ field.ravel()
    np.testing.assert_allclose(projections, exact, atol=1e-8 * np.abs(exact).max())
    # one is the other's transpose, whatever the interpolation does
    assert projections @ coefficients == pytest.approx((field * density).sum(), rel=1e-12)


def test_multipoles_on_one_grid_are_their_own_splines():
    """Functions that share a grid, some with a kink inside, are met to rounding; so is one on a cut grid."""
    r = 0.05 * np.arange(61)
    kinked = RadialFunction(0.05, np.where(r < 2.0, (2.0 - r) * np.exp(-r * r), 0.0), 2.98)
    smooth = RadialFunction(0.05, np.exp(-r * r) * (2.98 - r), 2.98)
    own = [Shell(0, "s", smooth), Shell(4, "g", kinked), Shell(2, "d", kinked), Shell(1, "p", smooth)]
    functions = dict.fromkeys((3, 21), own)
    rows = np.concatenate([direct(a, s) for a in range(3) for s in own])
    coefficients = np.random.default_rng(4).normal(size=len(rows))
    density = superpose_multipoles(ATOMS, MESH, functions, coefficients)
    np.testing.assert_allclose(density.ravel(), coefficients @ rows, atol=1e-11)


def test_functions_end_where_the_ringing_of_their_spline_has_gone():
    r = 0.02 * np.arange(151)
    short = RadialFunction(0.02, np.where(r < 1.0, (1.0 - r) ** 2, 0.0), 3.0)
    table = MultipoleTable.of([Shell(0, "s", radial(0.5, 3.0)), Shell(3, "f", short)], 8)
    assert table.l_max == 3
    assert table.ends[0] >= 149
    assert table.ends[1] == table.ends[2] == 0
    assert 50 <= table.ends[3] < 85


def test_table_contracts_and_expands_as_transposes():
    rng, table = np.random.default_rng(5), MultipoleTable.of(FUNCTIONS[21], 21)
    coefficients = rng.normal(size=int((2 * table.l + 1).sum()))
    sums = rng.normal(size=(len(table.values), 4, 25))
    left = float((table.contract(coefficients) * sums).sum())
    assert left == pytest.approx(float(coefficients @ table.expand(sums)), rel=1e-12)


def test_ranges_of_atoms_add_up():
    rng = np.random.default_rng(2)
    n = sum(s.n_orbitals for z in ATOMS.numbers for s in FUNCTIONS[int(z)])
    coefficients, field = rng.normal(size=n), rng.normal(size=MESH.shape)
    parts = (range(0, 2), range(2, 3))
    whole = superpose_multipoles(ATOMS, MESH, FUNCTIONS, coefficients)
    pieces = sum(superpose_multipoles(ATOMS, MESH, FUNCTIONS, coefficients, atoms=p) for p in parts)
    np.testing.assert_allclose(pieces, whole, atol=1e-12)
    projections = sum(project_multipoles(ATOMS, MESH, FUNCTIONS, field, atoms=p) for p in parts)
    np.testing.assert_array_equal(projections, project_multipoles(ATOMS, MESH, FUNCTIONS, field))


def test_unsuitable_input_is_refused():
    with pytest.raises(InputError, match="Z = 21"):
        superpose(ATOMS, MESH, {3: [None]})
    with pytest.raises(InputError, match="different numbers"):
        superpose(ATOMS, MESH, {3: [None], 21: [None, None]})
    with pytest.raises(InputError, match="coefficients"):
        superpose_multipoles(ATOMS, MESH, FUNCTIONS, np.zeros(3))
    with pytest.raises(InputError, match="field"):
        project_multipoles(ATOMS, MESH, FUNCTIONS, np.zeros((2, 2, 2)))
    high = {z: [Shell(5, "h", radial(1.0, 2.0))] for z in (3, 21)}
    with pytest.raises(InputError, match="l = 5"):
        superpose_multipoles(ATOMS, MESH, high, np.zeros(33))
