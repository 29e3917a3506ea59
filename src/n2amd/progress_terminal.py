"""The workflow's terminal: one line that is always the last, or a plain line a minute where there is none."""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from n2amd.progress import FOLDER, describe, read_works

#: Seconds between two looks at the files on a terminal, and between two lines elsewhere.
TERMINAL_EVERY, LINE_EVERY = 2.0, 60.0
_CLEAR = "\r\x1b[K"


class StatusLine:
    """A terminal whose last line is a status; what others write appears above it.

    Parameters
    ----------
    stream
        The terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.RLock()
        self._shown = False

    def show(self, text: str) -> None:
        """Replace the status; an empty one takes it away."""
        with self._lock:
            width = shutil.get_terminal_size().columns - 1
            cut = text if len(text) <= width else text[: width - 3] + "..."
            if cut or self._shown:
                self._stream.write(_CLEAR + cut)
                self._stream.flush()
            self._shown = bool(cut)

    def write(self, text: str) -> int:
        """Write above the status, which comes back at the next `show`."""
        with self._lock:
            if self._shown and text:
                self._stream.write(_CLEAR)
                self._shown = False
            return self._stream.write(text)

    def flush(self) -> None:
        """Flush the terminal."""
        self._stream.flush()

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._stream.isatty()


def watch(
    folder: Path, results: Path, stream: TextIO, stop: threading.Event, every: float | None = None
) -> None:
    """Tell what jobs do until `stop` is set.

    Parameters
    ----------
    folder
        Where the jobs write their files.
    results
        Folder of results, left out of names.
    stream
        A `StatusLine`, or any stream: then plain lines, only where something is new.
    stop
        Set it to end.
    every
        Seconds between two looks; default: by the kind of stream.
    """
    status = stream if isinstance(stream, StatusLine) else None
    pause = every if every is not None else (TERMINAL_EVERY if status else LINE_EVERY)
    last = ""
    with suppress(OSError, ValueError):  # a terminal that was closed
        wait = 0.0 if status else pause  # a terminal shows at once what already runs
        while not stop.wait(wait):
            wait = pause
            now = time.time()
            text = " | ".join(describe(read_works(folder, now), results, now))
            if status is not None:
                status.show(text)
            elif text and text != last:
                print(f"progress: {text}", file=stream, flush=True)
            last = text
        if status is not None:
            status.show("")


def start(logger: logging.Logger, results: Path, folder: Path) -> threading.Event:
    """Ask all jobs of this process to tell their progress, and show it beside what `logger` writes.

    Parameters
    ----------
    logger
        Snakemake's; where its handler writes to a terminal, the status stays below its lines.
    results
        Folder of results.
    folder
        Where the jobs write, on a file system that they share.

    Returns
    -------
    threading.Event
        Set it to end; the thread ends with the process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    os.environ[FOLDER] = str(folder.resolve())
    handlers = [h for h in logger.handlers if type(h) is not logging.FileHandler and hasattr(h, "stream")]
    stop = threading.Event()
    if not handlers:
        return stop
    stream: TextIO = handlers[0].stream
    if stream.isatty() and os.environ.get("TERM") != "dumb":
        stream = StatusLine(stream)  # type: ignore[assignment]
        for handler in handlers:
            handler.stream = stream
    threading.Thread(target=watch, args=(folder, results, stream, stop), daemon=True).start()
    return stop
