"""Checksums in HDF5 files: a flipped bit is an error, not another lifetime.

Arrays get HDF5's fletcher32 filter, which is checked chunk by chunk as they are read; names, shapes and
attributes have the checksums of the file format of HDF5 1.10. Text is stored with a fixed length: that of
variable length lies in a heap without checksums, and HDF5 may hang where it is damaged. What is left (data
sets of one number or text, long attributes) is hashed in the attribute `text_sha256`, which is looked at when
a file is opened. `content_sha256` hashes all that a file holds but who made it and when.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from n2amd.errors import InputError

#: Bytes of a chunk where the writer has no opinion.
CHUNK_BYTES = 1 << 20
#: Format of files: the first whose headers carry checksums.
LIBVER = "v110"
TEXT, CONTENT = "text_sha256", "content_sha256"
#: Root attributes that tell who made a file, when and from what: the same content may have others.
ABOUT = frozenset(
    ("created_by", "created_at", "config_sha256", "inputs_sha256", "inputs", "cpu_seconds", "complete")
)
_SEALS = frozenset((TEXT, CONTENT))
_SHORT = ABOUT - {"inputs"}
#: Files whose text was found sound by this process, as they were then.
_sound: set[tuple[int, ...]] = set()


class _Attributes(h5py.AttributeManager):
    """Attributes whose text has a fixed length in the file and is text of Python here."""

    def __getitem__(self, name: str) -> Any:
        value = super().__getitem__(name)
        if isinstance(value, bytes):
            return _plain(value)
        if isinstance(value, np.ndarray) and value.dtype.kind == "S":
            return np.array([_plain(text) for text in value.ravel().tolist()], dtype=object).reshape(
                value.shape
            )
        return value

    def __setitem__(self, name: str, value: Any) -> None:
        given = value if isinstance(value, h5py.Empty) else _fixed(np.asarray(value))
        self.create(name, data=given, dtype=getattr(given, "dtype", None))


class _WithChecksums:
    """Makes data sets with a checksum, in groups too."""

    @property
    def attrs(self) -> Any:
        """As h5py's."""
        return _Attributes(self)

    def create_dataset(
        self, name: Any, shape: Any = None, dtype: Any = None, data: Any = None, **how: Any
    ) -> Any:
        """As h5py's, with a checksum where HDF5 can have one."""
        given = None if data is None or isinstance(data, h5py.Empty) else np.asarray(data)
        if given is not None and given.dtype.kind in "OU":
            given = data = _fixed(given)
            dtype = given.dtype
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
    """An HDF5 file to be written, or read with text as text."""


def _fixed(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Text as bytes of one length, marked as UTF-8; numbers as they are."""
    if values.dtype.kind not in "OU":
        return values
    raw = [text if isinstance(text, bytes) else _raw(text) for text in values.ravel().tolist()]
    length = max([1, *map(len, raw)])
    return np.array(raw, dtype=h5py.string_dtype("utf-8", length)).reshape(values.shape)


def _raw(text: str) -> bytes:
    return str(text).encode(errors="surrogateescape")


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


def seal(file: h5py.File) -> None:
    """Write the hashes of a file that is otherwise whole into its root attributes."""
    file.flush()
    text = _text(file)
    file.attrs[TEXT] = text.hexdigest()
    file.attrs[CONTENT] = _content(file)


def require_sound_text(file: h5py.File) -> None:
    """Check the hash of the text in an open file; files of before have none. Looked at once a process.

    Raises
    ------
    InputError
        If it is not the text that was written.
    """
    if TEXT not in file.attrs:
        return
    stat = os.stat(file.filename)
    key = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)
    if key in _sound:
        return
    if _text(file).hexdigest() != _plain(file.attrs[TEXT]):
        raise InputError(
            "damaged (names or settings in it are not what was written)",
            file=file.filename,
            remedy="delete it and run the stage that makes it again",
        )
    _sound.add(key)


def first_damaged(path: str | Path) -> str | None:
    """Read a file whole; return the first field that cannot be read, None where all can."""
    try:
        with File(path, "r") as file:
            for name, item in _items(file):
                try:
                    for attribute in item.attrs:
                        item.attrs[attribute]
                    if isinstance(item, h5py.Dataset):
                        for _ in _pieces(item):
                            pass
                except (OSError, RuntimeError, ValueError, KeyError, TypeError):
                    return name
    except (OSError, RuntimeError, ValueError, KeyError, TypeError):
        return "/"
    return None


def content_sha256(path: str | Path) -> str | None:
    """Return the hash of what an HDF5 file of this program holds; None where it does not tell."""
    try:
        with File(path, "r") as file:
            return _plain(file.attrs[CONTENT]) if CONTENT in file.attrs else None
    except (OSError, RuntimeError, ValueError):
        return None


def _plain(value: Any) -> str:
    return value.decode(errors="surrogateescape") if isinstance(value, bytes) else str(value)


def _items(file: h5py.File) -> Iterator[tuple[str, Any]]:
    """Every group and data set with its path, the root first, in the order of the names."""
    names: list[str] = []
    file.visit(names.append)
    yield "/", file
    for name in sorted(names):
        yield name, file[name]


def _text(file: h5py.File) -> Any:
    """Hash text, and data sets that cannot have a checksum, by name."""
    digest = hashlib.sha256()
    for name, item in _items(file):
        # short ones lie in a header with a checksum
        for attribute in sorted(set(item.attrs) - _SEALS - _SHORT):
            if item.attrs.get_id(attribute).dtype.kind in "OS":
                _add(digest, f"{name}@{attribute}", item.attrs[attribute])
        if isinstance(item, h5py.Dataset) and not item.fletcher32:
            _add(digest, name, item[()])
    return digest


def _content(file: h5py.File) -> str:
    """Hash all numbers and text, with names, kinds and shapes, but for `ABOUT`."""
    digest = hashlib.sha256()
    for name, item in _items(file):
        for attribute in sorted(set(item.attrs) - _SEALS):
            if name != "/" or attribute not in ABOUT:
                _add(digest, f"{name}@{attribute}", item.attrs[attribute])
        if isinstance(item, h5py.Dataset):
            digest.update(f"{name} {item.dtype.str} {item.shape}\n".encode())
            for piece in _pieces(item):
                _add(digest, "", piece)
    return digest.hexdigest()


def _pieces(item: h5py.Dataset) -> Iterator[Any]:
    """The values of a data set, chunk by chunk."""
    if item.chunks is None or not item.size or item.dtype.kind == "O":
        yield item[()]
    else:
        for place in item.iter_chunks():
            yield item[place]


def _add(digest: Any, name: str, value: Any) -> None:
    """Add a value to a hash: text as it is, numbers as their bytes."""
    if name:
        digest.update(name.encode(errors="surrogateescape") + b"\n")
    if isinstance(value, h5py.Empty):
        return
    found = np.asarray(value)
    if found.dtype.kind not in "OU":
        digest.update(np.ascontiguousarray(found).tobytes())
        return
    for text in found.ravel().tolist():
        raw = text if isinstance(text, bytes) else _raw(text)
        digest.update(f"{len(raw)} ".encode() + raw)
