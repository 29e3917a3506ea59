"""The terminal of a workflow shows what its jobs tell."""

from __future__ import annotations

import json
import os
import pty
import socket
import subprocess
import time
from dataclasses import asdict

from workflow_project import Project

from n2amd.progress import Work

COMMAND = ("snakemake", "--cores", "2", "--configfile", "config/test.yaml", "--until", "draw_bands")


def told_by_a_job(project: Project) -> None:
    """Leave the file of a job that lives as long as this test."""
    folder = project.folder / ".snakemake/n2amd_progress"
    folder.mkdir(parents=True)
    now = time.time()
    target = "results-test/Si/states/shard_0000.h5"
    work = Work(
        "solving", "frames", target, 30, 100, 10, now - 40, now, pid=os.getpid(), host=socket.gethostname()
    )
    (folder / "job.json").write_text(json.dumps(asdict(work)))


def test_a_terminal_has_a_last_line(project: Project) -> None:
    told_by_a_job(project)
    ours, theirs = pty.openpty()
    environment = {**project.environment, "TERM": "xterm", "COLUMNS": "200"}
    child = subprocess.Popen(
        COMMAND, cwd=project.folder, env=environment, stdout=theirs, stderr=theirs, stdin=subprocess.DEVNULL
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(ours)
    assert child.wait() == 0, shown.decode()
    assert b"\r\x1b[KSi/states solving 30/100 frames, " in shown


def test_elsewhere_short_runs_say_nothing(project: Project) -> None:
    told_by_a_job(project)
    done = project.run(*COMMAND)
    assert "solving" not in done.stdout + done.stderr
    assert "\x1b[K" not in done.stdout + done.stderr
