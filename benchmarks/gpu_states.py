"""Window states of a model of rutile on one GPU: factorise, solve, certify; time, memory, against a CPU.

48 to 4,992 atoms (720 to 74,880 orbitals), about three minutes on an H100. Needs torch, numpy, scipy and
numba alone. Each line is written as soon as it is known.

python benchmarks/gpu_states.py --out FOLDER [--largest 4992] [--device cuda]
"""

# ruff: noqa: E402 - the package is found beside this file, without being installed
from __future__ import annotations

import argparse
import csv
import datetime
import gc
import sys
import time
from collections.abc import Callable
from pathlib import Path

for _folder in (Path(__file__).parent, Path(__file__).parents[1] / "src"):
    sys.path.insert(0, str(_folder))

import numpy as np
import scipy.linalg
import torch
from model_rutile import OCCUPIED_PER_ATOM, REPEATS, model_pencil, rutile

from n2amd.states.solvers.block_ldl import Blocking, BlockLdl
from n2amd.states.solvers.block_si import Options, Target, solve_states
from n2amd.states.solvers.certificate import CertificateError, CertifiedStates
from n2amd.states.solvers.correction import correct_states
from n2amd.states.solvers.pencil import Pencil
from n2amd.states.solvers.protocol import FactorisationError

#: States below and above the gap; columns of the block whose solution is timed.
SIDE, COLUMNS = 10, 40
#: Time to the frame that shares a factor, fs.
APART_FS = 3.0
FIELDS = [
    "date",
    "device",
    "torch",
    "atoms",
    "orbitals",
    "elements",
    "kind",
    "generate_s",
    "prepare_s",
    "factor_s",
    "factor_tflops",
    "solve_s",
    "solve_error",
    "inertia",
    "states_s",
    "steps",
    "factorisations",
    "residual_eV",
    "orthonormality",
    "ends_counted",
    "same_bits",
    "reference",
    "reference_s",
    "energy_difference_eV",
    "subspace_angle",
    "neighbour_s",
    "neighbour_steps",
    "peak_GB",
    "note",
]


def timed(function: Callable[[], object], device: str) -> tuple[float, object]:
    """Wall seconds of a call, the device's work included, and what it returned."""
    if device == "cuda":
        torch.cuda.synchronize()
    begin = time.perf_counter()
    result = function()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begin, result


def peak_gb(device: str) -> float:
    return torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else 0.0


def linear_row(solver: BlockLdl, pencil: Pencil, shift: float) -> dict[str, object]:
    """Prepare, factorise (best of three where it is quick), solve one block."""
    device = solver.device
    prepare, on_device = timed(lambda: solver.prepare(pencil), device)
    factor = min(timed(lambda: solver.factor(shift), device)[0] for _ in range(1 if pencil.n > 30000 else 3))
    generator = torch.Generator().manual_seed(3)
    right = torch.randn(pencil.n, COLUMNS, dtype=torch.float64, generator=generator).to(on_device.device)
    (solve, x), *_ = sorted(
        (timed(lambda: solver.solve(right), device) for _ in range(3)), key=lambda r: r[0]
    )
    left = on_device.hamiltonian(x) - shift * on_device.overlap(x) - right
    return {
        "prepare_s": round(prepare, 4),
        "factor_s": round(factor, 4),
        "factor_tflops": round(pencil.n**3 / 3 / factor / 1e12, 3),
        "solve_s": round(solve, 5),
        "solve_error": f"{float(left.norm() / right.norm()):.1e}",
        "inertia": solver.inertia,
    }


def states_row(solver: BlockLdl, pencil: Pencil, target: Target, shift: float | None) -> tuple[dict, object]:
    """Certified states twice: with counted ends, then as for every other frame of a trajectory."""
    options = Options(width=COLUMNS)
    first = solve_states(solver, pencil, target, shift, options=options, count_ends=True)
    gap = first.energies[SIDE - 1 : SIDE + 1]
    middle = float(gap.sum()) / 2
    seconds, again = timed(
        lambda: solve_states(solver, pencil, target, middle, options=options), solver.device
    )
    third = solve_states(solver, pencil, target, middle, options=options)
    assert isinstance(again, CertifiedStates)
    certificate = again.certificate
    row = {
        "states_s": round(seconds, 4),
        "steps": certificate.steps,
        "factorisations": certificate.factorisations,
        "residual_eV": f"{certificate.residual:.1e}",
        "orthonormality": f"{certificate.orthonormality_error:.1e}",
        "ends_counted": first.certificate.ends_counted,
        "same_bits": bool(torch.equal(again.states, third.states)),
        "note": f"VBM {float(gap[0]):.6f} CBM {float(gap[1]):.6f}; first frame: "
        f"{first.certificate.factorisations} factorisations",
    }
    return row, again


def neighbour_row(atoms: int, pencil: Pencil, target: Target, middle: float, device: str) -> dict:
    """States of a frame some fs later by the factor of this one."""
    solver = BlockLdl(device)
    options = Options(width=COLUMNS)
    anchor = solve_states(solver, pencil, target, middle, options=options, keep=True).anchor
    assert anchor is not None
    later = model_pencil(rutile(atoms, APART_FS), device)
    seconds, found = timed(
        lambda: correct_states(
            solver,
            solver.place(later),
            anchor,
            target.low,
            target.high,
            tolerance=options.tolerance,
            accepted=options.accepted,
        ),
        device,
    )
    assert isinstance(found, CertifiedStates)
    return {"neighbour_s": round(seconds, 4), "neighbour_steps": found.certificate.steps}


