"""From DFT output to a data set: read, gate and write frame by frame.

Frames are read and measured in worker processes; this process compares them with each other and writes, so
that memory holds a few frames whatever the size of the set. What is done is kept in a work folder
(`n2amd.ingestion.parts`) until the data set is whole: the same command goes on where a killed one stopped.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from n2amd.dataset.choice import Copies, without_excluded
from n2amd.dataset.gate import measure, verdict
from n2amd.dataset.sampled_forces import with_sampled_forces
from n2amd.dataset.series import Series
from n2amd.dataset.store import create_dataset
from n2amd.dft.files import frame_name
from n2amd.dft.readers import reader_for
from n2amd.errors import ComputationError, InputError
from n2amd.frames.checks import BY_NAME
from n2amd.ingestion.parts import Part, read_part, work_folder, write_part
from n2amd.orbitals.conventions import Code
from n2amd.provenance import sha256_of_files

Read = Callable[[Path, Path], InputError | None]

#: Fewer frames than this are not worth the start of a worker process.
FRAMES_PER_WORKER = 4
#: Thread counts of numerical libraries, 1 in every worker.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Ingestion:
    """What was written.

    Attributes
    ----------
    n_frames
        Frames written.
    refused
        Name and reason of the frames that were dropped.
    warnings
        Names of the frames and what is unusual about them or could not be checked, by the name of the check.
    """

    n_frames: int
    refused: list[tuple[str, str]]
    warnings: list[tuple[str, Mapping[str, str]]]


def ingest(
    paths: Sequence[str | Path],
    out: str | Path,
    *,
    code: Code,
    functional: str | None = None,
    timestep_fs: float | None = None,
    exclude: Sequence[str] = (),
    near_duplicates: Literal["refuse", "skip"] = "refuse",
    skip_bad: bool = False,
    without_bands: bool = False,
    n_electrons: float | None = None,
    grid_cell_sampling: int = 1,
    jobs: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Ingestion:
    """Read DFT frames, pass them through the gate and write a data set.

    Parameters
    ----------
    paths
        Frame folders, folders of frame folders, or archives of either.
    out
        Data set file to write; it appears only when every frame has passed.
    code
        DFT code that wrote the files.
    functional
        Label of the functional; default: what the frames' inputs say.
    timestep_fs
        The frames follow each other in time, by this step; None: they are independent. Velocities that the
        code did not give are derived (see `n2amd.dataset.series.verlet_velocities`).
    exclude
        Names or patterns of frames to leave out.
    near_duplicates
        "refuse": a geometry that is there twice is an error. "skip": it is dropped, and so is every frame
        that is a near-copy of one before (`n2amd.dataset.choice.Copies`).
    skip_bad
        Drop frames that fail instead of refusing the whole.
    without_bands
        Accept frames for which the code left no eigenvalues, on the other checks.
    n_electrons
        Electrons in the cell of every frame, where the files do not say (DeepH folders).
    grid_cell_sampling
        Places of the code's mesh to take energies and forces over (`n2amd.dataset.sampled_forces`).
    jobs
        Worker processes.
    progress
        Called with frames done and frames in total.

    Returns
    -------
    ingestion
        How many frames were written, which were dropped, and which passed with a warning.

    Raises
    ------
    InputError
        Naming the frame, the check, the value and the remedy; or if no frame is left.
    """
    if timestep_fs is not None and (skip_bad or near_duplicates == "skip"):
        raise InputError(
            "a frame dropped from consecutive frames leaves a gap in time",
            field="skip-bad" if skip_bad else "near-duplicates",
            remedy="correct the frame, or ingest the parts before and after it separately",
        )
    out = Path(out)
    refused: list[tuple[str, str]] = []
    warnings: list[tuple[str, Mapping[str, str]]] = []
    with work_folder(out) as work:
        found = reader_for(code, n_electrons).find([work.folder_of(Path(path)) for path in paths])
        folders = without_excluded(found, exclude, consecutive=timestep_fs is not None)
        settings = f"{code} without bands" if without_bands else code
        if n_electrons is not None:
            settings += f" {n_electrons:g} electrons"
        if grid_cell_sampling > 1:
            settings += f" {grid_cell_sampling} places of the mesh"
        parts = ((folder, work.part_of(folder, settings)) for folder in folders)
        read = partial(
            read_and_measure,
            code=code,
            without_bands=without_bands,
            n_electrons=n_electrons,
            grid_cell_sampling=grid_cell_sampling,
        )
        series, copies = Series(timestep_fs), Copies(looked_for=near_duplicates == "skip")
        with create_dataset(out, code=code, functional=functional, timestep_fs=timestep_fs) as writer:
            for done, (folder, outcome) in enumerate(_outcomes(parts, len(folders), read, jobs), 1):
                try:
                    if isinstance(outcome, InputError):
                        raise outcome
                    if twin := copies.of(outcome.frame):
                        refused.append((frame_name(folder), twin))
                    else:
                        series.check(outcome.frame)
                        writer.append(outcome.frame, outcome.basis, outcome.figures, outcome.sha256)
                        series.add(outcome.frame)
                        copies.add(outcome.frame)
                        if outcome.warnings:
                            warnings.append((outcome.frame.name, outcome.warnings))
                except InputError as error:
                    if not skip_bad:
                        raise
                    refused.append((frame_name(folder), str(error)))
                progress(done, len(folders))
            series.finish()
    return Ingestion(writer.n_frames, refused, warnings)


def read_and_measure(
    folder: Path,
    path: Path,
    *,
    code: Code,
    without_bands: bool,
    n_electrons: float | None = None,
    grid_cell_sampling: int = 1,
) -> InputError | None:
    """Read one frame, pass it through the gate and write it as a part; a refusal is returned, not raised."""
    try:
        frame, basis = reader_for(code, n_electrons).read(folder, code)
        if without_bands and frame.bands is None:
            frame = replace(frame, origin={**frame.origin, "bands": "none"})
        figures = measure(frame, basis)
        warnings = verdict(frame, figures)
        if warnings:
            frame = replace(frame, origin={**frame.origin, "warnings": "; ".join(warnings.values())})
        frame = with_sampled_forces(frame, basis, grid_cell_sampling)
        files = sorted(folder.iterdir()) if folder.is_dir() else [folder]
        sha256 = sha256_of_files(file for file in files if file.is_file())
    except InputError as error:
        return error
    kept = {name: value for name, value in figures.items() if name in BY_NAME}
    write_part(path, Part(frame, basis, kept, sha256, warnings))
    return None


def _outcomes(
    parts: Iterator[tuple[Path, Path]], n_frames: int, read: Read, jobs: int
) -> Iterator[tuple[Path, Part | InputError]]:
    """Give the frames in order, read and measured now or in an earlier run, with a few in flight."""
    workers = min(jobs, n_frames // FRAMES_PER_WORKER)
    if workers < 2:
        for folder, path in parts:
            yield folder, _part(folder, path, read)
        return
    # spawned, not forked: a fork of a process whose BLAS threads run can deadlock
    context = multiprocessing.get_context("spawn")
    with _one_thread_each(), ProcessPoolExecutor(workers, context, initializer=_end_with_parent) as pool:
        waiting: deque[tuple[Path, Path, Future[InputError | None] | None]] = deque()

        def first() -> tuple[Path, Part | InputError]:
            folder, path, future = waiting.popleft()
            return folder, (future.result() if future else None) or _part(folder, path, read)

        for folder, path in parts:
            future = None if path.exists() else pool.submit(read, folder, path)
            waiting.append((folder, path, future))
            if len(waiting) > 2 * workers:
                yield first()
        while waiting:
            yield first()


def _part(folder: Path, path: Path, read: Read) -> Part | InputError:
    """Return the part kept of a frame; read the frame where there is none, or a damaged one."""
    if (part := read_part(path)) is not None:
        return part
    if (refusal := read(folder, path)) is not None:
        return refusal
    if (part := read_part(path)) is None:
        raise ComputationError(f"{path}: cannot be read back; check the disk and run the same command again")
    return part


def _end_with_parent() -> None:
    """Make a worker end when its parent is killed, instead of waiting for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


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
