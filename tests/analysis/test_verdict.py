"""The verdict on a lifetime: each reason by a constructed case, what is unknown, and the default job."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from synthetic import write_couplings, write_trajectory
from typer.testing import CliRunner

from edited import edited_document
from n2amd.analysis.documents import read_report
from n2amd.analysis.spoken import answer
from n2amd.analysis.summary import build_summary, write_flat_table
from n2amd.analysis.verdict import Verdict, verdict
from n2amd.commands.analysis import app
from n2amd.errors import InputError

DEFAULT_JOB = Path(__file__).resolve().parents[1] / "data" / "default-job"
Case = dict[str, Any]

#: What older versions did not write, or a job may lack.
MAY_LACK = ("hamiltonian", "forcefield", "nac_parity", "model_doubt", "states", "runs", "warnings")


def default_case(variant: str = "pbe") -> Case:
    return json.loads((DEFAULT_JOB / f"case-{variant}.json").read_text())


def sound_case() -> Case:
    """The default job as if it were long, with many held-out frames and couplings as DFT has them."""
    case = default_case()
    case["lifetime_ns"] |= {"low": 15.0, "high": 22.0}
    case["length"] |= {"judgement": "long enough", "frames_needed": None}
    case["hamiltonian"]["largest_cell"]["n_frames"] = 12
    case["nac_parity"]["gap_edge"]["rms_model_meV"] = 0.26
    assert verdict(case).level == "believe", verdict(case).reasons()
    return case


def put(path: str, value: object) -> Callable[[Case], None]:
    def change(case: Case) -> None:
        *folders, last = path.split(".")
        for folder in folders:
            case = case[folder]
        case[last] = value

    return change


def both(*changes: Callable[[Case], None]) -> Callable[[Case], None]:
    def change(case: Case) -> None:
        for one in changes:
            one(case)

    return change


def changed(change: Callable[[Case], None]) -> Case:
    case = copy.deepcopy(sound_case())
    change(case)
    return case


def test_a_sound_case_is_believed() -> None:
    found = verdict(sound_case())
    assert found.level == "believe"
    assert {check.outcome for check in found.checks} == {"good"}
    assert found.reasons() == (
        f"believe this lifetime: all {len(found.checks)} checks are within their limits",
    )


SAMPLED = put("lifetime_ns.method", "first arrivals of dish")
OUTCOMES = {"care": "with care", "bad": "do not believe"}


@pytest.mark.parametrize(
    ("change", "outcome", "said"),
    [
        # (1 + 60/1905)^2 sqrt(1 + (60/57.5)^2) = 1.5
        (put("hamiltonian.largest_cell.gap_mae_meV", 60.0), "care", "the gap is 60 meV from DFT's"),
        (put("hamiltonian.largest_cell.gap_mae_meV", 150.0), "bad", "the gap is 150 meV from DFT's"),
        # as large as the gap itself, whatever it fluctuates by
        (
            both(put("gap_mean_eV", 0.015), put("gap_std_eV", 5.0)),
            "bad",
            "mean gap 0.015 eV",
        ),
        (put("gap_mean_eV", 0.0), "bad", "no lifetime can be made"),
        (
            put("hamiltonian.largest_cell.n_frames", 2),
            "care",
            "known from 2 held-out frames of 48 atoms only",
        ),
        (put("n_atoms", 216), "care", "judged on cells of up to 48 atoms, not 216"),
        (put("warnings", ["waves this long are in no training frame"]), "care", "waves this long"),
        (put("hamiltonian.false_states", 2), "care", "2 false states on held-out frames; train"),
        (
            both(put("hamiltonian.false_states", 2), put("hamiltonian.false_states_in_gap", 1)),
            "bad",
            "1 of them in the gap",
        ),
        (put("model_doubt.lifetime_factor", 1.4), "care", "the lifetime by a factor of 1.4"),
        (put("model_doubt.lifetime_factor", 3.0), "bad", "the lifetime by a factor of 3"),
        (
            put("states.frames_with_false_states", 5),
            "care",
            "5 of 500 frames of the trajectory have false states",
        ),
        (put("states.frames_with_false_states", 6), "bad", "6 of 500 frames"),
        (put("states.frames_outside", 3), "care", "3 of 32 frames looked at are beyond the training data"),
        (put("states.frames_outside", 17), "bad", "17 of 32 frames looked at"),
        (put("forcefield.force_mae_meV_per_A", 200.0), "care", "24 % of their rms of 837 meV/Å"),
        # no better than no forces at all
        (put("forcefield.force_mae_meV_per_A", 670.0), "bad", "80 % of their rms"),
        (put("temperature_K.mean", 350.0), "care", "has 350 K, 300 K were asked for, a factor of 1.26"),
        (put("temperature_K.mean", 245.0), "care", "has 245 K"),
        (put("temperature_K.mean", 480.0), "bad", "has 480 K"),
        (put("drift_meV_per_atom_per_ps", -30.0), "care", "drifts by 30 meV/atom/ps, 15 meV/atom over"),
        (put("drift_meV_per_atom_per_ps", 200.0), "bad", "drifts by"),
        (put("nac_parity.gap_edge.rms_model_meV", 0.21), "care", "on 10 consecutive DFT frames is 0.21 meV"),
        (put("nac_parity.gap_edge.rms_model_meV", 0.5), "bad", "DFT's 0.267 meV, a factor of 3.51"),
        (put("nac_parity.gap_edge.rms_model_meV", 0.0), "bad", "is 0 meV"),
        (put("lifetime_ns.high", 40.0), "care", "interval of 15 to 40 ns spans a factor of 2.7"),
        (put("lifetime_ns.high", 200.0), "bad", "spans a factor of 13"),
        (put("lifetime_ns.high", None), "bad", "its interval is open"),
        (
            put("length", {"judgement": "wide", "frames": 500, "frames_needed": 900}),
            "care",
            "about 900 frames",
        ),
        (
            put("length", {"judgement": "too short", "frames": 90, "frames_needed": 700}),
            "bad",
            "90 frames are too few, at least 700 are needed",
        ),
        (SAMPLED, "bad", "rests on 2 recombinations"),
        (both(SAMPLED, put("runs", [{"method": "dish", "hops": 30}])), "care", "rests on 30 recombinations"),
        (
            put(
                "runs",
                [{"method": "dish", "hops": 90, "lifetime_ns": {"value": 1.0, "low": 0.8, "high": 1.3}}],
            ),
            "bad",
            "90 recombinations sampled by DISH give 0.8 to 1.3 ns",
        ),
        (put("estimate_ns", 50.0), "care", "0.36 times the estimate"),
    ],
)
def test_each_reason_is_found(change: Callable[[Case], None], outcome: str, said: str) -> None:
    found = verdict(changed(change))
    reasons = [check.found for check in found.checks if check.outcome == outcome]
    assert any(said in reason for reason in reasons), found.reasons()
    assert found.level == OUTCOMES[outcome]
    opening = {
        "care": "take this lifetime with care, because",
        "bad": "do not believe this lifetime, because",
    }
    assert found.reasons()[0].startswith(opening[outcome])


@pytest.mark.parametrize(
    ("change", "count"),
    [
        (put("states.frames_judged", 0), 1),
        (put("model_doubt", None), 1),
        (put("model_doubt.lifetime_factor", None), 1),
        (put("nac_parity", None), 1),
        (put("nac_parity.gap_edge", {"mae_meV": 0.03, "rms_dft_meV": 0.0, "rms_model_meV": 0.03}), 1),
        # gap, frames, training cells, false states
        (put("hamiltonian", None), 4),
        (put("hamiltonian.largest_cell.gap_mae_meV", None), 1),
        (put("hamiltonian.largest_trained_cell_atoms", None), 1),
        (put("forcefield", None), 1),
        (put("forcefield.force_rms_dft_meV_per_A", None), 1),
        # a frame at its minimum has no forces to be wrong about
        (put("forcefield.force_rms_dft_meV_per_A", 1e-7), 1),
        (put("states", None), 2),
        (put("runs", None), 1),
        (put("drift_meV_per_atom_per_ps", None), 1),
    ],
)
def test_what_is_unknown_is_said_and_not_taken_as_good(change: Callable[[Case], None], count: int) -> None:
    found = verdict(changed(change))
    assert found.level == "with care"
    assert sum(check.outcome == "unknown" for check in found.checks) == count
    (sentence,) = found.reasons()
    assert sentence.startswith("not known, and not taken as good: ")


def test_a_case_of_an_older_version_is_judged_by_what_it_tells() -> None:
    case = sound_case()
    for key in (*MAY_LACK, "drift_meV_per_atom_per_ps", "timestep_fs"):
        del case[key]
    found = verdict(case)
    assert found.level == "with care"
    assert {c.outcome for c in found.checks if c.name in ("temperature", "length and interval")} == {"good"}
    assert sum(c.outcome == "unknown" for c in found.checks) == 11


def test_the_worst_reason_comes_first_and_decides() -> None:
    found = verdict(default_case("pbe+experiment"))
    assert found.level == "do not believe"
    first, *others = found.reasons()
    assert first.startswith(
        "do not believe this lifetime, because its interval of 7.61 to 231 ns spans a factor"
    )
    assert all(reason.startswith("besides, ") for reason in others)


def test_default_job_is_taken_with_care() -> None:
    found = verdict(default_case())
    assert found.level == "with care"
    assert [check.name for check in found.checks if check.outcome != "good"] == [
        "held-out frames",
        "coupling against DFT",
        "length and interval",
    ]


def test_few_sampled_events_do_not_weaken_an_exact_lifetime() -> None:
    case = sound_case()
    assert case["runs"][0]["hops"] == 2
    (check,) = (c for c in verdict(case).checks if c.name == "recombination events")
    assert (check.outcome, check.found) == (
        "good",
        "the lifetime is computed without sampling; DISH saw 2 recombinations",
    )


@pytest.fixture
def summary() -> Case:
    return build_summary([default_case(), default_case("pbe+experiment")])


def test_summary_and_table_hold_the_verdict(summary: Case, tmp_path: Path) -> None:
    assert [case["trust"]["level"] for case in summary["cases"]] == ["with care", "do not believe"]
    assert summary["trust"] == summary["cases"][0]["trust"] == verdict(default_case()).document()
    write_flat_table(summary["cases"], tmp_path / "t.csv")
    rows = pd.read_csv(tmp_path / "t.csv")
    assert list(rows["trust"]) == ["with care", "do not believe"]
    assert rows["trust_reasons"][1].startswith("do not believe this lifetime, because its interval")


def test_summary_refuses_a_case_whose_newer_keys_are_damaged() -> None:
    for change in (put("states.n_frames", "many"), put("runs", [{"method": "dish"}]), put("warnings", 3)):
        with pytest.raises(InputError, match=r"states\.n_frames|runs\[0\]|warnings"):
            build_summary([changed(change)])


def test_the_terminal_says_lifetime_verdict_and_reasons(summary: Case, tmp_path: Path) -> None:
    lines = answer(summary, most=4).splitlines()
    assert lines[:3] == [
        "TiO2 pbe 2x2x2: lifetime 18.2 ns (95 % interval 9.72 to 61.3)",
        "  gap 1.91 eV, dephasing 13.6 fs, coupling 1.03 meV, 311 K",
        "  take this lifetime with care, because",
    ]
    assert "  do not believe this lifetime, because" in lines
    assert max(map(len, lines)) <= 100
    brief = answer(summary, most=1).splitlines()
    assert (
        brief[-1] == "TiO2 pbe+experiment 2x2x2: lifetime 50.5 ns (95 % interval 7.61 to 231): do not believe"
    )
    believed = answer(build_summary([sound_case()]), most=1).splitlines()
    assert believed[2].startswith("  believe this lifetime: all ")
    file = tmp_path / "summary.json"
    file.write_text(json.dumps(summary))
    said = CliRunner().invoke(app, ["verdict", str(file)])
    assert said.exit_code == 0, said.output
    assert said.output.splitlines() == lines
    del summary["cases"][1]["trust"]
    file.write_text(json.dumps(summary))
    refused = CliRunner().invoke(app, ["verdict", str(file)])
    assert isinstance(refused.exception, InputError)
    assert "cases[1].trust" in str(refused.exception)


def test_case_gathers_what_the_verdict_needs(case_files: dict[str, Path], tmp_path: Path) -> None:
    report = edited_document(case_files["hamiltonian"])
    row = {"mae_meV": 1.0, "larger_than_trained": False}
    report["by_cell"] = [
        {**row, "n_atoms": 6, "n_frames": 9, "gap_mae_meV": 2.0},
        {**row, "n_atoms": 96, "n_frames": 3, "gap_mae_meV": 15.3, "larger_than_trained": True},
    ]
    report["test"] |= {"false_states": 1, "false_states_in_gap": 0, "largest_trained_cell_atoms": 48}
    hamiltonian = tmp_path / "hamiltonian.json"
    hamiltonian.write_text(json.dumps(report))
    options = {key: case_files[key] for key in ("couplings", "trajectory", "dephasing", "lifetime")}
    words = [word for key, path in options.items() for word in (f"--{key}", str(path))]
    words += ["--functional", "pbe", "--hamiltonian", str(hamiltonian), "--out", str(tmp_path / "case.json")]
    made = CliRunner().invoke(app, ["case", *words, str(case_files["dish"])])
    assert made.exit_code == 0, made.output
    case = read_report(tmp_path / "case.json")
    assert case["hamiltonian"]["largest_cell"] == {
        "n_atoms": 96,
        "n_frames": 3,
        "gap_mae_meV": 15.3,
        "larger_than_trained": True,
    }
    assert case["hamiltonian"]["false_states"] == 1
    assert case["drift_meV_per_atom_per_ps"] == 0.1
    assert case["states"] is None
    assert [run["method"] for run in case["runs"]] == ["dish", "fssh"]
    found: Verdict = verdict(case)
    (gap,) = (check for check in found.checks if check.name == "gap of the network")
    assert "15.3 meV from DFT's on held-out frames of 96 atoms" in gap.found
    assert found.level != "believe"


def test_a_trajectory_that_does_not_tell_its_drift_is_no_error(
    case_files: dict[str, Path], tmp_path: Path
) -> None:
    import h5py

    from n2amd.analysis.case import CaseFiles, build_case

    trajectory = write_trajectory(tmp_path / "trajectory.h5")
    with h5py.File(trajectory, "r+") as file:
        del file.attrs["drift_meV_per_atom_per_ps"]
    couplings = write_couplings(tmp_path / "couplings.h5")
    files = CaseFiles((trajectory, couplings), case_files["dephasing"], case_files["lifetime"])
    assert build_case(files, functional="pbe")["drift_meV_per_atom_per_ps"] is None


def test_every_check_stands_in_the_documentation() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "results.md").read_text()
    section = page.split("## Can the lifetime be believed?")[1].split("\n## ")[0]
    rows = [line.split(" | ")[0].strip("| ") for line in section.splitlines() if line.startswith("| ")]
    assert rows[1:] == [check.name for check in verdict(sound_case()).checks]
    assert "fourteen checks" in section
    assert len(rows) == 1 + 14
