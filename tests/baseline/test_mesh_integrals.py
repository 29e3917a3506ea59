"""Integrals on a mesh: against dense sums, two-centre integrals, their adjoint, and under symmetries."""

from __future__ import annotations

import numpy as np
import pytest

from n2amd.baseline.compiled_harmonics import MAX_L, solid_point, solid_rows
from n2amd.baseline.mesh_integrals import box_count, density_on_mesh, potential_matrix
from n2amd.baseline.mesh_integrals_torch import density_on_mesh_torch, potential_matrix_torch
from n2amd.blocks.matrix import BlockMatrix, fold, inner_product
from n2amd.blocks.pairs import find_pairs
from n2amd.errors import InputError
from n2amd.frames.mesh import Mesh
from n2amd.orbitals.basis import AtomBasis, Basis, PaoTable, RadialFunction, Shell
from n2amd.orbitals.bessel_transform import interpolate
from n2amd.orbitals.harmonics import solid_harmonics
from n2amd.orbitals.two_centre import OverlapTable, overlap
from n2amd.structure import Structure

SKEW = np.array([[3.1, 0.0, 0.2], [0.9, 2.8, 0.0], [-0.4, 0.7, 3.4]])


def radial(exponent: float, cutoff: float, step: float, l: int = 0) -> RadialFunction:
    """A Gaussian that goes to zero smoothly at its cutoff, normalised."""
    r = step * np.arange(round(cutoff / step) + 1)
    values = np.exp(-exponent * r**2) * (1 - (r / cutoff) ** 2) ** 6
    return RadialFunction(step, values / np.sqrt(np.sum((values * r ** (l + 1)) ** 2) * step), cutoff)


def two_elements() -> Basis:
    """Shells of several l in an order that is not that of their reaches."""
    light = (
        Shell(0, "1s", radial(1.5, 1.6, 0.02)),
        Shell(1, "2p", radial(0.8, 2.1, 0.03, 1)),
        Shell(0, "2s", radial(0.7, 2.4, 0.024)),
    )
    heavy = (Shell(2, "3d", radial(1.1, 1.8, 0.018, 2)), Shell(3, "4f", radial(0.9, 2.2, 0.022, 3)))
    return Basis({3: AtomBasis(3, light, 1.0), 21: AtomBasis(21, heavy, 3.0)})


def small_cell(cell: np.ndarray = SKEW) -> Structure:
    """Three atoms, of which one lies outside the cell; each reaches many of its own images."""
    fractional = np.array([[0.1, 0.2, 0.3], [0.55, 0.6, 0.8], [1.7, -0.4, 0.45]])
    return Structure(cell, fractional @ cell, np.array([21, 3, 3]))


def ranges(basis: Basis) -> dict[tuple[int, int], float]:
    return {(a, b): basis[a].cutoff + basis[b].cutoff for a in basis.numbers for b in basis.numbers if a <= b}


def dense_orbitals(basis: Basis, structure: Structure, mesh: Mesh) -> dict[tuple[int, ...], np.ndarray]:
    """Orbitals of every atom image at every point: {(atom, shift): (n_orbitals, n_points)}."""
    grid = np.stack(np.meshgrid(*map(np.arange, mesh.shape), indexing="ij"), -1).reshape(-1, 3)
    points = (grid / mesh.shape) @ mesh.cell
    result = {}
    for atom, number in enumerate(structure.numbers):
        for shift in np.ndindex(9, 9, 9):
            translation = np.array(shift) - 4
            d = points - structure.positions[atom] - translation @ structure.cell
            r = np.linalg.norm(d, axis=1)
            if r.min() > basis[number].cutoff:
                continue
            parts = []
            for shell in basis[number].shells:
                values = np.where(r < shell.radial.cutoff, interpolate(shell.radial)(r), 0.0)
                parts.append(values * solid_harmonics(shell.l, d).T[shell.l**2 :])
            result[(atom, *translation)] = np.concatenate(parts)
    return result


def dense_matrix(basis, structure, mesh, potential, pairs):
    """Sum over points, pair by pair."""
    phi = dense_orbitals(basis, structure, mesh)
    weights = potential.ravel() * mesh.volume_element
    result = {}
    for (a, b), index in pairs.items():
        blocks = np.zeros((len(index), basis[a].n_orbitals, basis[b].n_orbitals))
        for block, i, j, shift in zip(blocks, index.i, index.j, index.shift):
            for (atom, *s), left in phi.items():
                right = phi.get((j, *(np.array(s) + shift))) if atom == i else None
                if right is not None:
                    block += (left * weights) @ right.T
        result[a, b] = blocks
    return result


def random_matrix(basis: Basis, pairs, rng: np.random.Generator, n_spin: int = 1) -> BlockMatrix:
    values = {}
    for (a, b), index in pairs.items():
        blocks = rng.normal(size=(n_spin, len(index), basis[a].n_orbitals, basis[b].n_orbitals))
        if a == b:
            on = index.on_site
            blocks[:, on] = (blocks[:, on] + blocks[:, on].swapaxes(-1, -2)) / 2
        values[a, b] = blocks
    return BlockMatrix(pairs, values)


