import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from synthetic import forcefield_report, write_couplings, write_populations, write_trajectory
from typer.testing import CliRunner

from edited import edited_document
from n2amd.analysis.case import CaseFiles, build_case, stage_of
from n2amd.analysis.scaling import power_law, relative_errors
from n2amd.analysis.summary import build_summary
from n2amd.commands.analysis import app
from n2amd.errors import InputError
from n2amd.storage import read_json

HEADLINE_KEYS = {
    "material",
    "functional",
    "supercell",
    "n_atoms",
    "n_frames",
    "timestep_fs",
    "temperature_K",
    "gap_mean_eV",
    "gap_std_eV",
    "nac_rms_meV",
    "nac_rms_interval_meV",
    "nac_mean_abs_meV",
    "dephasing_time_fs",
    "dephasing_interval_fs",
    "dephasing_definition",
    "lifetime_ns",
    "tau_band_ns",
    "length",
    "estimate_ns",
    "estimate_ratio",
    "confidence",
    "verdict",
    "forcefield",
    "hamiltonian",
    "nac_parity",
    "seeds",
    "cpu_seconds",
    "model_doubt",
    "drift_meV_per_atom_per_ps",
    "runs",
}
STAGES = [
    "ingest",
    "forcefield",
    "hamiltonian",
    "trajectory",
    "states",
    "couplings",
    "dynamics",
    "analysis",
    "total",
]


def files_of(case_files: dict[str, Path]) -> CaseFiles:
    names = ("forcefield", "hamiltonian", "nac_parity", "dephasing", "lifetime")
    return CaseFiles(
        hdf5=tuple(case_files[name] for name in ("trajectory", "couplings", "dish", "fssh")),
        **{name: case_files[name] for name in names},
    )


def without_volatile(document: Any) -> Any:
    if isinstance(document, dict):
        volatile = ("cpu_seconds", "created_at", "content_sha256", "sha256")
        return {key: without_volatile(value) for key, value in document.items() if key not in volatile}
    if isinstance(document, list):
        return [without_volatile(item) for item in document]
    return document


def finite(document: Any) -> bool:
    if isinstance(document, dict):
        return all(map(finite, document.values()))
    if isinstance(document, list):
        return all(map(finite, document))
    return not isinstance(document, float) or math.isfinite(document)


def test_dephasing_report_holds_every_definition(case_files: dict[str, Path]) -> None:
    report = read_json(case_files["dephasing"])
    names = ("gaussian_fs", "exponential_fs", "one_over_e_fs", "inverse_sigma_fs")
    assert all(10 < report[name] < 60 for name in names)
    assert report["pair"] == [11, 12]
    assert report["autocorrelation"][0] == pytest.approx(1.0)
    assert report["dephasing_function"][0] == pytest.approx(1.0)
    assert np.shape(report["matrix_fs"]) == (4, 4)
    assert len(report["time_fs"]) == len(report["autocorrelation"]) == len(report["dephasing_function"])
    # slow fluctuations dephase as a Gaussian of width hbar / sigma at least
    assert report["gaussian_fs"] >= 0.95 * report["inverse_sigma_fs"]


def test_lifetime_report(case_files: dict[str, Path]) -> None:
    report = read_json(case_files["lifetime"])
    headline, exact = report["lifetime_ns"], report["exact"]
    assert headline["method"] == "exact two-state DISH renewal"
    assert headline["low"] < headline["value"] < headline["high"]
    # the error of tau comes on top of the MD window's at each tau within 1 fs
    assert headline["low"] < min(row["low_ns"] for row in report["tau_band"])
    assert headline["high"] > max(row["high_ns"] for row in report["tau_band"])
    assert {key: headline[key] for key in ("value", "low", "high")} == exact["lifetime_ns"]
    assert headline["low"] < exact["at_tau_ns"]["low"] < exact["at_tau_ns"]["high"] < headline["high"]
    assert 0.8 < exact["two_state_ratio"] < 1.25
    assert report["estimate_ns"] == pytest.approx(headline["value"], rel=0.5)
    fit = report["fits"]["dish, seed 1"]
    assert fit["monte_carlo_ns"]["low"] < 0.02 < fit["monte_carlo_ns"]["high"]
    assert fit["arrivals"]["lifetime_ns"]["value"] == pytest.approx(0.02, rel=0.15)
    assert fit["decayed"] == pytest.approx(1 - np.exp(-0.05), abs=0.01)
    assert "extrapolated; need" in report["verdict"]


