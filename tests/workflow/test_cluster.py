"""What a dry run for a cluster shows: threads, memory, time and GPUs of jobs, or why one fits nowhere."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml
from workflow_project import Project, copy_project, lines_of_code


@pytest.fixture
def mine(pristine: Project, tmp_path: Path) -> Project:
    """A project whose profile `mine` a test may change."""
    project = copy_project(tmp_path, stand_in=True)
    shutil.copytree(project.folder / "profiles/slurm", project.folder / "profiles/mine")
    change_profile(project, **{"slurm-partition-config": "profiles/mine/partitions.yaml"})
    return project


def change_profile(project: Project, **changes: object) -> None:
    file = project.folder / "profiles/mine/config.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | changes))


def list_partitions(project: Project, **partitions: dict) -> None:
    file = project.folder / "profiles/mine/partitions.yaml"
    file.write_text(yaml.safe_dump({"partitions": partitions}))


def dry_run(project: Project, config: str, *targets: str, check: bool = True) -> str:
    command = ("snakemake", "-n", "--profile", "profiles/mine", "--configfile", config, "--", *targets)
    done = project.run(*command, check=check)
    assert check or done.returncode != 0
    return done.stdout + done.stderr


def shown(text: str, rule: str) -> dict[str, str]:
    """Threads and resources of the first job of a rule."""
    block = re.search(rf"^rule {rule}:\n(.*?)^Shell command", text, re.MULTILINE | re.DOTALL)[1]
    listed = dict(re.findall(r"(\w+)=([^,\s]+)", re.search(r"resources: (.*)", block)[1]))
    threads = re.search(r"threads: (\d+)", block)
    return {"threads": threads[1] if threads else "1", **listed}


def grow(document: dict) -> None:
    document["supercells"] = ["8x8x13"]
    document["forcefield"]["preset"] = document["hamiltonian"]["preset"] = "paper"
    document["trajectory"]["frames"] = 2000
    document["states"]["frames_per_shard"] = 50


def test_threads_are_those_of_the_profile(mine: Project) -> None:
    text = dry_run(mine, "config/test.yaml")
    for rule in ("train_hamiltonian", "train_forcefield", "run_trajectory", "solve_states"):
        assert shown(text, rule)["threads"] == "4"
    assert shown(text, "ingest_dataset")["threads"] == "2"
    assert "n2amd hamiltonian train" in text
    assert re.search(r"hamiltonian train .* --threads 4 ", text)


def test_every_rule_asks_for_more_where_the_job_is_larger(mine: Project) -> None:
    small = dry_run(mine, "config/test.yaml")
    large = dry_run(mine, mine.config("large", grow))
    rules = set(re.findall(r"^rule (\w+):", small, re.MULTILINE)) - {"all"}
    assert {"train_hamiltonian", "assemble_couplings", "summary", "draw_bands"} <= rules
    for rule in rules:
        one, other = shown(small, rule), shown(large, rule)
        assert int(other["mem_mb"]) >= int(one["mem_mb"]) > 0
        assert int(other["runtime"]) >= int(one["runtime"]) > 0
    for rule in ("train_hamiltonian", "train_forcefield", "run_trajectory", "solve_states"):
        assert int(shown(large, rule)["mem_mb"]) > int(shown(small, rule)["mem_mb"])
        assert int(shown(large, rule)["runtime"]) > int(shown(small, rule)["runtime"])


def test_a_gpu_where_it_helps_and_some_partition_has_one(mine: Project) -> None:
    config = mine.config("large", grow)
    users = ("train_hamiltonian", "train_forcefield", "run_trajectory", "solve_states")
    with_gpus, tests = dry_run(mine, config), dry_run(mine, "config/test.yaml")
    assert {shown(with_gpus, rule)["gpu"] for rule in users} == {"1"}
    assert "gpu" not in shown(with_gpus, "assemble_couplings")
    assert {shown(tests, rule)["gpu"] for rule in users} == {"0"}
    list_partitions(mine, cpu={"max_mem_mb": 10**6})
    without = dry_run(mine, config)
    assert {shown(without, rule)["gpu"] for rule in users} == {"0"}


@pytest.mark.parametrize(
    ("limits", "change", "words"),
    [
        ({"max_mem_mb": 20000}, {}, r"solve_states TiO2 8x8x13 pbe \d{6}-\d{6} asks for \d{5} MB, \d+ min"),
        ({"max_runtime": 60}, {}, r"train_forcefield TiO2 pbe asks for \d+ MB, \d{3,} min"),
        ({"max_threads": 3}, {}, r"4 threads, which no partition has \(cpu: 3 threads\)"),
        ({}, {"device": "cuda"}, r"solve_states .* 1 GPU, which no partition has"),
    ],
)
def test_what_fits_nowhere_is_refused_in_the_dry_run(
    mine: Project, limits: dict, change: dict, words: str
) -> None:
    def changed(document: dict) -> None:
        grow(document)
        document["states"] |= change

    target = "results-test/TiO2/8x8x13/pbe/couplings.h5"
    if "runtime" in str(limits):
        target = "results-test/TiO2/pbe/forcefield.model"
    elif "max_mem" in str(limits):
        # a number of the user's own is not held against the partitions
        change_profile(mine, **{"set-resources": {"run_trajectory": {"mem_mb": 10**6, "runtime": 10**5}}})
    list_partitions(mine, cpu=limits)
    text = dry_run(mine, mine.config("large", changed), target, check=False)
    assert re.search(words, text), text
    assert "profiles/mine/partitions.yaml" in text
    assert not lines_of_code(text), text


def test_partitions_count_only_where_jobs_go_to_them(mine: Project) -> None:
    list_partitions(mine, cpu={"max_mem_mb": 10})
    done = mine.run("snakemake", "-n", "--profile", "profiles/local", "--configfile", "config/test.yaml")
    assert "no partition has" not in done.stdout + done.stderr


def test_partitions_that_cannot_be_read_are_one_sentence(mine: Project) -> None:
    (mine.folder / "profiles/mine/partitions.yaml").write_text("cpu: [")
    text = dry_run(mine, "config/test.yaml", check=False)
    assert "partitions.yaml: cannot be read as YAML" in text
    assert "n2amd cluster partitions" in text
    assert not lines_of_code(text), text


# a SLURM that knows one job of this folder
QUEUE = """#!/bin/sh
echo "4711|PENDING|0f5f1c62-2c7e-4d3e-9a86-0a4f2c7b9d11|rule_solve_states_wildcards_TiO2|$PWD"
"""


def test_jobs_in_the_queue_hold_a_run_on_this_machine_too(mine: Project) -> None:
    """They would write the same files."""
    program = mine.folder / "bin/squeue"
    program.write_text(QUEUE)
    program.chmod(0o755)
    target = "results-test/TiO2/pbe/dataset.h5"
    done = mine.snakemake("--configfile", "config/test.yaml", "--", target, check=False)
    assert done.returncode != 0
    assert "SLURM still has 1 job of an earlier run of this folder: 4711 (solve_states" in done.stderr
    assert mine.calls == []
    program.write_text("#!/bin/sh\nexit 1\n")
    mine.snakemake("--configfile", "config/test.yaml", "--", target)
