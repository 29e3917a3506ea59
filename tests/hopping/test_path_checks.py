"""What a path and its dephasing times must satisfy before surface hopping."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from classical_paths import fluctuating

from n2amd.errors import InputError
from n2amd.hopping.checks import check, check_dephasing, check_gap


@pytest.mark.parametrize("carrier", ["electron", "hole"])
def test_a_gap_that_closes_is_told_with_its_frame(carrier: str) -> None:
    path = fluctuating(3, 51, carrier=carrier)
    check_gap(path, "c.h5")
    closed = path.energies.copy()
    closed[7, 2] = closed[7, 0]
    with pytest.raises(
        InputError, match=r"c.h5, frame 7, field 'energies': the gap between band 0 and band 2 is 0"
    ):
        check_gap(replace(path, energies=closed), "c.h5")
    closed[9, 1] = closed[9, 0] - path.sign * 0.25
    with pytest.raises(InputError, match=r"frame 9, .* between band 0 and band 1 is -0.2500 eV"):
        check_gap(replace(path, energies=closed), "c.h5")


def test_paths_of_any_shape_but_the_right_one_are_told() -> None:
    path = fluctuating(3, 51)
    assert check(path, "c.h5") is path
    assert path.nac is not None
    changes: list[tuple[dict, str]] = [
        ({"timestep_fs": 0.0}, "timestep_fs"),
        ({"energies": path.energies[:0]}, "0 frames of 3 states"),
        ({"energies": path.energies[:, :2]}, "where 51 frames of 2 states"),
        ({"nac": path.nac[:-1]}, "'nac': has shape"),
        ({"overlap": path.nac[:-1]}, "'overlap': has shape"),
        ({"nac": np.abs(path.nac)}, "anti-Hermitian"),
        ({"overlap": 2.7 * np.tile(np.eye(3), (50, 1, 1))}, "singular value is 2.7"),
        ({"energies": path.energies * np.nan}, "frame 0, field 'energies': not a finite"),
    ]
    for change, said in changes:
        with pytest.raises(InputError, match=said):
            check(replace(path, **change), "c.h5")


def test_dephasing_within_a_step() -> None:
    times = 12.0 * (1 - np.eye(3))
    times[0, 2] = times[2, 0] = np.inf
    assert check_dephasing(times, 1.0) is times
    assert check_dephasing(times, 24.0) is times
    for wrong in (0.4, 0.0, -3.0, np.nan):
        times[1, 2] = wrong
        with pytest.raises(InputError, match="between states 1 and 2 is too short for time steps of 1 fs"):
            check_dephasing(times, 1.0)
