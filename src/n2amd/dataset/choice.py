"""Which frames become part of a data set: those left out by name, and copies of others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from n2amd.dataset.split import NEAR_COPY_A
from n2amd.errors import InputError
from n2amd.frames.frame import Frame
from n2amd.paths import is_named, near_names
from n2amd.structure import Structure


def without_excluded(
    folders: Sequence[Path], exclude: Sequence[str], *, consecutive: bool = False
) -> list[Path]:
    """Return the folders of frames but those that are left out.

    Parameters
    ----------
    folders
        Of all frames, in order.
    exclude
        Names or patterns (`n2amd.paths.is_named`).
    consecutive
        The frames follow each other in time.

    Raises
    ------
    InputError
        If a pattern is of no frame, no frame is left, or consecutive frames are left out between others.
    """
    left_out: set[int] = set()
    for name in exclude:
        found = {k for k, folder in enumerate(folders) if is_named(folder, name)}
        if not found:
            near = near_names(name, (folder.name for folder in folders))
            raise InputError(
                f"none of {len(folders)} frames, {folders[0].name} to {folders[-1].name}, is called {name!r}",
                field="exclude",
                remedy=f"did you mean {', '.join(near)}?" if near else "take it out",
            )
        left_out |= found
    kept = [k for k in range(len(folders)) if k not in left_out]
    if not kept:
        raise InputError(f"all {len(folders)} frames are left out", field="exclude", remedy="leave fewer out")
    if consecutive and (gaps := sorted(left_out.intersection(range(kept[0], kept[-1])))):
        raise InputError(
            f"leaving frame {folders[gaps[0]].name} out of consecutive frames leaves a gap in time",
            field="exclude",
            remedy="leave frames out at the beginning or the end only, or ingest the parts separately",
        )
    return [folders[k] for k in kept]


class Copies:
    """Tells frames that are nearly those accepted before.

    Two frames are near-copies where their atoms are less than `NEAR_COPY_A` apart (root mean square, images
    and a shift of all apart): the distance within which the splits keep frames on one side.

    Parameters
    ----------
    looked_for
        Whether copies are looked for; otherwise no frame is one.
    """

    def __init__(self, *, looked_for: bool) -> None:
        self._looked_for = looked_for
        self._known: dict[bytes, list[tuple[str, Structure]]] = {}

    def of(self, frame: Frame) -> str | None:
        """Say which frame one is a near-copy of, or None."""
        for name, other in self._known.get(frame.structure.numbers.tobytes(), []):
            if (moved := frame.structure.moved_from(other)) < NEAR_COPY_A:
                return f"frame {frame.name}: {moved:.4f} A from frame {name}, less than {NEAR_COPY_A} A"
        return None

    def add(self, frame: Frame) -> None:
        """Remember a frame that was accepted."""
        if self._looked_for:
            known = self._known.setdefault(frame.structure.numbers.tobytes(), [])
            known.append((frame.name, frame.structure))
