"""Populations of Hefei-NAMD-DEV: 10 states, 20 initial conditions of 200 trajectories, 1 ps.

Those references carry the sampling error of 4,000 trajectories, sqrt(p (1 - p) / 4000): 0.004 at p = 0.93.
"""

from pathlib import Path

import numpy as np
import pytest

from n2amd.hopping import dephasing, dish, fssh, propagators
from n2amd.interop import hefei

DATA = Path(__file__).parents[1] / "data" / "hefei-namd-parity"
TEMPERATURE = 300.0


@pytest.fixture(scope="module")
def source() -> hefei.HefeiInput:
    return hefei.read(DATA)


def mean_population(source: hefei.HefeiInput, run, tables, trajectories: range) -> np.ndarray:  # type: ignore[no-untyped-def]
    outcomes = [
        run(
            tables,
            seed=1,
            sample=sample,
            start_frame=int(frame),
            start_state=int(state),
            steps=999,
            stride=1,
            trajectories=trajectories,
        ).population
        for sample, (frame, state) in enumerate(zip(source.start_frames, source.start_states))
    ]
    return np.mean(outcomes, axis=0)


def test_dish(source: hefei.HefeiInput) -> None:
    """1,000 trajectories, so that our own sampling error (0.002) adds little."""
    path = source.path
    tables = dish.prepare(path, propagators.build(path, "hst", 10), source.dephasing_time, TEMPERATURE)
    found = mean_population(source, dish.run_block, tables, range(1000)) / 1000
    _, _, expected = hefei.read_shprop(DATA / "dish_1ps_mean_SHPROP.txt")
    assert np.abs(found - expected).max() < 0.01
    assert np.abs(found - expected).mean() < 0.001


def test_fssh(source: hefei.HefeiInput) -> None:
    """The exact chain: all deviation is the reference's sampling error."""
    tables = fssh.prepare(source.path, propagators.build(source.path, "hst", 10), TEMPERATURE)
    found = mean_population(source, fssh.run_sample, tables, range(0))
    _, _, expected = hefei.read_shprop(DATA / "fssh_1ps_mean_SHPROP.txt")
    error = np.sqrt(found * (1 - found) / 4000)
    populated = (found > 1e-3) & (error > 1e-3)
    assert (np.abs(found - expected)[populated] / error[populated]).max() < 4
    assert np.abs(found - expected).max() < 0.01
    assert np.abs((found - expected).mean(axis=0)).max() < 0.002


def test_time_axis_and_energies_are_those_of_the_reference(source: hefei.HefeiInput) -> None:
    time, energy, population = hefei.read_shprop(DATA / "fssh_1ps_mean_SHPROP.txt")
    assert time[0] == 1.0
    start = np.mean([source.path.energies[f, s] for f, s in zip(source.start_frames, source.start_states)])
    assert energy[0] == pytest.approx(start, abs=1e-6)
    assert population[0, 1] == 1


def test_dephasing_times(source: hefei.HefeiInput) -> None:
    """The definition of Hefei-NAMD (Gaussian fit of 200 fs, lag 0 included) by another program; and ours."""
    theirs = dephasing.matrix(source.path.energies, 1.0, "hefei")
    np.testing.assert_allclose(theirs, source.dephasing_time, atol=1e-3)
    pairs = np.tril_indices(len(theirs), -1)
    ratio = dephasing.matrix(source.path.energies, 1.0)[pairs] / theirs[pairs]
    assert 0.8 < ratio.min() < np.median(ratio) < ratio.max() < 1.0
