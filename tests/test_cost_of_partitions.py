"""Whether a job fits a partition, and what a later try may ask for."""

from __future__ import annotations

from pathlib import Path

import pytest

from n2amd.cost.partitions import (
    Need,
    Partition,
    grown,
    offers_gpu,
    read_partitions,
    require_fit,
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
