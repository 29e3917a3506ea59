"""profiles/slurm on a real SLURM: one node, all daemons on loopback, started and ended here."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from slurm_daemons import jobs_of_cluster, running_slurm
from workflow_project import Project, copy_project

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

SHARDS = int(os.environ.get("N2AMD_SLURM_SHARDS", "14"))
FRAMES_PER_SHARD = 2
CASE = "results-test/TiO2/1x1x1/pbe"
# only what hangs comes near it
LIMIT_S = 3000


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with running_slurm(tmp_path_factory.mktemp("slurm")):
        yield


def profile_of(project: Project, **changes: object) -> str:
    """Copy profiles/slurm as docs/cluster.md says, with the partitions of this cluster and shorter waits."""
    folder = project.folder / "profiles/mine"
    shutil.copytree(project.folder / "profiles/slurm", folder)
    project.run(*N2AMD, "cluster", "partitions", "--out", "profiles/mine/partitions.yaml")
    listed = yaml.safe_load((folder / "partitions.yaml").read_text())
    assert listed["partitions"]["gpu"] == {
        "max_gpu": 2,
        "max_mem_mb": 64000,
        "max_runtime": 600,
        "max_threads": 8,
    }
    # one node is in both, but the GPUs are for the jobs that want them
    listed["partitions"]["cpu"]["max_gpu"] = 0
    (folder / "partitions.yaml").write_text(yaml.safe_dump(listed))
    document = yaml.safe_load((folder / "config.yaml").read_text())
    document |= {
        "slurm-partition-config": "profiles/mine/partitions.yaml",
        "slurm-init-seconds-before-status-checks": 1,
        "latency-wait": 5,
        "retries": 1,
    }
    document["default-resources"]["slurm_account"] = "nobody"
    # no training: many threads on few cores wait for each other
    document["set-threads"] = {"assemble_couplings": 2}
    document["set-resources"]["run_dynamics"]["tasks"] = 2
    document["set-resources"]["solve_states"] = {"gpu": 1}
    # None: without
    document = {key: value for key, value in (document | changes).items() if value is not None}
    (folder / "config.yaml").write_text(yaml.safe_dump(document))
    return "profiles/mine"


N2AMD = (sys.executable, "-m", "n2amd.cli")

# the real command, which fails, hangs or waits where a test says so; each of these once
WRAPPER = """#!/usr/bin/env bash
set -u
said="${{SLURM_JOB_ID-}} ${{OMP_NUM_THREADS-}} ${{CUDA_VISIBLE_DEVICES-}} $*"
[ -z "${{SLURM_JOB_ID-}}" ] || echo "$said" >> {folder}/calls.log
if [ "$1 $2" = "states solve" ]; then
  number=$(grep -oP -- '--frames \\K\\d+-\\d+' <<<"$*")
  ! rm {folder}/fails/$number 2>/dev/null || exit 1
  ! rm {folder}/hangs/$number 2>/dev/null || exec sleep 3000
  while [ -e {folder}/waits/$number ]; do sleep 0.2; done
