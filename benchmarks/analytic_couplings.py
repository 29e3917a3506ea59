"""Analytic couplings of a trained model against differences: slope in time, difference of H, cost a frame.

Slope: atoms move along the quartic through five consecutive DFT frames of six atoms of rutile (1 fs apart).
Couplings of the kept states (two a side) by Hammes-Schiffer-Tully between -dt/2 and dt/2 come closer to the
exact ones at 0 as dt^2, and so do the means of the exact ones at both ends, which the chain takes; where a
point of H0's mesh passes the end of an orbital H has a step, which differences see. With --mesh-refinement
the mesh is finer. Cost: processor seconds of H, S and of the couplings between 16 states, on one core, and
how far <i|dH/dt|j> by a central difference of two more predictions is from the exact one.

python benchmarks/analytic_couplings.py --model results/TiO2/pbe/hamiltonian.pt [--mesh-refinement 2]
"""

from __future__ import annotations

import argparse
import datetime
import time
from pathlib import Path

import numpy as np
from numpy.polynomial import polynomial
from overlap import processor
from record import write_csv

from n2amd.blocks.csr import between_states
from n2amd.config.states import StatesSettings
from n2amd.couplings.nac import hammes_schiffer_tully
from n2amd.dft.siesta.frame import read_frame
from n2amd.network.hamiltonian_change import hamiltonian_changes
from n2amd.network.predict import HamiltonianPredictor, load_predictor
from n2amd.network.velocity_coupling import ModelVelocityCouplings
from n2amd.states.cross_time import frame_overlap
from n2amd.states.frame_solver import FrameSolver
from n2amd.states.solver import WindowStates
from n2amd.structure import Structure
from n2amd.units import HBAR_EV_FS

FRAMES = Path(__file__).resolve().parents[1] / "resources/tio2-honpas/TiO2_6_md"
STEPS_FS = (2.0, 1.0, 0.5, 0.25)
CELLS = {6: (1, 1, 1), 48: (2, 2, 2), 216: (3, 3, 4)}
KEPT = slice(6, 10)
GAMMA = np.zeros(3)


def motion(time_fs: float) -> tuple[Structure, np.ndarray]:
    """Six atoms and their velocities, A/fs."""
    frames = [read_frame(FRAMES / f"frame_{k:04d}")[0].structure for k in range(1, 6)]
    path = polynomial.polyfit(np.arange(-2, 3), np.array([f.positions.ravel() for f in frames]), 4)
    found = [polynomial.polyval(time_fs, c).reshape(-1, 3) for c in (path, polynomial.polyder(path))]
    return frames[2].with_positions(found[0]), found[1]


class Chain:
    """States and couplings of one model at any time of the motion."""

    def __init__(self, predictor: HamiltonianPredictor, cell: tuple[int, int, int] = (1, 1, 1)) -> None:
        self.predictor, self.cell = predictor, cell
        self.coupler = ModelVelocityCouplings.of(predictor, "exact")
        settings = StatesSettings(valence=2, conduction=2, margin=6)
        self.solver = FrameSolver.for_structure(predictor, settings, self.at(0.0)[0])

    def at(self, time_fs: float) -> tuple[Structure, np.ndarray]:
        structure, velocities = motion(time_fs)
        return structure.supercell(self.cell), np.tile(velocities, (int(np.prod(self.cell)), 1))

    def solved(self, time_fs: float) -> tuple[Structure, WindowStates]:
        structure = self.at(time_fs)[0]
        return structure, self.solver.solve(structure, 0)

    def overlap(self, one: float, other: float) -> np.ndarray:
        """Overlap of the states at two times, fs."""
        cross = self.predictor.cross_overlap("exact")
        pair = self.solved(one), self.solved(other)
        return frame_overlap(*pair, "exact", cross, self.solver.folded)

    def exact(self, time_fs: float) -> np.ndarray:
        """Couplings hbar <i|d/dt j> of the kept states in the signs of those at time 0, meV."""
        states = self.solved(time_fs)[1]
        where = (states.energies, states.coefficients, GAMMA)
        found = self.coupler.velocity_couplings(*self.at(time_fs), *where)
        signs = np.sign(np.diag(self.overlap(0.0, time_fs)))
        return 1000 * HBAR_EV_FS * (signs[:, None] * found * signs)[KEPT, KEPT]

    def difference(self, step_fs: float) -> np.ndarray:
        """The same by Hammes-Schiffer-Tully."""
        left, right = (np.sign(np.diag(self.overlap(0.0, s * step_fs / 2))) for s in (-1, 1))
        overlap = left[:, None] * self.overlap(-step_fs / 2, step_fs / 2) * right
        return 1000 * hammes_schiffer_tully(overlap, step_fs)[KEPT, KEPT]


