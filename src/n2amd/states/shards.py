"""Solve one shard of a trajectory: predict, fold, solve, overlap with the frame before; survive `kill -9`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from n2amd.blocks.matrix import BlockMatrix, fold
from n2amd.config import StatesSettings
from n2amd.errors import InputError
from n2amd.orbitals.basis import Basis
from n2amd.states.checkpoint import Checkpoint
from n2amd.states.cross_time import CrossOverlap, OverlapKind, check_consecutive, frame_overlap
from n2amd.states.doubt import Doubter, StateDoubt, moments
from n2amd.states.projection import Projection, Sites, first_orbitals, site_weights, sites_of
from n2amd.states.solver import WindowStates, solve_window
from n2amd.states.store import ShardInfo, StatesShard
from n2amd.states.trajectory import TrajectorySlice
from n2amd.states.window import StateWindow, state_window
from n2amd.structure import Structure


class Predictor(Protocol):
    """Anything that gives H and S of a geometry, e.g. a trained Hamiltonian network."""

    @property
    def basis(self) -> Basis:
        """Basis of every element it knows."""

    def predict(self, structure: Structure) -> tuple[BlockMatrix, BlockMatrix]:
        """Return (H, S), the Hermitian half, of a geometry."""


@dataclass(frozen=True)
class FrameSolver:
    """The steps from a geometry to the states of its window.

    Attributes
    ----------
    predictor
        Gives H and S.
    settings
        K point and tolerance.
    window, offsets
        States solved; first orbital of each atom and the total.
    sites
        What the states' weights are given of, None where none are asked for.
    """

    predictor: Predictor
    settings: StatesSettings
    window: StateWindow
    offsets: NDArray[np.int64]
    sites: Sites | None = None

    @classmethod
    def for_structure(
        cls, predictor: Predictor, settings: StatesSettings, structure: Structure
    ) -> FrameSolver:
        """Choose the window for the cell of `structure`.

        Raises
        ------
        InputError
            If the model does not know an element, the shell is open, or the window exceeds the spectrum.
        """
        basis = predictor.basis
        if unknown := sorted({int(z) for z in structure.numbers if int(z) not in basis}):
            raise InputError(
                f"the model knows the elements {list(basis.numbers)}, not atomic number {unknown[0]}",
                field="numbers",
                remedy="use the model of this material",
            )
        offsets = basis.orbital_offsets(structure.numbers)
        window = state_window(basis.valence_electrons(structure.numbers), int(offsets[-1]), settings)
        level = settings.projections
        sites = None if level == "none" else sites_of(structure, basis, level)
        return cls(predictor, settings, window, offsets, sites)

    @property
    def kpoint(self) -> NDArray[np.float64]:
        """Fractional k point, (3,)."""
        return np.asarray(self.settings.kpoint)

    def solve(self, structure: Structure, frame: int | str) -> WindowStates:
        """Return the states of one geometry."""
        return self.solve_matrices(*self.predictor.predict(structure), frame)

    def solve_matrices(
        self, hamiltonian: BlockMatrix, overlap: BlockMatrix, frame: int | str
    ) -> WindowStates:
        """Return the states of one (H, S).

        Raises
        ------
        InputError
            If H is spin-polarised: a window around one gap needs a closed shell.
        """
        if hamiltonian.n_spin != 1:
            raise InputError(
                f"the Hamiltonian has {hamiltonian.n_spin} spin components",
                frame=frame,
                field="spin",
                remedy="use a closed-shell calculation without spin polarisation",
            )
        folded_overlap = fold(overlap, self.offsets, self.kpoint)
        states = solve_window(
            fold(hamiltonian, self.offsets, self.kpoint),
            folded_overlap,
            self.window,
            residual_tolerance=self.settings.residual_tolerance_eV,
            frame=frame,
        )
        if self.sites is None:
            return states
        starts = first_orbitals(self.sites, self.predictor.basis)
        weights = site_weights(
            states.coefficients,
            states.overlap_coefficients,
            folded_overlap,
            starts,
            self.settings.partition,
        )
        return replace(states, weights=weights)


def solve_shard(
    frames: TrajectorySlice,
    shard: int,
    predictor: Predictor,
    cross_overlap: CrossOverlap,
    settings: StatesSettings,
    overlap_kind: OverlapKind,
    checkpoint: Checkpoint | None = None,
    *,
    checkpoint_seconds: float = 10.0,
    report: Callable[[int, int], None] = lambda done, total: None,
    doubter: Doubter | None = None,
) -> StatesShard:
    """Solve every frame of a shard and the overlaps between neighbours.

    Parameters
    ----------
    frames
        Geometries of this shard, both end frames included.
    shard
        Its number.
    predictor, cross_overlap
        H and S of a geometry; S between two geometries.
    settings, overlap_kind
        Window, k point, tolerance, number of shards; which S the overlaps use.
    checkpoint
        Restart file: read first, replaced at least every `checkpoint_seconds`. The result does not depend
        on where a run was interrupted, to the last bit.
    report
        Called with (frames done, frames in all).
    doubter
        Tells how far the model may be wrong, at `settings.doubt_samples` moments of the trajectory; None: it
        is not asked.

    Raises
    ------
    InputError
        If frames are not consecutive or the window does not fit.
    ComputationError
        If a frame cannot be solved; the message names it.
    """
    solver = FrameSolver.for_structure(predictor, settings, frames.structure)
    total = len(frames.positions)
    restored = checkpoint.load() if checkpoint else None
    rows = _Rows.restore(restored) if restored else _Rows([], [], [], [], [], None, None)
    last = frames.start + total - 1
    asked = moments(frames.n_frames_total, settings.doubt_samples if doubter else 0)
    asked = asked[(asked >= frames.start) & (asked < last)]
    doubted = {int(frame) for first in asked for frame in (first, first + 1)}
    saved = time.monotonic()
    report(len(rows.energies), total)
    for frame in range(frames.start + len(rows.energies), frames.start + total):
        states = solver.solve(frames[frame], frame)
        if rows.last is not None:
            check_consecutive(frames[frame - 1], frames[frame], frame - 1)
            before = (frames[frame - 1], rows.last)
            rows.overlap.append(
                frame_overlap(
                    before,
                    (frames[frame], states),
                    overlap_kind,
                    cross_overlap,
                    solver.offsets,
                    solver.kpoint,
                )
            )
        rows.append(states)
        if doubter is not None and frame in doubted:
            rows.changes[frame] = doubter.doubt_elements(frames[frame], states.coefficients, solver.kpoint)
        report(len(rows.energies), total)
        if checkpoint and time.monotonic() - saved >= checkpoint_seconds:
            checkpoint.save(rows.arrays())
            saved = time.monotonic()
    info = ShardInfo(
        shard=shard,
        shards=settings.shards,
        start=frames.start,
        stop=last,
        n_frames_total=frames.n_frames_total,
        n_occupied=solver.window.n_occupied,
        n_orbitals=int(solver.offsets[-1]),
        timestep_fs=frames.timestep_fs,
        valence=settings.valence,
        conduction=settings.conduction,
        overlap_kind=overlap_kind,
        kpoint=settings.kpoint,
    )
    doubt = None
    if doubter is not None and len(asked):
        elements = np.array([[rows.changes[m], rows.changes[m + 1]] for m in asked.tolist()])
        doubt = StateDoubt(asked, elements, doubter.usual_spread)
    return rows.shard(info, solver.window, solver.sites, settings.partition, doubt)


@dataclass
class _Rows:
    """What is known of a shard so far; `last` and `first_coefficients` are set with the first frame."""

    energies: list[NDArray]
    overlap: list[NDArray]
    residual: list[float]
    orthonormality_error: list[float]
    coefficient_norm: list[float]
    first_coefficients: NDArray | None
    last: WindowStates | None
    weights: list[NDArray] = field(default_factory=list)
    changes: dict[int, NDArray] = field(default_factory=dict)

    def append(self, states: WindowStates) -> None:
        self.energies.append(states.energies)
        self.residual.append(states.residual)
        self.orthonormality_error.append(states.orthonormality_error)
        self.coefficient_norm.append(states.coefficient_norm)
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
            "residual": np.array(self.residual),
            "orthonormality_error": np.array(self.orthonormality_error),
            "coefficient_norm": np.array(self.coefficient_norm),
            "first_coefficients": self.first_coefficients,
            "last_coefficients": self.last.coefficients,
            "last_overlap_coefficients": self.last.overlap_coefficients,
            **({"weights": np.array(self.weights)} if self.weights else {}),
            **({"changed": np.array(list(self.changes))} if self.changes else {}),
            **({"changes": np.array(list(self.changes.values()))} if self.changes else {}),
        }

    @classmethod
    def restore(cls, arrays: dict[str, NDArray]) -> _Rows:
        last = WindowStates(
            arrays["energies"][-1],
            arrays["last_coefficients"],
            arrays["last_overlap_coefficients"],
            float(arrays["residual"][-1]),
            float(arrays["orthonormality_error"][-1]),
            float(arrays["coefficient_norm"][-1]),
        )
        return cls(
            list(arrays["energies"]),
            list(arrays["overlap"]),
            arrays["residual"].tolist(),
            arrays["orthonormality_error"].tolist(),
            arrays["coefficient_norm"].tolist(),
            arrays["first_coefficients"],
            last,
            list(arrays.get("weights", [])),
            {int(frame): change for frame, change in zip(arrays["changed"], arrays["changes"])}
            if "changed" in arrays
            else {},
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
