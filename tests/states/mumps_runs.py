"""What `test_mumps.py` runs in processes of their own, alone and as two: MPI is loaded once a process.

python mumps_runs.py FOLDER    writes FOLDER/found.json, and FOLDER/states.h5 by `n2amd states solve`
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
import types
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from optional_programs import MPI_ENVIRONMENT

if TYPE_CHECKING:
    from n2amd.states.solvers.pencil import Pencil

HERE = Path(__file__).resolve().parent
OFF_GAMMA = (0.13, -0.41, 0.27)
SETTINGS = {"valence": 2, "conduction": 2, "margin": 2, "solver": "block_si", "factor_reach_fs": 0.4}


def run(launcher: Sequence[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(HERE.parent), str(HERE), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [*launcher, sys.executable, *arguments],
        env={**os.environ, **MPI_ENVIRONMENT, "PYTHONPATH": path},
        text=True,
        capture_output=True,
        check=False,
        timeout=1800,  # only what hangs comes near it
    )


def case(crystal: str, *arguments: object) -> dict[str, object]:
    """States of a crystal by MUMPS: distance from LAPACK, certificate, whether bits of one process repeat."""
    import crystals
    import numpy as np
    import torch

    from n2amd.states.solvers.block_si import Target, solve_states
    from n2amd.states.solvers.mumps import Mumps
    from n2amd.states.solvers.mumps_ranks import ranks

    pencil, occupied = getattr(crystals, crystal)(*arguments)
    target = Target(occupied - 8, occupied + 8, occupied)
    found = solve_states(Mumps(), pencil, target, count_ends=True)
    again = solve_states(Mumps(), pencil, target, count_ends=True) if ranks().size == 1 else None
    energies, _, _ = crystals.dense_states(pencil, target.low, target.high)
    return {
        "crystal": [crystal, bool(arguments)],
        "energy": float(np.abs(found.energies.numpy() - energies).max()),
        "inertia": found.certificate.inertia - occupied,
        "residual": found.certificate.residual,
        "ends_counted": found.certificate.ends_counted,
        "same_bits": again is not None and torch.equal(found.states, again.states),
    }


def two_branches(branch: int = 400, trunk: int = 1000) -> Pencil:
    """Matrix whose last front MUMPS leaves to ScaLAPACK on two processes, unless it is told not to."""
    import numpy as np
    import scipy.sparse

    from n2amd.states.solvers.pencil import Pencil

    n = 2 * branch + trunk
    matrix = np.random.default_rng(0).normal(size=(n, n))
    matrix += matrix.T
    matrix[:branch, branch : 2 * branch] = matrix[branch : 2 * branch, :branch] = 0
    # on the pattern of the matrix, with elements that vanish
    overlap = np.eye(n) + 1e-300 * (matrix != 0)
    return Pencil.from_csr(scipy.sparse.csr_array(matrix), scipy.sparse.csr_array(overlap))


def counts() -> list[list[float]]:
    """Inertia by MUMPS and by LAPACK, and error of a solution, for patterns and shifts in turn."""
    import crystals
    import numpy as np
    import torch

    from n2amd.states.solvers.mumps import Mumps
    from n2amd.states.solvers.pencil import Pencil

    full, _ = crystals.rutile()
    h, s = full.csr(full.hamiltonian), full.csr(full.overlap)
    kept = abs(s) + abs(h) > 1e-3
    sparse = Pencil.from_csr(*((matrix * kept).tocsr() + 1e-300 * kept for matrix in (h, s)))
    solver, found = Mumps(), []
    for pencil in (full, sparse, full, two_branches()):
        solver.prepare(pencil)
        h, s = (pencil.csr(m).toarray() for m in (pencil.hamiltonian, pencil.overlap))
        right = torch.ones(pencil.n, 2, dtype=torch.float64)
        for shift in (-5.5, 3.0):
            count = solver.factor(shift)
            shifted = h - shift * s
            error = float(np.abs(shifted @ solver.solve(right).numpy() - 1).max())
            found.append([count, int((np.linalg.eigvalsh(shifted) < 0).sum()), error])
    return found


def on_an_eigenvalue() -> str:
    """What is said of a matrix that is singular for certain."""
    import numpy as np

    from n2amd.states.solvers.mumps import Mumps
    from n2amd.states.solvers.pencil import Pencil
    from n2amd.states.solvers.protocol import FactorisationError

    solver = Mumps()
    solver.prepare(Pencil.from_dense(np.diag([1.0, 2.0, 3.0]), np.eye(3)))
    try:
        solver.factor(2.0)
    except FactorisationError as error:
        return str(error)
    return "nothing"


def use_synthetic_crystal() -> None:
    """Let every model file load as the analytic crystal."""
    from synthetic_crystal import SyntheticCrystal

    predict = types.ModuleType("n2amd.network.predict")
    predict.load_predictor = lambda path, device="cpu": SyntheticCrystal()  # type: ignore[attr-defined]
    sys.modules["n2amd.network.predict"] = predict


def states_command(folder: Path, factorisation: str) -> list[str]:
    settings = json.dumps({**SETTINGS, "factorisation": factorisation})
    given = ("--trajectory", folder / "trajectory.h5", "--model", folder / "model.pt")
    return ["solve", *map(str, given), "--settings", settings, "--out", str(folder / "states.h5")]


def main(folder: Path) -> None:
    from typer.testing import CliRunner

    from n2amd.commands import states
    from n2amd.states.solvers.mumps_ranks import helping, ranks

    use_synthetic_crystal()
    # every process is started alike
    result = CliRunner().invoke(states.app, states_command(folder, "mumps"), catch_exceptions=False)
    with helping("mumps") as leads:
        if leads:
            found = {
                "processes": ranks().size,
                "output": result.output,
                "counts": counts(),
                "on_an_eigenvalue": on_an_eigenvalue(),
                "cases": [
                    case("rutile"),
                    case("rutile", "0004", OFF_GAMMA),
                    case("perfect_gallium_arsenide"),
                ],
            }
            (folder / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except BaseException:
        # not by the way of MPI, where each process waits for the others: mpirun ends them
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