def test_case_has_every_key_and_no_nan(case_files: dict[str, Path]) -> None:
    case = build_case(files_of(case_files), functional="pbe")
    assert set(case) == HEADLINE_KEYS
    assert (case["material"], case["supercell"], case["n_atoms"], case["n_frames"]) == (
        "TiO2",
        "2x2x2",
        48,
        600,
    )
    assert case["temperature_K"]["target"] == 300
    assert case["temperature_K"]["mean"] == pytest.approx(300, abs=3)
    assert case["hamiltonian"]["gap_mae_meV"] == 2.4
    assert case["forcefield"]["force_mae_meV_per_A"] == 21.0
    assert case["nac_parity"]["gap_edge"]["mae_meV"] == 0.02
    assert case["seeds"] == {
        "forcefield": 3,
        "hamiltonian": 5,
        "trajectory": 7,
        "dynamics": [1, 2],
        "analysis": 1,
    }
    assert finite(case)


def test_cpu_seconds_are_summed_by_stage(case_files: dict[str, Path]) -> None:
    cpu = build_case(files_of(case_files), functional="pbe")["cpu_seconds"]
    assert list(cpu)[:-1] == STAGES
    assert cpu["ingest"] == 0
    assert cpu["dynamics"] > 0
    assert cpu["total"] == pytest.approx(sum(cpu[stage] for stage in STAGES[:-1]))


def test_case_without_models_says_so(case_files: dict[str, Path]) -> None:
    files = CaseFiles(
        hdf5=(case_files["trajectory"], case_files["couplings"]),
        dephasing=case_files["dephasing"],
        lifetime=case_files["lifetime"],
    )
    case = build_case(files, functional="pbe", material="other", supercell="1x1x1")
    assert case["forcefield"] is case["hamiltonian"] is case["nac_parity"] is None
    assert (case["material"], case["supercell"]) == ("other", "1x1x1")


