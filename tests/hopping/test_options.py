"""`dynamics.absorbing` and `dynamics.detailed_balance`: what each method does with them."""

import json
from pathlib import Path

import numpy as np
import pytest
from classical_paths import fluctuating, write_couplings
from typer.testing import CliRunner

from n2amd.commands.dynamics import app
from n2amd.config.sections import load_section
from n2amd.errors import InputError
from n2amd.hopping import ensemble
from n2amd.hopping.methods import METHODS
from n2amd.hopping.parallel import Processes
from n2amd.hopping.path import ClassicalPath
from n2amd.storage import open_hdf5
from n2amd.units import BOLTZMANN_EV_K


def run(path: ClassicalPath, folder: Path, **changes: object) -> ensemble.Result:
    options: dict = {
        "method": "dish",
        "scheme": "hst",
        "temperature": 300.0,
        "dephasing_time": 10.3 * (1 - np.eye(path.states)),
        "start_frames": np.arange(0, 400, 100),
        "start_states": np.ones(4, int),
        "trajectories": 200,
        "steps": 6000,
        "stride": 50,
        "absorbing": False,
    }
    result = ensemble.run(path, ensemble.Plan(**options | changes), folder, Processes())
    assert result is not None
    return result


@pytest.mark.parametrize("method", ["dish", "sdm", "ida"])
def test_without_a_boltzmann_factor_two_states_are_filled_alike(tmp_path: Path, method: str) -> None:
    """100 meV apart: half and half instead of 0.02; 800 trajectories know that to 0.018 at any time."""
    path = fluctuating(2, 1001, gap=0.1, sigma=0.005, across=0.01, seed=2)
    population = run(path, tmp_path, method=method, detailed_balance="none").population
    upper = population[:, 80:, 1].mean(axis=1)
    assert upper.mean() == pytest.approx(0.5, abs=4 * np.sqrt(0.25 / 800))


def test_with_it_the_upper_state_is_nearly_empty(tmp_path: Path) -> None:
    path = fluctuating(2, 1001, gap=0.1, sigma=0.005, across=0.01, seed=2)
    upper = run(path, tmp_path).population[:, 80:, 1].mean()
    assert upper == pytest.approx(np.exp(-0.1 / (BOLTZMANN_EV_K * 300)), abs=0.01)


def test_fssh_without_a_boltzmann_factor_keeps_to_the_amplitudes(tmp_path: Path) -> None:
    """Downhill and coherent: the chain loses the amplitudes only where a flow turns within a step."""
    path = fluctuating(2, 401, gap=0.1, sigma=0.005, across=0.005, seed=2)
    common: dict = {"steps": 300, "stride": 1}
    amplitudes = run(path, tmp_path / "a", method="ehrenfest", **common).population
    free = run(path, tmp_path / "b", method="fssh", detailed_balance="none", **common).population
    bound = run(path, tmp_path / "c", method="fssh", **common).population
    assert np.abs(free - amplitudes).max() < 0.2 * np.abs(bound - amplitudes).max()


def test_trajectories_that_go_on_leave_the_final_state_and_note_the_first_arrival(tmp_path: Path) -> None:
    path = fluctuating(2, 1001, gap=0.05, sigma=0.005, across=0.01, seed=2)
    ends = run(path, tmp_path / "ends", absorbing=True, steps=2000)
    goes_on = run(path, tmp_path / "on", steps=2000)
    np.testing.assert_array_equal(ends.arrival_step, goes_on.arrival_step)
    np.testing.assert_array_equal(ends.arrival_source, goes_on.arrival_source)
    assert (ends.arrival_step > 0).any()
    assert ends.hops[0].sum() == 0
    assert goes_on.hops[0, 1] > 20
    assert goes_on.population[:, -1, 1].mean() > ends.population[:, -1, 1].mean()


@pytest.mark.parametrize("method", METHODS)
def test_what_was_done_is_written_down(tmp_path: Path, method: str) -> None:
    couplings = write_couplings(tmp_path / "c.h5", fluctuating(2, 101, gap=0.4, across=0.0045), 1)
    for absorbing, balance in ((True, "none"), (False, "gap")):
        settings = {"samples": 1, "trajectories": 2, "duration_fs": 50}
        settings |= {"absorbing": absorbing, "detailed_balance": balance}
        out = tmp_path / f"{absorbing}.h5"
        options = ["--method", method, "--settings", json.dumps(settings), "--out", str(out)]
        done = CliRunner().invoke(app, ["run", "--couplings", str(couplings), *options])
        if method == "dish_renewal" and not absorbing:
            assert isinstance(done.exception, InputError)
            assert "absorbing only" in str(done.exception)
            continue
        assert done.exit_code == 0, done.output
        with open_hdf5(out, "populations") as source:
            expected = {"dish": absorbing, "dish_renewal": True}.get(method, False)
            assert source.attrs["absorbing"] == expected
            assert source.attrs["detailed_balance"] == ("none" if method == "ehrenfest" else balance)


def test_options_that_a_method_does_not_take_are_refused(tmp_path: Path) -> None:
    path = fluctuating(3, 401, spacing=0.5)
    changes: dict = {"method": "dish_renewal", "absorbing": True, "detailed_balance": "none"}
    with pytest.raises(InputError, match=r"all 3 matter.*set it to gap"):
        run(path, tmp_path, **changes)
    with pytest.raises(InputError, match="dish_renewal is absorbing only"):
        load_section("dynamics", '{"methods": ["dish", "dish_renewal"], "absorbing": false}')
    with pytest.raises(InputError, match="'nac' is none of gap, none"):
        load_section("dynamics", '{"detailed_balance": "nac"}')
