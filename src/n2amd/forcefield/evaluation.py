"""The force field against DFT on held-out frames, through the same file that drives the trajectory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from n2amd.forcefield.calculator import load_forcefield, require_species
from n2amd.interop.extxyz import Labelled, read_labelled_frames


def evaluate(forcefield: Path, frames: Sequence[Labelled], device: Any = "auto") -> dict[str, Any]:
    """Return the `test` and `parity` entries of forcefield.json.

    Parameters
    ----------
    forcefield
        Model file.
    frames
        DFT frames with energies and forces.
    device
        See `load_forcefield`.
    """
    loaded = load_forcefield(forcefield, device)
    energy_dft, energy_model, force_dft, force_model = [], [], [], []
    for frame in frames:
        atoms = frame.structure.to_ase()
        require_species(loaded, atoms.get_chemical_symbols(), forcefield)
        atoms.calc = loaded.calculator
        assert frame.energy is not None
        assert frame.forces is not None
        energy_dft.append(frame.energy / len(atoms))
        energy_model.append(atoms.get_potential_energy() / len(atoms))
        force_dft.append(frame.forces.ravel())
        force_model.append(atoms.get_forces().ravel())
    forces_dft, forces_model = np.concatenate(force_dft), np.concatenate(force_model)
    energy_error = np.abs(np.array(energy_model) - np.array(energy_dft))
    return {
        "test": {
            "energy_mae_meV_per_atom": 1e3 * float(energy_error.mean()),
            "force_mae_meV_per_A": 1e3 * float(np.abs(forces_model - forces_dft).mean()),
            "force_rms_dft_meV_per_A": 1e3 * float(np.sqrt((forces_dft**2).mean())),
            "n_frames": len(frames),
        },
        "parity": {
            "energy_dft_eV_per_atom": np.array(energy_dft),
            "energy_model_eV_per_atom": np.array(energy_model),
            "force_dft_eV_A": forces_dft,
            "force_model_eV_A": forces_model,
        },
    }


def evaluate_files(forcefield: Path, files: Sequence[Path], device: Any = "auto") -> list[dict[str, Any]]:
    """Judge a force field on frames of extended XYZ files; return the `test` entry of each file.

    Parameters
    ----------
    forcefield
        Model file.
    files
        Frames with energies and forces.
    device
        See `load_forcefield`.

    Returns
    -------
    list
        For each file: `file`, `n_atoms` (fewest and most of a frame) and the entries of `test`.
    """
    found = []
    for file in files:
        frames = read_labelled_frames(file)
        sizes = [frame.structure.n_atoms for frame in frames]
        errors = evaluate(forcefield, frames, device)["test"]
        found.append({"file": str(file), "n_atoms": [min(sizes), max(sizes)], **errors})
    return found
