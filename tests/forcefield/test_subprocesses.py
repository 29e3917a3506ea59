from __future__ import annotations

import multiprocessing
import os
import sys
import time

import pytest

from n2amd.errors import ComputationError
from n2amd.forcefield.subprocesses import run_tool


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """Write a stand-in for nequip-train as a shell script."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr("n2amd.forcefield.subprocesses._POLL_SECONDS", 0.02)

    def write(script: str) -> None:
        (tmp_path / "nequip-train").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "nequip-train").chmod(0o755)

    return write


def gone(pid: int) -> bool:
    """Wait for a process to end; a zombie, whoever is to reap it, has ended."""
    for _ in range(500):
        try:
            with open(f"/proc/{pid}/stat") as stat:
                if stat.read().rsplit(")", 1)[1].split()[0] == "Z":
                    return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False


def pid_in(file) -> int:
    for _ in range(500):
        if file.exists() and file.read_text().strip():
            return int(file.read_text())
        time.sleep(0.02)
    raise AssertionError("the command did not start")


def test_output_goes_to_the_log(tmp_path, tool):
    tool('echo "$2 $COLOUR"; echo trouble >&2')
    log = tmp_path / "logs/train.log"
    for colour in ("red", "blue"):
        run_tool("nequip-train", ["first", "second"], log, {"COLOUR": colour})
    assert log.read_text() == "second red\ntrouble\nsecond blue\ntrouble\n"


def test_a_failure_shows_the_end_of_the_log(tmp_path, tool):
    tool("seq 100; echo; echo out of memory; exit 3")
    with pytest.raises(
        ComputationError, match=r"exit code 3 .*train\.log\).* \| 100 \| out of memory$"
    ) as caught:
        run_tool("nequip-train", [], tmp_path / "train.log", {})
    assert "\n" not in str(caught.value)
    assert " 50 " not in str(caught.value)


def test_a_missing_command(tmp_path, tool):
    with pytest.raises(ComputationError, match="nequip-train does not exist; install nequip"):
        run_tool("nequip-train", [], tmp_path / "train.log", {})


def test_watched_to_the_end(tmp_path, tool):
    tool(f"echo done > {tmp_path}/result")
    seen = []
    run_tool("nequip-train", [], tmp_path / "log", {}, lambda: seen.append((tmp_path / "result").exists()))
    assert seen[-1]


@pytest.mark.skipif(sys.platform != "linux", reason="asks the Linux kernel")
def test_killed_with_us(tmp_path, tool):
    tool(f"echo $$ > {tmp_path}/pid; exec sleep 600")
    ours = multiprocessing.get_context("fork").Process(
        target=run_tool, args=("nequip-train", [], tmp_path / "log", {})
    )
    ours.start()
    theirs = pid_in(tmp_path / "pid")
    os.kill(theirs, 0)
    ours.kill()
    ours.join()
    assert gone(theirs)


def test_an_interrupt_ends_it(tmp_path, tool):
    tool(f"echo $$ > {tmp_path}/pid; exec sleep 600")

    def interrupt():
        pid_in(tmp_path / "pid")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_tool("nequip-train", [], tmp_path / "log", {}, interrupt)
    assert gone(pid_in(tmp_path / "pid"))
