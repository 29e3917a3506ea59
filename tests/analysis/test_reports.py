from pathlib import Path

import numpy as np
import pytest
from synthetic import write_couplings, write_populations

from edited import edited
from n2amd.analysis.dephasing import dephasing_report
from n2amd.analysis.dephasing_error import dephasing_error
from n2amd.analysis.lifetime import Resampling, hop_probabilities, renewal_lifetime, scan_length
from n2amd.analysis.populations import read_run, state_names
from n2amd.analysis.report import _against_estimate, lifetime_report
from n2amd.config.scissor import Scissor
from n2amd.errors import ComputationError, InputError
from n2amd.hopping.dephasing import autocorrelation, dephasing_function, of_gap
from n2amd.hopping.path import ClassicalPath
from n2amd.hopping.propagators import build
from n2amd.hopping.renewal import waiting_steps
from n2amd.units import HBAR_EV_FS

QUICK = Resampling(50.0, 50, 0.95, 1)


def test_autocorrelation_of_a_cosine() -> None:
    time = np.arange(20000.0)
    correlation = autocorrelation(0.1 * np.cos(0.05 * time), 100)
    np.testing.assert_allclose(correlation, 0.005 * np.cos(0.05 * np.arange(100)), atol=1e-4)


def test_dephasing_function_of_an_exponential_autocorrelation() -> None:
    # Kubo: g = (sigma tau_c / hbar)^2 (exp(-t/tau_c) - 1 + t/tau_c)
    sigma, memory, step = 0.05, 30.0, 0.05
    time = step * np.arange(2000)
    function = dephasing_function(sigma**2 * np.exp(-time / memory), step)
    kubo = np.exp(-((sigma * memory / HBAR_EV_FS) ** 2) * (np.expm1(-time / memory) + time / memory))
    np.testing.assert_allclose(function, kubo, atol=1e-5)


def test_static_gaussian_disorder_dephases_with_hbar_over_sigma() -> None:
    """A gap that hardly moves within the dephasing time: exp(-sigma^2 t^2 / 2 hbar^2)."""
    time = np.arange(40000.0)
    rng = np.random.default_rng(0)
    gap = 2.0 + sum(
        0.05 / np.sqrt(40) * np.sqrt(2) * np.cos(w * time + p)
        for w, p in zip(rng.uniform(0.001, 0.003, 40), rng.uniform(0, 2 * np.pi, 40))
    )
    result = of_gap(gap, 1.0)
    assert result.gaussian_fs == pytest.approx(HBAR_EV_FS / gap.std(), rel=0.02)
    assert result.one_over_e_fs == pytest.approx(np.sqrt(2) * result.gaussian_fs, rel=0.02)


def test_definitions_stand_in_a_table_with_the_one_that_is_used(tmp_path: Path) -> None:
    report = dephasing_report(write_couplings(tmp_path / "c.h5", frames=2000))
    rows = {row["definition"]: row for row in report["definitions"]}
    assert [name for name, row in rows.items() if row["used"]] == ["gaussian"]
    assert rows["libra"]["time_fs"] == pytest.approx(np.sqrt(12 / 5) * rows["inverse_sigma"]["time_fs"])
    assert rows["exponential"]["ratio"] == pytest.approx(report["exponential_fs"] / report["gaussian_fs"])
    low, high = (report["gaussian_interval_fs"][key] for key in ("low", "high"))
    assert 0.7 * report["gaussian_fs"] < low < report["gaussian_fs"] < high < 1.5 * report["gaussian_fs"]
    assert f"{report['gaussian_fs']:.1f} fs ({low:.1f} to {high:.1f})" in report["verdict"]
    assert "too short" not in report["verdict"]


def test_short_trajectories_know_the_dephasing_time_badly_and_say_so(tmp_path: Path) -> None:
    file = write_couplings(tmp_path / "c.h5", frames=60)
    report = dephasing_report(file)
    assert report["gaussian_interval_fs"]["high"] > 2 * report["gaussian_interval_fs"]["low"]
    assert "too short: 60 frames hold" in report["verdict"]
    # a lower level makes a narrower interval
    narrow = dephasing_report(file, 0.68)["gaussian_interval_fs"]
    assert report["gaussian_interval_fs"]["low"] < narrow["low"] < report["gaussian_fs"]


def slow_series(memory: float, frames: int, seed: int) -> np.ndarray:
    """Two Gaussian series of unit variance with the autocorrelation exp(-t^2 / 2 memory^2), (2, frames)."""
    lag = np.arange(-int(4 * memory), int(4 * memory) + 1)
    kernel = np.exp(-((lag / memory) ** 2))
    kernel /= np.sqrt(np.sum(kernel**2))
    noise = np.random.default_rng(seed).standard_normal((2, frames + len(lag) - 1))
    return np.array([np.convolve(row, kernel, "valid") for row in noise])


