from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from n2amd.dataset.split import split_indices
from n2amd.errors import InputError

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
