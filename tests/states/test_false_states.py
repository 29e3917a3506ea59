from __future__ import annotations

import numpy as np
import pytest

from n2amd.states.false_states import TrainedStates, find_false_states

W, F, INNER = 12, 9, slice(2, 10)


def series(seed: int = 0):
    """Levels 0.2 eV apart with a gap, norms that grow with energy, overlaps near one."""
    rng = np.random.default_rng(seed)
    levels = 0.2 * np.arange(W) + 2.0 * (np.arange(W) >= 6)
    energies = levels + 0.02 * rng.normal(size=(F, W)).cumsum(axis=0)
    norms = np.linspace(1.3, 7.0, W) * (1 + 0.05 * rng.normal(size=(F, W)))
    turns = [np.linalg.qr(np.eye(W) + 0.05 * rng.normal(size=(W, W)))[0] for _ in range(F - 1)]
    return np.sort(energies, axis=1), norms, np.array(turns) * np.sign([np.diag(t) for t in turns])[:, None]


def test_a_sound_trajectory_has_none() -> None:
    for seed in range(20):
        assert find_false_states(*series(seed), INNER) == []


def test_a_state_that_closes_the_gap_with_a_usual_largest_norm_is_named() -> None:
    """Sum of |c|^2 of 5.9, where higher states have 7 in every frame, and CBMs 2."""
    energies, norms, overlap = series()
    norms[:, 6] = 1.8
    norms[4, 6], energies[4, 6] = 5.9, energies[4, 5] + 0.3
    overlap[3][:, 6] = overlap[4][6] = 0.0
    assert norms[4].max() < 1.3 * np.median(norms.max(axis=1))
    (state,) = find_false_states(energies, norms, overlap, INNER, start=100, first_band=186)
    assert (state.frame, state.band) == (104, 192)
    assert str(state).startswith("frame 104, band 192 at ")
    assert all(text in str(state) for text in ("5.9", "not among the states", "eV from the same level"))


def test_a_huge_norm_alone_is_enough() -> None:
    energies, norms, overlap = series()
    norms[2, 5] = 400.0
    (state,) = find_false_states(energies, norms, overlap, INNER)
    assert (state.frame, state.band) == (2, 5)


def test_a_false_level_with_usual_norm_is_caught_by_energy_and_overlap() -> None:
    energies, norms, overlap = series()
    energies[4, 6] -= 1.2
    overlap[3][:, 6] = overlap[4][6] = 0.0
    (state,) = find_false_states(energies, norms, overlap, INNER)
    assert (state.frame, state.band, len(state.reasons)) == (4, 6, 2)


def test_states_at_the_edge_of_the_window_may_leave() -> None:
    energies, norms, overlap = series()
    norms[3, 11] = 400.0
    assert find_false_states(energies, norms, overlap, INNER) == []


def test_two_frames_are_enough() -> None:
    energies, norms, overlap = series()
    assert find_false_states(energies[:2], norms[:2], overlap[:1], INNER) == []


def test_a_series_that_is_wrong_throughout_is_held_against_the_training_frames() -> None:
    """False states in all frames are usual; the states of the training frames are another measure."""
    energies, norms, overlap = series()
    norms[:] = 20.0
    assert find_false_states(energies, norms, overlap, INNER) == []
    assert find_false_states(energies, norms, overlap, INNER, trained=TrainedStates(norm=8.0)) == []
    found = find_false_states(energies, norms, overlap, INNER, trained=TrainedStates(norm=2.3))
    assert {state.frame for state in found} == set(range(len(energies)))
    assert "the sum of its |c|^2 is 20.0, usual are 2.3" in str(found[0])


@pytest.mark.parametrize("below", [True, False])
def test_a_gap_far_from_that_of_the_training_frames_is_none(below: bool) -> None:
    """Sixteen false states at -2000 eV move the window down by as many: its gap is one of deep levels."""
    energies, norms, overlap = series()
    middle = float(energies[:, 5:7].mean()) + (11.0 if below else 2.0)
    found = find_false_states(
        energies, norms, overlap, INNER, 100, 30, trained=TrainedStates(middle=middle), vbm=5
    )
    assert len(found) == (len(energies) if below else 0)
    if below:
        assert (found[0].frame, found[0].band) == (100, 35)
        assert f"in the training frames at {middle:.1f}" in str(found[0])
