"""One job on a real SLURM, from DFT frames to populations, with everything going wrong on its way."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml
from slurm_daemons import jobs_of_cluster
from workflow_project import Project

SHARDS = int(os.environ.get("N2AMD_SLURM_SHARDS", "42"))
FRAMES_PER_SHARD = 2
CASE = "results-test/TiO2/1x1x1/pbe"
# only what hangs comes near it
LIMIT_S = 7200


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
  # as often as it is tried: more than is asked for first, less than twice as much
  [ ! -e {folder}/hungry/$number ] || {python} -c "{hunger}" || exit 1
  while [ -e {folder}/waits/$number ]; do sleep 0.2; done
fi
exec {python} -m n2amd.cli "$@"
"""


# a data base of jobs that answers late and knows nothing
SLOW_SACCT = """#!/bin/sh
echo "$*" >> {folder}/sacct.log
sleep 120
exit 1
"""
HUNGER_MB = 1700
HUNGER = f"held = bytearray({HUNGER_MB} << 20); import time; time.sleep(6)"


def wrap(project: Project) -> None:
    for name in ("bin", "fails", "hangs", "hungry", "waits"):
        (project.folder / name).mkdir()
    for name, text in (("n2amd", WRAPPER), ("sacct", SLOW_SACCT)):
        program = project.folder / "bin" / name
        program.write_text(text.format(folder=project.folder, python=sys.executable, hunger=HUNGER))
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
    return [job for job in jobs_of_cluster() if job.get("Comment", "").startswith(f"rule_{what}")]


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


FAILS, TIMES_OUT, HUNGRY, CANCELLED = 7, 11, 5, (9, 10)


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
    wrong = [("fails", FAILS), ("hungry", HUNGRY), ("hangs", TIMES_OUT), *(("hangs", n) for n in CANCELLED)]
    for folder, number in wrong:
        (project.folder / folder / part(number)).touch()

    first = start(*command)
    end_those_that_hang(project, first)
    output = first.ended()
    made = tuple(sorted(f.name for f in (project.folder / CASE / "states").glob("frames_*.h5")))

    other = kill_while_jobs_are_left(project, lambda: start(*command))
    project.run("snakemake", "--unlock", "--cores", "1", "--configfile", config)
    before = len(jobs_of_cluster())
    refused = project.run(*command, check=False)
    jobs_while_refused = len(jobs_of_cluster()) - before
    waiting = start(*N2AMD, "cluster", "wait", "--every", "1")
    until(lambda: "waiting" in waiting.file.read_text(), waiting)
    subprocess.run(["scancel", other], check=True)
    for number in CANCELLED:
        (project.folder / "waits" / part(number)).unlink()
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


def end_those_that_hang(project: Project, run: Run) -> None:
    """Cancel two shards and let one run out of time; two run at a time, and one that hangs keeps a GPU."""
    hang = {TIMES_OUT, *CANCELLED}
    while hang:
        number = until(lambda: hanging(project, hang), run)
        job = job_of_shard(number)[0]["JobId"]
        if number in CANCELLED:
            subprocess.run(["scancel", job], check=True)
        else:
            end_for_its_time(job)
        hang.discard(number)


def kill_while_jobs_are_left(project: Project, start: Callable[[], Run]) -> str:
    """Kill Snakemake while one of the shards that are missing runs and one is in the queue.

    Returns the job of somebody else, which has the other GPU and goes on.
    """
    for number in CANCELLED:
        (project.folder / "waits" / part(number)).touch()
    other = job_of_somebody_else(project.folder.parent)
    run = start()
    until(lambda: states_of(CANCELLED) == ["PENDING", "RUNNING"], run)
    run.process.send_signal(signal.SIGKILL)
    run.process.wait()
    return other


def hanging(project: Project, numbers: set[int]) -> int | None:
    """One of these shards whose job runs and hangs, None while there is none."""
    for number in numbers:
        started = not (project.folder / "hangs" / part(number)).exists()
        if started and [job for job in job_of_shard(number) if job["JobState"] == "RUNNING"]:
            return number
    return None


def states_of(numbers: Iterable[int]) -> list[str]:
    """States of the last jobs of some shards, sorted."""
    return sorted(job_of_shard(number)[-1]["JobState"] for number in numbers)


def job_of_somebody_else(folder: Path) -> str:
    """Submit a job that has nothing to do with the workflow and takes a GPU; wait until it runs."""
    command = [
        "sbatch",
        "--parsable",
        "-p",
        "gpu",
        "--gres=gpu:1",
        "-c",
        "1",
        "--mem=100",
        "--wrap",
        "sleep 3000",
    ]
    job = subprocess.run(command, cwd=folder, text=True, capture_output=True, check=True).stdout.strip()
    until(lambda: [j for j in jobs_of_cluster() if j["JobId"] == job and j["JobState"] == "RUNNING"])
    return job


def end_for_its_time(job: str) -> None:
    """Make SLURM end a job as it does at its time limit, which here no other job comes to."""
    subprocess.run(["scontrol", "update", "PartitionName=gpu", "OverTimeLimit=0"], check=True)
    subprocess.run(["scontrol", "update", f"JobId={job}", "EndTime=now"], check=True)
    until(lambda: [j for j in jobs_of_cluster() if j["JobId"] == job and j["JobState"] == "TIMEOUT"])
    subprocess.run(["scontrol", "update", "PartitionName=gpu", "OverTimeLimit=60"], check=True)


def megabytes(job: dict[str, str]) -> int:
    value = job["MinMemoryNode"]
    return round(float(value[:-1]) * {"M": 1, "G": 1024}[value[-1]])


def minutes(job: dict[str, str]) -> int:
    hours, minutes, _ = map(int, job["TimeLimit"].split(":"))
    return 60 * hours + minutes
