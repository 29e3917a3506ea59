"""Restart points of a shard: everything done so far in one file, replaced atomically."""

from __future__ import annotations

import shutil
from pathlib import Path

from numpy.typing import NDArray

from n2amd.restart import load_arrays, save_arrays


class Checkpoint:
    """Restart file in the folder NAME.work beside the output NAME.

    Parameters
    ----------
    out
        The output that is being made.
    fingerprint
        Hash of everything the result depends on; one with another is replaced.
    """

    def __init__(self, out: Path, fingerprint: str) -> None:
        self.folder = out.with_name(out.name + ".work")
        self.file = self.folder / "checkpoint.npz"
        self.fingerprint = fingerprint

    def save(self, arrays: dict[str, NDArray]) -> None:
        """Replace the restart file."""
        save_arrays(self.file, self.fingerprint, arrays)

    def load(self) -> dict[str, NDArray] | None:
        """Return the arrays last saved, or None where there are none for this job."""
        return load_arrays(self.file, self.fingerprint)

    def remove(self) -> None:
        """Delete the folder once the output is whole."""
        shutil.rmtree(self.folder, ignore_errors=True)
