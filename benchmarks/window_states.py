"""CPU seconds of states around the gap of rutile: `block_si` beside LAPACK, ARPACK+Pardiso, SLEPc+MUMPS.

`mumps` is `block_si` on a factor of MUMPS, `mumps_mpi` the same as two processes of --mpirun, their CPU
seconds added up.

20 states at Gamma, 720, 3,240 and 8,640 orbitals, one thread, each method in a process of its own on the same
matrices: those of a trained model along a trajectory (--model, --structure) or of a model of rutile with
the same number of orbitals. `block_si` is timed as for a frame inside a trajectory: the shift is that of
another frame; `neighbour` as for one that shares the factor of a frame 3 fs before (300 K). ARPACK and SLEPc
are given the same shift and asked for as many states as hold the window; LAPACK (`gvx`) for the window.
Energies and the space of the states are held against LAPACK's, or `block_si`'s where LAPACK is left out.
Every row has what a matrix product reached meanwhile: rows of one run compare.

pip install pypardiso pymumps
apt install python3-slepc4py        (run by --slepc-python, another interpreter than this one)

python benchmarks/window_states.py [--atoms 48 216 576]
    [--methods lapack block_si neighbour mumps mumps_mpi arpack slepc]
    [--slepc-python /usr/bin/python3] [--mpirun mpirun]
    [--model results/TiO2/pbe/hamiltonian.pt --structure rutile.vasp]
"""

# ruff: noqa: E402 - threads are set before numerical libraries are loaded
from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import glob
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse
import scipy.sparse.linalg
from numpy.typing import NDArray

#: States on each side of the gap, and more that ARPACK and SLEPc look for: those nearest to the shift are not
#: as many on each side.
SIDE, MORE = 10, 14
PROBE = 1000
REPEATS = {48: "2x2x2", 216: "3x3x4", 576: "4x4x6", 1728: "6x6x8"}
METHODS = ("lapack", "block_si", "neighbour", "mumps", "mumps_mpi", "arpack", "slepc")
#: Those of which loading the program is no part.
OWN = ("block_si", "neighbour", "mumps", "mumps_mpi")
#: Between a frame and the one whose factor it shares, fs; k_B T / u at 300 K, (A/fs)^2.
APART_FS, KT_PER_U = 3.0, 2.494e-4


def load(
    folder: Path, before: str = ""
) -> tuple[scipy.sparse.csr_array, scipy.sparse.csr_array, dict[str, Any]]:
    """H, S and what is known of them; of the frame, or of the one `before_` it."""
    h, s = (scipy.sparse.csr_array(scipy.sparse.load_npz(folder / f"{before}{name}.npz")) for name in "hs")
    return h, s, json.loads((folder / "facts.json").read_text())


def by_lapack(h: Any, s: Any, facts: dict[str, Any]) -> tuple[NDArray, NDArray]:
    """All states of the window by `sygvx`."""
    window = (facts["occupied"] - SIDE, facts["occupied"] + SIDE - 1)
    return scipy.linalg.eigh(h.toarray(), s.toarray(), subset_by_index=window, driver="gvx")


def by_block_si(h: Any, s: Any, facts: dict[str, Any]) -> tuple[NDArray, NDArray]:
    """The program's own."""
    from n2amd.states.solvers.block_ldl import BlockLdl

    return _by_lanczos(BlockLdl(), h, s, facts)


def by_mumps(h: Any, s: Any, facts: dict[str, Any]) -> tuple[NDArray, NDArray]:
    """The program's own on a factor of MUMPS."""
    from n2amd.states.solvers.mumps import Mumps

    return _by_lanczos(Mumps(), h, s, facts)


def _by_lanczos(solver: Any, h: Any, s: Any, facts: dict[str, Any]) -> tuple[NDArray, NDArray]:
    from n2amd.states.solvers.block_si import Target, solve_states
    from n2amd.states.solvers.pencil import Pencil

    occupied = facts["occupied"]
    pencil = Pencil.from_csr(h, s, np.array(facts["offsets"]))
    target = Target(occupied - SIDE, occupied + SIDE, occupied)
    found = solve_states(solver, pencil, target, facts["shift"])
    return found.energies.numpy(), found.states.numpy()


