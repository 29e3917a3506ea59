"""What the library logs, as lines of a command's error output."""

from __future__ import annotations

import logging
import sys


class _ErrorOutput(logging.Handler):
    """Writes to whatever the error output is at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; warnings and worse say so."""
        prefix = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        print(f"{prefix}{record.getMessage()}", file=sys.stderr, flush=True)


def show_log() -> None:
    """Show messages of n2amd's modules from INFO on; once is enough."""
    logger = logging.getLogger("n2amd")
    if not any(isinstance(handler, _ErrorOutput) for handler in logger.handlers):
        logger.addHandler(_ErrorOutput())
        logger.setLevel(logging.INFO)
