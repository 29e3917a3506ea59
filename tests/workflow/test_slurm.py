"""profiles/slurm on a real SLURM: one node, all daemons on loopback, started and ended here."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from slurm_daemons import jobs_of_cluster, running_slurm
from slurm_story import (
    CANCELLED,
    CASE,
    FAILS,
    HUNGER_MB,
    HUNGRY,
    LIMIT_S,
    N2AMD,
    SHARDS,
    TIMES_OUT,
    Run,
    Story,
    job_of_shard,
    jobs_of,
    megabytes,
    minutes,
    part,
    profile_of,
    tell,
)
from workflow_project import Project, copy_project

pytestmark = [pytest.mark.slurm, pytest.mark.slow]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a SLURM that runs."""
    folder = tmp_path_factory.mktemp("slurm")
    with running_slurm(folder):
        yield folder


@pytest.fixture(scope="module")
def story(cluster: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    project = copy_project(tmp_path_factory.mktemp("story"), stand_in=False)
    runs: list[Run] = []
    try:
        yield tell(project, runs)
    finally:
        for run in runs:
            run.process.kill()
            run.process.wait()


def test_two_jobs_cancelled_and_everything_else_finished(story: Story) -> None:
    assert story.first_failed
    wanted = {f"frames_{part(number)}.h5" for number in range(SHARDS)}
    assert wanted - set(story.files_of_first) == {f"frames_{part(n)}.h5" for n in CANCELLED}, story.first
    for number in set(range(SHARDS)) - {FAILS, TIMES_OUT, HUNGRY, *CANCELLED}:
        assert len(job_of_shard(number)) == 1
        assert len(story.solved(number)) == 1
    assert not any("ArrayTaskId" in job for job in jobs_of_cluster())


def test_a_failed_shard_is_tried_again_with_more_memory_and_time(story: Story) -> None:
    first, second = job_of_shard(FAILS)
    assert (first["JobState"], second["JobState"]) == ("FAILED", "COMPLETED")
    assert megabytes(second) == 2 * megabytes(first) > 0
    assert minutes(second) == 2 * minutes(first) > 0


def test_a_shard_out_of_memory_is_tried_again_with_more(story: Story, cluster: Path) -> None:
    first, second = job_of_shard(HUNGRY)
    # where cgroups watch the memory the state is OUT_OF_MEMORY; here the daemon ends the job and says so
    assert (first["JobState"], second["JobState"]) == ("FAILED", "COMPLETED")
    said = (cluster / "slurmd.log").read_text()
    assert set(re.findall(r"StepId=(\d+)\.(?:0|batch) exceeded memory limit", said)) == {first["JobId"]}
    assert megabytes(first) < HUNGER_MB < megabytes(second) == 2 * megabytes(first)


def test_a_shard_out_of_time_is_tried_again_with_more(story: Story) -> None:
    usual = minutes(job_of_shard(0)[0])
    first, second = job_of_shard(TIMES_OUT)
    assert (first["JobState"], second["JobState"]) == ("TIMEOUT", "COMPLETED")
    assert minutes(second) == 2 * usual


def test_a_cancelled_shard_is_not_submitted_again_until_the_user_starts_again(story: Story) -> None:
    for number in CANCELLED:
        first, second = job_of_shard(number)
        assert (first["JobState"], second["JobState"]) == ("CANCELLED", "COMPLETED")
    assert story.first.count("It was cancelled, so it is not tried again") == len(CANCELLED)


def test_nothing_is_submitted_twice_after_a_kill(story: Story) -> None:
    """One job runs and one is in the queue; a job of somebody else is nobody's business."""
    jobs = sorted(job_of_shard(number)[1]["JobId"] for number in CANCELLED)
    assert "SLURM still has 2 jobs of an earlier run of this folder: " in story.refused
    assert all(f"{job} (solve_states" in story.refused for job in jobs)
    assert "n2amd cluster wait" in story.refused
    assert "Traceback" not in story.refused
    assert story.jobs_while_refused == 0
    assert "waiting for 2 jobs of an earlier run of this folder: " in story.waited
    # the couplings and the dynamics; the shards of the killed run are kept
    assert story.jobs_after_kill == 2
    assert len(jobs_of("assemble_couplings")) == len(jobs_of("run_dynamics")) == 1


def test_sacct_is_not_asked_how_jobs_are(story: Story) -> None:
    asked = story.project.folder / "sacct.log"
    assert not asked.exists(), asked.read_text()


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


def test_a_folder_without_jobs_is_not_waited_for(story: Story, tmp_path: Path) -> None:
    done = subprocess.run(
        (*N2AMD, "cluster", "wait"), cwd=tmp_path, text=True, capture_output=True, check=True, timeout=60
    )
    assert done.stderr == ""


def test_arrays_are_refused(cluster: Path, finished: Project) -> None:
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


def test_many_shards_of_which_one_fails(cluster: Path, project: Project) -> None:
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


SHARING = 4
SHARING_SHARDS = f"""
rule all:
    input:
        expand("shards/{{number}}", number=range({SHARING})),


rule solve_states:
    output:
        "shards/{{number}}",
    resources:
        gpu=0,
        gres="shard:2",
        slurm_partition="gpu",
    shell:
        "never called"
"""
# each waits until all are there, which they never are one after another
SHARING_JOB = f"""#!/usr/bin/env bash
number=$(grep -oP -- 'solve_states:number=\\K\\d+' <<<"$*")
mkdir -p shards seen
echo "${{CUDA_VISIBLE_DEVICES-}}" > seen/$number
for _ in $(seq 600); do [ $(ls seen | wc -l) = {SHARING} ] && touch shards/$number && exit; sleep 0.2; done
exit 1
"""


def test_shards_share_gpus(cluster: Path, project: Project) -> None:
    """Two GPUs in four parts each hold four jobs of two parts at once; each sees one GPU."""
    profile = profile_of(project, retries=0, **{"set-resources": None, "set-threads": None})
    told = project.run(*N2AMD, "cluster", "partitions").stderr
    assert "note: each GPU of gpu is shared into 4 shards" in told
    (project.folder / "Snakefile").write_text(SHARING_SHARDS)
    (project.folder / "bin/python").write_text(SHARING_JOB)
    (project.folder / "bin/python").chmod(0o755)
    project.run("snakemake", "--profile", profile, *OWN_PYTHON, timeout=LIMIT_S)
    seen = [(project.folder / "seen" / str(number)).read_text().strip() for number in range(SHARING)]
    assert sorted(seen) == ["0", "0", "1", "1"]
    jobs = [job for job in jobs_of_cluster() if "shard" in job.get("TresPerNode", "")]
    assert len(jobs) == SHARING
    assert {job["Partition"] for job in jobs} == {"gpu"}