fi
exec {python} -m n2amd.cli "$@"
"""


def wrap(project: Project) -> None:
    for name in ("bin", "fails", "hangs", "waits"):
        (project.folder / name).mkdir()
    program = project.folder / "bin/n2amd"
    program.write_text(WRAPPER.format(folder=project.folder, python=sys.executable))
    program.chmod(0o755)
    project.environment["PATH"] = f"{program.parent}{os.pathsep}{project.environment['PATH']}"


@dataclass(frozen=True)
class Run:
    """A process that goes on beside the test; what it prints would fill a pipe."""

    process: subprocess.Popen[str]
    file: Path

    @classmethod
    def start(cls, project: Project, file: Path, *words: str) -> Run:
        with file.open("w") as output:
            process = subprocess.Popen(
                words,
                cwd=project.folder,
                env=project.environment,
                text=True,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return cls(process, file)

    def ended(self) -> str:
        """Wait for its end and return what it printed."""
        self.process.wait(timeout=LIMIT_S)
        return self.file.read_text()


def until(happens: Callable[[], object], run: Run | None = None) -> object:
    """Wait for something, as long as the workflow runs."""
    for _ in range(2 * LIMIT_S):
        if found := happens():
            return found
        assert run is None or run.process.poll() is None, run.file.read_text()
        time.sleep(0.5)
    raise AssertionError("nothing happened")


def jobs_of(what: str) -> list[dict[str, str]]:
    """Jobs of a rule, or of a rule and its wildcards."""
    return [job for job in jobs_of_cluster() if job["Comment"].startswith(f"rule_{what}")]


def part(number: int) -> str:
    """First and last frame of a shard, as its file and its command have them."""
    first = FRAMES_PER_SHARD * number
    return f"{first:06d}-{first + FRAMES_PER_SHARD - 1:06d}"


def job_of_shard(number: int) -> list[dict[str, str]]:
    return jobs_of(f"solve_states_wildcards_TiO2_1x1x1_pbe_{part(number)}")


@dataclass(frozen=True)
class Story:
    """One job from DFT frames to populations, with everything going wrong on its way."""

    project: Project
    command: tuple[str, ...]
    first: str
    first_failed: bool
    files_of_first: tuple[str, ...]
    refused: str
    jobs_while_refused: int
    jobs_after_kill: int
    waited: str

    def solved(self, number: int) -> list[str]:
        return [c for c in self.project.calls if re.search(rf"states solve .*--frames {part(number)} ", c)]


FAILS, TIMES_OUT, CANCELLED = 7, 11, 9


@pytest.fixture(scope="module")
def story(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    project = copy_project(tmp_path_factory.mktemp("story"), stand_in=False)
    runs: list[Run] = []
    try:
        yield tell(project, runs)
    finally:
        for run in runs:
            run.process.kill()
            run.process.wait()


def tell(project: Project, runs: list[Run]) -> Story:
    """Run everything; whoever calls ends the processes in `runs`."""

    def start(*words: str) -> Run:
        runs.append(Run.start(project, project.folder / f"output-{len(runs)}.txt", *words))
        return runs[-1]

    wrap(project)

    def many(document: dict) -> None:
        document["states"]["frames_per_shard"] = FRAMES_PER_SHARD
        document["trajectory"]["frames"] = FRAMES_PER_SHARD * SHARDS
        document["dynamics"]["methods"] = ["dish"]

    config = project.config("many", many)
    target = f"{CASE}/dynamics/dish_seed1.h5"
    command = ("snakemake", "--profile", profile_of(project), "--configfile", config, "--", target)
    for folder, number in (("fails", FAILS), ("hangs", TIMES_OUT), ("hangs", CANCELLED)):
        (project.folder / folder / part(number)).touch()

    first = start(*command)
    for number in (TIMES_OUT, CANCELLED):
        running = until(lambda n=number: [j for j in job_of_shard(n) if j["JobState"] == "RUNNING"], first)
        until(lambda n=number: not (project.folder / "hangs" / part(n)).exists(), first)
        job = running[0]["JobId"]
        if number == CANCELLED:
            subprocess.run(["scancel", job], check=True)
        else:
            end_for_its_time(job)
    output = first.ended()
    made = tuple(sorted(f.name for f in (project.folder / CASE / "states").glob("frames_*.h5")))

    # the one that is missing: Snakemake is killed while it runs
    (project.folder / "waits" / part(CANCELLED)).touch()
    second = start(*command)
    until(lambda: len([j for j in job_of_shard(CANCELLED) if j["JobState"] == "RUNNING"]), second)
    second.process.send_signal(signal.SIGKILL)
    second.process.wait()
    project.run("snakemake", "--unlock", "--cores", "1", "--configfile", config)
    before = len(jobs_of_cluster())
    refused = project.run(*command, check=False)
    jobs_while_refused = len(jobs_of_cluster()) - before
    waiting = start(*N2AMD, "cluster", "wait", "--every", "1")
    until(lambda: "waiting" in waiting.file.read_text(), waiting)
    (project.folder / "waits" / part(CANCELLED)).unlink()
    waited = waiting.ended()
    third = start(*command)
    rest = third.ended()
    assert third.process.returncode == 0, rest
    return Story(
        project,
        command,
        output,
        first.process.returncode != 0,
        made,
        refused.stdout + refused.stderr,
        jobs_while_refused,
        len(jobs_of_cluster()) - before,
        waited,
    )


def end_for_its_time(job: str) -> None:
    """Make SLURM end a job as it does at its time limit, which here no other job comes to."""
    subprocess.run(["scontrol", "update", "PartitionName=gpu", "OverTimeLimit=0"], check=True)
    subprocess.run(["scontrol", "update", f"JobId={job}", "EndTime=now"], check=True)
    until(lambda: [j for j in jobs_of_cluster() if j["JobId"] == job and j["JobState"] == "TIMEOUT"])
    subprocess.run(["scontrol", "update", "PartitionName=gpu", "OverTimeLimit=60"], check=True)


def test_one_job_cancelled_and_everything_else_finished(story: Story) -> None:
    assert story.first_failed
    wanted = {f"frames_{part(number)}.h5" for number in range(SHARDS)}
    assert wanted - set(story.files_of_first) == {f"frames_{part(CANCELLED)}.h5"}, story.first
    for number in set(range(SHARDS)) - {FAILS, TIMES_OUT, CANCELLED}:
        assert len(job_of_shard(number)) == 1
        assert len(story.solved(number)) == 1
    assert not any("ArrayTaskId" in job for job in jobs_of_cluster())


def test_a_failed_shard_is_tried_again_with_more_memory_and_time(story: Story) -> None:
    first, second = job_of_shard(FAILS)
    assert first["JobState"], second["JobState"] == ("FAILED", "COMPLETED")
    assert megabytes(second) == 2 * megabytes(first) > 0
    assert minutes(second) == 2 * minutes(first) > 0


def test_a_shard_out_of_time_is_tried_again_with_more(story: Story) -> None:
    usual = minutes(job_of_shard(0)[0])
    first, second = job_of_shard(TIMES_OUT)
    assert (first["JobState"], second["JobState"]) == ("TIMEOUT", "COMPLETED")
    assert minutes(second) == 2 * usual


def test_a_cancelled_shard_is_not_submitted_again_until_the_user_starts_again(story: Story) -> None:
    first, second = job_of_shard(CANCELLED)
    assert (first["JobState"], second["JobState"]) == ("CANCELLED", "COMPLETED")
    assert "It was cancelled, so it is not tried again" in story.first


def test_nothing_is_submitted_twice_after_a_kill(story: Story) -> None:
    job = job_of_shard(CANCELLED)[1]["JobId"]
    assert f"SLURM still has 1 job of an earlier run of this folder: {job} (solve_states" in story.refused
    assert "n2amd cluster wait" in story.refused
    assert "Traceback" not in story.refused
    assert story.jobs_while_refused == 0
    assert f"waiting for 1 job of an earlier run of this folder: {job}" in story.waited
    # the couplings and the dynamics; the shard that was running when Snakemake was killed is kept
    assert story.jobs_after_kill == 2
    assert len(jobs_of("assemble_couplings")) == len(jobs_of("run_dynamics")) == 1


def test_trainings_states_and_dynamics_ran_for_real(story: Story) -> None:
    for name in ("train_forcefield", "train_hamiltonian", "run_trajectory"):
        (job,) = jobs_of(name)
        assert job["JobState"] == "COMPLETED"
        assert job["Partition"] == "cpu"
    (job,) = jobs_of("assemble_couplings")
    assert job["NumCPUs"] == "2"
    (call,) = (call for call in story.project.calls if "couplings assemble" in call)
    assert call.split()[1] == "2"
    assert {job["Partition"] for job in jobs_of("solve_states")} == {"gpu"}
    # job, threads, the fake GPU, command
    assert {call.split()[1] for call in story.solved(0)} == {"1"}
    assert {call.split()[2] for call in story.solved(0)} <= {"0", "1"}
    (hopping,) = jobs_of("run_dynamics")
    assert hopping["NumTasks"] == "2"
    assert len([call for call in story.project.calls if "dynamics run" in call]) == 2
    assert (story.project.folder / CASE / "dynamics/dish_seed1.h5").stat().st_size > 1000


def test_a_dry_run_shows_what_was_asked_for(story: Story) -> None:
    shown = story.project.run(*story.command[:-2], "-n", "--forceall", "--quiet", "host", *story.command[-2:])
    text = shown.stdout + shown.stderr
    for rule in ("train_hamiltonian", "assemble_couplings"):
        block = re.search(rf"rule {rule}:.*?resources: ([^\n]*)", text, re.DOTALL)
        (job,) = jobs_of(rule)
        assert f"mem_mb={megabytes(job)}," in block[1]
        assert f"runtime={minutes(job)}" in block[1]
    assert re.search(r"rule assemble_couplings:.*?threads: 2\n", text, re.DOTALL)


def megabytes(job: dict[str, str]) -> int:
    value = job["MinMemoryNode"]
    return round(float(value[:-1]) * {"M": 1, "G": 1024}[value[-1]])


def minutes(job: dict[str, str]) -> int:
    hours, minutes, _ = map(int, job["TimeLimit"].split(":"))
    return 60 * hours + minutes


def test_a_folder_without_jobs_is_not_waited_for(story: Story, tmp_path: Path) -> None:
    done = subprocess.run(
        (*N2AMD, "cluster", "wait"), cwd=tmp_path, text=True, capture_output=True, check=True, timeout=60
    )
    assert done.stderr == ""


def test_arrays_are_refused(cluster: None, finished: Project) -> None:
    (finished.folder / CASE / "dephasing.json").unlink()
    profile = profile_of(finished, **{"slurm-array-jobs": "solve_states"})
    command = ("snakemake", "--profile", profile, "--configfile", "config/test.yaml")
    done = finished.run(*command, "--", f"{CASE}/dephasing.json", check=False)
    assert done.returncode != 0
    assert "slurm-array-jobs and groups are set" in done.stdout + done.stderr
    assert not (finished.folder / CASE / "dephasing.json").exists()


MANY = 230
MANY_SHARDS = f"""
rule all:
    input:
        expand("shards/{{number}}", number=range({MANY})),


