"""What a killed process left: half-written files and locks that nobody holds."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

#: Folders that this process has looked into.
_seen: set[str] = set()


def clean(folder: Path) -> None:
    """Remove from a folder the locks of processes that are gone, and the half-written files they guarded.

    A file NAME.part is ours only where the lock .NAME.part.lock lies beside it, and left behind only where
    that can be taken. Looks once at each folder; where there are no locks, or the folder may not be written,
    nothing is removed.
    """
    if (place := str(folder.absolute())) in _seen:
        return
    _seen.add(place)
    for lock in folder.glob(".*.lock"):
        try:
            descriptor = os.open(lock, os.O_RDWR)
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # the holder may have ended, and another begun, since it was opened
            if os.path.samestat(os.fstat(descriptor), os.stat(lock)):
                guarded = lock.with_name(lock.name[1 : -len(".lock")])
                if guarded.name.endswith(".part") and guarded.is_file():
                    guarded.unlink()
                lock.unlink()
        except OSError:
            continue
        finally:
            os.close(descriptor)