def slow_couplings(path: Path, memory: float, frames: int, seed: int) -> Path:
    """Two states with such a gap, which dephases in 25 to 30 fs, and such a coupling."""
    file = write_couplings(path, frames=frames, valence=1, conduction=1)
    gap, coupling = slow_series(memory, frames, seed)
    angle = 0.005 * coupling[:-1] / HBAR_EV_FS
    with edited(file) as source:
        source["energies"][:, 0], source["energies"][:, 1] = 0.0, 1.5 + 0.027 * gap
        overlap = np.stack([np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle)], 1)
        source["overlap"][...] = overlap.reshape(-1, 2, 2)
        source["nac"][:, 0, 1], source["nac"][:, 1, 0] = 0.005 * coupling[:-1], -0.005 * coupling[:-1]
    return file


def test_too_short_a_trajectory_is_told_with_the_length_it_needs(tmp_path: Path) -> None:
    """600 frames with a memory of 50 fs: a handful of independent samples."""
    file = slow_couplings(tmp_path / "c.h5", 50.0, 600, seed=1)
    report = lifetime_report(file, dephasing_report(file)["gaussian_fs"], [], QUICK)
    length = report["length"]
    assert length["judgement"] == "too short"
    assert length["frames_needed"] > 1000
    assert f"too short, at least {length['frames_needed']} frames are needed" in report["verdict"]
    assert report["lifetime_ns"]["high"] > 10 * report["lifetime_ns"]["low"]
    longer = slow_couplings(tmp_path / "d.h5", 5.0, 4000, seed=1)
    report = lifetime_report(longer, dephasing_report(longer)["gaussian_fs"], [], QUICK)
    assert report["length"]["judgement"] != "too short"
    assert min(report["length"]["independent_samples"].values()) > 50


def test_every_interval_of_a_run_holds_the_error_of_the_window(tmp_path: Path) -> None:
    """4,000 trajectories on one short window: Monte Carlo noise is the least of it."""
    file = slow_couplings(tmp_path / "c.h5", 25.0, 600, seed=2)
    dish = read_run(write_populations(tmp_path / "p.h5", lifetime_fs=1500))
    fssh = read_run(write_populations(tmp_path / "q.h5", lifetime_fs=1500, method="fssh"))
    report = lifetime_report(file, 15.0, [dish, fssh], QUICK)
    thermal = report["exact"]["thermal_edges"]
    for label, window in (("dish, seed 1", "lifetime_ns"), ("fssh, seed 1", "at_tau_ns")):
        fit, expected = report["fits"][label], thermal[window]
        assert "MD window" in fit["interval"]
        for found in (fit, fit["arrivals"]):
            complete, noise = found["lifetime_ns"], found["monte_carlo_ns"]
            for side in ("low", "high"):
                own = np.log(noise[side] / complete["value"])
                whole = np.hypot(own, np.log(expected[side] / expected["value"]))
                assert abs(np.log(complete[side] / complete["value"])) == pytest.approx(whole)
                assert whole > 5 * abs(own)


def test_the_level_of_the_intervals_is_the_one_asked_for(tmp_path: Path) -> None:
    file = write_couplings(tmp_path / "c.h5")
    wide, narrow = (
        lifetime_report(file, 15.0, [], Resampling(50.0, 20, level, 1))["lifetime_ns"]
        for level in (0.95, 0.68)
    )
    assert wide["low"] < narrow["low"] < narrow["value"] < narrow["high"] < wide["high"]


def test_most_intervals_of_short_trajectories_hold_the_truth() -> None:
    """40 windows of 600 frames with a memory of 25 fs, dephasing time and lifetime from each."""
    apart, windows = 700, 40
    shape, coupling = slow_series(25.0, apart * windows, seed=4)
    energies = np.stack([np.zeros(len(shape)), 1.5 + 0.027 * shape], axis=1)
    nac = 0.001 * coupling[:-1, None, None] * np.array([[0.0, 1.0], [-1.0, 0.0]])
    path = ClassicalPath(energies, 1.0, "electron", np.arange(2), start=1, final=0, nac=nac)
    propagators = build(path, "hst")
    start = np.tile([0.0, 1.0], (len(shape), 1))
    final = 1 - start
    tau = of_gap(energies[:, 1], 1.0).gaussian_fs
    steps = waiting_steps(tau, 1.0)
    truth = steps / np.nanmean(hop_probabilities(propagators, start, final, steps)[-1])
    lives, at_tau, times = [], [], []
    for begin in range(0, len(shape), apart):
        part = slice(begin, begin + 600)
        error = dephasing_error(energies[part, 1], 1.0, 0.95)
        steps = scan_length(error.tau_fs, 1.0, 600)
        probability = hop_probabilities(propagators[begin : begin + 599], start[part], final[part], steps)
        found = renewal_lifetime(probability, error.tau_fs, 1.0, QUICK, error)
        lives.append(found.lifetime.low <= truth <= found.lifetime.high)  # type: ignore[operator]
        at_tau.append(found.at_tau.low <= truth <= found.at_tau.high)  # type: ignore[operator]
        known = error.interval(0.95)
        times.append(known.low <= tau <= (known.high or np.inf))  # type: ignore[operator]
    assert np.mean(lives) >= 0.9
    assert np.mean(times) >= 0.85
    # as if tau were known: that is what the interval used to be
    assert np.mean(at_tau) < np.mean(lives)


