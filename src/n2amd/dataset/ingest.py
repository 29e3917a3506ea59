"""From DFT output to a data set: read, gate and write frame by frame.

Frames are read and measured in worker processes; this process compares them with each other and writes, so
that memory holds a few frames whatever the size of the set.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from n2amd.dataset.frame import Frame
from n2amd.dataset.gate import BY_NAME, measure, verdict
from n2amd.dataset.series import Series
from n2amd.dataset.store import create_dataset
from n2amd.dft.readers import reader_for
from n2amd.errors import InputError
from n2amd.orbitals.basis import Basis
from n2amd.orbitals.conventions import Code

#: Fewer frames than this are not worth the start of a worker process.
FRAMES_PER_WORKER = 4
#: Thread counts of numerical libraries, 1 in every worker.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Ingestion:
    """What was written.

    Attributes
    ----------
    frames
        Names of the frames.
    figures
        Gate figures of each frame, by check name.
    refused
        Name and reason of the frames that were dropped.
    """

    frames: list[str]
    figures: list[dict[str, float]]
    refused: list[tuple[str, str]]


def ingest(
    paths: Sequence[str | Path],
    out: str | Path,
    *,
    code: Code,
    functional: str | None = None,
    timestep_fs: float | None = None,
    skip_bad: bool = False,
    jobs: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Ingestion:
    """Read DFT frames, pass them through the gate and write a data set.

    Parameters
    ----------
    paths
        Frame folders, or folders of frame folders.
    out
        Data set file to write; it appears only when every frame has passed.
    code
        DFT code that wrote the files.
    functional
        Label of the functional; default: what the frames' inputs say.
    timestep_fs
        The frames follow each other in time, by this step; None: they are independent. Velocities that the
        code did not give are derived (see `n2amd.dataset.series.verlet_velocities`).
    skip_bad
        Drop frames that fail instead of refusing the whole.
    jobs
        Worker processes.
    progress
        Called with frames done and frames in total.

    Returns
    -------
    ingestion
        Frames written with their figures, and frames dropped.

    Raises
    ------
    InputError
        Naming the frame, the check, the value and the remedy; or if no frame is left.
    """
    if timestep_fs is not None and skip_bad:
        raise InputError(
            "a frame dropped from consecutive frames leaves a gap in time",
            field="skip-bad",
            remedy="correct the frame, or ingest the parts before and after it separately",
        )
    folders = reader_for(code).find(paths)
    inputs = [file for folder in folders for file in sorted(folder.iterdir()) if file.is_file()]
    series = Series(timestep_fs)
    names: list[str] = []
    figures: list[dict[str, float]] = []
    refused: list[tuple[str, str]] = []
    with create_dataset(
        out, code=code, functional=functional, timestep_fs=timestep_fs, inputs=inputs
    ) as writer:
        for done, (folder, outcome) in enumerate(_outcomes(folders, code, jobs), 1):
            try:
                if isinstance(outcome, InputError):
                    raise outcome
                frame, basis, measured = outcome
                series.check(frame)
                writer.append(frame, basis, measured)
                series.add(frame)
                names.append(frame.name)
                figures.append(measured)
            except InputError as error:
                if not skip_bad:
                    raise
                refused.append((f"{folder.parent.name}/{folder.name}", str(error)))
            progress(done, len(folders))
    return Ingestion(names, figures, refused)


def read_and_measure(folder: Path, code: Code) -> tuple[Frame, Basis, dict[str, float]] | InputError:
    """Read one frame and pass it through the gate; a refusal is returned, not raised."""
    try:
        frame, basis = reader_for(code).read(folder, code)
        figures = measure(frame, basis)
        verdict(frame, figures)
    except InputError as error:
        return error
    return frame, basis, {name: value for name, value in figures.items() if name in BY_NAME}


def _outcomes(
    folders: Sequence[Path], code: Code, jobs: int
) -> Iterator[tuple[Path, tuple[Frame, Basis, dict[str, float]] | InputError]]:
    """Read and measure the frames, in order, with a few in flight."""
    workers = min(jobs, len(folders) // FRAMES_PER_WORKER)
    if workers < 2:
        for folder in folders:
            yield folder, read_and_measure(folder, code)
        return
    # spawned, not forked: a fork of a process whose BLAS threads run can deadlock
    context = multiprocessing.get_context("spawn")
    with _one_thread_each(), ProcessPoolExecutor(workers, context) as pool:
        waiting: deque[tuple[Path, Future]] = deque()
        for folder in folders:
            waiting.append((folder, pool.submit(read_and_measure, folder, code)))
            if len(waiting) > 2 * workers:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let the processes started inside use one numerical thread each."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