rule solve_states:
    output:
        "shards/{{number}}",
    shell:
        "never called"
"""
# what every job starts instead of two Snakemakes, which would take seconds each
JOB = """#!/usr/bin/env bash
number=$(grep -oP -- 'solve_states:number=\\K\\d+' <<<"$*")
mkdir -p shards
echo $number >> calls.log
[ ! -e broken/$number ] && touch shards/$number
"""
# where software is not shared, jobs take the python of their PATH
OWN_PYTHON = ("--shared-fs-usage", "input-output", "persistence", "sources", "source-cache")


def test_many_shards_of_which_one_fails(cluster: None, project: Project) -> None:
    """More shards than may be submitted in ten seconds: all are, and only the failed one runs again."""
    failing = "17"
    profile = profile_of(project, retries=0, **{"set-resources": None, "set-threads": None})
    (project.folder / "Snakefile").write_text(MANY_SHARDS)
    (project.folder / "bin/python").write_text(JOB)
    (project.folder / "bin/python").chmod(0o755)
    (project.folder / "broken").mkdir()
    (project.folder / "broken" / failing).touch()
    command = ("snakemake", "--profile", profile, *OWN_PYTHON)
    before = len(jobs_of_cluster())

    def made() -> set[str]:
        return {file.name for file in (project.folder / "shards").iterdir()}

    first = project.run(*command, check=False, timeout=LIMIT_S)
    output = first.stdout + first.stderr
    assert first.returncode != 0
    assert sorted(project.calls, key=int) == [str(number) for number in range(MANY)], output
    assert made() == set(project.calls) - {failing}, output
    assert len(jobs_of_cluster()) - before == MANY

    (project.folder / "broken" / failing).unlink()
    project.run(*command, timeout=LIMIT_S)
    assert project.calls[MANY:] == [failing]
    assert made() == set(project.calls)
    assert len(jobs_of_cluster()) - before == MANY + 1
