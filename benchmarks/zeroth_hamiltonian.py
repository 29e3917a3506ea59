"""CPU seconds and memory of H0 and of the density network of rutile TiO2, part by part, one thread.

6 to 4,992 atoms. The network is untrained: its cost does not depend on its weights. Each case runs in a
process of its own, so that its peak memory is its own. `core_GFLOPS` is what a matrix product reached
meanwhile: it tells whether the core was idle.

python benchmarks/zeroth_hamiltonian.py [--repeat 5] [--preset quick] [--out ...]
"""

# ruff: noqa: E402 - threads are set before numerical libraries are loaded
from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import datetime
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from overlap import FRAME
from record import processor, write_csv

from n2amd.baseline.mesh_integrals import potential_matrix
from n2amd.baseline.multipoles import superpose_multipoles
from n2amd.baseline.nonlocal_potential import nonlocal_matrix
from n2amd.baseline.zeroth import ZerothHamiltonian
from n2amd.blocks.pairs import find_pairs
from n2amd.dft.siesta.frame import read_frame
from n2amd.network.checkpoint import HamiltonianModel
from n2amd.network.density_data import choose_model, coefficients_by_element, fit_frame, with_means
from n2amd.network.density_model import DensityArchitecture, DensityNetwork
from n2amd.network.predict import HamiltonianPredictor
from n2amd.network.presets import PRESETS
from n2amd.orbitals.two_centre import OverlapTable
from n2amd.structure import Structure

REPEATS = {6: (1, 1, 1), 48: (2, 2, 2), 384: (4, 4, 4), 4992: (8, 8, 13)}
#: Matrix size of the product that tells how fast the core was while a case ran.
PROBE = 400


def untrained_predictor(preset: str) -> tuple[HamiltonianPredictor, Structure]:
    """Predictor from one DFT frame, and the frame's structure."""
    frame, basis = read_frame(FRAME)
    assert frame.ingredients is not None
    shape = PRESETS[preset].density
    model = choose_model([frame], basis, frame.ingredients)
    zeroth = ZerothHamiltonian(basis, frame.ingredients, model)
    fitted = fit_frame(frame, zeroth, shape.message_cutoff_A)
    zeroth = ZerothHamiltonian(basis, frame.ingredients, with_means(model, [fitted]))
    architecture = DensityArchitecture(
        shape.channels,
        shape.layers,
        shape.message_cutoff_A,
        50.0,
        shape.n_radial,
        shape.radial_hidden,
        shape.n_latent,
    )
    torch.manual_seed(0)
    network = DensityNetwork(model.auxiliary, architecture)
    rows = [(fitted.structure, fitted.coefficients)]
    network.fit_scales(coefficients_by_element(model.auxiliary, rows))
    whole = HamiltonianModel(basis, zeroth, network, None).to("cpu")
    return HamiltonianPredictor(whole, OverlapTable.from_basis(basis), {}), frame.structure


def shaken(cell: Structure, n_atoms: int) -> Structure:
    """Supercell with displaced atoms."""
    structure = cell.supercell(REPEATS[n_atoms])
    noise = 0.05 * np.random.default_rng(0).normal(size=structure.positions.shape)
    return structure.with_positions(structure.positions + noise)


def peak_memory() -> float:
    """Of this process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Stopwatch:
    """Fewest CPU seconds of parts of the work, over several rounds."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def time(self, part: str, function: Callable[[], Any]) -> Any:
        """Run a part."""
        begin = time.process_time()
        result = function()
        spent = time.process_time() - begin
        self.seconds[part] = min(spent, self.seconds.get(part, spent))
        return result


def measure(n_atoms: int, repeat: int, preset: str) -> dict[str, object]:
    """Run one case."""
    torch.set_num_threads(1)
    predictor, cell = untrained_predictor(preset)
    zeroth, structure = predictor.model.zeroth, shaken(cell, n_atoms)
    assert zeroth is not None
    predictor.hamiltonian(cell)  # tables are made, kernels compiled
    idle, peak, watch = peak_memory(), 0.0, Stopwatch()
    probe = np.random.default_rng(0).normal(size=(PROBE, PROBE))
    for _ in range(repeat):
        watch.time("probe", lambda: probe @ probe)
        watch.time("frame", lambda: predictor.hamiltonian(structure))
        peak = peak or peak_memory()
        parts(predictor, zeroth, structure, watch)
    seconds = {f"{part}_cpu_s": round(value, 4) for part, value in watch.seconds.items() if part != "probe"}
    return {
        "atoms": n_atoms,
        "mesh": "x".join(map(str, zeroth.ingredients.mesh_of(structure.cell).shape)),
        "preset": preset,
        "core_GFLOPS": round(2e-9 * PROBE**3 / watch.seconds["probe"], 1),
        **seconds,
        "extra_MB": round(peak - idle),
    }


def parts(
    predictor: HamiltonianPredictor, zeroth: ZerothHamiltonian, structure: Structure, watch: Stopwatch
) -> None:
    """Time the parts of a frame."""
    basis, shells = zeroth.basis, zeroth.model.auxiliary.atoms
    mesh = zeroth.ingredients.mesh_of(structure.cell)
    coefficients = watch.time("network", lambda: predictor.density(structure))
    pairs = watch.time("pairs", lambda: find_pairs(structure, predictor.ranges, half=True))
    atoms = watch.time("atoms_on_mesh", lambda: zeroth.densities(structure, mesh))
    change = watch.time(
        "multipoles_on_mesh", lambda: superpose_multipoles(structure, mesh, shells, coefficients)
    )
    potential = watch.time("xc_and_hartree", lambda: zeroth.potential_of(mesh, atoms, change))
    watch.time(
        "potential_matrix",
        lambda: potential_matrix(basis, structure, mesh, potential, pairs, dtype=np.float32),
    )
    watch.time("nonlocal", lambda: nonlocal_matrix(zeroth.projectors, basis, structure, pairs))
    vectors = {key: index.vectors(structure) for key, index in pairs.items()}
    watch.time("kinetic", lambda: [zeroth.kinetic.evaluate(key, v) for key, v in vectors.items()])


def main() -> None:
    default = Path(__file__).parent / "results" / "zeroth_hamiltonian.csv"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--out", type=Path, default=default)
    parser.add_argument("--case", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(measure(arguments.case, arguments.repeat, arguments.preset)))
        return
    rows = []
    for n_atoms in REPEATS:
        repeat = 1 if n_atoms == max(REPEATS) else arguments.repeat
        command = [sys.executable, __file__, "--repeat", str(repeat), "--preset", arguments.preset]
        output = subprocess.run(
            [*command, "--case", str(n_atoms)], check=True, capture_output=True, text=True
        )
        case = json.loads(output.stdout.splitlines()[-1])
        rows.append({"date": datetime.date.today().isoformat(), "processor": processor(), **case})
        print(rows[-1])
    write_csv(arguments.out, rows)


if __name__ == "__main__":
    main()
