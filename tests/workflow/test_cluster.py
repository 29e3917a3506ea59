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
        ({}, {"device": "cuda"}, r"solve_states .* 1 GPU with \d+ MB, which no partition has"),
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


def with_large_cell(document: dict) -> None:
    grow(document)
    document["supercells"] = ["4x4x6"]
    document["states"]["frames_per_shard"] = 500


SHARD = "results-test/TiO2/4x4x6/pbe/states/frames_000000-000499.h5"


def list_gpus(project: Project, **gpus: dict) -> None:
    """Partitions with GPUs, what is known of these, and one without."""
    file = project.folder / "profiles/mine/partitions.yaml"
    limits = {"max_runtime": 6000, "max_threads": 32, "max_mem_mb": 180000}
    partitions = {name: limits | {"max_gpu": 4} for name in gpus} | {"cpu": limits}
    known = {name: gpu for name, gpu in gpus.items() if gpu}
    file.write_text(yaml.safe_dump({"partitions": partitions, "gpus": known}))


def test_a_shard_takes_a_part_of_a_gpu_where_gpus_are_shared(mine: Project) -> None:
    """9,216 orbitals, 11 GB of a GPU: three of eight parts of 40 GB, one of three of 80 GB."""
    config = mine.config("large", with_large_cell)
    list_gpus(mine, plain={}, small={"memory_mb": 40000, "shards": 8})
    asked = shown(dry_run(mine, config, SHARD), "solve_states")
    assert (asked["gpu"], asked["gres"], asked["slurm_partition"]) == ("0", "shard:3", "small")
    list_gpus(mine, large={"memory_mb": 80000, "shards": 3})
    asked = shown(dry_run(mine, config, SHARD), "solve_states")
    assert (asked["gres"], asked["slurm_partition"]) == ("shard:1", "large")
    # other jobs have GPUs of their own
    assert shown(dry_run(mine, config, SHARD), "run_trajectory")["gpu"] == "1"
    assert "gres" not in shown(dry_run(mine, config, SHARD), "run_trajectory")


def test_a_shard_has_a_gpu_of_its_own_where_they_are_not_shared(mine: Project) -> None:
    list_gpus(mine, plain={}, large={"memory_mb": 80000})
    asked = shown(dry_run(mine, mine.config("large", with_large_cell), SHARD), "solve_states")
    assert asked["gpu"] == "1"
    assert not {"gres", "slurm_partition"} & set(asked)


def test_a_shard_on_processors_takes_no_part_of_a_gpu(mine: Project) -> None:
    def changed(document: dict) -> None:
        with_large_cell(document)
        document["states"]["factorisation"] = "pardiso"

    list_gpus(mine, small={"memory_mb": 40000, "shards": 8})
    asked = shown(dry_run(mine, mine.config("large", changed), SHARD), "solve_states")
    assert (asked["gpu"], asked.get("gres", "")) == ("0", "")


def test_a_shard_that_fits_no_gpu_is_one_sentence(mine: Project) -> None:
    list_gpus(mine, small={"memory_mb": 6000, "shards": 2})
    text = dry_run(mine, mine.config("large", with_large_cell), SHARD, check=False)
    assert re.search(r"solve_states TiO2 4x4x6 pbe \S+ asks for .* 1 GPU with \d+ MB, which no", text), text
    assert "4 GPU of 6000 MB" in text
    assert "set states.device to cpu, or list a partition whose GPUs have more memory" in text
    assert not lines_of_code(text), text


def test_processes_that_share_factors_are_started_as_the_profile_says(mine: Project) -> None:
    change_profile(mine, **{"set-resources": {"solve_states": {"mpi": "srun", "tasks": 3}}})
    text = dry_run(mine, "config/test.yaml", "results-test/TiO2/1x1x1/pbe/couplings.h5")
    asked = shown(text, "solve_states")
    assert (asked["mpi"], asked["tasks"]) == ("srun", "3")
    assert re.search(r"mpi=srun; \$\{mpi:\+\$mpi -n 3\}\s+n2amd states solve", text)


# a driver that knows two GPUs
NVIDIA_SMI = "#!/bin/sh\nprintf '24576\\n24576\\n'\n"


def test_shards_of_one_machine_share_the_memory_of_its_gpu(mine: Project) -> None:
    program = mine.folder / "bin/nvidia-smi"
    program.write_text(NVIDIA_SMI)
    program.chmod(0o755)
    config = mine.config("large", with_large_cell)

    def on_this_machine(*options: str) -> str:
        command = ("snakemake", "-n", "--profile", "profiles/local", "--configfile", config, "--quiet")
        done = mine.run(*command, "host", *options, "--", SHARD, check=False)
        return done.stdout + done.stderr

    asked = shown(on_this_machine("--printshellcmds"), "solve_states")
    assert 5000 < int(asked["gpu_mem_mb"]) < 24576
    assert "gpu" not in asked
    text = on_this_machine("--resources", "gpu=1", "gpu_mem_mb=3000")
    assert "1 GPU of 3000 MB" in text
    assert "set states.device to cpu" in text
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
