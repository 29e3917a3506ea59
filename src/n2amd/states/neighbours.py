"""States of consecutive frames that share factors."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from n2amd.states.factor_groups import FactorGroups
from n2amd.states.frame_solver import COUNTED_EVERY, FrameSolver
from n2amd.states.solver import WindowStates
from n2amd.trajectory.slice import TrajectorySlice

if TYPE_CHECKING:
    from n2amd.states.large_window import HeldFactor

log = logging.getLogger(__name__)

#: Frames that needed factors of their own before the user is told.
_TOLD_AT = 5


class NeighbourSolver:
    """Solves frames by the factors of their anchors.

    The states of a frame depend on its geometry and on that of its anchor alone, to the bit, whatever was
    solved before.

    Parameters
    ----------
    solver
        Solves one frame; its shift is known.
    frames
        Holds the frames and their anchors.
    """

    def __init__(self, solver: FrameSolver, frames: TrajectorySlice) -> None:
        self._solver, self._frames = solver, frames
        reach = solver.settings.factor_reach_fs if solver.method == "block_si" else 0.0
        self._groups = FactorGroups.of(reach, frames.timestep_fs, frames.last_of_all)
        self._anchor = -1
        self._anchor_states: WindowStates | None = None
        self._held: HeldFactor | None = None
        self._own_factors = 0

    def solve(self, frame: int) -> WindowStates:
        """Return the states of a frame, counted from the start of the trajectory."""
        if self._groups is None:
            return self._solver.solve(self._frames[frame], frame)
        if self._anchor != self._groups.anchor(frame):
            self._solve_anchor(self._groups.anchor(frame), self._groups)
        if frame == self._anchor and self._anchor_states is not None:
            return self._anchor_states
        folded = self._solver.folded_pair(self._frames[frame], frame)
        states = None
        if self._held is not None:
            states = self._solver.solve_folded_near(folded, frame, self._held)
            if states is None:
                self._tell(frame)
                # the memory of one factor must do; frames after this one make that of the anchor again
                self._forget()
        if states is None:
            states, _ = self._solver.solve_folded(folded, frame, count_ends=False)
        return self._solver.weighed(states, folded[1])

    def _solve_anchor(self, anchor: int, groups: FactorGroups) -> None:
        self._forget()
        folded = self._solver.folded_pair(self._frames[anchor], anchor)
        counted = any(frame % COUNTED_EVERY == 0 for frame in groups.members(anchor))
        states, self._held = self._solver.solve_folded(folded, anchor, count_ends=counted, keep=True)
        self._anchor, self._anchor_states = anchor, self._solver.weighed(states, folded[1])

    def _forget(self) -> None:
        self._anchor, self._anchor_states, self._held = -1, None, None

    def _tell(self, frame: int) -> None:
        self._own_factors += 1
        if self._own_factors == _TOLD_AT:
            log.warning(
                "%d frames, the last of them %d, differ too much from those whose factors they should share: "
                "lower states.factor_reach_fs (%g fs) to save the attempts",
                _TOLD_AT,
                frame,
                self._solver.settings.factor_reach_fs,
            )
