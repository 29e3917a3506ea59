"""Readers by DFT code: how to find the frames of a code and how to read one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from n2amd.dataset.frame import Frame
from n2amd.dft.siesta.frame import find_frames, read_frame
from n2amd.errors import InputError
from n2amd.orbitals.basis import Basis
from n2amd.orbitals.conventions import Code


@dataclass(frozen=True)
class Reader:
    """How the output of one DFT code is found and read."""

    find: Callable[[Sequence[str | Path]], list[Path]]
    read: Callable[[str | Path, Code], tuple[Frame, Basis]]


READERS: dict[Code, Reader] = {
    "honpas": Reader(find_frames, read_frame),
    "siesta": Reader(find_frames, read_frame),
}


def reader_for(code: Code) -> Reader:
    """Return the reader of a code; raise `InputError` where there is none."""
    if code not in READERS:
        raise InputError(
            f"there is no reader for {code!r}", field="code", remedy=f"choose one of {', '.join(READERS)}"
        )
    return READERS[code]
