"""Phonons of the force field against DFT: harmonic fits to the forces of both on the same frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from n2amd.forcefield.calculator import load_forcefield, require_species
from n2amd.forcefield.force_constants import (
    fit_force_constants,
    match_sites,
    operations_of,
    same_cell,
    wave_numbers,
)
from n2amd.interop.extxyz import Labelled
from n2amd.structure import Structure


def frames_of(ideal: Structure, frames: Sequence[Labelled]) -> list[Labelled]:
    """Return the frames that have the cell and the elements of a structure."""
    elements = sorted(ideal.numbers)
    return [
        frame
        for frame in frames
        if same_cell(ideal, frame.structure) and sorted(frame.structure.numbers) == elements
    ]


def compare_phonons(
    forcefield: Path, frames: Sequence[Labelled], ideal: Structure, device: Any = "auto"
) -> dict[str, Any]:
    """Fit harmonic force constants to DFT's forces and to the force field's, and compare the normal modes.

    Parameters
    ----------
    forcefield
        Model file.
    frames
        DFT frames with forces, of the supercell.
    ideal
        The supercell, atoms at their ideal sites, in any order.
    device
        See `load_forcefield`.

    Returns
    -------
    dict
        `dft_cm`, `model_cm`: wave numbers, ascending; `rms_difference_cm`, `mean_difference_cm` (model minus
        DFT) and `largest_difference_cm` of modes of equal rank; `dft_explained`, `model_explained`: shares of
        the forces that are harmonic; `n_frames`.
    """
    loaded = load_forcefield(forcefield, device)
    require_species(loaded, ideal.to_ase().get_chemical_symbols(), forcefield)
    operations = operations_of(ideal)
    displacements, dft, model = [], [], []
    for frame in frames:
        atom, displacement = match_sites(ideal, frame.structure)
        atoms = frame.structure.to_ase()
        atoms.calc = loaded.calculator
        assert frame.forces is not None
        displacements.append(displacement)
        dft.append(frame.forces[atom])
        model.append(atoms.get_forces()[atom])
    masses = ideal.to_ase().get_masses()
    fits = {
        name: fit_force_constants(np.array(displacements), np.array(forces), operations)
        for name, forces in (("dft", dft), ("model", model))
    }
    modes = {name: wave_numbers(fit.force_constants, masses) for name, fit in fits.items()}
    difference = modes["model"] - modes["dft"]
    return {
        "dft_cm": modes["dft"],
        "model_cm": modes["model"],
        "rms_difference_cm": float(np.sqrt((difference**2).mean())),
        "mean_difference_cm": float(difference.mean()),
        "largest_difference_cm": float(np.abs(difference).max()),
        "dft_explained": fits["dft"].explained,
        "model_explained": fits["model"].explained,
        "n_frames": len(frames),
    }
