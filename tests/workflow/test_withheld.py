"""One case that fails withholds only itself."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from workflow_project import Project

pytestmark = pytest.mark.slow
KEEP_GOING = ("--keep-going", "--quiet", "rules")

FAILING = """case "$*" in *"{command}"*"{place}"*)
  echo "some lines before" >&2; echo "error: {sentence}" >&2; exit 1;; esac
"""


def let_fail(project: Project, command: str, place: str, sentence: str) -> str:
    """Let a command of the stand-in fail in one place; return the program as it was."""
    program = project.folder / "bin/n2amd"
    text = program.read_text()
    failing = FAILING.format(command=command, place=place, sentence=sentence)
    program.write_text(text.replace("line=$*\n", failing + "line=$*\n"))
    return text


def two_supercells(project: Project) -> str:
    return project.config("two", lambda document: document.update(supercells=["1x1x1", "1x1x2"]))


def summed_up(project: Project) -> list[str]:
    """Cases that the last summary was made of."""
    last = [call for call in project.calls if "analysis summary" in call][-1]
    return re.findall(r"results-test/(\S+)/analysis/case.json", last)


@pytest.mark.parametrize(
    ("command", "place", "stage"),
    [
        ("trajectory run", "1x1x2", "run_trajectory"),
        ("states solve", "1x1x2/pbe/states/frames_000050", "solve_states"),
        ("analysis lifetime", "1x1x2", "lifetime"),
    ],
)
def test_a_supercell_that_fails_withholds_only_itself(
    project: Project, command: str, place: str, stage: str
) -> None:
    config = two_supercells(project)
    program = let_fail(project, command, place, "it blew up at frame 7")
    done = project.snakemake("--configfile", config, *KEEP_GOING, check=False)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert f"TiO2 pbe 1x1x2 is not finished at {stage}: it blew up at frame 7" in said
    assert "2 of 4 cases are finished: results-test/summary.json" in said
    assert summed_up(project) == ["TiO2/1x1x1/pbe", "TiO2/1x1x1/pbe+experiment"]
    told = json.loads((project.folder / ".snakemake/withheld.json").read_text())
    assert {(case["supercell"], case["functional"]) for case in told} == {
        ("1x1x2", "pbe"),
        ("1x1x2", "pbe+experiment"),
    }
    assert {case["stage"] for case in told} == {stage}
    assert all((project.folder / case["log"]).exists() for case in told)
    # the next run makes the summary anew, whether the case is healed or given up
    given_up = project.config("one", lambda document: document.update(supercells=["1x1x1"]))
    assert "summary" in project.planned(given_up)
    (project.folder / "bin/n2amd").write_text(program)
    project.snakemake("--configfile", config, "--quiet", "all")
    assert len(summed_up(project)) == 4
    assert project.planned(config) == {}


def test_a_case_of_earlier_settings_is_not_taken_for_a_finished_one(finished: Project) -> None:
    """Its files are all there, but are those of another temperature."""

    def hotter(document: dict) -> None:
        document["materials"]["TiO2"]["overrides"] = {"trajectory": {"temperature_K": 400.0}}
        document["materials"]["other"] = {
            "structure": document["materials"]["TiO2"]["structure"],
            "functionals": {"pbe": {"code": "honpas", "paths": ["resources/tio2-honpas/TiO2_6_train"]}},
        }

    config = finished.config("hotter", hotter)
    let_fail(finished, "trajectory run", "TiO2/1x1x1", "it blew up")
    done = finished.snakemake("--configfile", config, *KEEP_GOING, check=False)
    assert done.returncode != 0
    assert (finished.folder / "results-test/TiO2/1x1x1/pbe/analysis/case.json").exists()
    assert summed_up(finished) == ["other/1x1x1/pbe"]


def test_where_nothing_is_finished_there_is_only_the_sentence(project: Project) -> None:
    let_fail(project, "hamiltonian train", "", "the data do not suit")
    done = project.snakemake("--configfile", "config/test.yaml", *KEEP_GOING, check=False)
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "TiO2 pbe 1x1x1 is not finished at train_hamiltonian: the data do not suit" in said
    assert not any("analysis summary" in call for call in project.calls)
    assert "Traceback" not in said


def test_a_failure_beside_the_cases_leaves_the_summary_alone(project: Project) -> None:
    let_fail(project, "analysis figures", "populations.svg", "cannot draw")
    done = project.snakemake("--configfile", "config/test.yaml", *KEEP_GOING, check=False)
    assert done.returncode != 0
    assert "is not finished" not in done.stdout + done.stderr
    assert Path(project.folder / "results-test/summary.json").exists()


def test_a_run_that_is_asked_for_less_sums_nothing_up(project: Project) -> None:
    let_fail(project, "hamiltonian train", "", "the data do not suit")
    until = ("--until", "train_hamiltonian")
    done = project.snakemake("--configfile", "config/test.yaml", *KEEP_GOING, *until, check=False)
    assert done.returncode != 0
    assert "Traceback" not in done.stdout + done.stderr
    assert not (project.folder / ".snakemake/withheld.json").exists()