def test_summary_from_the_command_line(case_files: dict[str, Path], tmp_path: Path) -> None:
    run = CliRunner()
    for functional in ("pbe", "pbe+scissor"):
        made = run.invoke(
            app,
            [
                *("case", "--functional", functional, "--out", str(tmp_path / f"{functional}.json")),
                *("--couplings", str(case_files["couplings"]), "--trajectory", str(case_files["trajectory"])),
                *("--dephasing", str(case_files["dephasing"]), "--lifetime", str(case_files["lifetime"])),
                *(
                    "--hamiltonian",
                    str(case_files["hamiltonian"]),
                    str(case_files["dish"]),
                    str(case_files["fssh"]),
                ),
            ],
        )
        assert made.exit_code == 0, made.output
        assert f"TiO2 {functional} 2x2x2: gap" in made.output
    out, table = tmp_path / "summary.json", tmp_path / "table.csv"
    cases = [str(tmp_path / f"{name}.json") for name in ("pbe", "pbe+scissor")]
    tables = ["--table", str(table), "--tables", str(tmp_path / "tables")]
    made = run.invoke(app, ["summary", "--case", *cases, "--out", str(out), *tables])
    assert made.exit_code == 0, made.output
    assert "lifetime" in made.output
    assert "pbe+scissor" in (tmp_path / "tables" / "functionals.md").read_text()
    summary = json.loads(out.read_text(), parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    assert set(summary) >= HEADLINE_KEYS
    assert summary["functional"] == "pbe"
    assert [case["functional"] for case in summary["cases"]] == ["pbe", "pbe+scissor"]
    assert {"python", "numpy", "torch"} <= set(summary["versions"])
    # both cases come from the same files but their own case.json: counted once
    assert summary["cpu_seconds"]["all_cases"]["total"] == pytest.approx(summary["cpu_seconds"]["total"])
    rows = pd.read_csv(table)
    assert list(rows["functional"]) == ["pbe", "pbe+scissor"]
    pd.testing.assert_frame_equal(rows, pd.read_parquet(tmp_path / "table.parquet"), check_dtype=False)


def test_case_and_summary_tell_what_the_model_was_not_trained_for(
    case_files: dict[str, Path], tmp_path: Path
) -> None:
    run, said = CliRunner(), []
    report = edited_document(case_files["hamiltonian"])
    # cells smaller and larger than any trajectory's: longest waves, and so many independent frames
    for name, shortest, count in (("small", 50.0, 9), ("few", 1e-3, 2), ("enough", 1e-3, 9)):
        group = {"n_atoms": 10**6, "n_frames": 9, "n_independent": count, "smallest_g": shortest}
        path = tmp_path / f"hamiltonian-{name}.json"
        path.write_text(json.dumps({**report, "training_cells": [group]}))
        out = tmp_path / f"{name}.json"
        options = [["--out", out, "--hamiltonian", path, "--functional", name]]
        options += [
            [f"--{key}", case_files[key]] for key in ("couplings", "trajectory", "dephasing", "lifetime")
        ]
        made = run.invoke(app, ["case", *(str(word) for option in options for word in option)])
        assert made.exit_code == 0, made.output
        said.append(json.loads(out.read_text())["warnings"])
    assert [len(sentences) for sentences in said] == [1, 1, 0]
    assert "shortest reciprocal vector" in said[0][0]
    assert "2 independent training frames" in said[1][0]
    cases = [str(tmp_path / f"{name}.json") for name in ("small", "few", "enough")]
    made = run.invoke(app, ["summary", "--case", *cases, "--out", str(tmp_path / "summary.json")])
    assert made.stderr.count("warning: TiO2") == 2


def test_only_cpu_time_and_date_differ_between_two_runs(
    case_files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from n2amd import provenance
    from n2amd.storage import write_json

    texts = []
    for turn, date in enumerate(("0", "86400")):
        folder = tmp_path / str(turn)
        folder.mkdir()
        monkeypatch.setenv("SOURCE_DATE_EPOCH", date)
        monkeypatch.setattr(provenance, "cpu_seconds", lambda turn=turn: 1.0 + turn)
        couplings = write_couplings(folder / "couplings.h5", frames=200)
        dish = write_populations(folder / "dish.h5", lifetime_fs=1e4, duration=200)
        trajectory = write_trajectory(folder / "trajectory.h5")
        run = CliRunner()
        for command in (
            ["dephasing"],
            ["lifetime", "--dephasing", str(folder / "dephasing.json"), "--dynamics", str(dish)],
        ):
            made = run.invoke(
                app, [*command, "--couplings", str(couplings), "--out", str(folder / f"{command[0]}.json")]
            )
            assert made.exit_code == 0, made.output
        files = CaseFiles((trajectory, couplings, dish), folder / "dephasing.json", folder / "lifetime.json")
        summary = build_summary([build_case(files, functional="pbe")])
        write_json(folder / "summary.json", summary)
        texts.append(json.dumps(without_volatile(read_json(folder / "summary.json"))))
    assert texts[0] == texts[1]


def test_power_law_is_recovered_with_its_error() -> None:
    atoms = np.array([48, 216, 576, 1728, 4992])
    exact = power_law(atoms, 21.0 * atoms**-0.65)
    assert exact["exponent"] == pytest.approx(-0.65)
    assert exact["prefactor"] == pytest.approx(21.0)
    # the couplings of the paper's Table 2 fall as N^-0.64
    paper = power_law(atoms, [0.43, 0.19, 0.099, 0.043, 0.022])
    assert paper["exponent"] == pytest.approx(-0.64, abs=0.02)
    assert 0 < paper["error"] < 0.03


def test_weights_and_scatter_of_a_power_law() -> None:
    atoms = np.array([50.0, 200.0, 800.0])
    values = 3.0 * atoms**-0.5
    values[2] *= 2.0
    # a point known to nobody does not move the line
    loose = power_law(atoms, values, [0.01, 0.01, 10.0])
    assert loose["exponent"] == pytest.approx(-0.5, abs=1e-4)
    # the error is that of the weights while the points fit, and that of the scatter where they do not
    spread = np.sum((np.log(atoms) - np.log(atoms).mean()) ** 2)
    wide = power_law(atoms, values, [1.0, 1.0, 1.0])
    assert wide["error"] == pytest.approx(1 / np.sqrt(spread))
    assert wide["chi2_reduced"] < 1
    narrow = power_law(atoms, values, [0.01, 0.01, 0.01])
    assert narrow["error"] == pytest.approx(power_law(atoms, values)["error"])
    assert narrow["chi2_reduced"] > 100


def test_the_error_of_an_exponent_covers_it() -> None:
    rng = np.random.default_rng(3)
    atoms, errors = np.array([48, 216, 576, 1728]), np.array([0.05, 0.1, 0.2, 0.3])
    hits = 0
    for _ in range(400):
        law = power_law(atoms, 5.0 * atoms**1.3 * np.exp(errors * rng.standard_normal(4)), errors)
        hits += abs(law["exponent"] - 1.3) < 1.96 * law["error"]
    assert 0.93 <= hits / 400 <= 1.0


def test_open_intervals_leave_a_power_law_unweighted() -> None:
    assert relative_errors([1.0, None], [2.0, 3.0], 0.95) is None
    assert relative_errors([1.0], [np.exp(2 * 1.959964)], 0.95) == pytest.approx([1.0])  # type: ignore[list-item]


def test_scaling_needs_three_sizes(case_files: dict[str, Path]) -> None:
    case = build_case(files_of(case_files), functional="pbe")
    sizes = [
        {**case, "supercell": name, "n_atoms": n, "nac_rms_meV": 20 / n}
        for name, n in (("1x1x1", 6), ("2x2x2", 48), ("3x3x4", 216))
    ]
    assert build_summary(sizes[:2])["scaling"] == []
    (law,) = build_summary(sizes)["scaling"]
    assert law["nac_rms_meV"]["exponent"] == pytest.approx(-1.0)
    assert law["lifetime_ns"]["exponent"] == pytest.approx(0.0, abs=1e-12)


def test_the_same_case_twice_is_refused(case_files: dict[str, Path]) -> None:
    case = build_case(files_of(case_files), functional="pbe")
    with pytest.raises(InputError, match="TiO2 / pbe / 2x2x2 is also in"):
        build_summary([case, {**case, "__file__": "b.json"}])
    with pytest.raises(InputError, match="no case was given"):
        build_summary([])


def test_bad_inputs_are_told_in_one_sentence(case_files: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist; run the stage"):
        stage_of(tmp_path / "missing.h5")
    (tmp_path / "text.h5").write_text("not HDF5")
    with pytest.raises(InputError, match="not a readable HDF5 file"):
        stage_of(tmp_path / "text.h5")
    with pytest.raises(InputError, match="2 couplings files among the inputs"):
        CaseFiles(
            (
                case_files["trajectory"],
                case_files["couplings"],
                write_couplings(tmp_path / "c.h5", frames=50),
            ),
            case_files["dephasing"],
            case_files["lifetime"],
        )
    report = forcefield_report()
    del report["test"]["force_mae_meV_per_A"]
    (tmp_path / "f.json").write_text(json.dumps(report, default=list))
    files = CaseFiles(
        (case_files["trajectory"], case_files["couplings"]),
        case_files["dephasing"],
        case_files["lifetime"],
        forcefield=tmp_path / "f.json",
    )
    with pytest.raises(
        InputError, match=r"f.json, field 'test.force_mae_meV_per_A': the report does not have it"
    ):
        build_case(files, functional="pbe")


def test_files_of_two_runs_are_not_mixed(case_files: dict[str, Path], tmp_path: Path) -> None:
    other = write_couplings(tmp_path / "couplings.h5", frames=200)
    out = tmp_path / "lifetime.json"
    names = ("--couplings", other, "--dephasing", case_files["dephasing"], "--out", out)
    error = CliRunner().invoke(app, ["lifetime", *map(str, names)]).exception
    assert isinstance(error, InputError)
    assert str(error).startswith(f"{case_files['dephasing']}: was not made from {other}")
    assert not out.exists()
    files = CaseFiles(
        (case_files["trajectory"], other, case_files["dish"]), case_files["dephasing"], case_files["lifetime"]
    )
    with pytest.raises(InputError, match="was not made from"):
        build_case(files, functional="pbe")
    # moved, the same file is the right one
    moved = tmp_path / "moved.h5"
    moved.write_bytes(case_files["couplings"].read_bytes())
    made = CliRunner().invoke(app, ["lifetime", "--couplings", str(moved), *map(str, names[2:])])
    assert made.exit_code == 0, made.output
