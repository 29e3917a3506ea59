"""Energies, forces and stress of DFT frames from their density matrix, against the code's own; one thread.

python benchmarks/forces.py [--code honpas] [--out FILE.csv] FOLDER...   frames with ingredients of H0
"""

# ruff: noqa: E402 - threads are set before numerical libraries are loaded
from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from record import write_csv

from n2amd.baseline.density_matrix import filled_states, matrix_of_states
from n2amd.baseline.forces import energy_forces, frame_energy_forces
from n2amd.baseline.zeroth import ZerothHamiltonian
from n2amd.dft.readers import Reader, reader_for
from n2amd.orbitals.conventions import Code


def measure(reader: Reader, code: Code, folders: Iterable[Path]) -> list[dict[str, Any]]:
    """Compare frame after frame; each set of ingredients is tabulated once, and not counted."""
    rows: list[dict[str, Any]] = []
    zeroth: ZerothHamiltonian | None = None
    for folder in folders:
        frame, basis = reader.read(folder, code)
        assert frame.ingredients is not None
        assert frame.energy is not None
        assert frame.forces is not None
        if zeroth is None or (zeroth.basis, zeroth.ingredients) != (basis, frame.ingredients):
            zeroth = ZerothHamiltonian.of_neutral_atoms(basis, frame.ingredients)
            frame_energy_forces(zeroth, frame)  # tables, and compilation
        pairs, begin = frame.hamiltonian.pairs, time.process_time()
        states = filled_states(frame, basis)
        matrices = [matrix_of_states(states, frame, basis, pairs, energy_weighted=w) for w in (False, True)]
        middle = time.process_time()
        found = energy_forces(zeroth, frame.structure, *matrices, states.smearing_energy)
        end = time.process_time()
        error = found.forces - frame.forces
        rows.append(
            {
                "frame": f"{folder.parent.name}/{folder.name}",
                "atoms": frame.structure.n_atoms,
                "energy_error_meV_atom": 1e3 * (found.energy.free - frame.energy) / frame.structure.n_atoms,
                "force_error_max_meV_A": 1e3 * np.abs(error).max(),
                "force_error_rms_meV_A": 1e3 * np.sqrt((error**2).mean()),
                "force_max_eV_A": np.abs(frame.forces).max(),
                "stress_error_max_meV_A3": None
                if frame.stress is None
                else 1e3 * np.abs(found.stress - frame.stress).max(),
                "density_matrix_cpu_s": middle - begin,
                "energy_forces_cpu_s": end - middle,
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--code", choices=("siesta", "honpas", "openmx"), default="honpas")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    reader = reader_for(arguments.code)
    rows = measure(reader, arguments.code, reader.find(arguments.folders))
    for row in rows:
        print("  ".join(f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values()))
    if arguments.out is not None:
        write_csv(arguments.out, rows)


if __name__ == "__main__":
    main()
