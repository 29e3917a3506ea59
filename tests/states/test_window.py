import numpy as np
import pytest

from n2amd.config.states import StatesSettings
from n2amd.errors import InputError
from n2amd.states.parts import parts_of_trajectory
from n2amd.states.window import occupied_bands, state_window, with_margin_that_fits


def test_window_counts_from_the_gap():
    window = state_window(48, 90, StatesSettings(valence=2, conduction=3, margin=6))
    assert (window.low, window.high, window.n_occupied, len(window)) == (16, 33, 24, 17)
    np.testing.assert_array_equal(window.band_index, np.arange(16, 33))


@pytest.mark.parametrize("electrons", [47, 47.5, 0, -2, 48.001])
def test_open_shells_are_refused(electrons):
    with pytest.raises(InputError, match="do not fill whole bands"):
        occupied_bands(electrons)


def test_rounding_of_the_electron_count_is_forgiven():
    assert occupied_bands(48.0000000001) == 24


@pytest.mark.parametrize(
    ("electrons", "orbitals", "field"),
    [(8, 90, "states.valence"), (176, 90, "states.conduction"), (200, 90, "states.conduction")],
)
def test_a_window_beyond_the_spectrum_is_refused(electrons, orbitals, field):
    with pytest.raises(InputError, match=field):
        state_window(electrons, orbitals, StatesSettings(valence=2, conduction=2, margin=6))


@pytest.mark.parametrize(("frames", "per_shard"), [(2, 100), (2, 2), (13, 4), (400, 7), (5, 4), (401, 100)])
def test_shards_leave_no_frame_out(frames, per_shard):
    parts = list(parts_of_trajectory(frames, per_shard))
    assert [frame for first, last in parts for frame in range(first, last + 1)] == list(range(frames))
    assert all(last - first + 1 == per_shard for first, last in parts[:-1])


@pytest.mark.parametrize(("n_orbitals", "margin"), [(26, 2), (8, 2), (7, 1), (6, 0), (5, 0), (400, 2)])
def test_a_margin_shrinks_to_what_a_small_cell_has(n_orbitals: int, margin: int) -> None:
    settings = StatesSettings(valence=2, conduction=2, margin=6)
    assert with_margin_that_fits(settings, 8.0, n_orbitals).margin == margin


def test_a_margin_that_fits_stays() -> None:
    settings = StatesSettings(valence=2, conduction=2, margin=6)
    assert with_margin_that_fits(settings, 96.0, 400) == settings
