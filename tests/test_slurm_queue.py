"""What SLURM's commands print, and what is made of it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import snakemake_executor_plugin_slurm

from n2amd import slurm
from n2amd.errors import ComputationError
from n2amd.slurm import QueuedJob, describe, parse_nodes, parse_queue, shards_of_gpus

RUN = "0f5f1c62-2c7e-4d3e-9a86-0a4f2c7b9d11"


def program(folder: Path, name: str, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_only_jobs_of_a_workflow_in_this_folder_count(tmp_path: Path) -> None:
    here, other = tmp_path / "here", tmp_path / "other"
    here.mkdir()
    link = tmp_path / "link"
    link.symlink_to(here)
    listed = "\n".join(
        [
            f"12|RUNNING|{RUN}|rule_solve_states_wildcards_TiO2_0003|{here}",
            f"13|PENDING|mine_{RUN}|group_dynamics|{link}",
            f"14|RUNNING|{RUN}|rule_solve_states|{other}",
            f"15|RUNNING|interactive|rule_of_thumb|{here}",
            f"16|RUNNING|{RUN}|(null)|{here}",
            "slurm_load_jobs warning",
            "",
        ]
    )
    found = parse_queue(listed, link)
    assert found == [
        QueuedJob("12", "RUNNING", "solve_states_wildcards_TiO2_0003"),
        QueuedJob("13", "PENDING", "dynamics"),
    ]
    assert describe(found) == (
        "2 jobs of an earlier run of this folder: 12 (solve_states_wildcards_TiO2_0003, running), "
        "13 (dynamics, pending)"
    )
    assert describe(5 * found[:1]).endswith(" and 2 more")


def test_partitions_have_the_limits_of_their_largest_nodes() -> None:
    listed = """
cpu*|1-00:00:00|48|190000|(null)
cpu*|1-00:00:00|64|380000|(null)
gpu|12:30:00|32|500000|gpu:a100:4(S:0-1),nvme:1
old|30:00|8+|4000+|gpu:2
long|infinite|48|190000|gpu:v100:2,gpu:t4:1
"""
    assert parse_nodes(listed) == {
        "cpu": {"max_threads": 64, "max_mem_mb": 380000, "max_gpu": 0, "max_runtime": 1440},
        "gpu": {"max_threads": 32, "max_mem_mb": 500000, "max_gpu": 4, "max_runtime": 750},
        "old": {"max_threads": 8, "max_mem_mb": 4000, "max_gpu": 2, "max_runtime": 30},
        "long": {"max_threads": 48, "max_mem_mb": 190000, "max_gpu": 3},
    }


def test_shards_of_gpus_are_counted() -> None:
    listed = """
cpu*|(null)
gpu|gpu:a100:4(S:0-1),shard:a100:32(S:0-1),nvme:1
gpu|gpu:a100:4,shard:16
whole|gpu:2
odd|gpu:4,shard:4
"""
    assert shards_of_gpus(listed) == {"gpu": 4}


def test_a_command_that_fails_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "squeue", "echo 'squeue: error: no\n  controller' >&2; exit 1", monkeypatch)
    with pytest.raises(ComputationError, match=r"squeue failed \(squeue: error: no controller\)"):
        slurm.queued_jobs(tmp_path)
    with pytest.raises(ComputationError, match="sinfo is not on the PATH"):
        slurm.cluster_partitions()
    program(tmp_path, "squeue", "exec /bin/sleep 20", monkeypatch)
    monkeypatch.setattr(slurm, "PATIENCE_S", 0.2)
    with pytest.raises(ComputationError, match="did not answer"):
        slurm.queued_jobs(tmp_path)


def test_waiting_outlives_a_controller_that_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = QueuedJob("12", "RUNNING", "solve_states")
    away = ComputationError("squeue failed")
    answers: list[list[QueuedJob] | Exception] = [[job, job], [job, job], away, away, [job], []]

    def queued(folder: Path) -> list[QueuedJob]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(slurm, "queued_jobs", queued)
    told: list[str] = []
    slurm.wait_for_jobs(tmp_path, told.append, every_s=0)
    assert len(told) == 2
    assert answers == []
    answers += [[job], *([away] * slurm.FAILURES)]
    with pytest.raises(ComputationError):
        slurm.wait_for_jobs(tmp_path, told.append, every_s=0)


class Executor:
    def __init__(self) -> None:
        self.told: list[tuple[object, str | None]] = []

    def report_job_error(self, job_info: SimpleNamespace, msg: str | None = None, **details: object) -> None:
        self.told.append((job_info, msg))


@pytest.mark.parametrize("state", ["CANCELLED", "CANCELLED by 1000"])
def test_a_cancelled_job_has_no_tries_left(state: str) -> None:
    executor = type("Patched", (Executor,), {})
    slurm.leave_cancelled_jobs(executor)
    running = executor()
    jobs = [SimpleNamespace(job=SimpleNamespace(attempt=1, restart_times=2)) for _ in range(3)]
    running.report_job_error(jobs[0], msg=f"SLURM-job '12' failed, SLURM status is: '{state}'.", aux_logs=[])
    running.report_job_error(jobs[1], msg="SLURM-job '13' failed, SLURM status is: 'TIMEOUT'.")
    running.report_job_error(jobs[2])
    assert [job.job.attempt for job in jobs] == [3, 1, 1]
    assert "It was cancelled, so it is not tried again" in str(running.told[0][1])
    assert [message for _, message in running.told[1:]] == [
        "SLURM-job '13' failed, SLURM status is: 'TIMEOUT'.",
        None,
    ]


def test_the_executor_has_what_is_changed_of_it() -> None:
    assert callable(snakemake_executor_plugin_slurm.Executor.report_job_error)
