"""`make run`: the real graph from end to end; runs that are killed; runs that meet another run."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from page_project import DOT, default_cases, write_results
from workflow_project import ROOT, Project

from n2amd.analysis.withheld import Withheld

RUN = ("workflow/run.sh", "config/test.yaml", "--cores", "2", "--quiet", "all")
RESULTS = Path("results-test")
# the numbers alone, without figures
SUMMARY = str(RESULTS / "summary.json")
NUMBERS = (*RUN[:2], SUMMARY, *RUN[2:])
# what may differ between two runs of the same job
VOLATILE = {"provenance", "cpu_seconds", "created_at", "created_by"}


def start(project: Project, *command: str) -> subprocess.Popen[str]:
    """Start a run as the leader of its own process group, so that all of it can be killed."""
    return subprocess.Popen(
        command,
        cwd=project.folder,
        env=project.environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def kill(process: subprocess.Popen[str]) -> None:
    """`kill -9` for the run and every process in it."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait until the run has come to a certain point."""
    while not condition():
        if process.poll() is not None:
            pytest.fail(f"the run ended before it was killed:\n{process.communicate()[0]}")
        time.sleep(0.02)


def identity(file: Path) -> tuple[int, int]:
    """What changes when a file is written again."""
    status = file.stat()
    return status.st_ino, status.st_mtime_ns


def stable(document: object) -> object:
    """A document without what may differ between two runs."""
    if isinstance(document, dict):
        return {key: stable(value) for key, value in document.items() if key not in VOLATILE}
    return [stable(entry) for entry in document] if isinstance(document, list) else document


def read_summary(project: Project) -> dict:
    return json.loads((project.folder / RESULTS / "summary.json").read_text())


def copied(project: Project, folder: Path) -> Project:
    """Another project that has come as far, file times included."""
    shutil.copytree(project.folder, folder, symlinks=True)
    old, new = str(project.folder), str(folder)
    return Project(folder, {key: value.replace(old, new) for key, value in project.environment.items()})


def contents(file: Path) -> dict[str, np.ndarray]:
    """All data sets of an HDF5 file."""
    found: dict[str, np.ndarray] = {}

    def gather(name: str, item: h5py.HLObject) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    with h5py.File(file) as source:
        source.visititems(gather)
    return found


