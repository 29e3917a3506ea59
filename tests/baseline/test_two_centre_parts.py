"""Kinetic energy and non-local pseudopotential against closed formulas of Gaussians."""

from __future__ import annotations

import numpy as np
import pytest

from n2amd.baseline.kinetic import kinetic_table
from n2amd.baseline.nonlocal_potential import nonlocal_matrix
from n2amd.baseline.projector_table import interaction_ranges, projector_table
from n2amd.blocks.pairs import find_pairs
from n2amd.frames.ingredients import AtomIngredients, Ingredients, Projector
from n2amd.orbitals.basis import AtomBasis, Basis, RadialFunction, Shell
from n2amd.orbitals.two_centre import overlap
from n2amd.structure import Structure
from n2amd.units import SIESTA_BOHR_ANGSTROM as BOHR
from n2amd.units import SIESTA_RYDBERG_EV as RYDBERG

#: Exponents of orbitals and projectors, 1/A^2, and energies of the projectors, eV.
ORBITALS, PROJECTORS, ENERGIES = {1: 1.3, 6: 0.9}, {1: 2.5, 6: 3.1}, {1: -4.0, 6: 7.0}
SPEED = RYDBERG * BOHR**2


def gaussian(exponent: float, l: int = 0) -> RadialFunction:
    """Normalised Gaussian R / r^l that has faded to 1e-14 at its end."""
    cutoff = np.sqrt(32 / exponent)
    r = np.linspace(0, cutoff, 801)
    norm = {0: np.pi / 16, 1: 3 * np.pi / 64}[l] * np.sqrt(2 / np.pi)
    values = np.exp(-exponent * r**2) / np.sqrt(norm * exponent ** -(l + 1.5))
    return RadialFunction(r[1], values, cutoff)


def s_overlap(a: float, b: float, distance):
    return (2 * np.sqrt(a * b) / (a + b)) ** 1.5 * np.exp(-a * b / (a + b) * distance**2)


@pytest.fixture(scope="module")
def basis() -> Basis:
    return Basis({z: AtomBasis(z, (Shell(0, "1s", gaussian(a)),)) for z, a in ORBITALS.items()})


@pytest.fixture(scope="module")
def ingredients() -> Ingredients:
    nothing = RadialFunction(0.1, np.zeros(11), 1.0)
    atoms = {
        z: AtomIngredients(z, (Projector(Shell(0, "l0 n1", gaussian(a)), ENERGIES[z]),), nothing, nothing)
        for z, a in PROJECTORS.items()
    }
    return Ingredients("siesta", "PBE", 200.0, RYDBERG, BOHR, atoms)


@pytest.fixture(scope="module")
def crystal() -> Structure:
    """A cell so small that atoms see several images of each other and of themselves."""
    cell = np.array([[3.1, 0.2, 0.0], [-0.4, 3.6, 0.3], [0.1, 0.0, 4.2]])
    return Structure(
        cell, np.array([[0.1, 0.2, 0.3], [1.4, 1.9, 5.0], [-2.2, 1.0, 1.9]]), np.array([1, 6, 1])
    )


def test_kinetic_energy_of_gaussians(basis, crystal):
    matrix = overlap(kinetic_table(basis, RYDBERG, BOHR), crystal)
    for (a, b), index in matrix.pairs.items():
        mu = ORBITALS[a] * ORBITALS[b] / (ORBITALS[a] + ORBITALS[b])
        distance = np.linalg.norm(index.vectors(crystal), axis=1)
        expected = SPEED * 2 * mu * (3 - 2 * mu * distance**2) * s_overlap(ORBITALS[a], ORBITALS[b], distance)
        # the Gaussians end: what is cut off is curved by k^2
        np.testing.assert_allclose(matrix.values[a, b][0, :, 0, 0], expected, atol=2e-8)


def test_kinetic_energy_of_p_orbitals_is_a_tensor():
    a, z = 1.1, np.array([0.0, 0.0, 1.7])
    basis = Basis({6: AtomBasis(6, (Shell(1, "2p", gaussian(a, 1)),))})
    along, across = np.diag(kinetic_table(basis, RYDBERG, BOHR).evaluate((6, 6), z[None])[0])[[1, 0]]
    # of Gaussians along one axis: s = <0|0>, p = <1|1>, and minus their second derivatives with the distance
    x = a * z[2] ** 2 / 2
    s, p = np.exp(-x), np.exp(-x) * (1 - 2 * x)
    s_bent, p_bent = a * np.exp(-x) * (1 - 2 * x), a * np.exp(-x) * (3 - 12 * x + 4 * x**2)
    assert along == pytest.approx(SPEED * (p_bent + 2 * a * p), abs=1e-7)
    assert across == pytest.approx(SPEED * (3 * a * s + a * s + s_bent), abs=1e-7)


