"""Solve one shard of a trajectory: predict, fold, solve, overlap with the frame before; survive `kill -9`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from n2amd.config.states import StatesSettings
from n2amd.states.checkpoint import Checkpoint
from n2amd.states.cross_time import CrossOverlap, OverlapKind, check_consecutive, frame_overlap
from n2amd.states.doubt import Doubter, StateDoubt, moments
from n2amd.states.false_states import NOTHING_KNOWN, TrainedStates
from n2amd.states.frame_solver import FrameSolver, Predictor
from n2amd.states.neighbours import NeighbourSolver
from n2amd.states.projection import Projection, Sites
from n2amd.states.solver import WindowStates
from n2amd.states.spin_orbit import SpinOrbitElements
from n2amd.states.store import OF_FRAMES, ShardInfo, StatesShard
from n2amd.states.velocity import Coupler
from n2amd.states.window import StateWindow
from n2amd.trajectory.slice import TrajectorySlice


def solve_shard(
    frames: TrajectorySlice,
    predictor: Predictor,
    cross_overlap: CrossOverlap,
    settings: StatesSettings,
    overlap_kind: OverlapKind,
    checkpoint: Checkpoint | None = None,
    *,
    checkpoint_seconds: float = 10.0,
    report: Callable[[int, int], None] = lambda done, total: None,
    doubter: Doubter | None = None,
    coupler: Coupler | None = None,
    spin_orbit: SpinOrbitElements | None = None,
    middle_of_gap: float | None = None,
    trained: TrainedStates = NOTHING_KNOWN,
) -> StatesShard:
    """Solve every frame of a shard and the overlaps between neighbours.

    Parameters
    ----------
    frames
        Geometries of this shard, both end frames included.
    predictor, cross_overlap
        H and S of a geometry; S between two geometries.
    settings, overlap_kind
        Window, k point, tolerance; which S the overlaps use.
    checkpoint
        Restart file: read first, replaced at least every `checkpoint_seconds`. The result does not depend
        on where a run was interrupted, to the last bit.
    report
        Called with (frames done, frames in all).
    doubter
        Tells how far the model may be wrong, every `settings.doubt_stride` frames of the trajectory; None: it
        is not asked.
    coupler
        Gives the couplings of each frame along the velocities of `frames`; None: there are none.
    spin_orbit
        Gives the spin-orbit coupling between the states of each frame; None: they have no spin, or are
        spinors.
    middle_of_gap
        Energy near which the gap of the material is, eV; None: it is searched for.
    trained
        States of the model's training frames, against which false ones are told.

    Raises
    ------
    InputError
        If frames are not consecutive or the window does not fit.
    ComputationError
        If a frame cannot be solved; the message names it.
    """
    solver = FrameSolver.for_structure(predictor, settings, frames.structure)
    if solver.needs_shift:
        # of the trajectory, not of the shard: states must not depend on the number of shards
        solver = solver.placed(frames.first, middle_of_gap)
    of_frames = NeighbourSolver(solver, frames)
    total = len(frames.positions)
    restored = checkpoint.load() if checkpoint else None
    rows = (
        _Rows.restore(restored) if restored else _Rows([], [], {name: [] for name in OF_FRAMES}, None, None)
    )
    last = frames.start + total - 1
    asked = moments(frames.start, last, settings.doubt_stride if doubter else 0)
    doubted = {int(frame) for first in asked for frame in (first, first + 1)}
    saved = time.monotonic()
    report(len(rows.energies), total)
    for frame in range(frames.start + len(rows.energies), frames.start + total):
        states = of_frames.solve(frame)
        if rows.last is not None:
            check_consecutive(frames[frame - 1], frames[frame], frame - 1)
            before = (frames[frame - 1], rows.last)
            rows.overlap.append(
                frame_overlap(
                    before,
                    (frames[frame], states),
                    overlap_kind,
                    cross_overlap,
                    solver.folded,
                )
            )
        rows.append(states)
        if coupler is not None:
            rows.velocity_couplings.append(_along_velocities(coupler, frames, frame, states, solver.kpoint))
        if spin_orbit is not None:
            elements = spin_orbit.spin_orbit_elements(frames[frame], states.coefficients, solver.kpoint)
            rows.spin_orbit.append(elements)
        if doubter is not None and frame in doubted:
            rows.changes[frame] = doubter.doubt_elements(
                frames[frame], states.coefficients, solver.kpoint, settings.spin
            )
        report(len(rows.energies), total)
        if checkpoint and time.monotonic() - saved >= checkpoint_seconds:
            checkpoint.save(rows.arrays())
            saved = time.monotonic()
    info = ShardInfo(
        start=frames.start,
        stop=last,
        geometry=frames.fingerprint,
        n_occupied=solver.window.n_occupied,
        n_orbitals=solver.n_functions,
        timestep_fs=frames.timestep_fs,
        valence=settings.valence,
        conduction=settings.conduction,
        overlap_kind=overlap_kind,
        kpoint=settings.kpoint,
        solver=solver.method,
        spin=settings.component or "",
        trained=trained,
    )
    doubt = None
    if doubter is not None and len(asked):
        elements = np.array([[rows.changes[m], rows.changes[m + 1]] for m in asked.tolist()])
        doubt = StateDoubt(asked, elements, doubter.usual_spread)
    return rows.shard(info, solver.window, solver.sites, settings.partition, doubt)


def _along_velocities(
    coupler: Coupler,
    frames: TrajectorySlice,
    frame: int,
    states: WindowStates,
    kpoint: NDArray[np.float64],
) -> NDArray:
    """Couplings of the states of a frame along its velocities."""
    if frames.velocities is None:
        raise ValueError("couplings along velocities that were not read")
    motion = frames.velocities[frame - frames.start]
    return coupler.velocity_couplings(frames[frame], motion, states.energies, states.coefficients, kpoint)


@dataclass
class _Rows:
    """What is known of a shard so far; `last` and `first_coefficients` are set with the first frame."""

    energies: list[NDArray]
    overlap: list[NDArray]
    of_frames: dict[str, list]
    first_coefficients: NDArray | None
    last: WindowStates | None
    weights: list[NDArray] = field(default_factory=list)
    changes: dict[int, NDArray] = field(default_factory=dict)
    velocity_couplings: list[NDArray] = field(default_factory=list)
    spin_orbit: list[NDArray] = field(default_factory=list)

    def append(self, states: WindowStates) -> None:
        self.energies.append(states.energies)
        for name, values in self.of_frames.items():
            values.append(getattr(states, name))
        if self.first_coefficients is None:
            self.first_coefficients = states.coefficients
        if states.weights is not None:
            self.weights.append(states.weights)
        self.last = states

    def arrays(self) -> dict[str, NDArray]:
        assert self.last is not None
        assert self.first_coefficients is not None
        width = len(self.last.energies)
        return {
            "energies": np.array(self.energies),
            "overlap": np.array(self.overlap).reshape(-1, width, width),
            **{name: np.array(values) for name, values in self.of_frames.items()},
            "first_coefficients": self.first_coefficients,
            "last_coefficients": self.last.coefficients,
            "last_overlap_coefficients": self.last.overlap_coefficients,
            **({"weights": np.array(self.weights)} if self.weights else {}),
            **({"velocity_couplings": np.array(self.velocity_couplings)} if self.velocity_couplings else {}),
            **({"spin_orbit": np.array(self.spin_orbit)} if self.spin_orbit else {}),
            **({"changed": np.array(list(self.changes))} if self.changes else {}),
            **({"changes": np.array(list(self.changes.values()))} if self.changes else {}),
        }

    @classmethod
    def restore(cls, arrays: dict[str, NDArray]) -> _Rows:
        last = WindowStates(
            arrays["energies"][-1],
            arrays["last_coefficients"],
            arrays["last_overlap_coefficients"],
            **{name: arrays[name][-1] for name in OF_FRAMES},
        )
        return cls(
            list(arrays["energies"]),
            list(arrays["overlap"]),
            {name: list(arrays[name]) for name in OF_FRAMES},
            arrays["first_coefficients"],
            last,
            list(arrays.get("weights", [])),
            {int(frame): change for frame, change in zip(arrays["changed"], arrays["changes"])}
            if "changed" in arrays
            else {},
            list(arrays.get("velocity_couplings", [])),
            list(arrays.get("spin_orbit", [])),
        )

    def shard(
        self,
        info: ShardInfo,
        window: StateWindow,
        sites: Sites | None,
        partition: str,
        doubt: StateDoubt | None,
    ) -> StatesShard:
        arrays = self.arrays()
        for name in ("changed", "changes"):
            arrays.pop(name, None)
        weights = arrays.pop("weights", None)
        projection = None if sites is None or weights is None else Projection(sites, partition, weights)
        return StatesShard(
            info,
            band_index=window.band_index,
            projection=projection,
            doubt=doubt,
            **arrays,
        )