def shuffled(pairs, rng: np.random.Generator):
    """The same pairs in another order, some of equal species as their partners."""
    result = {}
    for (a, b), index in pairs.items():
        mixed = index.select(rng.permutation(len(index)))
        if a == b:
            turn = rng.random(len(mixed)) < 0.5
            other = mixed.reversed()
            mixed = type(index)(
                np.where(turn, other.i, mixed.i),
                np.where(turn, other.j, mixed.j),
                np.where(turn[:, None], other.shift, mixed.shift),
            )
        result[a, b] = mixed
    return result


def assert_equal(a, b, tolerance: float) -> None:
    assert a.keys() == b.keys()
    for key in a:
        np.testing.assert_allclose(a[key], b[key], rtol=0, atol=tolerance)


def test_compiled_harmonics_are_the_package_s():
    vectors = np.random.default_rng(1).normal(size=(7, 3))
    expected = solid_harmonics(MAX_L, vectors)
    for l_max in range(MAX_L + 1):
        n = (l_max + 1) ** 2
        rows, point = np.zeros((n, 7)), np.zeros(n)
        solid_rows(l_max, *np.ascontiguousarray(vectors.T), 7, rows)
        np.testing.assert_allclose(rows.T, expected[:, :n], atol=1e-13)
        solid_point(l_max, *vectors[3], point)
        np.testing.assert_allclose(point, expected[3, :n], atol=1e-13)


@pytest.mark.parametrize("edge", [3, 5, 40])
def test_small_skew_cell_against_dense_sums(edge):
    basis, structure, rng = two_elements(), small_cell(), np.random.default_rng(2)
    mesh = Mesh(SKEW, (9, 8, 10))
    potentials = rng.normal(size=(2, *mesh.shape))
    pairs = shuffled(find_pairs(structure, ranges(basis), half=True), rng)
    matrix = potential_matrix(basis, structure, mesh, potentials, pairs, edge=edge)
    for spin, potential in enumerate(potentials):
        expected = dense_matrix(basis, structure, mesh, potential, pairs)
        assert_equal({k: v[spin] for k, v in matrix.values.items()}, expected, 1e-12)


def test_density_and_potential_are_adjoint():
    basis, structure, rng = two_elements(), small_cell(), np.random.default_rng(3)
    mesh = Mesh(SKEW, (12, 10, 15))
    pairs = shuffled(find_pairs(structure, ranges(basis), half=True), rng)
    # shorter ranges than the orbitals': what is not listed counts as zero on both sides
    pairs = {key: index.select(np.arange(len(index)) % 3 < 2) for key, index in pairs.items()}
    potential = rng.normal(size=mesh.shape)
    D = random_matrix(basis, pairs, rng, n_spin=2)
    V = potential_matrix(basis, structure, mesh, potential, pairs)
    rho = density_on_mesh(basis, structure, mesh, D)
    for spin in range(2):
        one = D.map({key: v[spin : spin + 1] for key, v in D.values.items()})
        expected = (rho[spin] * potential).sum() * mesh.volume_element
        assert inner_product(one, V) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("cell", [np.diag([4.2, 3.9, 4.4]), 1.3 * SKEW], ids=["orthogonal", "skew"])
def test_unit_potential_gives_the_two_centre_overlap(cell):
    basis = Basis(
        {
            3: AtomBasis(
                3, (Shell(0, "s", radial(1.2, 2.6, 0.01)), Shell(1, "p", radial(1.4, 2.5, 0.01, 1)))
            ),
            21: AtomBasis(21, (Shell(2, "d", radial(1.3, 2.8, 0.01, 2)),)),
        }
    )
    structure = small_cell(cell)
    S = overlap(OverlapTable.from_basis(basis), structure)
    mesh = Mesh(cell, (32, 30, 36))
    matrix = potential_matrix(basis, structure, mesh, np.ones(mesh.shape), S.pairs)
    assert_equal(matrix.values, S.values, 1e-6)
    D = random_matrix(basis, S.pairs, np.random.default_rng(4))
    electrons = density_on_mesh(basis, structure, mesh, D).sum() * mesh.volume_element
    assert electrons == pytest.approx(inner_product(D, S), abs=1e-5)


def test_hermitian_and_the_same_after_a_move_by_mesh_steps():
    basis, structure, rng = two_elements(), small_cell(), np.random.default_rng(5)
    mesh = Mesh(SKEW, (9, 10, 12))
    potential = rng.normal(size=mesh.shape)
    pairs = find_pairs(structure, ranges(basis), half=True)
    matrix = potential_matrix(basis, structure, mesh, potential, pairs)
    for z in basis.numbers:
        blocks = matrix.values[z, z][0, pairs[z, z].on_site]
        np.testing.assert_allclose(blocks, blocks.swapaxes(-1, -2), atol=1e-13)
    steps = np.array([4, -7, 31])
    moved = structure.with_positions(structure.positions + (steps / mesh.shape) @ SKEW)
    rolled = np.roll(potential, steps, axis=(0, 1, 2))
    assert_equal(potential_matrix(basis, moved, mesh, rolled, pairs).values, matrix.values, 1e-12)


