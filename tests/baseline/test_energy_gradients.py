"""Derivatives of the parts of the energy: against differences of the energies, and closed forms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import erf

from n2amd.baseline.bond_energy import bond_energy
from n2amd.baseline.density_matrix import density_matrix, filled_states, matrix_of_states
from n2amd.baseline.energy_gradient import EnergyGradient
from n2amd.baseline.kinetic import kinetic_table
from n2amd.baseline.mesh_integrals import density_on_mesh
from n2amd.baseline.mesh_integrals_gradient import density_gradient
from n2amd.baseline.mesh_potential import hartree_potential, xc_potential
from n2amd.baseline.mesh_strain import hartree_strain, xc_strain
from n2amd.baseline.neutral_pairs import NeutralPairs
from n2amd.baseline.nonlocal_energy import nonlocal_energy
from n2amd.baseline.nonlocal_potential import nonlocal_matrix
from n2amd.baseline.projector_table import projector_table
from n2amd.baseline.smearing import Smearing
from n2amd.baseline.superposition import superpose
from n2amd.baseline.superposition_gradient import superposition_gradient
from n2amd.blocks.matrix import BlockMatrix, inner_product
from n2amd.blocks.pairs import find_pairs
from n2amd.dft.siesta.frame import read_frame
from n2amd.errors import InputError
from n2amd.frames.ingredients import AtomIngredients, Ingredients
from n2amd.frames.mesh import Mesh
from n2amd.orbitals.basis import AtomBasis, Basis, RadialFunction, Shell
from n2amd.orbitals.two_centre import OverlapTable
from n2amd.structure import Structure

DATA = Path(__file__).parents[1] / "data"
CELL = np.array([[3.1, 0.0, 0.2], [0.9, 2.8, 0.0], [-0.4, 0.7, 3.4]])
SHAPE = (9, 8, 10)
UNITS = {"rydberg": 13.6, "bohr": 0.529}
STEP = 1e-4


def radial(exponent: float, cutoff: float, step: float) -> RadialFunction:
    """A Gaussian that goes to zero smoothly at its cutoff."""
    r = step * np.arange(round(cutoff / step) + 1)
    return RadialFunction(step, np.exp(-exponent * r**2) * (1 - (r / cutoff) ** 2) ** 6, cutoff)


def small_cell() -> Structure:
    """Three atoms, of which one lies outside the cell; each reaches many of its own images."""
    fractional = np.array([[0.1, 0.2, 0.3], [0.55, 0.6, 0.8], [1.7, -0.4, 0.45]])
    return Structure(CELL, fractional @ CELL, np.array([21, 3, 3]))


def orbitals() -> Basis:
    """Shells of every l up to 4."""
    light = (Shell(0, "s", radial(1.0, 1.9, 0.02)), Shell(1, "p", radial(0.8, 2.1, 0.03)))
    heavy = (
        Shell(2, "d", radial(1.1, 1.8, 0.018)),
        Shell(3, "f", radial(0.9, 2.2, 0.022)),
        Shell(4, "g", radial(1.0, 2.0, 0.02)),
    )
    return Basis({3: AtomBasis(3, light, 1.0), 21: AtomBasis(21, heavy, 3.0)})


def random_density(basis: Basis, structure: Structure, n_spin: int) -> BlockMatrix:
    ranges = {(a, b): basis[a].cutoff + basis[b].cutoff for a in basis.numbers for b in basis.numbers}
    pairs = find_pairs(structure, {k: v for k, v in ranges.items() if k[0] <= k[1]}, half=True)
    rng, values = np.random.default_rng(2), {}
    for (a, b), index in pairs.items():
        blocks = rng.normal(size=(n_spin, len(index), basis[a].n_orbitals, basis[b].n_orbitals))
        if a == b:
            on = index.on_site
            blocks[:, on] = (blocks[:, on] + blocks[:, on].swapaxes(-1, -2)) / 2
        values[a, b] = blocks
    return BlockMatrix(pairs, values)


def strained(structure: Structure, strain: np.ndarray) -> Structure:
    turn = (np.eye(3) + strain).T
    return replace(structure, cell=structure.cell @ turn, positions=structure.positions @ turn)


def check(energy: Callable[[Structure], float], found: EnergyGradient, structure: Structure, accuracy: float):
    """Compare forces on every atom, along one direction each, and two elements of the strain."""
    scale = np.abs(found.forces).max()
    for atom, axis in enumerate((0, 1, 2)[: structure.n_atoms]):
        moves = [structure.positions.copy(), structure.positions.copy()]
        moves[0][atom, axis] += STEP
        moves[1][atom, axis] -= STEP
        up, down = (energy(structure.with_positions(p)) for p in moves)
        assert found.forces[atom, axis] == pytest.approx((down - up) / (2 * STEP), abs=accuracy * scale)
    scale = np.abs(found.strain).max()
    for a, b in ((0, 0), (1, 2)):
        change = np.zeros((3, 3))
        change[a, b] = STEP
        up, down = (energy(strained(structure, sign * change)) for sign in (1, -1))
        assert found.strain[a, b] == pytest.approx((up - down) / (2 * STEP), abs=accuracy * scale)


@pytest.mark.parametrize("n_spin", [1, 2])
def test_density_in_a_potential(n_spin):
    basis, structure = orbitals(), small_cell()
    D = random_density(basis, structure, n_spin)
    mesh = Mesh(CELL, SHAPE)
    V = np.random.default_rng(3).normal(size=(n_spin, *SHAPE))

    def energy(moved):
        # without the change of the volume
        return (
            float((density_on_mesh(basis, moved, Mesh(moved.cell, SHAPE), D) * V).sum()) * mesh.volume_element
        )

    for edge in (5, 40):
        check(energy, density_gradient(basis, structure, mesh, D, V, edge=edge), structure, 1e-6)
    with pytest.raises(InputError, match="spins"):
        density_gradient(basis, structure, mesh, D, np.zeros((3, *SHAPE)))


def test_superposed_functions_in_fields():
    structure, mesh = small_cell(), Mesh(CELL, SHAPE)
    functions = {3: [radial(0.5, 2.9, 0.02), None], 21: [radial(0.7, 2.0, 0.03), radial(0.9, 3.3, 0.02)]}
    V = np.random.default_rng(4).normal(size=(2, *SHAPE))

    def energy(moved):
        return float((superpose(moved, Mesh(moved.cell, SHAPE), functions) * V).sum()) * mesh.volume_element

    check(energy, superposition_gradient(structure, mesh, functions, V), structure, 1e-6)


@pytest.mark.parametrize("functional", ["PBE", "PW92"])
@pytest.mark.parametrize("n_spin", [1, 2])
def test_strain_of_a_density_at_fixed_points(functional, n_spin):
    density = np.random.default_rng(5).uniform(0.05, 0.5, size=(n_spin, *SHAPE))

    def energies(cell):
        mesh = Mesh(cell, SHAPE)
        shape = density[0] if n_spin == 1 else density
        total = density.sum(axis=0)
        potential = hartree_potential(total, mesh, **UNITS).numpy()
        xc, _ = xc_potential(torch.from_numpy(shape), mesh, functional, **UNITS)
        return xc, float((potential * total).sum()) * mesh.volume_element / 2

    xc, hartree = energies(CELL)
    mesh = Mesh(CELL, SHAPE)
    found = (
        xc_strain(density, mesh, functional, xc, **UNITS, scheme="siesta"),
        hartree_strain(density.sum(axis=0), mesh, hartree, **UNITS),
    )
    for a, b in ((0, 0), (1, 2), (2, 1)):
        change = np.zeros((3, 3))
        change[a, b] = STEP
        ends = [energies(CELL @ (np.eye(3) + sign * change).T) for sign in (1, -1)]
        for strain, up, down in zip(found, *ends):
            expected = (up - down) / (2 * STEP)
            assert strain[a, b] == pytest.approx(expected, abs=1e-6 * np.abs(strain).max())


@pytest.fixture(scope="module")
def silicon():
    """Silicon off its ideal sites, with the density matrix of the ideal ones."""
    frame, basis = read_frame(DATA / "honpas-si2" / "frame_0000", "honpas")
    moved = frame.structure.positions + np.array([[0.1, 0.0, -0.1], [0.0, 0.2, 0.1]])
    return replace(frame, structure=frame.structure.with_positions(moved)), basis


def test_nonlocal_and_kinetic_energy(silicon):
    frame, basis = silicon
    structure, D, found = frame.structure, density_matrix(frame, basis), frame.ingredients
    table = projector_table(basis, found)
    energy = nonlocal_energy(table, structure, D)
    expected = inner_product(D, nonlocal_matrix(table, basis, structure, D.pairs))
    assert energy.energy == pytest.approx(expected, rel=1e-12)
    check(lambda s: nonlocal_energy(table, s, D).energy, energy, structure, 1e-6)
    kinetic = kinetic_table(basis, found.rydberg, found.bohr)
    check(lambda s: bond_energy(kinetic, s, D).energy, bond_energy(kinetic, structure, D), structure, 1e-6)


@pytest.mark.parametrize("smearing", [Smearing(0.5), Smearing(1.0, 1)], ids=str)
def test_energy_weighted_matrix_is_the_derivative_with_the_overlap(silicon, smearing):
    """With H fixed, the free energy of the bands changes by -sum W dS; occupations move with the levels."""
    frame, basis = silicon
    table = OverlapTable.from_basis(basis)
    pairs = frame.overlap.pairs

    def states(structure):
        S = BlockMatrix(pairs, {k: table.evaluate(k, i.vectors(structure))[None] for k, i in pairs.items()})
        moved = replace(frame, structure=structure, overlap=S)
        return filled_states(moved, basis, smearing=smearing)

    def energy(structure):
        solved = states(structure)
        bands = (solved.occupations * solved.levels).sum(axis=(1, 2))
        return 2 * float(solved.weights @ bands) + solved.smearing_energy

    W = matrix_of_states(states(frame.structure), frame, basis, pairs, energy_weighted=True)
    minus = W.map({key: -values for key, values in W.values.items()})
    check(energy, bond_energy(table, frame.structure, minus), frame.structure, 1e-5)


def gaussian_ions() -> Ingredients:
    """Gaussian charges of 3 and 2 as ions, wide enough to overlap, and of other widths as electrons."""
    coulomb = 2 * UNITS["rydberg"] * UNITS["bohr"]
    r = 0.01 * np.arange(601)
    atoms = {}
    for z, charge, ion, electrons in ((5, 3.0, 0.7, 1.0), (7, 2.0, 0.5, 0.9)):
        # at r = 0 erf(r / w) / r is 2 / (sqrt(pi) w)
        inner, outer = (
            np.where(r > 0, erf(r / w) / np.maximum(r, 1e-9), 2 / (np.sqrt(np.pi) * w))
            for w in (ion, electrons)
        )
        density = charge * np.exp(-((r / electrons) ** 2)) / (np.pi**1.5 * electrons**3)
        atoms[z] = AtomIngredients(
            z,
            (),
            RadialFunction(0.01, coulomb * charge * (outer - inner), 6.0),
            RadialFunction(0.01, density, 6.0),
        )
    return Ingredients("siesta", "PBE", 100.0, **UNITS, atoms=atoms)


@pytest.mark.parametrize(("other", "charge", "ion", "electrons"), [(5, 3.0, 0.7, 1.0), (7, 2.0, 0.5, 0.9)])
def test_neutral_atoms_of_gaussians(other, charge, ion, electrons):
    """Ions are points to each other, and Gaussians to the electrons."""
    pairs, distance = NeutralPairs.of(gaussian_ions()), 1.3
    coulomb = 2 * UNITS["rydberg"] * UNITS["bohr"]

    def between(first: float, second: float) -> float:
        return erf(distance / np.hypot(first, second)) / distance

    expected = 1 / distance - between(0.7, electrons) - between(1.0, ion) + between(1.0, electrons)
    structure = Structure(20 * np.eye(3), np.array([[0, 0, 0], [0.5, 1.2, 0]]), np.array([5, other]))
    energy = pairs.energy(structure)
    apart = energy.energy - pairs.own[5] - pairs.own[other]
    assert apart == pytest.approx(coulomb * 3 * charge * expected, abs=2e-6)
    check(lambda s: pairs.energy(s).energy, energy, structure, 1e-6)


def test_own_energies_of_gaussians():
    pairs = NeutralPairs.of(gaussian_ions())
    unit = 2 * UNITS["rydberg"] * UNITS["bohr"] / np.sqrt(np.pi)
    # a Gaussian of width w has the energy q^2 / (sqrt(2 pi) w) in its own field
    of_ion, of_electrons, cross = 1 / (np.sqrt(2) * 0.7), 1 / np.sqrt(2), 1 / np.hypot(0.7, 1.0)
    assert pairs.ions[5] == pytest.approx(unit * 9 * of_ion, rel=1e-6)
    assert pairs.own[5] == pytest.approx(unit * 9 * (of_ion + of_electrons - 2 * cross), rel=1e-6)
    assert pairs.of_ions(np.array([5, 7, 7])) == pytest.approx(pairs.ions[5] + 2 * pairs.ions[7])
