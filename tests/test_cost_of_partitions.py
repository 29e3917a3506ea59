"""Whether a job fits a partition, and what a later try may ask for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from n2amd.cost.partitions import (
    Need,
    Partition,
    Share,
    grown,
    offers_gpu,
    read_partitions,
    require_fit,
    share_of_gpu,
    spread_over_tries,
)
from n2amd.errors import InputError

CPU = Partition("cpu", minutes=1440, memory_MB=64000, threads=32)
GPU = Partition("gpu", minutes=600, memory_MB=180000, threads=16, gpus=4)
ROOT = Path(__file__).resolve().parents[1]


def test_partitions_of_the_profile_are_read() -> None:
    cpu, gpu = read_partitions(ROOT / "profiles/slurm/partitions.yaml")
    assert cpu == Partition("cpu", 1440, 180000, 32)
    assert gpu.gpus == 4
    assert offers_gpu([cpu, gpu])
    assert not offers_gpu([cpu])


def test_what_is_not_limited_is_endless(tmp_path: Path) -> None:
    file = tmp_path / "partitions.yaml"
    file.write_text("partitions: {all: , long: {max_runtime: 2-12:00:00, available_gpu_models: [a100]}}")
    everything, long = read_partitions(file)
    assert everything.holds(Need(10**6, 10**9, 1000))
    assert not everything.holds(Need(1, 1, 1, 1))
    assert long.minutes == 3600


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "lists no partitions"),
        ("partitions: []", "lists no partitions"),
        ("partitions: {cpu: 5}", "partitions.cpu"),
        ("partitions: {cpu: {max_mem_mb: much}}", "'much', not a number"),
        ("partitions: {cpu: {max_runtime: soon}}", "'soon', not a time"),
        ("partitions: {cpu: {max_runtime: [1]}}", "not a time"),
        ("a: [", "cannot be read as YAML"),
        (None, "cannot be read"),
    ],
)
def test_a_bad_file_is_one_sentence(tmp_path: Path, text: str | None, words: str) -> None:
    file = tmp_path / "partitions.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(InputError, match=words) as told:
        read_partitions(file)
    assert str(file) in str(told.value)
    assert "\n" not in str(told.value)


def test_what_fits_nowhere_is_refused_with_its_numbers() -> None:
    require_fit([CPU, GPU], Need(60, 100000, 4, 1), "solve_states")
    require_fit([], Need(10**6, 10**6, 99), "solve_states")
    with pytest.raises(InputError) as told:
        require_fit([CPU, GPU], Need(1903, 86500, 4), "solve_states TiO2 8x8x13", Path("partitions.yaml"))
    sentence = str(told.value)
    assert "solve_states TiO2 8x8x13 asks for 86500 MB, 1903 min, 4 threads" in sentence
    assert "cpu: 64000 MB, 1440 min, 32 threads; gpu: 180000 MB, 600 min, 16 threads, 4 GPU" in sentence
    assert "states.frames_per_shard" in sentence
    with pytest.raises(InputError, match="1 GPU"):
        require_fit([CPU], Need(60, 1000, 1, 1), "train_hamiltonian")


def test_a_long_job_may_take_several_tries() -> None:
    assert spread_over_tries([CPU, GPU], Need(1500, 1000), 3) == Need(1440, 1000)
    assert spread_over_tries([CPU, GPU], Need(1500, 1000, gpus=1), 3) == Need(600, 1000, gpus=1)
    assert spread_over_tries([CPU, GPU], Need(1500, 100000), 3) == Need(600, 100000)
    for unchanged in (Need(5000, 1000), Need(100, 1000), Need(1500, 10**6)):
        assert spread_over_tries([CPU, GPU], unchanged, 3) == unchanged
    assert spread_over_tries([], Need(10**6, 1000), 1) == Need(10**6, 1000)


def test_a_later_try_asks_for_more_up_to_what_there_is() -> None:
    need = Need(100, 30000, 4)
    assert grown([], need, 3) == Need(300, 90000, 4)
    assert grown([CPU], need, 1) == need
    assert grown([CPU], need, 3) == Need(300, 64000, 4)
    assert grown([CPU, GPU], need, 3) == Need(300, 90000, 4)
    assert grown([CPU, GPU], Need(500, 30000, 4, 2), 3) == Need(600, 90000, 4, 2)
    nowhere = Need(10**5, 10, 1)
    assert grown([CPU], nowhere, 2) == nowhere


SHARED = Partition("shared", 600, 180000, 16, gpus=4, device_MB=80000, shards=8)
LARGE = Partition("large", 600, 180000, 16, gpus=1, device_MB=141000)


def shard_of_states(device: int) -> Need:
    return Need(60, 2000, 4, 1, device)


@pytest.mark.parametrize(
    ("device", "attempt", "shards"),
    [(3000, 1, 1), (10000, 1, 1), (10001, 1, 2), (39000, 1, 4), (39000, 2, 8), (39000, 3, 8), (80000, 1, 8)],
)
def test_a_shard_gets_the_part_of_a_gpu_that_holds_it(device: int, attempt: int, shards: int) -> None:
    found = share_of_gpu([CPU, SHARED, LARGE], shard_of_states(device), attempt)
    assert found == Share("shared", shards)


def test_the_smallest_part_is_taken() -> None:
    halves = Partition("halves", 600, 180000, 16, gpus=1, device_MB=40000, shards=2)
    assert share_of_gpu([SHARED, halves], shard_of_states(9000)) == Share("shared", 1)
    assert share_of_gpu([halves, SHARED], shard_of_states(19000)) == Share("shared", 2)
    short = replace(SHARED, name="short", minutes=10)
    assert share_of_gpu([short, halves], shard_of_states(9000)) == Share("halves", 1)


def test_whole_gpus_where_none_are_shared_or_several_are_asked_for() -> None:
    for partitions, need in (
        ([CPU, GPU, LARGE], shard_of_states(3000)),
        ([SHARED], Need(60, 2000, 4, 0, 3000)),
        ([SHARED], Need(60, 2000, 4, 2, 3000)),
        # of a training it is not known
        ([SHARED], Need(60, 2000, 4, 1)),
        ([SHARED, LARGE], shard_of_states(90000)),
        ([], shard_of_states(3000)),
    ):
        assert share_of_gpu(partitions, need) is None


def test_a_shard_that_fits_no_gpu_is_refused() -> None:
    require_fit([CPU, SHARED, LARGE], shard_of_states(141000), "solve_states")
    with pytest.raises(InputError) as told:
        require_fit([CPU, SHARED, LARGE], shard_of_states(150000), "solve_states TiO2")
    sentence = str(told.value)
    assert "solve_states TiO2 asks for 2000 MB, 60 min, 4 threads, 1 GPU with 150000 MB" in sentence
    assert "shared: 180000 MB, 600 min, 16 threads, 4 GPU of 80000 MB; large" in sentence
    assert "set states.device to cpu, or list a partition whose GPUs have more memory" in sentence
    # memory of GPUs that is not known is not held against a job
    require_fit([GPU], shard_of_states(150000), "solve_states")


def test_gpus_of_a_partition_are_read(tmp_path: Path) -> None:
    file = tmp_path / "partitions.yaml"
    file.write_text(
        "partitions: {cpu: {}, a: {max_gpu: 4}, b: {max_gpu: 1}, c: {max_gpu: 1}}\n"
        "gpus: {a: {memory_mb: 80000, shards: 8}, b: {memory_mb: 16000}}"
    )
    cpu, a, b, c = read_partitions(file)
    assert (a.device_MB, a.shards) == (80000, 8)
    assert (b.device_MB, b.shards) == (16000, 1)
    assert (c.shards, cpu.shards) == (1, 1)
    assert c.holds(shard_of_states(10**6))


@pytest.mark.parametrize(
    ("gpus", "words"),
    [
        ("[a]", "gpus.*not a mapping"),
        ("{a: 8}", r"gpus\.a.*is 8, not a mapping"),
        ("{other: {memory_mb: 1}}", r"gpus\.other.*is of no partition with GPUs"),
        ("{cpu: {memory_mb: 1}}", r"gpus\.cpu.*is of no partition with GPUs"),
        ("{a: {shards: 8}}", r"gpus\.a.*names no memory_mb.*nvidia-smi"),
        ("{a: {memory_mb: 0}}", r"gpus\.a\.memory_mb.*is 0, not a whole number"),
        ("{a: {memory_mb: 80000, shards: many}}", r"gpus\.a\.shards.*'many', not a whole number"),
        ("{a: {memory_gb: 80}}", "has memory_gb, which is unknown"),
    ],
)
def test_a_bad_list_of_gpus_is_one_sentence(tmp_path: Path, gpus: str, words: str) -> None:
    file = tmp_path / "partitions.yaml"
    file.write_text(f"partitions: {{cpu: {{}}, a: {{max_gpu: 4}}}}\ngpus: {gpus}")
    with pytest.raises(InputError, match=words) as told:
        read_partitions(file)
    assert "\n" not in str(told.value)
