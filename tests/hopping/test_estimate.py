"""`n2amd dynamics estimate`: its numbers against the run that it speaks of."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from classical_paths import constant_two_state, fluctuating
from typer.testing import CliRunner

from n2amd.commands.dynamics import app
from n2amd.errors import InputError
from n2amd.hopping import ensemble, propagators, renewal
from n2amd.hopping.estimate import Estimate, estimate
from n2amd.hopping.parallel import Processes

HEFEI = Path(__file__).parents[1] / "data" / "hefei-namd-parity"


def a_plan(states: int, **changes: object) -> ensemble.Plan:
    options: dict = {
        "method": "dish",
        "scheme": "hst",
        "temperature": 300.0,
        "dephasing_time": 11.2 * (1 - np.eye(states)),
        "start_frames": np.arange(0, 300, 60),
        "start_states": np.ones(5, dtype=int),
        "trajectories": 128,
        "steps": 8000,
        "stride": 100,
    }
    return ensemble.Plan(**options | changes)


def test_expectations_are_what_the_run_finds(tmp_path: Path) -> None:
    path, plan = fluctuating(2, 398, gap=1.0, across=0.01, seed=4), a_plan(2)
    expected = estimate(path, plan)
    found = ensemble.run(path, plan, tmp_path, Processes())
    assert found is not None
    arrivals = np.count_nonzero(found.arrival_step >= 0)
    assert expected.arrivals == pytest.approx(arrivals, abs=4 * np.sqrt(arrivals))
    assert arrivals > 20
    assert expected.relative_error == pytest.approx(1 / np.sqrt(expected.arrivals))
    steps = propagators.build(path, "hst")
    assert expected.lifetime_fs == pytest.approx(renewal.lifetime(path, steps, 11.2, 300.0))
    assert expected.output_bytes == 8 * found.population.size + 40 * 640
    assert expected.cpu_seconds > 0
    # after the duration that is asked for, 100 have arrived
    longer = replace(expected, duration_fs=expected.wanted_duration_fs)
    assert longer.arrivals == pytest.approx(100)


def test_hops_among_many_states_are_extrapolated(tmp_path: Path) -> None:
    path = fluctuating(5, 398, gap=1.0, within=0.02)
    plan = a_plan(5, start_states=np.full(5, 4), absorbing=False)
    found = ensemble.run(path, plan, tmp_path, Processes())
    assert found is not None
    assert estimate(path, plan).hops == pytest.approx(found.hops.sum(), rel=0.3)


def of(**changes: object) -> Estimate:
    options: dict = {
        "method": "dish",
        "samples": 20,
        "trajectories": 200,
        "duration_fs": 1e3,
        "counted": True,
        "setup_seconds": 0.1,
        "cpu_seconds": 0.5,
        "slice_seconds": 0.2,
        "memory_bytes": 1e7,
        "output_bytes": 1e6,
        "hops": 100.0,
        "lifetime_fs": 1e6,
    }
    return Estimate(**options | changes)


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({}, "set duration_fs to 2.53e\\+04: that costs 13 CPU s"),
        ({"duration_fs": 1e5}, "run it: 381 arrivals are enough"),
        ({"lifetime_fs": 1e11}, "take the exact lifetime .* 10 % would cost 1.3e\\+06 CPU s"),
        ({"trajectories": 2}, "take 10 trajectories a sample or more"),
        ({"lifetime_fs": np.inf}, "do not couple"),
        ({"counted": False}, "no sampling error"),
    ],
)
def test_advice(changes: dict, advice: str) -> None:
    found = of(**changes)
    assert found.lines()[-1].startswith("advice: ")
    assert re.search(advice, found.advice())


def test_uncoupled_edges_never_recombine() -> None:
    found = estimate(constant_two_state(1.0, 0.0, 400), a_plan(2, steps=100))
    assert (found.arrivals, found.hops, found.relative_error) == (0, 0, np.inf)


@pytest.mark.parametrize("method", ["dish", "fssh", "ehrenfest"])
def test_command_on_a_hefei_folder(method: str) -> None:
    done = CliRunner().invoke(app, ["estimate", str(HEFEI), "--method", method, "--duration", "200"])
    assert done.exit_code == 0, done.output
    assert f"{method}: 20 x 200 trajectories of 200 fs" in done.output
    assert ("expected: no hops" in done.output) == (method == "ehrenfest")


def test_few_substeps_are_warned_of() -> None:
    settings = '{"substeps": 1, "samples": 2, "trajectories": 2}'
    done = CliRunner().invoke(app, ["estimate", str(HEFEI), "--settings", settings, "--duration", "50"])
    assert "warning: 1 sub-steps of the hst scheme multiply the rate across" in done.output


def test_bad_input_is_refused(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["estimate", str(tmp_path / "none.h5")])
    assert isinstance(done.exception, InputError)
    done = CliRunner().invoke(app, ["estimate", str(HEFEI), "--method", "tully"])
    assert "choose one of dish" in str(done.exception)