def slopes(chain: Chain) -> list[dict[str, object]]:
    """Errors at each step."""
    exact = chain.exact(0.0)
    size = np.linalg.norm(exact)
    rows = []
    for step in STEPS_FS:
        found = chain.difference(step)
        ends = (chain.exact(-step / 2) + chain.exact(step / 2)) / 2
        errors = [np.linalg.norm(f - exact) / size for f in (found, ends)]
        rows.append({"what": "slope", "step_fs": step, "hst_error": errors[0], "mean_error": errors[1]})
        print(f"dt {step} fs: hst off by {errors[0]:.2e}, mean of exact ones by {errors[1]:.2e}")
    return rows


def cost(predictor: HamiltonianPredictor, n_atoms: int) -> dict[str, object]:
    """Processor seconds, and errors of a central difference of H."""
    chain = Chain(predictor, CELLS[n_atoms])
    structure, velocities = chain.at(0.0)
    if n_atoms > 6:
        rng = np.random.default_rng(0)
        structure = structure.with_positions(structure.positions + rng.normal(scale=0.03, size=(n_atoms, 3)))
        velocities = velocities + rng.normal(scale=0.003, size=(n_atoms, 3))
    states = chain.solver.solve(structure, 0)
    where = (states.energies, states.coefficients, GAMMA)
    times: dict[str, float] = {}
    for name, run in (
        ("hamiltonian", lambda: predictor.predict(structure)),
        ("couplings", lambda: chain.coupler.velocity_couplings(structure, velocities, *where)),
    ):
        run()
        begin = time.process_time()
        run()
        times[f"{name}_cpu_s"] = time.process_time() - begin
    double = chain.coupler.predictor
    exact = hamiltonian_changes(double, structure, velocities, states.coefficients, GAMMA)
    row: dict[str, object] = {"what": "cost", "atoms": n_atoms, **times}
    for step in (1e-2, 1e-3, 1e-4, 1e-5):
        ends = [structure.with_positions(structure.positions + s * step * velocities) for s in (1, -1)]
        after, before = (
            between_states(double.hamiltonian(end), chain.solver.offsets, states.coefficients) for end in ends
        )
        error = np.abs((after - before) / (2 * step) - exact).max() / np.abs(exact).max()
        row[f"difference_{step:g}_fs"] = error
    print({key: value if isinstance(value, str) else f"{value:.3g}" for key, value in row.items()})
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--mesh-refinement", type=float, default=1.0)
    parser.add_argument("--atoms", type=int, nargs="*", default=list(CELLS))
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    predictor = load_predictor(given.model)
    if given.mesh_refinement != 1:
        predictor = predictor.refined(given.mesh_refinement)
    rows = slopes(Chain(predictor)) + [cost(predictor, n) for n in given.atoms]
    about = {"date": datetime.date.today().isoformat(), "processor": processor()}
    if given.out:
        write_csv(given.out, [{**about, "mesh_refinement": given.mesh_refinement, **row} for row in rows])


if __name__ == "__main__":
    main()