def reference_row(pencil: Pencil, target: Target, found: CertifiedStates, shift: float) -> dict[str, object]:
    """Compare with LAPACK where the matrix is small, with the same method on the CPU where it is larger."""
    begin = time.perf_counter()
    if pencil.n <= 4000:
        h, s = (pencil.csr(m).toarray() for m in (pencil.hamiltonian, pencil.overlap))
        energies, states = scipy.linalg.eigh(h, s, subset_by_index=(target.low, target.high - 1))
        name = "scipy eigh"
    else:
        result = solve_states(BlockLdl(), pencil, target, shift, options=Options(width=COLUMNS))
        energies, states, name = result.energies.numpy(), result.states.numpy(), "block_si on CPU"
    seconds = time.perf_counter() - begin
    cosines = np.linalg.svd(states.T @ found.overlap_states.cpu().numpy(), compute_uv=False)
    # sine from what is left of the states outside the space: the cosine is blind below 1e-8
    mine = found.states.cpu().numpy()
    outside = mine - states @ (states.T @ found.overlap_states.cpu().numpy())
    return {
        "reference": name,
        "reference_s": round(seconds, 3),
        "energy_difference_eV": f"{np.abs(energies - found.energies.cpu().numpy()).max():.1e}",
        "subspace_angle": f"{max(np.linalg.norm(outside, 2), 1 - cosines.min()):.1e}",
    }


def blocks_row(device: str) -> str:
    """Milliseconds of the eigenvalues of one diagonal block, on the device and on the CPU."""
    parts = []
    for size in (128, 256, 512):
        block = torch.randn(size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        block = block + block.T
        for where in dict.fromkeys((device, "cpu")):
            there = block.to(where)
            torch.linalg.eigh(there)
            seconds, _ = timed(lambda there=there: [torch.linalg.eigh(there) for _ in range(10)], device)
            parts.append(f"{size} on {where} {100 * seconds:.2f} ms")
    return "eigh: " + ", ".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--largest", type=int, default=4992)
    parser.add_argument("--largest-reference", type=int, default=576)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    device = arguments.device
    arguments.out.mkdir(parents=True, exist_ok=True)
    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    begin = time.perf_counter()
    with (arguments.out / "gpu_states.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, restval="")
        writer.writeheader()

        def write(row: dict[str, object]) -> None:
            fixed = {
                "date": datetime.date.today().isoformat(),
                "device": name,
                "torch": torch.__version__,
                "peak_GB": round(peak_gb(device), 2),
            }
            writer.writerow(fixed | row)
            file.flush()
            print(f"{time.perf_counter() - begin:6.1f} s", fixed | row, flush=True)

        write({"kind": "blocks", "note": blocks_row(device)})
        shift: float | None = None
        for atoms in (n for n in REPEATS if n <= arguments.largest):
            shift = one_size(atoms, shift, device, arguments.largest_reference, write)


def one_size(
    atoms: int, shift: float | None, device: str, largest_reference: int, write: Callable[[dict], None]
) -> float | None:
    """All lines of one size; return the middle of the gap."""
    seconds, pencil = timed(lambda: model_pencil(rutile(atoms), device), device)
    assert isinstance(pencil, Pencil)
    occupied = OCCUPIED_PER_ATOM * atoms
    target = Target(occupied - SIDE, occupied + SIDE, occupied)
    common = {
        "atoms": atoms,
        "orbitals": pencil.n,
        "elements": len(pencil.indices),
        "generate_s": round(seconds, 2),
    }
    middle = shift
    for kind, single, blocking in kinds(pencil.n, device):
        gc.collect()
        if device == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        row: dict[str, object] = common | {"kind": kind}
        solver = BlockLdl(device, single=single, blocking=blocking)
        try:
            row |= linear_row(solver, pencil, -8.0 if middle is None else middle)
            if kind in ("float64", "float32"):
                extra, found = states_row(solver, pencil, target, middle)
                row |= extra
                assert isinstance(found, CertifiedStates)
                middle = float(found.energies[SIDE - 1 : SIDE + 1].sum()) / 2
                if kind == "float64":
                    row |= neighbour_row(atoms, pencil, target, middle, device)
                if atoms <= largest_reference:
                    row |= reference_row(pencil, target, found, middle)
        except (FactorisationError, CertificateError, torch.OutOfMemoryError, RuntimeError) as error:
            row["note"] = f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"
        write(row)
        del solver
    return middle


def kinds(n: int, device: str) -> list[tuple[str, bool, Blocking | None]]:
    """Precisions, and sizes of blocks tried at two sizes."""
    rows: list[tuple[str, bool, Blocking | None]] = [("float64", False, None), ("float32", True, None)]
    if device == "cuda" and 8000 < n < 30000:
        for block, panel in ((128, 1024), (512, 1024), (256, 2048)):
            rows.append((f"float64, blocks of {block} in {panel}", False, Blocking(block, panel, 4096)))
    return rows


if __name__ == "__main__":
    main()
