"""The doubt of the model in gap, coupling and lifetime: draws whose answers are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t as student
from synthetic import write_couplings

from edited import edited
from n2amd.analysis.lifetime import Resampling
from n2amd.analysis.model_doubt import model_doubt
from n2amd.analysis.report import lifetime_report
from n2amd.couplings.doubt import EdgeDoubt, write_edge_doubt

QUICK = Resampling(50.0, 20, 0.95, 1)


def doubt_of(
    static=(0.0, 0.0), wider=(1.0, 1.0), coupling=(1.0, 1.0), moments: int = 8, gap: float = 2.0
) -> EdgeDoubt:
    """Draws that shift the CBM, widen its fluctuation and multiply the coupling."""
    rng = np.random.default_rng(0)
    moving = 0.05 * rng.normal(size=(moments, 2))
    moving -= moving.mean()
    nominal = np.stack([np.zeros_like(moving), gap + moving], axis=-1)
    cbm = gap + np.asarray(static) + moving[..., None] * np.asarray(wider)
    own = 0.003 * np.abs(rng.normal(size=moments))
    return EdgeDoubt(
        np.arange(moments), np.zeros_like(cbm), cbm, nominal, own[:, None] * np.asarray(coupling), own
    )


def test_a_shift_of_the_edge_is_static() -> None:
    found = model_doubt(doubt_of(static=(0.1, -0.1)))
    assert found.edges["cbm"] == pytest.approx({"spread": 0.1, "static": 0.1, "fluctuating": 0.0}, abs=1e-12)
    assert found.edges["vbm"]["spread"] == 0
    assert found.gap_fluctuation == pytest.approx(0)
    logs = np.log(np.array([2.1, 1.9]) / 2) * 2
    assert found.log_lifetime == pytest.approx(np.sqrt((logs**2).mean()))


def test_fluctuation_and_coupling_change_the_lifetime_as_the_estimate_says() -> None:
    found = model_doubt(doubt_of(wider=(1.2, 0.9), coupling=(1.5, 0.8)))
    assert found.gap_fluctuation == pytest.approx(np.sqrt((0.2**2 + 0.1**2) / 2))
    assert found.coupling == pytest.approx(np.sqrt((0.5**2 + 0.2**2) / 2))
    logs = -np.log([1.2, 0.9]) - 2 * np.log([1.5, 0.8])
    assert found.log_lifetime == pytest.approx(np.sqrt((logs**2).mean()))
    assert found.edges["gap"]["static"] == pytest.approx(0, abs=1e-12)
    factor = np.exp(student.ppf(0.975, 2) * found.log_lifetime)
    assert found.factor(0.95) == pytest.approx(factor)


def test_a_scissor_makes_an_error_of_the_gap_matter_less() -> None:
    doubt = doubt_of(static=(0.1, -0.1))
    assert model_doubt(doubt, 2.0).log_lifetime == pytest.approx(
        model_doubt(doubt).log_lifetime / 2, rel=1e-2
    )


def test_too_few_moments_are_said() -> None:
    found = model_doubt(doubt_of(static=(0.1, -0.1), moments=2))
    assert found.factor(0.95) is None
    assert "2 moments are too few" in found.sentence(0.95)


def lifetime(file: Path, *, with_doubt: bool = True) -> dict:
    return lifetime_report(file, 15.0, [], QUICK, with_doubt=with_doubt)


def test_the_interval_of_the_lifetime_holds_the_doubt(tmp_path: Path) -> None:
    file = write_couplings(tmp_path / "c.h5")
    before = lifetime(file)
    assert before["model_doubt"] is None
    with edited(file) as open_file:
        write_edge_doubt(open_file, doubt_of(coupling=(1.3, 0.8)))
    without, held = lifetime(file, with_doubt=False), lifetime(file)
    assert without["lifetime_ns"] == before["lifetime_ns"]
    assert not without["model_doubt"]["in_interval"]
    log = {
        name: np.log(report["lifetime_ns"]["high"] / report["lifetime_ns"]["value"])
        for name, report in (("before", before), ("held", held))
    }
    factor = held["model_doubt"]["lifetime_factor"]
    assert log["held"] == pytest.approx(np.hypot(log["before"], np.log(factor)))
    assert held["lifetime_ns"]["low"] < before["lifetime_ns"]["low"]
    assert "the network doubts its gap" in held["verdict"]
