"""Rates through a level of a defect: against the two-state lifetime, trajectories, and from the commands."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic import write_couplings
from typer.testing import CliRunner

from n2amd.analysis.dephasing_error import dephasing_error
from n2amd.analysis.edges import edge_series, read_window
from n2amd.analysis.figures.draw import draw
from n2amd.analysis.kinetics import rates_of_path, rates_of_run
from n2amd.analysis.lifetime import Resampling, hop_probabilities, renewal_lifetime
from n2amd.analysis.rates import process
from n2amd.analysis.report import lifetime_report
from n2amd.commands.analysis import app
from n2amd.commands.dynamics import app as dynamics
from n2amd.couplings.defect import DefectLevels
from n2amd.couplings.store import read_couplings
from n2amd.couplings.store import write_couplings as write
from n2amd.hopping.path import path_of
from n2amd.hopping.propagators import build
from n2amd.hopping.renewal import waiting_steps

HOT = 3000.0
RESAMPLING = Resampling(50.0, 200, 0.95, 1)
TAU = 8.0


@pytest.fixture(scope="module")
def defective(tmp_path_factory) -> Path:
    """VBM at -0.5, a filled level at 0, CBM at 0.5 eV, with couplings strong enough to see every hop."""
    folder = tmp_path_factory.mktemp("rates")
    found = read_couplings(
        write_couplings(folder / "c.h5", frames=900, gap=0.5, nac=0.008, valence=2, conduction=1)
    )
    energies = found.energies + np.array([-0.35, 0.0, 0.0])
    path = folder / "defective.h5"
    levels = DefectLevels((1,), (0,))
    write(path, replace(found, energies=energies, order="character", spin="up", defect=levels))
    return path


def test_two_states_have_the_rate_of_the_renewal_lifetime(tmp_path):
    couplings = write_couplings(tmp_path / "c.h5", valence=1, conduction=1, gap=0.8)
    path = path_of(read_couplings(couplings), "electron")
    rates = rates_of_path(path, TAU * (1 - np.eye(2)), 300.0, RESAMPLING)
    one, other = np.zeros((2, len(path.energies), 2))
    one[:, 1], other[:, 0] = 1.0, 1.0
    probability = hop_probabilities(build(path, "local_diabatic"), one, other, 120)
    error = dephasing_error(path.energies[:, 1] - path.energies[:, 0], 1.0, 0.95)
    wanted = renewal_lifetime(probability, TAU, 1.0, RESAMPLING, error)
    assert 1 / rates.value[1, 0] == pytest.approx(wanted.lifetime.value, rel=1e-9)
    found = rates.interval(lambda k: 1 / k[..., 1, 0], 0.95)
    # wider than for a dephasing time that is known; the lifetime takes the worst within 1 fs of each time
    assert wanted.lifetime.low < found.low < wanted.at_tau.low
    assert wanted.at_tau.high < found.high < 1.05 * wanted.lifetime.high
    assert found.high / found.low > 1.3 * wanted.at_tau.high / wanted.at_tau.low
    # uphill over 0.8 eV at 300 K
    assert rates.value[0, 1] < 1e-9 * rates.value[1, 0]


def test_a_gap_that_does_not_move_leaves_a_given_dephasing_time_as_it_is(tmp_path):
    couplings = write_couplings(tmp_path / "c.h5", valence=1, conduction=1, gap=0.8)
    path = path_of(read_couplings(couplings), "electron")
    still = replace(path, energies=np.tile(path.energies[:1], (len(path.energies), 1)))
    rates = rates_of_path(still, TAU * (1 - np.eye(2)), 300.0, RESAMPLING)
    found = rates.interval(lambda k: 1 / k[..., 1, 0], 0.95)
    assert 0 < found.low < found.value < found.high < np.inf


def test_trajectories_hop_at_these_rates(defective, tmp_path):
    """DISH counts its own hops; at high temperature all of them happen."""
    out = tmp_path / "p.h5"
    settings = {
        "dephasing_time_fs": TAU,
        "duration_fs": 40000,
        "samples": 10,
        "trajectories": 60,
        "output_stride": 20,
        "methods": ["dish"],
        "waiting": "deterministic",
    }
    arguments = ["run", "--couplings", str(defective), "--out", str(out), "--temperature", str(HOT)]
    made = CliRunner().invoke(dynamics, [*arguments, "--settings", json.dumps(settings)])
    assert made.exit_code == 0, made.output
    path = path_of(read_couplings(defective), "electron")
    exact = rates_of_path(path, TAU * (1 - np.eye(3)), HOT, RESAMPLING).value
    counted = rates_of_run(out, seed=1)
    for i, j in ((1, 2), (2, 0), (1, 0)):
        low, high = np.quantile(counted.draws[:, i, j], [0.005, 0.995])
        assert 0.9 * low < exact[i, j] < 1.1 * high, (i, j, exact[i, j], counted.value[i, j])


def test_a_trajectory_shorter_than_two_waiting_times_is_gone_around(tmp_path):
    couplings = write_couplings(tmp_path / "c.h5", valence=1, conduction=1, frames=9, gap=0.5)
    path = path_of(read_couplings(couplings), "electron")
    rates = rates_of_path(path, TAU * (1 - np.eye(2)), 300.0, RESAMPLING)
    assert rates.looped
    assert rates.draws is None
    assert rates.value[1, 0] > 0
    assert 2 * waiting_steps(TAU, 1.0) > path.intervals


def invoke(*arguments: str):
    return CliRunner().invoke(app, [*arguments])


def test_the_command_tells_capture_recombination_and_the_pristine_cell(defective, tmp_path):
    pristine = write_couplings(tmp_path / "pristine.h5", gap=1.0, nac=0.008, valence=1, conduction=1)
    out = tmp_path / "rates.json"
    made = invoke("rates", "--couplings", str(defective), "--out", str(out), "--pristine", str(pristine))
    assert made.exit_code == 0, made.output
    report = json.loads(out.read_text())
    assert report["states"] == ["VBM", "CBM", "defect"]
    assert [(level["name"], level["filled"]) for level in report["levels"]] == [
        ("VBM", True),
        ("defect", True),
        ("CBM", False),
    ]
    np.testing.assert_allclose([level["energy_eV"] for level in report["levels"]], [0, 0.5, 1.0], atol=0.03)
    (source,) = report["sources"]
    rows = {row["process"]: row["time_ns"] for row in source["rates"]}
    assert set(rows) == {"direct recombination", "electron capture", "hole capture", "release"}
    # capture and recombination in a row, beside the direct way, and back up with the Boltzmann factor
    capture, hole, direct, release = (
        1 / rows[name]["value"]
        for name in ("electron capture", "hole capture", "direct recombination", "release")
    )
    wanted = (hole + release + capture) / ((capture + direct) * (hole + release) - capture * release)
    assert source["lifetime_ns"]["value"] == pytest.approx(wanted, rel=1e-9)
    low, high = source["lifetime_ns"]["low"], source["lifetime_ns"]["high"]
    assert low < source["lifetime_ns"]["value"] < high < source["direct_ns"]["value"]
    assert 0.8 < source["share_through_level"]["value"] < 0.9
    assert source["direct_ns"]["value"] == pytest.approx(rows["direct recombination"]["value"], rel=1e-9)
    # half the gap twice against the whole once
    assert report["pristine"]["lifetime_ns"]["value"] > 2 * source["lifetime_ns"]["value"]
    assert "electron capture (CBM to defect)" in made.output
    assert "through the level; without it" in made.output
    shown = report["populations"]
    np.testing.assert_allclose(np.sum(shown["values"], axis=1), 1.0, atol=1e-9)
    draw("defect", [out], tmp_path / "defect.svg")
    text = (tmp_path / "defect.svg").read_text()
    for words in ("pristine cell", "level left out", "with the defect", "defect +0.5"):
        assert words in text


def test_holes_are_captured_first(defective, tmp_path):
    out = tmp_path / "rates.json"
    hole = ["--dynamics-settings", "{carrier: hole}"]
    made = invoke("rates", "--couplings", str(defective), "--out", str(out), *hole)
    assert made.exit_code == 0, made.output
    report = json.loads(out.read_text())
    rows = {row["process"]: (row["from"], row["to"]) for row in report["sources"][0]["rates"]}
    assert rows["hole capture"] == ("VBM", "defect")
    assert rows["electron capture"] == ("defect", "CBM")
    assert process("hole", "VBM", "CBM") == "direct recombination"


def test_what_has_no_levels_or_too_many_is_one_sentence(defective, tmp_path):
    plain = write_couplings(tmp_path / "plain.h5")
    out = str(tmp_path / "rates.json")
    made = invoke("rates", "--couplings", str(plain), "--out", out)
    assert made.exit_code != 0
    assert "no levels of a defect are told from the bands" in str(made.exception)
    made = invoke("rates", "--couplings", str(defective), "--out", out, "--pristine", str(defective))
    assert "levels of a defect in what is to be the pristine cell" in str(made.exception)


def test_gap_and_lifetime_of_the_bands_leave_the_level_out(defective, tmp_path):
    """The level is no band edge: gap, coupling and renewal lifetime are those of VBM and CBM."""
    window = read_window(defective)
    states = read_couplings(defective)
    edges = edge_series(window, defective)
    np.testing.assert_allclose(edges.gap, states.energies[:, 2] - states.energies[:, 0], atol=1e-12)
    np.testing.assert_allclose(np.abs(edges.coupling), np.abs(states.nac[:, 0, 2]), atol=1e-12)
    report = lifetime_report(defective, TAU, [], RESAMPLING)
    assert (
        report["lifetime_ns"]["method"] == "DISH renewal, thermal band edges, levels of the defect left out"
    )
    path = path_of(states, "electron")
    direct = rates_of_path(path, TAU * (1 - np.eye(3)), 300.0, RESAMPLING).value[1, 0]
    assert report["lifetime_ns"]["value"] == pytest.approx(1e-6 / direct, rel=1e-9)
