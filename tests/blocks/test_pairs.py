from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from n2amd.blocks.matrix import BlockMatrix, PairIndex, fold
from n2amd.blocks.pair_codes import on_common_pairs
from n2amd.blocks.pairs import find_pairs
from n2amd.errors import InputError
from n2amd.structure import Structure

RANGES = {(8, 8): 2.1, (8, 22): 3.3, (22, 22): 4.0}


def brute_force(structure: Structure, ranges: dict) -> set[tuple[int, ...]]:
    """All (i, j, R) closer than the range, over as many images as the longest range can reach."""
    spread = np.ptp(structure.positions, axis=0)
    reach = max(ranges.values()) + np.linalg.norm(spread)
    # the distance between lattice planes bounds the images along each vector
    widths = 1 / np.linalg.norm(np.linalg.inv(structure.cell), axis=0)
    images = [
        range(-int(reach / w) - 1, int(reach / w) + 2) if periodic else range(1)
        for w, periodic in zip(widths, structure.pbc)
    ]
    shifts = np.array(list(itertools.product(*images)))
    found = set()
    for i, j in itertools.product(range(structure.n_atoms), repeat=2):
        zi, zj = sorted((int(structure.numbers[i]), int(structure.numbers[j])))
        bonds = structure.positions[j] + shifts @ structure.cell - structure.positions[i]
        for R in shifts[np.linalg.norm(bonds, axis=1) < ranges[zi, zj]]:
            found.add((i, j, *map(int, R)))
    return found


def rows(pairs: dict[tuple[int, int], PairIndex]) -> list[tuple[int, ...]]:
    return [
        (int(i), int(j), *map(int, R))
        for index in pairs.values()
        for i, j, R in zip(index.i, index.j, index.shift)
    ]


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 5),
    st.tuples(*[st.booleans()] * 3),
    st.sampled_from([1.5, 3.0, 6.0]),
)
def test_pairs_against_brute_force(
    seed: int, n_atoms: int, pbc: tuple[bool, bool, bool], size: float
) -> None:
    """Skewed cells of both hands, atoms outside them, any periodicity, cells smaller than the range."""
    rng = np.random.default_rng(seed)
    cell = size * (np.diag(rng.choice([-1, 1], 3)) + rng.uniform(-0.6, 0.6, (3, 3)))
    assume(abs(np.linalg.det(cell)) > 0.3 * size**3)
    positions = rng.uniform(-2.5, 2.5, (n_atoms, 3)) @ cell
    structure = Structure(cell, positions, rng.choice([8, 22], n_atoms), pbc)
    full, half = (find_pairs(structure, RANGES, half=h) for h in (False, True))
    listed = rows(full)
    assert len(set(listed)) == len(listed)
    assert set(listed) == brute_force(structure, RANGES)
    stored = set(rows(half))
    partners = {(j, i, -a, -b, -c) for i, j, a, b, c in stored}
    assert stored | partners == set(listed)
    assert stored & partners == {(i, i, 0, 0, 0) for i in range(n_atoms)}
    for (zi, zj), index in full.items():
        assert np.all(structure.numbers[index.i] == zi)
        assert np.all(structure.numbers[index.j] == zj)
        near = np.linalg.norm(index.vectors(structure), axis=1)
        assert np.all(near < RANGES[min(zi, zj), max(zi, zj)])
        assert rows({(zi, zj): index}) == sorted(rows({(zi, zj): index}))


def test_an_atom_sees_its_own_images() -> None:
    """Simple cubic, range just above sqrt(3) a: 6 + 12 + 8 neighbours and the atom itself."""
    structure = Structure(2.0 * np.eye(3), np.zeros((1, 3)), np.array([8]))
    full = find_pairs(structure, {(8, 8): 2 * np.sqrt(3) + 1e-6}, half=False)
    half = find_pairs(structure, {(8, 8): 2 * np.sqrt(3) + 1e-6}, half=True)
    assert len(full[8, 8]) == 27
    assert len(half[8, 8]) == 14


@pytest.mark.parametrize("nudge", [-1e-9, 0.0, 1e-9])
def test_bonds_at_the_very_range_come_in_whole_or_not_at_all(nudge: float) -> None:
    """A perfect crystal has many bonds of one length: all pairs keep their partner at the border."""
    a, c, u = 4.593, 2.959, 0.305
    fractional = np.array(
        [[0, 0, 0], [0.5] * 3, [u, u, 0], [-u, -u, 0], [0.5 + u, 0.5 - u, 0.5], [0.5 - u, 0.5 + u, 0.5]]
    )
    structure = Structure(np.diag([a, a, c]), fractional @ np.diag([a, a, c]), [22, 22, 8, 8, 8, 8])
    bond = np.sqrt(2) * u * a + nudge
    ranges = {(8, 8): 3.0, (8, 22): bond, (22, 22): c + nudge}
    full = set(rows(find_pairs(structure, ranges, half=False)))
    half = set(rows(find_pairs(structure, ranges, half=True)))
    assert full == {(j, i, -x, -y, -z) for i, j, x, y, z in full}
    assert full == half | {(j, i, -x, -y, -z) for i, j, x, y, z in half}