def by_neighbour(h: Any, s: Any, facts: dict[str, Any]) -> tuple[NDArray, NDArray]:
    """The program's own, by a factor that is there already."""
    from n2amd.states.solvers.certificate import Tolerances
    from n2amd.states.solvers.correction import correct_states
    from n2amd.states.solvers.pencil import Pencil

    solver, anchor = facts["held"]
    pencil = solver.place(Pencil.from_csr(h, s, np.array(facts["offsets"])))
    window = (facts["occupied"] - SIDE, facts["occupied"] + SIDE)
    found = correct_states(solver, pencil, anchor, *window, tolerance=1e-7, accepted=Tolerances())
    return found.energies.numpy(), found.states.numpy()


def hold_factor(folder: Path) -> tuple[Any, Any]:
    """Factor and states of the frame before."""
    from n2amd.states.solvers.block_ldl import BlockLdl
    from n2amd.states.solvers.block_si import Target, solve_states
    from n2amd.states.solvers.pencil import Pencil

    h, s, facts = load(folder, "before_")
    occupied, solver = facts["occupied"], BlockLdl()
    pencil = Pencil.from_csr(h, s, np.array(facts["offsets"]))
    target = Target(occupied - SIDE, occupied + SIDE, occupied)
    return solver, solve_states(solver, pencil, target, facts["shift"], keep=True).anchor


def by_arpack(h: Any, s: Any, facts: dict[str, Any]) -> tuple[NDArray, NDArray]:
    """Shift-invert Lanczos of ARPACK, one vector at a time, on Pardiso's factor."""
    from pypardiso import PyPardisoSolver

    shifted = scipy.sparse.csr_matrix(h - facts["shift"] * s)
    pardiso = PyPardisoSolver(mtype=11)
    pardiso.factorize(shifted)
    n = h.shape[0]
    inverse = scipy.sparse.linalg.LinearOperator((n, n), lambda b: pardiso.solve(shifted, b), dtype=float)
    energies, states = scipy.sparse.linalg.eigsh(
        h, k=2 * (SIDE + MORE), M=s, sigma=facts["shift"], OPinv=inverse, tol=1e-10
    )
    return _window(energies, states, facts)


def by_slepc(h: Any, s: Any, facts: dict[str, Any]) -> tuple[NDArray, NDArray]:
    """Shift-invert Krylov-Schur of SLEPc on a Cholesky factor of MUMPS."""
    # Debian keeps a build for real numbers apart
    for part in ("petsc", "slepc"):
        sys.path += glob.glob(f"/usr/lib/{part}dir/*/*-real/lib/python3/dist-packages")
    import petsc4py

    petsc4py.init([])
    from petsc4py import PETSc
    from slepc4py import SLEPc

    def matrix(m: Any) -> Any:
        made = PETSc.Mat().createAIJ(
            size=m.shape, csr=(m.indptr.astype("i4"), m.indices.astype("i4"), m.data)
        )
        made.setOption(PETSc.Mat.Option.SYMMETRIC, True)
        made.assemble()
        return made

    solver = SLEPc.EPS().create()
    solver.setOperators(matrix(h), matrix(s))
    solver.setProblemType(SLEPc.EPS.ProblemType.GHEP)
    solver.setTarget(facts["shift"])
    solver.setWhichEigenpairs(SLEPc.EPS.Which.TARGET_MAGNITUDE)
    solver.setDimensions(2 * (SIDE + MORE))
    solver.setTolerances(1e-10)
    transform = solver.getST()
    transform.setType(SLEPc.ST.Type.SINVERT)
    linear = transform.getKSP()
    linear.setType("preonly")
    linear.getPC().setType("cholesky")
    linear.getPC().setFactorSolverType("mumps")
    solver.solve()
    vector = solver.getOperators()[0].createVecLeft()
    energies, states = [], []
    for k in range(solver.getConverged()):
        energies.append(solver.getEigenpair(k, vector).real)
        states.append(vector.getArray().copy())
    return _window(np.array(energies), np.array(states).T, facts)


