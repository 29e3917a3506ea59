from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from n2amd.dataset.split import near_copies, split_frames, split_indices
from n2amd.errors import InputError
from n2amd.structure import Structure

fractions = st.floats(0.01, 0.45)


@given(st.integers(3, 500), fractions, fractions, st.integers(0, 2**32 - 1))
def test_a_split_is_a_partition_with_the_sizes_asked_for(n, validation, test, seed):
    sizes = max(1, round(n * validation)), max(1, round(n * test))
    if n - sum(sizes) < 1:
        with pytest.raises(InputError, match="cannot give"):
            split_indices(n, validation, test, seed)
        return
    split = split_indices(n, validation, test, seed)
    assert (len(split.validation), len(split.test)) == sizes
    parts = split.train, split.validation, split.test
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(n))
    assert all(np.all(np.diff(part) > 0) for part in parts)


def test_a_split_depends_on_the_seed_alone():
    again = [split_indices(60, 0.1, 0.1, seed).test.tolist() for seed in (1, 1, 2)]
    assert again[0] == again[1] != again[2]


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_frames_are_refused(n):
    with pytest.raises(InputError, match=f"{n} frames cannot give"):
        split_indices(n, 0.1, 0.1, 1)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1])
def test_a_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(InputError, match="not between 0 and 1"):
        split_indices(10, fraction, 0.1, 1)


def thermal(n_atoms: int, seed: int, shift: float = 0.0) -> Structure:
    rng = np.random.default_rng(seed)
    positions = np.arange(3 * n_atoms).reshape(-1, 3) + rng.normal(scale=0.1, size=(n_atoms, 3)) + shift
    return Structure(4.0 * n_atoms * np.eye(3), positions, np.full(n_atoms, 8))


def test_near_copies_stay_on_one_side():
    """Six steps of each of five short trajectories: whole trajectories are held out."""
    structures = [thermal(4, run, 0.005 * step) for run in range(5) for step in range(6)]
    groups = near_copies(structures)
    assert len(set(groups)) == 5
    split = split_frames(structures, 0.2, 0.2, 1)
    sides = [set(groups[part]) for part in (split.train, split.validation, split.test)]
    assert not sides[0] & sides[1]
    assert not sides[0] & sides[2]
    assert not sides[1] & sides[2]
    assert [len(part) for part in (split.train, split.validation, split.test)] == [18, 6, 6]


def test_one_trajectory_is_held_out_in_blocks():
    structures = [thermal(4, 0, 0.005 * step) for step in range(10)]
    split = split_frames(structures, 0.2, 0.2, 1)
    assert split.test.tolist() == [8, 9]
    assert split.validation.tolist() == [6, 7]


def test_larger_cells_are_held_out_first():
    structures = [thermal(n, seed) for seed, n in enumerate([6] * 4 + [48] * 8)]
    split = split_frames(structures, 0.1, 0.1, 1)
    assert [structures[k].n_atoms for k in split.test] == [48]
    few = [thermal(n, seed) for seed, n in enumerate([6] * 8 + [48] * 7)]
    split = split_frames(few, 0.06, 0.06, 1)
    assert [few[k].n_atoms for k in (*split.validation, *split.test)] == [6, 48]
    many = [thermal(n, seed) for seed, n in enumerate([6] * 20 + [48] * 20)]
    split = split_frames(many, 0.1, 0.1, 1)
    assert sorted(many[k].n_atoms for k in split.test) == [6, 6, 48, 48]


def test_a_split_of_frames_is_a_reproducible_partition():
    structures = [thermal(n, seed) for seed, n in enumerate([6] * 13 + [12] * 5 + [48] * 9)]
    one, two, other = (split_frames(structures, 0.15, 0.1, seed) for seed in (1, 1, 2))
    assert np.array_equal(one.train, two.train)
    assert not np.array_equal(one.train, other.train)
    assert sorted([*one.train, *one.validation, *one.test]) == list(range(27))
    assert (len(one.validation), len(one.test)) == (4, 3)
