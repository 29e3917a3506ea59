"""Density network, exchange-correlation and matrix elements of rutile TiO2: a GPU against one CPU thread.

48 to 4,992 atoms. The network is untrained: its cost does not depend on its weights. On the GPU everything
runs once before it is timed. Without a GPU the same torch code runs on the CPU, to try the script out.

python benchmarks/gpu_hamiltonian.py [--largest 4992] [--repeat 3] [--out ...]
"""

# ruff: noqa: E402 - threads are set before numerical libraries are loaded
from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import datetime
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import processor, write_csv
from zeroth_hamiltonian import REPEATS, shaken, untrained_predictor

from n2amd.baseline.mesh_integrals import potential_matrix
from n2amd.baseline.mesh_integrals_torch import potential_matrix_torch
from n2amd.baseline.mesh_potential import xc_potential
from n2amd.blocks.pairs import find_pairs
from n2amd.network.one_pass import predict_density
from n2amd.network.precision import require_full_precision
from n2amd.network.predict import HamiltonianPredictor
from n2amd.structure import Structure


def timed(function: Callable[[], Any], device: str, repeat: int) -> tuple[float, Any]:
    """Fewest wall seconds of several calls, and what the last gave."""
    best = np.inf
    for _ in range(repeat):
        begin = time.perf_counter()
        result = function()
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - begin)
    return best, result


def measure(
    predictor: HamiltonianPredictor, structure: Structure, device: str, repeat: int
) -> dict[str, object]:
    """Time the parts of one structure on both."""
    zeroth, network = predictor.model.zeroth, predictor.model.density
    assert zeroth is not None
    assert network is not None
    there = deepcopy(network).to(device)
    mesh = zeroth.ingredients.mesh_of(structure.cell)
    atoms = zeroth.densities(structure, mesh)
    pairs = find_pairs(structure, predictor.ranges, half=True)
    density = np.maximum(atoms.density, 1e-9) + atoms.core
    units = {"rydberg": zeroth.ingredients.rydberg, "bohr": zeroth.ingredients.bohr}

    def xc(values: Any) -> torch.Tensor:
        return xc_potential(values, mesh, zeroth.ingredients.functional, **units)[1]

    moved = torch.as_tensor(density, device=device)
    field = xc(density).numpy()
    cases: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "network": (lambda: predict_density(network, structure), lambda: predict_density(there, structure)),
        "xc": (lambda: xc(density), lambda: xc(moved)),
        "matrix": (
            lambda: potential_matrix(zeroth.orbitals, structure, mesh, field, pairs),
            lambda: potential_matrix_torch(
                zeroth.orbitals, structure, mesh, field, pairs, device=device, batch=512
            ),
        ),
    }
    row: dict[str, object] = {"atoms": structure.n_atoms, "mesh": "x".join(map(str, mesh.shape))}
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    for name, (here, gpu) in cases.items():
        gpu()
        on_gpu, b = timed(gpu, device, repeat)
        on_cpu, a = timed(here, "cpu", 1)
        row |= {f"{name}_cpu_s": round(on_cpu, 4), f"{name}_gpu_s": round(on_gpu, 4)}
        row[f"{name}_difference"] = f"{largest_difference(a, b):.1e}"
    if device == "cuda":
        row["gpu_GB"] = round(torch.cuda.max_memory_allocated() / 1e9, 2)
    return row


def largest_difference(a: Any, b: Any) -> float:
    """Of two results of one kind."""
    if hasattr(a, "values") and hasattr(a, "pairs"):
        return max(float(np.abs(a.values[key] - b.values[key]).max()) for key in a.pairs)
    first, second = (v.cpu().numpy() if isinstance(v, torch.Tensor) else v for v in (a, b))
    return float(np.abs(first - second).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--largest", type=int, default=4992)
    parser.add_argument("--repeat", type=int, default=3)
    default = Path(__file__).parent / "results" / "gpu_hamiltonian.csv"
    parser.add_argument("--out", type=Path, default=default)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    require_full_precision()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    card = torch.cuda.get_device_name() if device == "cuda" else "none"
    predictor, cell = untrained_predictor("quick")
    predictor.hamiltonian(cell)  # tables are made, kernels compiled
    rows = []
    for n_atoms in (n for n in REPEATS if 6 < n <= arguments.largest):
        case = measure(predictor, shaken(cell, n_atoms), device, arguments.repeat)
        day = datetime.date.today().isoformat()
        rows.append({"date": day, "processor": processor(), "gpu": card, **case})
        print(rows[-1], flush=True)
        write_csv(arguments.out, rows)


if __name__ == "__main__":
    main()
