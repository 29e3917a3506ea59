"""Which frames of a trajectory share a factor: those up to some time before and after an anchor."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FactorGroups:
    """Groups of consecutive frames around their anchors, the same ones however a trajectory is cut.

        frame    0  1  2  3 | 4 ...  8 ... 11 | 12 ... 16 ... 19 |      half = 4
        anchor   0  0  0  0 | 8  8   8  8   8 | 16 ...

    Attributes
    ----------
    half
        Frames before an anchor, 1 at least; one less after it.
    last
        Number of the last frame of the trajectory.
    """

    half: int
    last: int

    @classmethod
    def of(cls, reach_fs: float, timestep_fs: float, last: int) -> FactorGroups | None:
        """Groups that reach so far from their anchors; None where they would be of one frame."""
        # a time step that divides the reach but for rounding counts whole
        half = int(reach_fs / timestep_fs + 1e-9)
        return cls(half, last) if half else None

    def anchor(self, frame: int) -> int:
        """Frame whose factor serves a frame."""
        size = 2 * self.half
        anchor = (frame + self.half) // size * size
        # the trajectory may end before
        return anchor if anchor <= self.last else anchor - size

    def members(self, anchor: int) -> range:
        """Frames that an anchor serves."""
        size = 2 * self.half
        end = anchor + self.half if anchor + size <= self.last else self.last + 1
        return range(max(anchor - self.half, 0), end)
