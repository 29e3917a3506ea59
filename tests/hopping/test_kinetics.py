"""Chains with known answers: two states, three in a row, all ways at once, a way that is not there."""

from __future__ import annotations

import numpy as np
import pytest

from n2amd.hopping.kinetics import lifetime, populations, share_by_last, times_spent

VBM, CBM, LEVEL = 0, 1, 2


def rates(capture=0.0, release=0.0, hole=0.0, direct=0.0):
    k = np.zeros((3, 3))
    k[CBM, LEVEL], k[LEVEL, CBM], k[LEVEL, VBM], k[CBM, VBM] = capture, release, hole, direct
    return k


def test_two_states():
    k = np.array([[0.0, 0.1], [0.25, 0.0]])
    assert lifetime(k, 1, 0) == pytest.approx(4.0, rel=1e-12)
    time = np.array([0.0, 1.0, 7.0])
    np.testing.assert_allclose(populations(k, 1, 0, time)[:, 1], np.exp(-0.25 * time), atol=1e-12)


def test_capture_then_recombination_takes_the_sum_of_both_times():
    k = rates(capture=0.5, hole=0.01)
    assert lifetime(k, CBM, VBM) == pytest.approx(2 + 100, rel=1e-12)
    np.testing.assert_allclose(times_spent(k, CBM, VBM), [0, 2, 100], rtol=1e-12)
    np.testing.assert_allclose(share_by_last(k, CBM, VBM), [0, 0, 1], atol=1e-12)
    time = np.linspace(0, 300, 7)
    found = populations(k, CBM, VBM, time)
    level = 0.5 / (0.01 - 0.5) * (np.exp(-0.5 * time) - np.exp(-0.01 * time))
    np.testing.assert_allclose(found[:, LEVEL], level, atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-12)


def test_all_ways_at_once():
    """Mean time (k_dv + k_dc + k_cd) / [(k_cd + k_cv)(k_dv + k_dc) - k_cd k_dc]."""
    capture, release, hole, direct = 0.3, 0.07, 0.02, 0.005
    k = rates(capture, release, hole, direct)
    determinant = (capture + direct) * (hole + release) - capture * release
    assert lifetime(k, CBM, VBM) == pytest.approx((hole + release + capture) / determinant, rel=1e-12)
    share = share_by_last(k, CBM, VBM)
    assert share[LEVEL] == pytest.approx(capture * hole / determinant, rel=1e-12)
    assert share.sum() == pytest.approx(1.0, rel=1e-12)
    # nineteen orders of magnitude between rates
    slow = rates(1.0, 0.5, 1e-19, 0.0)
    assert lifetime(slow, CBM, VBM) == pytest.approx(1.5e19, rel=1e-9)


def test_many_chains_at_once_and_states_that_are_never_met():
    several = np.stack([rates(capture=0.5, hole=0.01), rates(direct=0.2), rates(capture=0.5)])
    np.testing.assert_allclose(lifetime(several, CBM, VBM), [102, 5, np.inf], rtol=1e-12)
    np.testing.assert_allclose(share_by_last(several, CBM, VBM)[1], [0, 1, 0], atol=1e-12)
