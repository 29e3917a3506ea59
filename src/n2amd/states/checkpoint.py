"""Restart points of a shard: everything done so far in one file, replaced atomically."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.storage import atomic_path


class Checkpoint:
    """Restart file in the folder NAME.work beside the output NAME.

    Parameters
    ----------
    out
        The output that is being made.
    fingerprint
        Hash of everything the result depends on; a restart file with another one is ignored.
    """

    def __init__(self, out: Path, fingerprint: str) -> None:
        self.folder = out.with_name(out.name + ".work")
        self.file = self.folder / "checkpoint.npz"
        self.fingerprint = fingerprint

    def save(self, arrays: dict[str, NDArray]) -> None:
        """Replace the restart file."""
        with atomic_path(self.file) as part, open(part, "wb") as stream:
            np.savez(stream, fingerprint=np.array(self.fingerprint), **arrays)  # type: ignore[arg-type]

    def load(self) -> dict[str, NDArray] | None:
        """Return the arrays last saved, or None where there are none for this job."""
        if not self.file.exists():
            return None
        with np.load(self.file) as stored:
            if str(stored["fingerprint"]) != self.fingerprint:
                return None
            return {name: stored[name] for name in stored.files if name != "fingerprint"}

    def remove(self) -> None:
        """Delete the folder once the output is whole."""
        shutil.rmtree(self.folder, ignore_errors=True)
