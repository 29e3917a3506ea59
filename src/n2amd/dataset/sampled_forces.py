"""Energies and forces of DFT frames without the mesh's share: means over a few places of the mesh."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from n2amd.baseline.forces import frame_at_places, mean_of
from n2amd.baseline.zeroth import ZerothHamiltonian
from n2amd.errors import InputError
from n2amd.frames.frame import Frame
from n2amd.frames.ingredients import Ingredients
from n2amd.orbitals.basis import Basis

#: Entry of a frame's origin: places of the mesh, and what their mean changed.
ENTRY = "grid_cell_sampling"


def with_sampled_forces(frame: Frame, basis: Basis, sampling: int) -> Frame:
    """Take the mean of energy, forces and stress over places of the DFT code's mesh.

    The code's own values stay what they are but for the change that the mean makes, computed from the density
    matrix of the frame's H and S: SIESTA's GridCellSampling after the fact.

    Parameters
    ----------
    frame
        Converged frame of a code whose energies are made of H0's parts (SIESTA, HONPAS).
    basis
        Its orbitals.
    sampling
        Places; 1 leaves the frame alone.

    Returns
    -------
    frame
        With the means, and `grid_cell_sampling` in its origin.

    Raises
    ------
    InputError
        If the frame has no forces, or H0 gives none (`n2amd.baseline.forces.frame_at_places`).
    """
    if sampling == 1:
        return frame
    if frame.ingredients is None or frame.energy is None or frame.forces is None:
        raise InputError(
            f"a mean over places of the mesh needs {'forces' if frame.ingredients else 'ingredients of H0'}",
            frame=frame.name,
            field=ENTRY,
            remedy="leave the option out, or let the code write them",
        )
    found = frame_at_places(_zeroth(basis.to_json(), frame.ingredients.to_json()), frame, sampling)
    once, mean = found[0], mean_of(found)
    change = mean.forces - once.forces
    said = f"{sampling} places, forces changed by {1e3 * np.sqrt((change**2).mean()):.1f} meV/A (rms)"
    return replace(
        frame,
        energy=frame.energy + mean.energy.free - once.energy.free,
        forces=frame.forces + change,
        stress=None if frame.stress is None else frame.stress + mean.stress - once.stress,
        origin={**frame.origin, ENTRY: said},
    )


@lru_cache(maxsize=4)
def _zeroth(basis: str, ingredients: str) -> ZerothHamiltonian:
    """Make the tables once for the frames of a set."""
    return ZerothHamiltonian.of_neutral_atoms(Basis.from_json(basis), Ingredients.from_json(ingredients))
