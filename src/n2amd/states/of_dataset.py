"""States of DFT's own matrices, frame by frame of a data set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from n2amd.blocks.matrix import BlockMatrix
from n2amd.config.states import Channel, StatesSettings
from n2amd.dataset.electrons import electrons_of_frames
from n2amd.dataset.store import read_attributes, read_basis, read_frames, read_structures
from n2amd.errors import InputError, within
from n2amd.frames.channels import electrons_of_window
from n2amd.frames.frame import Frame
from n2amd.orbitals.basis import Basis
from n2amd.orbitals.two_centre import OverlapTable, overlap
from n2amd.states.cross_time import CrossOverlap, OverlapKind
from n2amd.states.frame_solver import FrameSolver
from n2amd.states.projection import Level, Projection, sites_of
from n2amd.states.window import StateWindow, state_window
from n2amd.structure import Structure
from n2amd.trajectory.slice import TrajectorySlice


@dataclass(frozen=True)
class _GivenMatrices:
    """H and S of one frame in the place of a model's."""

    basis: Basis
    frame: Frame

    def predict(self, structure: Structure) -> tuple[BlockMatrix, BlockMatrix]:
        return self.frame.hamiltonian, self.frame.overlap


def project_frames(
    frames: Iterable[Frame], basis: Basis, settings: StatesSettings
) -> tuple[Projection, StateWindow]:
    """Weights of the states around the gap in every frame, in energy order.

    Parameters
    ----------
    frames, basis
        Of a data set.
    settings
        Window (`margin` is taken as 0), k point; `projections` "none" is taken as shells.

    Returns
    -------
    projection, window
        Weights (F, valence + conduction, g), and the states they are of.

    Raises
    ------
    InputError
        If there are no frames, they are not of the same atoms, or their electrons fill no whole bands.
    """
    level: Level = "shells" if settings.weights_of == "none" else settings.weights_of
    wanted = settings.model_copy(update={"margin": 0})
    weights, first, window = [], None, None
    for frame in frames:
        sites = sites_of(frame.structure, basis, level)
        offsets = basis.orbital_offsets(frame.structure.numbers)
        electrons = electrons_of_window(frame, wanted.spin)
        here = state_window(electrons, int(offsets[-1]), wanted)
        if first is not None and (here != window or not sites.same_as(first)):
            raise InputError(
                f"{frame.structure.n_atoms} atoms and {here.n_occupied} occupied states, unlike the frames "
                "before",
                frame=frame.name,
                remedy="pass a data set of one cell",
            )
        first, window = first or sites, here
        solver = FrameSolver(_GivenMatrices(basis, frame), wanted, here, offsets, sites)
        weights.append(solver.solve(frame.structure, frame.name).weights)
    if first is None or window is None:
        raise InputError("there are no frames", field="frames", remedy="ingest some")
    return Projection(first, wanted.partition, np.array(weights)), window


class FramesAsModel:
    """H and S of the frames of a data set in the place of a model's: of the geometries it holds.

    Parameters
    ----------
    path
        Data set; one frame is read at a time.
    """

    def __init__(self, path: str | Path) -> None:
        self.basis = read_basis(path)
        self._path = path
        self._structures = read_structures(path)
        self._held: tuple[int, Frame] | None = None

    def predict(self, structure: Structure) -> tuple[BlockMatrix, BlockMatrix]:
        """Return (H, S) of a geometry of the data set."""
        frame = self._frame(structure)
        return frame.hamiltonian, frame.overlap

    def electrons_in(self, structure: Structure, spin: Channel | None) -> float:
        """Return the electrons of a geometry: of its cell, or of a spin channel."""
        return electrons_of_window(self._frame(structure), spin)

    def _frame(self, structure: Structure) -> Frame:
        place = next(k for k, own in enumerate(self._structures) if own.moved_from(structure) == 0)
        if self._held is None or self._held[0] != place:
            self._held = place, next(read_frames(self._path, [place]))
        return self._held[1]

    def cross_overlap(self, kind: OverlapKind) -> CrossOverlap:
        """Return the function that gives S between two geometries.

        Raises
        ------
        InputError
            If couplings are to be exact and the basis has no radial functions.
        """
        if kind == "exact" and not self.basis.has_radial_functions:
            raise InputError(
                "the basis has no radial functions, so overlaps between two times are not known",
                file=self._path,
                field="basis",
                remedy="ingest the frames with their .ion.xml or .pao files, or set couplings.overlap to "
                "electron-translation-free",
            )
        return partial(overlap, OverlapTable.from_basis(self.basis)) if kind == "exact" else _none_needed

    def trajectory(self) -> TrajectorySlice:
        """Return the frames as a trajectory.

        Raises
        ------
        InputError
            If they are not consecutive, fewer than two, or their electrons are not the same.
        """
        attributes, first = read_attributes(self._path), self._structures[0]
        if not attributes["consecutive"] or len(self._structures) < 2:
            raise InputError(
                f"{len(self._structures)} frames that are no series in time",
                file=self._path,
                field="consecutive",
                remedy="ingest an MD run with `n2amd dataset ingest --consecutive --timestep-fs`",
            )
        names, electrons = electrons_of_frames(self._path)
        with within(self._path):
            for name, here in zip(names, electrons):
                electrons[0].require_kept(here, name)
        positions = np.stack([structure.positions for structure in self._structures])
        return TrajectorySlice(0, float(attributes["timestep_fs"]), first, positions)


def _none_needed(bra: Structure, ket: Structure) -> BlockMatrix:
    raise ValueError("couplings without electron translation take S at one time")
