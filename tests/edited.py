"""Files of this program that a test changes by hand: what changed must be found by what it means."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from n2amd.checksums import CONTENT, TEXT, File

SEALS = {TEXT, CONTENT}


def edited_document(path: Path) -> dict[str, Any]:
    """Read a JSON document without the hash in it."""
    document = json.loads(path.read_text())
    document["provenance"].pop("sha256")
    return document


@contextmanager
def edited(path: str | Path) -> Iterator[h5py.File]:
    """Open a file for writing and take the hash that is looked at when it is opened out of it."""
    with File(path, "r+") as file:
        if TEXT in file.attrs:
            del file.attrs[TEXT]
        yield file
