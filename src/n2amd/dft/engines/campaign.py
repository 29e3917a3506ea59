"""Many single points, one folder each: what is finished stays, what was killed or failed runs again.

A frame runs in frame_NNNN.part, which becomes frame_NNNN when it is finished; run.json inside says of what.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from n2amd.config.engines import DftSettings
from n2amd.dft.engines.engine import Engine
from n2amd.errors import ComputationError
from n2amd.provenance import sha256_of_config
from n2amd.storage import make_folder, write_json
from n2amd.structure import Structure

#: What a finished frame carries.
RECORD = "run.json"
#: Output of the program beside its own log.
LOG = "run.log"
#: Part of every fingerprint; raise it where an engine gives other numbers for the same settings.
GENERATION = "1"
#: Settings that change how a frame is run but not what comes out.
WITHOUT_EFFECT = {"command"}
_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Campaign:
    """What became of the frames.

    Attributes
    ----------
    finished
        CPU seconds of the frames computed now, by folder name.
    reused
        Frames that were finished before.
    failed
        Reason by folder name.
    """

    finished: dict[str, float]
    reused: list[str]
    failed: dict[str, str]


@dataclass(frozen=True)
class _Run:
    name: str
    folder: Path
    fingerprint: str
    child: subprocess.Popen[bytes]


def run_frames(
    engine: Engine,
    settings: DftSettings,
    structures: Sequence[tuple[int, Structure]],
    out: Path,
    *,
    jobs: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Campaign:
    """Compute every structure that is not finished yet.

    Parameters
    ----------
    engine, settings
        The program and its settings.
    structures
        Numbers and structures: number n becomes folder frame_n.
    out
        Folder of the frames.
    jobs
        Frames at a time, one process with one thread each.
    progress
        Called with frames done and frames in total.

    Returns
    -------
    campaign
        What was computed, what was there, what failed. A frame that fails does not stop the others.

    Raises
    ------
    InputError
        If the engine cannot compute a structure, or the folder cannot be written.
    """
    command = engine.command()
    engine.check(structure for _, structure in structures)
    make_folder(out)
    campaign = Campaign({}, [], {})
    waiting: list[tuple[str, Structure, str]] = []
    for number, structure in structures:
        name, fingerprint = f"frame_{number:04d}", _fingerprint(settings, structure)
        if _is_finished(out / name, fingerprint):
            campaign.reused.append(name)
        else:
            waiting.append((name, structure, fingerprint))
    running: list[_Run] = []
    waiting.reverse()
    progress(len(campaign.reused), len(structures))
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                name, structure, fingerprint = waiting.pop()
                running.append(_start(engine, command, structure, out, name, fingerprint))
            time.sleep(_POLL_SECONDS)
            for run in list(running):
                pid, status, usage = os.wait4(run.child.pid, os.WNOHANG)
                if not pid:
                    continue
                run.child.returncode = os.waitstatus_to_exitcode(status)
                running.remove(run)
                try:
                    _conclude(engine, settings, run, out, usage.ru_utime + usage.ru_stime)
                    campaign.finished[run.name] = usage.ru_utime + usage.ru_stime
                except ComputationError as error:
                    campaign.failed[run.name] = str(error)
                    _mark_failed(run, str(error))
                progress(len(structures) - len(waiting) - len(running), len(structures))
    finally:
        for run in running:  # where an interrupt ends the loop
            os.killpg(run.child.pid, signal.SIGKILL)
            run.child.wait()
    return campaign


def _fingerprint(settings: DftSettings, structure: Structure) -> str:
    """Hash what the numbers of a frame depend on."""
    plain = settings.model_dump(mode="json", exclude=WITHOUT_EFFECT)
    digest = sha256((GENERATION + sha256_of_config(plain)).encode())
    for values in (structure.cell, structure.positions, structure.numbers):
        digest.update(values.tobytes())
    return digest.hexdigest()


def _is_finished(folder: Path, fingerprint: str) -> bool:
    """Tell whether a folder holds this very frame; one with other settings or atoms is run again."""
    try:
        return json.loads((folder / RECORD).read_text())["fingerprint"] == fingerprint
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _start(
    engine: Engine, command: list[str], structure: Structure, out: Path, name: str, fingerprint: str
) -> _Run:
    folder = out / f"{name}.part"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    engine.prepare(structure, folder)
    with open(folder / LOG, "wb") as log:
        child = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )
    return _Run(name, folder, fingerprint, child)


def _die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent ends, however it ends (Linux)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _conclude(engine: Engine, settings: DftSettings, run: _Run, out: Path, cpu_seconds: float) -> None:
    """Rename the folder of a run that is whole and converged."""
    try:
        engine.conclude(run.folder)
    except ComputationError as error:
        code = run.child.returncode
        died = f" (killed by signal {-code})" if code < 0 else f" (exit code {code})" if code else ""
        raise ComputationError(f"{error}{died}") from None
    record = {"fingerprint": run.fingerprint, "settings": settings.model_dump(mode="json")}
    write_json(run.folder / RECORD, {**record, "provenance": {"cpu_seconds": cpu_seconds}}, config=settings)
    shutil.rmtree(out / run.name, ignore_errors=True)
    os.replace(run.folder, out / run.name)


def _mark_failed(run: _Run, reason: str) -> None:
    (run.folder / "failed.txt").write_text(reason + "\n")