def expected_potential(structure: Structure, index, a: int, b: int) -> np.ndarray:
    """The sum over projectors of all images, in closed form."""
    shifts = np.stack(np.meshgrid(*[np.arange(-5, 6)] * 3, indexing="ij"), -1).reshape(-1, 3) @ structure.cell
    start = structure.positions[index.i]
    end = start + index.vectors(structure)
    total = np.zeros(len(index))
    for position, z in zip(structure.positions, structure.numbers):
        for centre in position + shifts:
            left, right = (np.linalg.norm(x - centre, axis=1) for x in (start, end))
            bra = s_overlap(ORBITALS[a], PROJECTORS[z], left)
            total += bra * ENERGIES[z] * s_overlap(ORBITALS[b], PROJECTORS[z], right)
    return total


def test_nonlocal_potential_of_gaussians(basis, ingredients, crystal):
    matrix = nonlocal_matrix(projector_table(basis, ingredients), basis, crystal)
    assert set(matrix.pairs) == {(1, 1), (1, 6), (6, 6)}
    for (a, b), index in matrix.pairs.items():
        expected = expected_potential(crystal, index, a, b)
        np.testing.assert_allclose(matrix.values[a, b][0, :, 0, 0], expected, atol=1e-8)


def test_all_pairs_are_those_within_the_interaction_ranges(basis, ingredients, crystal):
    matrix = nonlocal_matrix(projector_table(basis, ingredients), basis, crystal)
    wide = find_pairs(crystal, interaction_ranges(basis, ingredients), half=True)
    listed = nonlocal_matrix(projector_table(basis, ingredients), basis, crystal, wide)
    for key, index in matrix.pairs.items():
        assert len(wide[key]) >= len(index)
        found = {(i, j, *r) for i, j, r in zip(index.i, index.j, index.shift.tolist())}
        inside = np.array(
            [(i, j, *r) in found for i, j, r in zip(wide[key].i, wide[key].j, wide[key].shift.tolist())]
        )
        assert inside.sum() == len(index)
        np.testing.assert_array_equal(listed.values[key][:, inside], matrix.values[key])
        assert not listed.values[key][:, ~inside].any()


def test_pairs_may_be_given_in_any_order(basis, ingredients, crystal):
    table = projector_table(basis, ingredients)
    matrix = nonlocal_matrix(table, basis, crystal)
    rng = np.random.default_rng(3)
    orders = {key: rng.permutation(len(index))[::2] for key, index in matrix.pairs.items()}
    some = nonlocal_matrix(
        table, basis, crystal, {key: matrix.pairs[key].select(order) for key, order in orders.items()}
    )
    for key, order in orders.items():
        np.testing.assert_array_equal(some.values[key], matrix.values[key][:, order])


def test_centres_are_worked_on_in_batches(basis, ingredients, crystal, monkeypatch):
    table = projector_table(basis, ingredients)
    whole = nonlocal_matrix(table, basis, crystal)
    monkeypatch.setattr("n2amd.baseline.nonlocal_potential.CENTRES", 1)
    for key, values in nonlocal_matrix(table, basis, crystal).values.items():
        np.testing.assert_allclose(values, whole.values[key], atol=1e-13)


def test_elements_without_projectors(basis, ingredients, crystal):
    atoms = dict(ingredients.atoms)
    atoms[1] = AtomIngredients(1, (), atoms[1].neutral_potential, atoms[1].density)
    some = Ingredients("siesta", "PBE", 200.0, RYDBERG, BOHR, atoms)
    table = projector_table(basis, some)
    assert set(table.splines) == {(1, 6), (6, 6)}
    assert len(nonlocal_matrix(table, basis, crystal).pairs[1, 1])
    reach = {z: np.sqrt(32 / a) for z, a in ORBITALS.items()}
    expected = reach[1] + reach[6] + 2 * np.sqrt(32 / PROJECTORS[6])
    assert interaction_ranges(basis, some)[1, 6] == pytest.approx(expected)
    atoms[6] = AtomIngredients(6, (), atoms[1].neutral_potential, atoms[1].density)
    none = Ingredients("siesta", "PBE", 200.0, RYDBERG, BOHR, atoms)
    assert interaction_ranges(basis, none)[1, 6] == pytest.approx(reach[1] + reach[6])
    assert nonlocal_matrix(projector_table(basis, none), basis, crystal).pairs == {}