def _window(energies: NDArray, states: NDArray, facts: dict[str, Any]) -> tuple[NDArray, NDArray]:
    """The states on both sides of the shift; fewer where too few were found on one."""
    order = np.argsort(energies)
    energies, states = energies[order], states[:, order]
    below = int((energies < facts["shift"]).sum())
    kept = slice(max(below - SIDE, 0), below + SIDE)
    return energies[kept], states[:, kept]


SOLVERS: dict[str, Callable[..., tuple[NDArray, NDArray]]] = {
    "lapack": by_lapack,
    "block_si": by_block_si,
    "neighbour": by_neighbour,
    "mumps": by_mumps,
    "mumps_mpi": by_mumps,
    "arpack": by_arpack,
    "slepc": by_slepc,
}


def run(method: str, folder: Path) -> None:
    """One method on one pair of matrices, by one process or with others that help."""
    if method not in ("mumps", "mumps_mpi"):
        run_first(method, folder)
        return
    from n2amd.states.solvers.mumps_ranks import helping

    begin = time.process_time()
    with helping("mumps") as leads:
        if leads:
            run_first(method, folder)
        else:
            print(json.dumps({"cpu_s": round(time.process_time() - begin, 3)}))


def run_first(method: str, folder: Path) -> None:
    """What the first or only process does: writes its states, prints its CPU seconds."""
    h, s, facts = load(folder)
    probe = np.random.default_rng(0).normal(size=(PROBE, PROBE))
    rates = []
    for _ in range(3):
        begin = time.process_time()
        probe @ probe
        rates.append(2e-9 * PROBE**3 / (time.process_time() - begin))
    if method in OWN:
        import torch

        import n2amd.states.solvers.block_si  # noqa: F401 - loading it is not part of a frame
        from n2amd.states.solvers.device_pencil import DevicePencil
        from n2amd.states.solvers.pencil import Pencil

        torch.set_num_threads(1)
        # nor is loading compiled loops
        DevicePencil(Pencil.from_dense(np.eye(2), np.eye(2))).shifted(0.5)
    if method == "neighbour":
        facts["held"] = hold_factor(folder)
    begin = time.process_time()
    energies, states = SOLVERS[method](h, s, facts)
    seconds = time.process_time() - begin
    np.savez(folder / f"{method}.npz", energies=energies, states=states)
    print(json.dumps({"cpu_s": round(seconds, 3), "core_GFLOPS": round(max(rates), 1)}))


def prepare_model_rutile(n_atoms: int, folder: Path) -> None:
    """Matrices of the model of rutile, and where the gap is expected."""
    from model_rutile import OCCUPIED_PER_ATOM, model_pencil, rutile

    occupied = OCCUPIED_PER_ATOM * n_atoms
    for before in (False, True):
        pencil = model_pencil(rutile(n_atoms, -APART_FS if before else 0.0), "cpu")
        h, s = pencil.csr(pencil.hamiltonian), pencil.csr(pencil.overlap)
        _write(folder, h, s, occupied, pencil.groups, before=before)


def some_fs_before(structure: Any) -> Any:
    """Where its atoms were, moving with velocities of 300 K."""
    from ase.data import atomic_masses

    speed = np.sqrt(KT_PER_U / atomic_masses[structure.numbers])[:, None]
    moved = APART_FS * speed * np.random.default_rng(1).normal(size=structure.positions.shape)
    return structure.with_positions(structure.positions - moved)


def prepare_trained(n_atoms: int, folder: Path, model: Path, structure: Path) -> None:
    """Matrices of a trained model, atoms displaced by 0.05 Angstrom."""
    from n2amd.blocks.csr import fold_csr
    from n2amd.interop.structures import read_structure
    from n2amd.network.predict import load_predictor

    predictor = load_predictor(model)
    repeats = [int(n) for n in REPEATS[n_atoms].split("x")]
    cell = read_structure(structure).supercell((repeats[0], repeats[1], repeats[2]))
    noise = 0.05 * np.random.default_rng(0).normal(size=cell.positions.shape)
    cell = cell.with_positions(cell.positions + noise)
    offsets = predictor.basis.orbital_offsets(cell.numbers)
    electrons = predictor.basis.valence_electrons(cell.numbers)
    for before, moved in ((False, cell), (True, some_fs_before(cell))):
        h, s = fold_csr(list(predictor.predict(moved)), offsets)
        _write(folder, h, s, round(electrons / 2), offsets, before=before)


