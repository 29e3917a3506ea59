"""Ctrl-C: one sentence, nothing half-written, no crash inside of HDF5."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

# Ctrl-C arrives while HDF5 waits for a call of the file under it: the first writing of a block
IN_A_CALL = """
import builtins, os, signal, sys
import numpy as np
from n2amd import part_stream
from n2amd.storage import create_hdf5

pressed = []

def pressing(data):
    if not pressed:
        pressed.append(os.kill(os.getpid(), signal.SIGINT))
    return builtins.memoryview(data)

signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    with create_hdf5(sys.argv[1], "example") as file:
        part_stream.memoryview = pressing
        for number in range(100000):
            file[f"x{number}"] = np.zeros(1000)
            file.flush()
except KeyboardInterrupt:
    print("interrupted", len(pressed))
"""

WAITING = """
import signal, sys, time
from n2amd import cli

signal.signal(signal.SIGINT, signal.default_int_handler)

@cli.app.command()
def wait() -> None:
    print("ready", flush=True)
    time.sleep(60)

sys.argv = ["n2amd", "wait"]
cli.main()
"""


def test_in_the_middle_of_a_call_of_hdf5(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IN_A_CALL, str(tmp_path / "a.h5")],
        text=True,
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (0, "interrupted 1\n"), done.stderr
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_a_command_says_what_is_kept() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    (line,) = [line for line in errors.splitlines() if line]
    assert line.startswith("interrupted: what was finished is kept, nothing is half-written")
