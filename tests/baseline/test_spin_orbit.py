"""Spin-orbit coupling: levels of one atom, rotations of space and spin, time reversal."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
from relativistic_atoms import BASIS, CELL, CRYSTAL, INGREDIENTS, LOWER, UPPER
from scipy.spatial.transform import Rotation

from n2amd.baseline.nonlocal_potential import nonlocal_matrix
from n2amd.baseline.projector_table import projector_table
from n2amd.baseline.spin_orbit import SpinOrbit, angular_momentum, with_spin_orbit
from n2amd.blocks.matrix import fold_spinor
from n2amd.errors import InputError
from n2amd.frames.ingredients import Ingredients
from n2amd.orbitals.harmonics import real_harmonics, real_wigner
from n2amd.orbitals.two_centre import OverlapTable, overlap
from n2amd.structure import Structure

PAULI = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
GAMMA = np.zeros((1, 3))


@pytest.mark.parametrize("l", [1, 2, 3])
def test_angular_momentum_is_that_of_the_harmonics(l: int) -> None:
    momentum = 1j * angular_momentum(l)
    x, y, z = momentum
    np.testing.assert_allclose(x @ y - y @ x, 1j * z, atol=1e-12)
    np.testing.assert_allclose(sum(c @ c for c in momentum), l * (l + 1) * np.eye(2 * l + 1), atol=1e-12)
    # exp(-i angle L) turns functions: Y_m(R^-1 r) = sum_n Y_n(r) <n|exp(-i angle L)|m>
    points = np.random.default_rng(l).normal(size=(40, 3))
    points /= np.linalg.norm(points, axis=1)[:, None]
    for axis, component in zip(np.eye(3), momentum):
        turned = points @ Rotation.from_rotvec(0.3 * axis).as_matrix()
        expected = np.asarray(real_harmonics(l, points)) @ scipy.linalg.expm(-0.3j * component)
        np.testing.assert_allclose(np.asarray(real_harmonics(l, turned)), expected, atol=1e-12)


@pytest.mark.parametrize(("number", "l"), [(6, 1), (42, 2)])
def test_levels_of_an_atom_are_those_of_its_total_momenta(number: int, l: int) -> None:
    atom = Structure(12 * np.eye(3), np.zeros((1, 3)), np.array([number]))
    spin_orbit = SpinOrbit.of(BASIS, INGREDIENTS).matrix(atom)
    scalar = nonlocal_matrix(projector_table(BASIS, INGREDIENTS), BASIS, atom, spin_orbit.pairs)
    offsets = BASIS.orbital_offsets(atom.numbers)
    levels = np.linalg.eigvalsh(fold_spinor(with_spin_orbit(scalar, spin_orbit), offsets, GAMMA)[0])
    table = projector_table(BASIS, INGREDIENTS)
    weight = np.abs(table.splines[number, number].evaluate(np.zeros((1, 3)))[0]).max() ** 2
    others = 2 * (int(offsets[-1]) - (2 * l + 1))
    expected = np.sort([UPPER * weight] * (2 * l + 2) + [LOWER * weight] * (2 * l) + [0.0] * others)
    np.testing.assert_allclose(levels, expected, atol=1e-9)


def test_covariant_under_rotations_of_space_and_spin() -> None:
    rotation = Rotation.from_rotvec([0.7, -1.1, 0.4])
    matrix = rotation.as_matrix()
    turned = Structure(CELL @ matrix.T, CRYSTAL.positions @ matrix.T, CRYSTAL.numbers)
    spin_orbit = SpinOrbit.of(BASIS, INGREDIENTS)
    offsets = BASIS.orbital_offsets(CRYSTAL.numbers)
    k = np.array([0.13, -0.2, 0.41])
    before, after = (fold_spinor(spin_orbit.matrix(s), offsets, k[None])[0] for s in (CRYSTAL, turned))
    shells = [shell.l for z in CRYSTAL.numbers for shell in BASIS[int(z)].shells]
    space = scipy.linalg.block_diag(*(np.asarray(real_wigner(l, matrix)) for l in shells))
    spin = scipy.linalg.expm(-0.5j * np.einsum("a,aij->ij", rotation.as_rotvec(), PAULI))
    turn = np.kron(spin, space)
    assert np.abs(before).max() > 0.1
    np.testing.assert_allclose(after, turn @ before @ turn.conj().T, atol=1e-9)


def test_time_reversal_leaves_pairs() -> None:
    spin_orbit = SpinOrbit.of(BASIS, INGREDIENTS).matrix(CRYSTAL)
    scalar = nonlocal_matrix(projector_table(BASIS, INGREDIENTS), BASIS, CRYSTAL, spin_orbit.pairs)
    both = with_spin_orbit(scalar, spin_orbit)
    offsets = BASIS.orbital_offsets(CRYSTAL.numbers)
    half = overlap(OverlapTable.from_basis(BASIS), CRYSTAL)
    # the last k is no invariant one, and the crystal has no inversion: no pairs there
    kpoints = np.array([[0, 0, 0], [0.5, 0, 0.5], [0.13, -0.2, 0.41]])
    h, s = (fold_spinor(matrix, offsets, kpoints) for matrix in (both, half))
    *invariant, other = (scipy.linalg.eigvalsh(*pair) for pair in zip(h, s))
    for levels in invariant:
        np.testing.assert_allclose(levels[::2], levels[1::2], atol=1e-9)
        assert np.diff(levels[::2]).max() > 0.05
    assert np.abs(other[::2] - other[1::2]).max() > 1e-3


def test_ingredients_keep_split_projectors_and_their_hash_without() -> None:
    assert Ingredients.from_json(INGREDIENTS.to_json()).to_json() == INGREDIENTS.to_json()
    again = Ingredients.from_json(INGREDIENTS.to_json())
    assert [p.upper for p in again[42].split_projectors] == [True, False]
    atoms = {z: replace(atom, split_projectors=()) for z, atom in INGREDIENTS.atoms.items()}
    assert "split" not in replace(INGREDIENTS, atoms=atoms).to_json()


def test_scalar_pseudopotentials_are_refused() -> None:
    atoms = {z: replace(atom, split_projectors=()) for z, atom in INGREDIENTS.atoms.items()}
    with pytest.raises(InputError, match="scalar relativistic"):
        SpinOrbit.of(BASIS, replace(INGREDIENTS, atoms=atoms))
