import pytest

from n2amd.analysis.intervals import Interval
from n2amd.analysis.length import FEWEST_SAMPLES, judge


def test_a_narrow_interval_from_many_samples_is_long_enough() -> None:
    length = judge(Interval(10.0, 8.0, 12.0), 1.1, 2000, 100.0, 80.0)
    assert length.judgement == "long enough"
    assert length.frames_needed is None
    assert length.sentence() == (
        "2000 frames hold 100 independent samples of the hop probability and 80 of the dephasing time"
    )


def test_a_wide_interval_tells_what_makes_it_a_factor_of_two() -> None:
    """A factor of 4 is twice the logarithm of 2: four times the frames."""
    length = judge(Interval(10.0, 5.0, 20.0), 1.0, 600, 30.0, 20.0)
    assert length.judgement == "wide"
    assert length.frames_needed == 2400
    assert "about 2400 would make it a factor of 2" in length.sentence()


def test_the_ripple_is_not_blamed_on_the_trajectory() -> None:
    assert judge(Interval(10.0, 5.0, 20.0), 2.5, 600, 30.0, 20.0).judgement == "long enough"


@pytest.mark.parametrize(("hops", "times"), [(2.5, 50.0), (50.0, 2.5)])
def test_few_samples_of_either_kind_are_too_few(hops: float, times: float) -> None:
    length = judge(Interval(10.0, 8.0, 12.0), 1.0, 400, hops, times)
    assert length.judgement == "too short"
    assert length.frames_needed == 400 * FEWEST_SAMPLES / 2.5
    assert length.sentence().endswith("too short, at least 800 frames are needed")


def test_a_lifetime_not_known_within_an_order_of_magnitude_is_too_short() -> None:
    """A factor of 100 is twice the logarithm of 10."""
    length = judge(Interval(10.0, 1.0, 100.0), 1.0, 500, 30.0, 20.0)
    assert length.judgement == "too short"
    assert length.frames_needed == 2000
