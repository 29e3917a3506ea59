"""Where the states of DFT's own matrices live, frame by frame of a data set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from n2amd.blocks.matrix import BlockMatrix
from n2amd.config import StatesSettings
from n2amd.dataset.frame import Frame
from n2amd.errors import InputError
from n2amd.orbitals.basis import Basis
from n2amd.states.frame_solver import FrameSolver
from n2amd.states.projection import Level, Projection, sites_of
from n2amd.states.window import StateWindow, state_window
from n2amd.structure import Structure


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
        If there are no frames, the frames are not of the same atoms, or a shell is open.
    """
    level: Level = "shells" if settings.projections == "none" else settings.projections
    wanted = settings.model_copy(update={"margin": 0})
    weights, first, window = [], None, None
    for frame in frames:
        sites = sites_of(frame.structure, basis, level)
        offsets = basis.orbital_offsets(frame.structure.numbers)
        here = state_window(frame.n_electrons, int(offsets[-1]), wanted)
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
