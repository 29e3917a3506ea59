"""The file under HDF5, which crashes the interpreter where a call of it fails or Ctrl-C ends it."""

from __future__ import annotations

import io
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

#: Seconds after which Ctrl-C is tried again.
AGAIN_AFTER = 0.02


class PartStream(io.FileIO):
    """A file that keeps an error for later.

    Attributes
    ----------
    error
        The first one.
    """

    error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of `data`, nothing more after the first error."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        while len(rest) and self.error is None:
            try:
                rest = rest[super().write(rest) :]
            except OSError as error:
                self.error = error
        return size

    def truncate(self, size: int | None = None) -> int:
        """Set the length, unless a write failed."""
        if self.error is None:
            try:
                return super().truncate(size)
            except OSError as error:
                self.error = error
        return size or 0


_CALLED_BY_HDF5 = {PartStream.write.__code__, PartStream.truncate.__code__}


@contextmanager
def interrupted_between_calls() -> Iterator[None]:
    """Let Ctrl-C wait until HDF5 is not in the middle of a call of a `PartStream`."""
    known = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(known):
        yield
        return

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        here = frame
        while here is not None:
            if here.f_code in _CALLED_BY_HDF5:
                again = threading.Timer(AGAIN_AFTER, os.kill, (os.getpid(), number))
                again.daemon = True
                again.start()
                return
            here = here.f_back
        known(number, frame)

    signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, known)