@pytest.fixture(scope="module")
def completed(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The real graph of config/test.yaml, run to its end."""
    from workflow_project import copy_project

    project = copy_project(tmp_path_factory.mktemp("completed"), stand_in=False)
    project.run(*RUN)
    return project


@pytest.mark.slow
class TestRealRun:
    """Everything that config/test.yaml asks for, with the real commands."""

    def test_summary_holds_every_case(self, completed: Project) -> None:
        summary = read_summary(completed)
        cases = {(case["material"], case["supercell"], case["functional"]) for case in summary["cases"]}
        assert cases == {("TiO2", "1x1x1", "pbe"), ("TiO2", "1x1x1", "pbe+experiment")}
        for case in summary["cases"]:
            assert case["n_frames"] == 100
            assert case["gap_mean_eV"] > 0
            assert case["lifetime_ns"]["low"] <= case["lifetime_ns"]["value"] <= case["lifetime_ns"]["high"]
        assert summary["material"] == "TiO2"

    def test_every_figure_and_the_report_are_there(self, completed: Project) -> None:
        figures = sorted((completed.folder / RESULTS).rglob("*.svg"))
        assert len(figures) == 5 + 1 + 7 + 2
        assert all(figure.stat().st_size > 1000 for figure in figures)
        report = (completed.folder / RESULTS / "report.html").read_text()
        assert report.count('src="data:image/svg+xml;base64,') == len(figures)
        sections = ("answer", "comparison", "force-field-and-trajectory", "hamiltonian-network", "couplings")
        places = [
            report.index(f'id="{name}"') for name in (*sections, "dephasing-and-dynamics", "making", "rules")
        ]
        assert places == sorted(places)
        assert ">solve states</text>" in report

    def test_second_run_does_nothing(self, completed: Project) -> None:
        files = {file: identity(file) for file in (completed.folder / RESULTS).rglob("*") if file.is_file()}
        said = completed.run(*RUN).stdout
        after = {file: identity(file) for file in (completed.folder / RESULTS).rglob("*") if file.is_file()}
        assert after == files
        # but for the answer, which ends every run
        assert "TiO2 pbe 1x1x1: lifetime" in said
        assert "do not believe this lifetime, because" in said
        assert said.splitlines()[-1] == f"report: {RESULTS}/report.html"

    def test_killed_at_eight_stages_it_still_completes(
        self, completed: Project, real_project: Project
    ) -> None:
        """The numbers are those of a run that nobody disturbed, and finished shards stay."""
        results = real_project.folder / RESULTS

        def shards() -> list[Path]:
            return sorted(results.rglob("states/frames_*.h5"))

        points: list[Callable[[], bool]] = [
            lambda: (results / "TiO2/pbe/dataset.h5").exists(),
            lambda: (results / "TiO2/pbe/forcefield.model.work").exists(),
            lambda: (results / "TiO2/pbe/hamiltonian.pt.work").exists(),
            lambda: (results / "TiO2/1x1x1/trajectory.h5.work").exists(),
            # on one core: the log of the second shard appears when the first one is done
            lambda: bool(shards()) and len(list(results.rglob("solve_states_*.log"))) == 2,
            lambda: (results / "logs/TiO2/1x1x1/pbe/assemble_couplings.log").exists(),
            lambda: any(results.glob("TiO2/1x1x1/*/dynamics/*.h5")),
            lambda: any(results.glob("logs/TiO2/1x1x1/*/lifetime.log")),
        ]
        kept: dict[Path, tuple[int, int]] = {}
        for reached in points:
            process = start(real_project, *RUN, "--cores", "1")
            wait_for(reached, process)
            kill(process)
            assert {file: identity(file) for file in kept} == kept, "a finished shard was made again"
            kept = {file: identity(file) for file in shards()}
        real_project.run(*RUN)
        assert len(kept) == 2
        assert {file: identity(file) for file in kept} == kept
        assert not list(results.rglob("*.part"))
        assert stable(read_summary(real_project)) == stable(read_summary(completed))

    def test_more_frames_give_the_bits_of_a_fresh_run(self, completed: Project, tmp_path: Path) -> None:
        """100 frames, then 120: the trajectory goes on, one shard is solved; against 120 frames at once."""
        longer = ("workflow/run.sh", "config/longer.yaml", SUMMARY, *RUN[2:])
        found: dict[str, dict[str, np.ndarray]] = {}
        for name in ("continued", "fresh"):
            project = copied(completed, tmp_path / name)
            project.config("longer", lambda document: document["trajectory"].update(frames=120))
            cell = project.folder / RESULTS / "TiO2/1x1x1"
            before = {file: identity(file) for file in (cell / "pbe/states").glob("frames_*.h5")}
            if name == "fresh":
                shutil.rmtree(cell)
            project.run(*longer)
            if name == "continued":
                assert {file: identity(file) for file in before} == before
                log = (project.folder / RESULTS / "logs/TiO2/1x1x1/run_trajectory.log").read_text()
                assert "equilibration step" not in log
                assert "frame 120/120" in log
            found[name] = {
                f"{file} {key}": values
                for file in ("trajectory.h5", "pbe/couplings.h5", "pbe/dynamics/dish_seed1.h5")
                for key, values in contents(cell / file).items()
            }
            found[name]["summary"] = np.array(json.dumps(stable(read_summary(project)), sort_keys=True))
        assert found["continued"].keys() == found["fresh"].keys()
        for name, values in found["fresh"].items():
            np.testing.assert_array_equal(found["continued"][name], values, err_msg=name)

    def test_the_quick_start_s_commands_do_what_it_says(self, completed: Project, tmp_path: Path) -> None:
        """Its stages alone, on the results of this job; Hefei-NAMD's files have tests of their own."""
        page = (ROOT / "docs/quickstart.md").read_text().split("## Stages alone", 1)[1]
        (block,) = re.findall(r"```\n(.*?)```", page, re.DOTALL)
        commands = [line.partition(" #")[0] for line in block.splitlines() if "--hefei" not in line]
        assert len(commands) >= 3
        for command in commands:
            words = command.replace("results/TiO2/2x2x2/", "results-test/TiO2/1x1x1/").split()
            if "--out" in words:
                words[words.index("--out") + 1] = str(tmp_path / words[words.index("--out") + 1])
            completed.run(*words)
        assert {"mine.h5", "trajectory.extxyz"} <= {file.name for file in tmp_path.iterdir()}

    @pytest.mark.parametrize("name", ["pbe/states/frames_000050-000099.h5", "trajectory.h5"])
    def test_a_halved_file_is_one_sentence_and_its_remedy_helps(
        self, completed: Project, tmp_path: Path, name: str
    ) -> None:
        project = copied(completed, tmp_path / "own")
        file = RESULTS / "TiO2/1x1x1" / name
        content = (project.folder / file).read_bytes()
        (project.folder / file).write_bytes(content[: len(content) // 2])
        done = project.run(*NUMBERS[:-1], "rules", check=False)
        said = done.stdout + done.stderr
        assert "Traceback" not in said
        if name == "trajectory.h5":
            # its frames are in the restart folder: it is written again at once
            assert done.returncode == 0
        else:
            assert done.returncode != 0
            told = [line for line in said.splitlines() if f"{file}: not a readable HDF5 file" in line]
            assert told
            assert all("delete it and run again" in line for line in told)
            (project.folder / file).unlink()
            project.run(*NUMBERS)
        assert stable(read_summary(project)) == stable(read_summary(completed))


@pytest.mark.slow
class TestLocks:
    """The stand-ins are instant but for one that waits for a file."""

    @staticmethod
    def hold_training(project: Project) -> Path:
        """Let the training of the Hamiltonian wait until the returned file exists."""
        release = project.folder / "release"
        program = project.folder / "bin/n2amd"
        wait = f'[ "$1 $2" != "hamiltonian train" ] || until [ -e {release} ]; do sleep 0.05; done\n'
        lines = program.read_text().splitlines(keepends=True)
        program.write_text("".join([*lines[:4], wait, *lines[4:]]))
        return release

    @staticmethod
    def waiting(project: Project) -> Callable[[], bool]:
        return lambda: any("hamiltonian train" in call for call in project.calls)

    def test_second_run_is_told_of_the_first(self, project: Project) -> None:
        release = self.hold_training(project)
        run = (*RUN, "--until", "train_hamiltonian")
        first = start(project, *run)
        wait_for(self.waiting(project), first)
        second = project.run(*run, check=False)
        assert second.returncode == 1
        assert "another run is active in this folder" in second.stderr
        # the first was not disturbed
        release.touch()
        assert "Error" not in first.communicate()[0]
        assert (project.folder / RESULTS / "TiO2/pbe/hamiltonian.pt").exists()

    def test_run_started_without_make_is_respected(self, project: Project) -> None:
        release = self.hold_training(project)
        config = ("--configfile", "config/test.yaml")
        first = start(project, "snakemake", "--cores", "2", "--until", "train_hamiltonian", *config)
        wait_for(self.waiting(project), first)
        second = project.run(*RUN, "--until", "train_hamiltonian", check=False)
        assert second.returncode == 1
        assert "another run is active in this folder" in second.stderr
        assert any((project.folder / ".snakemake/locks").iterdir())
        release.touch()
        first.communicate()
        assert first.returncode == 0

    def test_lock_of_a_killed_run_is_removed(self, project: Project) -> None:
        release = self.hold_training(project)
        run = (*RUN, "--until", "train_hamiltonian")
        first = start(project, *run)
        wait_for(self.waiting(project), first)
        kill(first)
        assert any((project.folder / ".snakemake/locks").iterdir())
        release.touch()
        project.run(*run)
        assert (project.folder / RESULTS / "TiO2/pbe/hamiltonian.pt").exists()

    def test_bad_configuration_is_exit_code_2(self, project: Project) -> None:
        config = project.config(
            "bad", lambda document: document["materials"]["TiO2"].update(structure="nowhere.vasp")
        )
        done = project.run("workflow/run.sh", config, check=False)
        assert done.returncode == 2
        assert "nowhere.vasp does not exist" in done.stderr


class TestAnswer:
    """How a run ends, on results that are there: a stand-in for Snakemake computes nothing."""

    @pytest.fixture
    def finished_results(self, real_project: Project) -> Project:
        binaries = real_project.folder / "bin"
        binaries.mkdir()
        (binaries / "rules.dot").write_text(DOT)
        program = binaries / "snakemake"
        program.write_text(f'#!/bin/sh\ncase "$*" in *--rulegraph*) cat {binaries}/rules.dot ;; esac\n')
        program.chmod(0o755)
        real_project.environment["PATH"] = f"{binaries}:{real_project.environment['PATH']}"
        write_results(real_project.folder / RESULTS, default_cases())
        return real_project

    def test_it_says_lifetime_and_verdict_and_writes_the_page_once(self, finished_results: Project) -> None:
        said = finished_results.run(*RUN).stdout.splitlines()
        assert said[-1] == f"report: {RESULTS}/report.html"
        assert "TiO2 pbe 2x2x2: lifetime 18.2 ns (95 % interval 9.72 to 61.3)" in said
        assert "  do not believe this lifetime, because" in said
        page = finished_results.folder / RESULTS / "report.html"
        assert ">solve states</text>" in page.read_text()
        written = identity(page)
        assert finished_results.run(*RUN).stdout.splitlines() == said
        assert identity(page) == written
        # a figure alone makes it new
        later = page.stat().st_mtime + 10
        os.utime(finished_results.folder / RESULTS / "TiO2/pbe/figures/bands.svg", (later, later))
        finished_results.run(*RUN)
        assert identity(page) != written

    def test_after_a_failure_it_says_what_is_finished(self, finished_results: Project) -> None:
        program = finished_results.folder / "bin/snakemake"
        whole = program.read_text()
        program.write_text(whole.replace("esac", "*) exit 1 ;; esac"))
        assert "lifetime" not in finished_results.run(*RUN, check=False).stdout
        case = Withheld("TiO2", "3x3x4", "pbe", "run_trajectory", "it blew up at frame 7", "results/log")
        summary = finished_results.folder / RESULTS / "summary.json"
        document = json.loads(summary.read_text()) | {"withheld": [case.document()]}
        document.get("provenance", {}).pop("sha256", None)
        summary.write_text(json.dumps(document))
        program.write_text(whole.replace("esac", "*) touch .snakemake/withheld.json; exit 1 ;; esac"))
        done = finished_results.run(*RUN, check=False)
        assert done.returncode == 1
        assert "TiO2 pbe 2x2x2: lifetime 18.2 ns (95 % interval 9.72 to 61.3)" in done.stdout
        assert case.sentence() in done.stdout
        page = (finished_results.folder / RESULTS / "report.html").read_text()
        assert f"<li>{case.sentence()}</li>" in page

    def test_a_dry_run_has_no_answer(self, finished_results: Project) -> None:
        for options in (("-n",), ("--until", "summary")):
            assert "lifetime" not in finished_results.run(*RUN, *options).stdout
        assert not (finished_results.folder / RESULTS / "report.html").exists()