def test_cell_against_its_supercell():
    basis, structure, rng = two_elements(), small_cell(), np.random.default_rng(6)
    mesh, repeats = Mesh(SKEW, (9, 8, 10)), (2, 1, 2)
    large = structure.supercell(repeats)
    potential = rng.normal(size=mesh.shape)
    small = potential_matrix(
        basis, structure, mesh, potential, find_pairs(structure, ranges(basis), half=True)
    )
    wide = potential_matrix(
        basis,
        large,
        Mesh(large.cell, (18, 8, 20)),
        np.tile(potential, repeats),
        find_pairs(large, ranges(basis), half=True),
    )
    offsets = basis.orbital_offsets(structure.numbers)
    one = fold(small, offsets)
    many = fold(wide, basis.orbital_offsets(large.numbers))
    n = offsets[-1]
    np.testing.assert_allclose(many[:n].reshape(n, 4, n).sum(axis=1), one, atol=1e-11)


def test_orbitals_of_single_precision_leave_its_rounding():
    basis, structure, rng = two_elements(), small_cell(), np.random.default_rng(7)
    mesh = Mesh(SKEW, (10, 10, 10))
    potential = rng.normal(size=mesh.shape)
    pairs = find_pairs(structure, ranges(basis), half=True)
    double = potential_matrix(basis, structure, mesh, potential, pairs).values
    single = potential_matrix(basis, structure, mesh, potential, pairs, dtype=np.float32).values
    largest = max(np.abs(blocks).max() for blocks in double.values())
    errors = np.concatenate([np.abs(double[key] - single[key]).ravel() for key in pairs])
    assert single[min(pairs)].dtype == np.float64
    assert 0 < errors.max() < 1e-6 * largest


def test_ranges_of_boxes_add_up():
    basis, structure, rng = two_elements(), small_cell(), np.random.default_rng(7)
    mesh = Mesh(SKEW, (10, 10, 10))
    potential = rng.normal(size=mesh.shape)
    pairs = find_pairs(structure, ranges(basis), half=True)
    whole = potential_matrix(basis, structure, mesh, potential, pairs)
    n = box_count(mesh)
    parts = [
        potential_matrix(basis, structure, mesh, potential, pairs, boxes=part)
        for part in (range(0, 3), range(3, n))
    ]
    assert_equal({k: sum(p.values[k] for p in parts) for k in pairs}, whole.values, 1e-13)
    D = random_matrix(basis, pairs, rng)
    halves = [density_on_mesh(basis, structure, mesh, D, boxes=p) for p in (range(0, 3), range(3, n))]
    np.testing.assert_array_equal(sum(halves), density_on_mesh(basis, structure, mesh, D))


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_torch_reference(device):
    basis, structure, rng = two_elements(), small_cell(), np.random.default_rng(8)
    mesh = Mesh(SKEW, (9, 11, 10))
    pairs = shuffled(find_pairs(structure, ranges(basis), half=True), rng)
    potentials = rng.normal(size=(2, *mesh.shape))
    fast = potential_matrix(basis, structure, mesh, potentials, pairs)
    plain = potential_matrix_torch(basis, structure, mesh, potentials, pairs, device=device, batch=3)
    assert_equal(plain.values, fast.values, 1e-10)
    D = random_matrix(basis, pairs, rng, n_spin=2)
    np.testing.assert_allclose(
        density_on_mesh_torch(basis, structure, mesh, D, device=device, batch=3),
        density_on_mesh(basis, structure, mesh, D),
        atol=1e-10,
    )


def test_unsuitable_input_is_refused():
    basis, structure = two_elements(), small_cell()
    mesh = Mesh(SKEW, (8, 8, 8))
    pairs = find_pairs(structure, ranges(basis), half=True)
    V = np.zeros(mesh.shape)
    with pytest.raises(InputError, match="shape"):
        potential_matrix(basis, structure, mesh, V[:4], pairs)
    with pytest.raises(InputError, match="another cell"):
        potential_matrix(basis, structure, Mesh(2 * SKEW, (8, 8, 8)), V, pairs)
    with pytest.raises(InputError, match="twice"):
        potential_matrix(basis, structure, mesh, V, find_pairs(structure, ranges(basis), half=False))
    D = random_matrix(basis, pairs, np.random.default_rng(9))
    with pytest.raises(InputError, match="real density matrix"):
        density_on_mesh(basis, structure, mesh, D.map({k: v + 0j for k, v in D.values.items()}))
    table = PaoTable(np.array([0.1, 0.2]), np.ones(2), 0.2)
    logarithmic = Basis({z: AtomBasis(z, (Shell(0, "s", table),)) for z in (3, 21)})
    with pytest.raises(InputError, match="uniform grid"):
        potential_matrix(logarithmic, structure, mesh, V, pairs)