def test_other_definitions_give_other_lifetimes(tmp_path: Path) -> None:
    file = write_couplings(tmp_path / "c.h5", frames=600)
    times = {"gaussian": 15.0, "libra": 23.0, "one_over_e": None, "exponential": 500.0}
    rows = {
        row["definition"]: row
        for row in lifetime_report(file, 15.0, [], QUICK, None, times)["exact"]["by_definition"]
    }
    report = lifetime_report(file, 15.0, [], QUICK)
    assert rows["gaussian"]["lifetime_ns"] == pytest.approx(report["lifetime_ns"]["value"])
    assert rows["libra"]["exponential_waiting_ns"] > 1.2 * rows["gaussian"]["exponential_waiting_ns"]
    assert rows["one_over_e"]["lifetime_ns"] is rows["exponential"]["lifetime_ns"] is None


def test_estimate_stands_beside_and_a_difference_is_told() -> None:
    assert "beyond a factor of 2" in _against_estimate(2.4, 1.0)
    assert "beyond" not in _against_estimate(0.6, 1.0)


def test_couplings_of_identical_frames_have_no_lifetime(tmp_path: Path) -> None:
    file = write_couplings(tmp_path / "c.h5", frames=200, nac=0.0)
    with pytest.raises(ComputationError, match=r"couplings of the band edges are zero \(rms 0 meV\)"):
        lifetime_report(file, 15.0, [], QUICK)


def test_a_closed_gap_and_nan_are_told_by_frame(tmp_path: Path) -> None:
    for value, message in (
        (-3.0, r"frame 7, field 'energies': the gap is -"),
        (np.nan, "not a finite number"),
    ):
        file = write_couplings(tmp_path / "c.h5", frames=200)
        with edited(file) as source:
            source["energies"][7, 2] = value
        with pytest.raises(InputError, match=message):
            lifetime_report(file, 15.0, [], QUICK)


def test_gap_that_does_not_move_is_refused(tmp_path: Path) -> None:
    file = write_couplings(tmp_path / "c.h5", frames=50, sigma=0.0)
    with pytest.raises(InputError, match="the gap does not fluctuate"):
        dephasing_report(file)


def test_gap_that_jumps_from_frame_to_frame_is_refused(tmp_path: Path) -> None:
    """False states of a network do that; a dephasing time was fitted all the same, without an interval."""
    file = write_couplings(tmp_path / "c.h5", frames=200)
    with edited(file) as source:
        source["energies"][...] = 0.0
        source["energies"][:, 2:] = np.random.default_rng(0).uniform(2.0, 9.0, 200)[:, None]
    with pytest.raises(InputError, match=r"is too short for time steps of 1 fs; .*train on larger cells"):
        dephasing_report(file)


def test_too_few_frames_are_refused_by_name(tmp_path: Path) -> None:
    file = write_couplings(tmp_path / "c.h5", frames=20)
    with pytest.raises(InputError, match=r"c\.h5, field 'n_frames': 20 frames of 1 fs are too few"):
        lifetime_report(file, 15.0, [], QUICK)


def test_scissor_lengthens_the_lifetime_by_the_square_of_the_gap(tmp_path: Path) -> None:
    file = write_couplings(tmp_path / "c.h5", frames=2000, gap=1.8)
    plain = lifetime_report(file, 15.0, [], QUICK)
    shifted = lifetime_report(file, 15.0, [], QUICK, Scissor(gap_eV=3.2))
    ratio = shifted["exact"]["exponential_waiting_ns"] / plain["exact"]["exponential_waiting_ns"]
    assert shifted["gap"]["mean_eV"] == pytest.approx(3.2, abs=0.02)
    assert ratio == pytest.approx((3.2 / plain["gap"]["mean_eV"]) ** 2, rel=0.2)
    assert shifted["nac"] == plain["nac"]


