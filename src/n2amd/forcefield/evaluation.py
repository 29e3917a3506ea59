"""The force field against DFT on held-out frames, through the same file that drives the trajectory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from n2amd.dataset.frame import Frame
from n2amd.forcefield.calculator import load_forcefield, require_species


def evaluate(forcefield: Path, frames: Sequence[Frame], device: Any = "auto") -> dict[str, Any]:
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