def test_order_does_not_depend_on_where_the_atoms_are_written() -> None:
    """Whole-cell moves of an atom change its shifts, not its bonds nor their order by atom."""
    rng = np.random.default_rng(4)
    cell = np.array([[5.0, 0, 0], [1, 5, 0], [0, 1, 5]])
    home = Structure(cell, rng.uniform(0, 1, (6, 3)) @ cell, np.array([22, 8, 8, 22, 8, 8]))
    moves = rng.integers(-3, 4, (6, 3))
    away = home.with_positions(home.positions + moves @ cell)
    ours, theirs = (find_pairs(s, RANGES, half=False) for s in (home, away))
    for key, index in ours.items():
        expected = sorted((i, j, *(np.array(R) + moves[i] - moves[j])) for i, j, *R in rows({key: index}))
        assert rows({key: theirs[key]}) == expected


def test_a_molecule_needs_no_cell() -> None:
    water = Structure(
        np.zeros((3, 3)), np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]]), [8, 1, 1], (False,) * 3
    )
    pairs = find_pairs(water, {(1, 1): 2.0, (1, 8): 1.5, (8, 8): 3.0}, half=True)
    atoms = [(i, j) for i, j, *_ in rows(pairs)]
    assert atoms == [(1, 1), (1, 2), (2, 2), (1, 0), (2, 0), (0, 0)]


def test_an_unknown_species_pair_is_named() -> None:
    structure = Structure(5 * np.eye(3), np.zeros((2, 3)), [8, 11])
    with pytest.raises(InputError, match=r"species pair \(8, 11\).*known: \[\(8, 8\)"):
        find_pairs(structure, RANGES, half=True)


@pytest.mark.parametrize(
    ("structure", "sentence"),
    [
        (Structure(np.eye(3), np.zeros((0, 3)), []), "no atoms"),
        (Structure(np.eye(3), np.array([[0, np.nan, 0]]), [8]), "not a finite number"),
        (Structure(np.diag([1, 1, np.inf]), np.zeros((1, 3)), [8]), "not a finite number"),
    ],
)
def test_structures_that_are_none(structure: Structure, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        find_pairs(structure, RANGES, half=True)


@pytest.mark.parametrize("reach", [0.0, 1e-6])
def test_a_range_near_zero_holds_the_atoms_themselves(reach):
    """A basis so short that nothing overlaps is no error."""
    structure = Structure(4.0 * np.eye(3), np.array([[0, 0, 0], [0, 0, 2.0]]), np.array([2, 2]))
    found = find_pairs(structure, {(2, 2): reach}, half=True)[2, 2]
    assert len(found) == (2 if reach else 0)
    assert found.on_site.all()


def test_matrices_of_different_range_on_common_pairs() -> None:
    """Each reaches further than the other for some species; at any k point nothing changes."""
    rng = np.random.default_rng(1)
    cell = np.array([[4.0, 0.2, 0], [0, 4.5, 0], [0.3, 0, 5.0]])
    structure = Structure(cell, rng.uniform(0, 4, (3, 3)), np.array([8, 22, 8]))
    sizes, offsets = {8: 1, 22: 2}, np.array([0, 1, 3, 4])

    def random_matrix(ranges: dict[tuple[int, int], float]) -> BlockMatrix:
        pairs = find_pairs(structure, ranges, half=True)
        return BlockMatrix(
            pairs, {(a, b): rng.normal(size=(1, len(p), sizes[a], sizes[b])) for (a, b), p in pairs.items()}
        )

    one = random_matrix({(8, 8): 5.0, (8, 22): 3.0, (22, 22): 6.0})
    two = random_matrix({(8, 8): 3.0, (8, 22): 5.0, (22, 22): 0.0})
    laid = on_common_pairs(one, two)
    for key, index in laid[0].pairs.items():
        assert index.same_as(laid[1].pairs[key])
        assert len(index) == max(len(one.pairs[key]), len(two.pairs[key]))
    k = np.array([0.1, 0.3, -0.2])
    for before, after in zip((one, two), laid):
        np.testing.assert_allclose(fold(after, offsets, k), fold(before, offsets, k), atol=1e-13)
