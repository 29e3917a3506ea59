import numpy as np
import pytest

from n2amd.hopping.philox import draw, philox4x32, uniform


# known answers of the Random123 library for philox4x32-10
@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0,) * 4, (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_known_answers(counter: tuple, key: tuple, expected: tuple) -> None:
    words = philox4x32(*(np.uint64(w) for w in counter), *(np.uint64(w) for w in key))
    assert tuple(int(w) for w in words) == expected


def test_every_part_of_the_address_matters() -> None:
    base = (7, 3, 5, 11, 0)
    seen = {draw(*base)}
    for position, value in enumerate((8, 4, 6, 12, 1)):
        seen.add(draw(*base[:position], value, *base[position + 1 :]))
    seen.add(draw(7, 3, 5, 11 + 2**32, 0))
    seen.add(draw(7 + 2**32, 3, 5, 11, 0))
    assert len(seen) == 8


def test_uniform_is_uniform() -> None:
    values = np.array([uniform(*draw(1, s, t, 2, 0)[:2]) for s in range(60) for t in range(60)])
    assert 0 <= values.min() < values.max() < 1
    histogram = np.histogram(values, 10, (0, 1))[0]
    chi2 = ((histogram - 360) ** 2 / 360).sum()
    assert chi2 < 27.9  # 99.9 % of nine degrees of freedom