def test_runs_with_another_scissor_are_refused(tmp_path: Path) -> None:
    couplings = write_couplings(tmp_path / "c.h5", frames=200)
    run = read_run(write_populations(tmp_path / "p.h5", lifetime_fs=1e4, duration=50, scissor=1.4))
    with pytest.raises(InputError, match=r"shifted by 1\.4 eV, not by 0 eV"):
        lifetime_report(couplings, 15.0, [run], QUICK)


def test_runs_that_differ_or_repeat_are_refused(tmp_path: Path) -> None:
    couplings = write_couplings(tmp_path / "c.h5", frames=200)
    cold = read_run(write_populations(tmp_path / "a.h5", lifetime_fs=1e4, duration=50, temperature=100.0))
    warm = read_run(write_populations(tmp_path / "b.h5", lifetime_fs=1e4, duration=50))
    with pytest.raises(InputError, match="field 'temperature_K': the runs differ"):
        lifetime_report(couplings, 15.0, [cold, warm], QUICK)
    with pytest.raises(InputError, match="dish, seed 1 is given twice"):
        lifetime_report(couplings, 15.0, [warm, warm], QUICK)


def test_without_hops_the_exact_lifetime_stays(tmp_path: Path) -> None:
    couplings = write_couplings(tmp_path / "c.h5", frames=300)
    run = read_run(write_populations(tmp_path / "p.h5", lifetime_fs=1e12, duration=100))
    report = lifetime_report(couplings, 15.0, [run], QUICK)
    fit = report["fits"]["dish, seed 1"]
    assert fit["lifetime_ns"] == {"value": None, "low": None, "high": None}
    assert fit["arrivals"]["hops"] == 0
    bound = fit["arrivals"]["monte_carlo_ns"]["low"]
    assert bound == pytest.approx(20 * 200 * 100e-6 / -np.log(0.025))
    assert fit["arrivals"]["lifetime_ns"]["low"] < bound
    assert report["lifetime_ns"]["value"] > 0
    assert "nothing decayed within 100 fs: use the exact method" in report["verdict"]


def test_a_crossing_edge_makes_the_sampled_lifetime_the_headline(tmp_path: Path) -> None:
    """Degenerate conduction states: the pair alone misses half of the picture."""
    file = write_couplings(tmp_path / "c.h5", frames=400, conduction=2)
    with edited(file) as source:
        source["energies"][:, 3] = source["energies"][:, 2] + 1e-4
        for name, zero in (("nac", 0.0), ("overlap", 0.0)):
            values = source[name][()]
            values[:, 1, 2] = values[:, 2, 1] = zero
            values[:, 1, 2] += 1e-4
            values[:, 2, 1] -= 1e-4
            source[name][...] = values
    run = read_run(write_populations(tmp_path / "p.h5", lifetime_fs=1e3, duration=1000))
    report = lifetime_report(file, 15.0, [run], QUICK)
    assert report["exact"]["two_state_ratio"] < 0.8
    assert report["lifetime_ns"]["method"] == "first arrivals of dish"
    assert report["lifetime_ns"]["value"] == pytest.approx(1e-3, rel=0.1)
    # counted hops are many, the window is short: its error is in the headline
    renewal = report["exact"]["thermal_edges"]["lifetime_ns"]
    for side in ("low", "high"):
        quoted, window = (found[side] / found["value"] for found in (report["lifetime_ns"], renewal))
        assert abs(np.log(quoted)) >= abs(np.log(window))
    # a run at the same temperature that saw nothing
    idle = read_run(write_populations(tmp_path / "q.h5", lifetime_fs=1e12, duration=100))
    alone = lifetime_report(file, 15.0, [idle], QUICK)
    assert "the two-state picture does not hold" in report["verdict"]
    assert alone["lifetime_ns"]["low"] < alone["lifetime_ns"]["high"]
    # the band is of the renewal that is quoted, here that of the thermal edges
    assert alone["lifetime_ns"]["method"] == "DISH renewal, thermal band edges"
    row = alone["tau_scan"][alone["exact"]["waiting_steps"] - 1]
    assert row["lifetime_ns"] == alone["lifetime_ns"]["value"]
    assert alone["band_ns"]["low"] <= row["lifetime_ns"] <= alone["band_ns"]["high"]
    assert alone["exact"]["band_ns"] != alone["band_ns"]


def test_state_names() -> None:
    assert state_names("electron", 4, 0) == ("VBM", "CBM", "CBM+1", "CBM+2")
    assert state_names("hole", 3, 0) == ("CBM", "VBM", "VBM-1")
    assert state_names("hole", 3, 2) == ("VBM-1", "VBM", "CBM")
