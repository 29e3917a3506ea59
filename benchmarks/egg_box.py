"""How band edges of H0 feel the mesh: rigid shifts against it, and white noise along a smooth path.

Shifts: largest distance of VBM and CBM from their mean over ten shifts by fractions of a step of the DFT
code's mesh, at one displaced geometry. Noise: atoms move harmonically (300 cm-1, 1 fs steps) about that
geometry; the sixth difference of a smooth series is nothing, of white noise sqrt(924) times its size. The
series are <n|H|n> / <n|S|n> of the VBM and CBM of that geometry: eigenvalues swap. Done
with the code's own mesh and with finer ones (`states.mesh_refinement`). Without --model the density network
is untrained: smooth, translation-free and as costly as a trained one.

python benchmarks/egg_box.py [--model results/TiO2/pbe/hamiltonian.pt] [--frames 24] [--out ...]
"""

from __future__ import annotations

import argparse
import datetime
import time
from math import comb
from pathlib import Path

import numpy as np
import torch
from record import processor, write_csv
from scipy.linalg import eigh
from zeroth_hamiltonian import untrained_predictor

from n2amd.blocks.matrix import fold
from n2amd.interop.structures import read_structure
from n2amd.network.predict import HamiltonianPredictor, load_predictor
from n2amd.structure import Structure

RUTILE = Path(__file__).resolve().parents[1] / "resources/tio2-honpas/rutile.vasp"
CELLS = {6: (1, 1, 1), 48: (2, 2, 2)}
FACTORS = (1.0, 1.5, 2.0)
#: Displacement of each coordinate, A, and frequency of the path, 1/fs (300 cm-1).
DISPLACED, FREQUENCY = 0.05, 0.009
ORDER = 6


def matrices(predictor: HamiltonianPredictor, structure: Structure) -> list[np.ndarray]:
    """H and S at Gamma."""
    offsets = predictor.basis.orbital_offsets(structure.numbers)
    return [np.squeeze(fold(m, offsets, np.zeros(3))).real for m in predictor.predict(structure)]


def edges(predictor: HamiltonianPredictor, structure: Structure) -> tuple[np.ndarray, np.ndarray]:
    """VBM and CBM at Gamma: energies, eV, and states."""
    n = round(predictor.basis.valence_electrons(structure.numbers) / 2)
    return eigh(*matrices(predictor, structure), subset_by_index=[n - 1, n])


def quotients(predictor: HamiltonianPredictor, structure: Structure, states: np.ndarray) -> np.ndarray:
    """Rayleigh quotients of states, eV."""
    h, s = (np.einsum("ik,ij,jk->k", states, m, states) for m in matrices(predictor, structure))
    return h / s


def measure(predictor: HamiltonianPredictor, n_atoms: int, factor: float, frames: int) -> dict[str, object]:
    """Run one case."""
    rng = np.random.default_rng(0)
    cell = read_structure(RUTILE).supercell(CELLS[n_atoms])
    still = cell.with_positions(cell.positions + DISPLACED * rng.normal(size=cell.positions.shape))
    mode = DISPLACED * rng.normal(size=cell.positions.shape)
    assert predictor.model.zeroth is not None
    code = predictor.model.zeroth.ingredients.mesh_of(cell.cell)
    finer = predictor.refined(factor)
    shifts = np.vstack([np.zeros(3), 0.5 * np.ones(3), 0.5 * np.eye(3), rng.uniform(size=(5, 3))])
    begin = time.process_time()
    moved = np.array(
        [edges(finer, still.with_positions(still.positions + s / code.shape @ cell.cell))[0] for s in shifts]
    )
    seconds = (time.process_time() - begin) / len(shifts)
    states = edges(finer, still)[1]
    swing = np.sin(2 * np.pi * FREQUENCY * np.arange(frames))
    path = np.array(
        [quotients(finer, still.with_positions(still.positions + x * mode), states) for x in swing]
    )
    noise = np.sqrt((np.diff(path, ORDER, axis=0) ** 2).mean(axis=0) / comb(2 * ORDER, ORDER))
    largest = np.abs(moved - moved.mean(axis=0)).max(axis=0)
    return {
        "atoms": n_atoms,
        "refinement": factor,
        "shift_vbm_meV": round(1e3 * float(largest[0]), 3),
        "shift_cbm_meV": round(1e3 * float(largest[1]), 3),
        "mean_vbm_eV": round(float(moved[:, 0].mean()), 5),
        "mean_cbm_eV": round(float(moved[:, 1].mean()), 5),
        "noise_vbm_eV": float(f"{noise[0]:.2g}"),
        "noise_cbm_eV": float(f"{noise[1]:.2g}"),
        "frame_cpu_s": round(seconds, 2),
    }


def main() -> None:
    default = Path(__file__).parent / "results" / "egg_box.csv"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--out", type=Path, default=default)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    predictor = load_predictor(arguments.model) if arguments.model else untrained_predictor("quick")[0]
    about = {
        "date": datetime.date.today().isoformat(),
        "processor": processor(),
        "network": "trained" if arguments.model else "untrained",
    }
    rows = []
    for n_atoms in CELLS:
        for factor in FACTORS:
            rows.append({**about, **measure(predictor, n_atoms, factor, arguments.frames)})
            print(rows[-1], flush=True)
    write_csv(arguments.out, rows)


if __name__ == "__main__":
    main()
