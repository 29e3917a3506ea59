from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell
from hypothesis import given, settings
from hypothesis import strategies as st

from n2amd.structure import Structure

CELL = np.array([[3.0, 0.2, 0], [-0.5, 4.0, 0.3], [0.1, 0, 5.0]])


def example(n_atoms: int = 3, seed: int = 0, pbc: tuple[bool, bool, bool] = (True, True, False)) -> Structure:
    rng = np.random.default_rng(seed)
    return Structure(CELL, rng.uniform(-1, 2, (n_atoms, 3)) @ CELL, rng.choice([8, 22], n_atoms), pbc)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(0, 99), st.tuples(*[st.integers(1, 4)] * 3))
def test_supercell_is_that_of_ase(n_atoms: int, seed: int, repeats: tuple[int, int, int]) -> None:
    """The atoms of `repeat` in its order, those of make_supercell in another; positions stay unwrapped."""
    unit = example(n_atoms, seed)
    ours, theirs = unit.supercell(repeats), unit.to_ase().repeat(repeats)
    assert np.allclose(ours.positions, theirs.positions, rtol=0, atol=1e-12)
    assert np.array_equal(ours.numbers, theirs.numbers)
    assert np.allclose(ours.cell, theirs.cell, rtol=0, atol=1e-12)
    assert ours.pbc == unit.pbc
    assert ours.volume == pytest.approx(np.prod(repeats) * unit.volume)
    made = make_supercell(unit.to_ase(), np.diag(repeats), wrap=False)

    def sites(atoms: Atoms | Structure) -> list[tuple[float, ...]]:
        return sorted((int(z), *np.round(p, 6)) for z, p in zip(atoms.numbers, atoms.positions + 1e-9))

    assert sites(ours) == sites(made)


def test_ase_round_trip() -> None:
    structure = example()
    back = Structure.from_ase(structure.to_ase())
    assert np.array_equal(back.positions, structure.positions)
    assert np.array_equal(back.cell, structure.cell)
    assert np.array_equal(back.numbers, structure.numbers)
    assert back.pbc == (True, True, False)


def test_a_structure_does_not_move_with_the_atoms_it_came_from() -> None:
    """ASE's integrators change positions in place."""
    atoms = bulk("Si", cubic=True)
    structure = Structure.from_ase(atoms)
    before = structure.positions.copy(), structure.cell.copy()
    atoms.positions += 1
    atoms.cell *= 2
    atoms.numbers[:] = 6
    assert np.array_equal(structure.positions, before[0])
    assert np.array_equal(structure.cell, before[1])
    assert np.all(structure.numbers == 14)
    structure.to_ase().positions += 1
    assert np.array_equal(structure.positions, before[0])


def test_with_positions_keeps_the_rest() -> None:
    structure = example()
    moved = structure.with_positions(structure.positions + 1)
    assert np.array_equal(moved.positions, structure.positions + 1)
    assert np.array_equal(moved.cell, structure.cell)
    assert moved.pbc == structure.pbc


def test_volume_of_a_left_handed_cell_is_positive() -> None:
    assert Structure(np.diag([1, 2, -3]), np.zeros((1, 3)), [1]).volume == pytest.approx(6)


@pytest.mark.parametrize("shape", [(2, 3), (3, 4), (12,)], ids=str)
def test_positions_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    """Also the transposed array, which a reshape would scramble."""
    with pytest.raises(ValueError, match="4 atomic numbers for positions of shape"):
        Structure(np.eye(3), np.zeros(shape), [1, 1, 1, 1])


def test_types_are_made_one() -> None:
    structure = Structure(np.eye(3, dtype=int), [[0, 0, 0]], np.array([8], np.uint8), np.array([1, 0, 1]))
    assert structure.cell.dtype == structure.positions.dtype == np.float64
    assert structure.numbers.dtype == np.int64
    assert structure.pbc == (True, False, True)
    assert structure.n_atoms == 1