def _write(folder: Path, h: Any, s: Any, occupied: int, offsets: NDArray, *, before: bool) -> None:
    """Write matrices and, found once by counting, the middle of the gap moved by a tenth of an eV."""
    if before:
        scipy.sparse.save_npz(folder / "before_h.npz", scipy.sparse.csr_matrix(h), compressed=False)
        scipy.sparse.save_npz(folder / "before_s.npz", scipy.sparse.csr_matrix(s), compressed=False)
        return
    from n2amd.states.solvers.block_ldl import BlockLdl
    from n2amd.states.solvers.block_si import Target, solve_states
    from n2amd.states.solvers.pencil import Pencil

    target = Target(occupied - 1, occupied + 1, occupied)
    edges = solve_states(BlockLdl(), Pencil.from_csr(h, s, offsets), target).energies
    scipy.sparse.save_npz(folder / "h.npz", scipy.sparse.csr_matrix(h), compressed=False)
    scipy.sparse.save_npz(folder / "s.npz", scipy.sparse.csr_matrix(s), compressed=False)
    facts = {"occupied": occupied, "shift": float(edges.mean()) + 0.1, "offsets": offsets.tolist()}
    (folder / "facts.json").write_text(json.dumps(facts))


def compare(folder: Path, method: str, reference: str) -> dict[str, object]:
    """Energies and space of a method's states against another's."""
    _, s, _ = load(folder)
    mine, other = (np.load(folder / f"{name}.npz") for name in (method, reference))
    if mine["states"].shape != other["states"].shape:
        return {
            "note": f"{mine['states'].shape[1]} of {2 * SIDE} states were among those nearest to the shift"
        }
    outside = mine["states"] - other["states"] @ (other["states"].T @ (s @ mine["states"]))
    return {
        "reference": reference,
        "energy_difference_eV": f"{np.abs(mine['energies'] - other['energies']).max():.1e}",
        "subspace_angle": f"{np.linalg.norm(outside, 2):.1e}",
    }


def case(n_atoms: int, arguments: argparse.Namespace) -> list[dict[str, object]]:
    """Rows of one size."""
    from record import processor

    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.model:
            prepare_trained(n_atoms, folder, arguments.model, arguments.structure)
        else:
            prepare_model_rutile(n_atoms, folder)
        done: list[str] = []
        for method in arguments.methods:
            python = arguments.slepc_python if method == "slepc" else sys.executable
            launcher = [*arguments.mpirun.split(), "-n", "2"] if method == "mumps_mpi" else []
            command = [*launcher, python, __file__, "--run", method, str(folder)]
            ended = subprocess.run(command, capture_output=True, text=True, check=False)
            row: dict[str, object] = {"processor": processor(), "atoms": n_atoms, "method": method}
            row["matrices"] = "trained network" if arguments.model else "model of rutile"
            if ended.returncode:
                row["note"] = (ended.stderr.strip().splitlines() or ["ended without a word"])[-1]
            else:
                told = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
                row |= {name: value for line in told for name, value in line.items()}
                row["cpu_s"] = round(sum(line["cpu_s"] for line in told), 3)
                row |= compare(folder, method, done[0]) if done else {}
                done.append(method)
            print(row, flush=True)
            rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--atoms", type=int, nargs="+", default=[48, 216, 576], choices=list(REPEATS))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--slepc-python", default="/usr/bin/python3")
    parser.add_argument("--mpirun", default="mpirun", help="of the MPI that MUMPS is linked with")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--structure", type=Path)
    default = Path(__file__).parent / "results" / "window_states.csv"
    parser.add_argument("--out", type=Path, default=default)
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        run(arguments.run[0], Path(arguments.run[1]))
        return
    from record import write_csv

    rows = [row for n_atoms in arguments.atoms for row in case(n_atoms, arguments)]
    write_csv(arguments.out, rows)


if __name__ == "__main__":
    main()
