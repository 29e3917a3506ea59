"""Training by two processes: gradients, weights and files are those of one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from n2amd.errors import InputError
from n2amd.network.checkpoint import load_state
from n2amd.network.ranks import ALONE, Ranks

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def start(processes: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Start one process, or several by torchrun, which find each other at a free port."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), str(HERE), str(HERE.parent)])
    return subprocess.run(
        [sys.executable, *(launcher if processes > 1 else []), *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=600,
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["density", "pair"])
def test_two_processes_train_what_one_does(kind, tmp_path):
    """Gradients of the first steps, losses of all; the first process alone writes, all go on from that."""
    for name, processes in (("one", 1), ("two", 2)):
        done = start(processes, HERE / "train_on_ranks.py", kind, tmp_path / name)
        assert done.returncode == 0, done.stderr
    one, two = (load_state(tmp_path / name / "result.pt") for name in ("one", "two"))
    assert one["losses"] == pytest.approx(two["losses"], rel=1e-5)
    for a, b in zip(one["gradients"], two["gradients"]):
        assert a.keys() == b.keys()
        scale = torch.cat([g.flatten() for g in a.values()]).abs().max()
        for name in a:
            torch.testing.assert_close(b[name], a[name], rtol=0, atol=2e-5 * float(scale))
    # the other process has the same weights to the bit, and wrote nothing of its own accord
    other = load_state(tmp_path / "two" / "rank1.pt")
    for name, weights in two["weights"].items():
        torch.testing.assert_close(other["weights"][name], weights, rtol=0, atol=0)
    assert sorted(p.name for p in (tmp_path / "two").iterdir()) == ["checkpoint.pt", "rank1.pt", "result.pt"]
    assert one["resumed_at"] == two["resumed_at"] == other["resumed_at"] == 6


@pytest.mark.slow
def test_more_processes_than_frames_are_refused_once(tmp_path):
    done = start(2, HERE / "train_on_ranks.py", "refuse", tmp_path)
    assert done.returncode != 0
    told = [line for line in done.stderr.splitlines() if "2 processes for 1 training frames" in line]
    assert len(told) == 1, done.stderr
    assert "start 1 processes at most" in told[0]


def test_one_process_shares_nothing():
    assert ALONE.share([1, 2, 3]) == [1, 2, 3]
    assert ALONE.total(0.5) == 0.5
    assert ALONE.first
    ALONE.require_frames(1)
    two = [Ranks(k, 2) for k in range(2)]
    assert [list(r.share([1, 2, 3])) for r in two] == [[1, 3], [2]]
    assert list(two[1].share([1])) == []
    with pytest.raises(InputError, match="2 processes for 1 training frames"):
        two[0].require_frames(1)
