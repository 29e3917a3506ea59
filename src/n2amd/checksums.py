"""Checksums of everything that a later stage reads: a flipped bit is an error, not another lifetime.

Arrays in HDF5 files get HDF5's fletcher32 filter, which is checked chunk by chunk as they are read, and
everything else (names, shapes, attributes) the checksums of the file format of HDF5 1.10. Text of variable
length has none. Networks are zip archives, whose parts have checksums that torch does not look at.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from n2amd.errors import InputError

#: Bytes of a chunk where the writer has no opinion.
CHUNK_BYTES = 1 << 20
#: Format of files: the first whose headers carry checksums.
LIBVER = "v110"


class _WithChecksums:
    """Makes data sets with a checksum, in groups too."""

    def create_dataset(
        self, name: Any, shape: Any = None, dtype: Any = None, data: Any = None, **how: Any
    ) -> Any:
        """As h5py's, with a checksum where HDF5 can have one."""
        given = None if data is None or isinstance(data, h5py.Empty) else np.asarray(data)
        found = given.shape if shape is None and given is not None else shape
        kind = np.dtype(dtype) if dtype is not None else np.dtype("O") if given is None else given.dtype
        if _can_have_one(found, kind, how):
            how["fletcher32"] = True
            if how.get("chunks") is None:
                how["chunks"] = _chunks(tuple(found), kind.itemsize)
        return super().create_dataset(name, shape, dtype, data, **how)  # type: ignore[misc]

    def create_group(self, name: Any, *arguments: Any, **how: Any) -> Any:
        """As h5py's."""
        return Group(super().create_group(name, *arguments, **how).id)  # type: ignore[misc]

    def require_group(self, name: Any) -> Any:
        """As h5py's."""
        return Group(super().require_group(name).id)  # type: ignore[misc]

    def __getitem__(self, name: Any) -> Any:
        found = super().__getitem__(name)  # type: ignore[misc]
        return Group(found.id) if isinstance(found, h5py.Group) else found


class Group(_WithChecksums, h5py.Group):
    """A group of a `File`."""


class File(_WithChecksums, h5py.File):
    """An HDF5 file to be written."""


def _can_have_one(shape: Any, kind: np.dtype[Any], how: dict[str, Any]) -> bool:
    """Whether an array can be cut into chunks: it has elements, or may grow, and all are of one size."""
    if not isinstance(shape, tuple | list) or not shape or kind.kind not in "biufcS":
        return False
    return all(shape) or how.get("chunks") is not None


def _chunks(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...] | bool:
    """Chunks of whole rows, about `CHUNK_BYTES` each; HDF5's own guess where a row is far larger."""
    row = int(np.prod(shape[1:])) * itemsize
    if row > 16 * CHUNK_BYTES:
        return True
    return (max(1, min(shape[0], CHUNK_BYTES // max(row, 1))), *shape[1:])


def require_sound_archive(path: str | Path, remedy: str) -> None:
    """Check every part of a zip archive, e.g. a model that torch wrote.

    Parameters
    ----------
    path
        The archive.
    remedy
        What to do about a damaged one.

    Raises
    ------
    InputError
        If a part is not what was written.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, RuntimeError) as error:
        raise InputError(f"damaged ({error})", file=path, remedy=remedy) from error
    if damaged is not None:
        raise InputError("damaged (a checksum fails)", file=path, field=damaged, remedy=remedy)
