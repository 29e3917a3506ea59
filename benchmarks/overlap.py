"""CPU seconds and memory of S(t) and S(t, t + dt) of rutile TiO2, neighbour search included, one thread.

48 to 4,992 atoms. Each case runs in a process of its own, so that its peak memory is its own.

python benchmarks/overlap.py [--repeat 3] [--out benchmarks/results/overlap.csv]
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

import numpy as np
from record import processor, write_csv

from n2amd.dft.siesta.frame import read_frame
from n2amd.orbitals.two_centre import OverlapTable, TwoCentreTable, overlap, overlap_derivative

FRAME = Path(__file__).parents[1] / "resources" / "tio2-honpas" / "TiO2_6_train" / "frame_0000"
REPEATS = {48: (2, 2, 2), 216: (3, 3, 4), 576: (4, 4, 6), 1728: (6, 6, 8), 4992: (8, 8, 13)}
#: Root-mean-square displacement along one axis from frame to frame (1 fs at 300 K), Angstrom.
STEP = 0.005


def fewest_seconds(function: Callable[[], object], repeat: int) -> float:
    """Fewest CPU seconds of some calls."""
    seconds = []
    for _ in range(repeat):
        begin = time.process_time()
        function()
        seconds.append(time.process_time() - begin)
    return min(seconds)


def measure(back_end: str, n_atoms: int, repeat: int) -> dict[str, object]:
    """Run one case."""
    frame, basis = read_frame(FRAME)
    numpy_table = OverlapTable.from_basis(basis)
    table: TwoCentreTable = numpy_table
    if back_end != "numpy":
        import torch

        from n2amd.orbitals.two_centre_torch import TorchOverlapTable

        torch.set_num_threads(1)
        table = TorchOverlapTable.from_table(numpy_table, back_end.removeprefix("torch-"))
    now = frame.structure.supercell(REPEATS[n_atoms])
    rng = np.random.default_rng(0)
    now = now.with_positions(now.positions + 0.05 * rng.normal(size=now.positions.shape))
    velocities = rng.normal(size=now.positions.shape)
    later = now.with_positions(now.positions + STEP * velocities)
    overlap(table, frame.structure)  # libraries are loaded, devices are awake
    idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    own = fewest_seconds(lambda: overlap(table, now), repeat)
    peak_own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cross = fewest_seconds(lambda: overlap(table, now, later), repeat)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    row: dict[str, object] = {
        "back_end": back_end,
        "atoms": n_atoms,
        "orbitals": int(basis.orbital_offsets(now.numbers)[-1]),
        "S_cpu_s": round(own, 4),
        "S_cross_cpu_s": round(cross, 4),
        "S_extra_MB": round((peak_own - idle) / 1024),
        "S_cross_extra_MB": round((peak - idle) / 1024),
    }
    if back_end == "numpy":
        rate = fewest_seconds(lambda: overlap_derivative(numpy_table, now, velocities), 1)
        row["dSdt_cpu_s"] = round(rate, 4)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "overlap.csv")
    parser.add_argument("--case", nargs=2, metavar=("BACK_END", "ATOMS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(measure(arguments.case[0], int(arguments.case[1]), arguments.repeat)))
        return
    import torch

    back_ends = ["numpy", "torch-cpu", *(["torch-cuda"] if torch.cuda.is_available() else [])]
    rows = []
    for back_end in back_ends:
        for n_atoms in REPEATS:
            command = [sys.executable, __file__, "--repeat", str(arguments.repeat)]
            output = subprocess.run(
                [*command, "--case", back_end, str(n_atoms)], check=True, capture_output=True, text=True
            )
            rows.append(
                {
                    "date": datetime.date.today().isoformat(),
                    "processor": processor(),
                    **json.loads(output.stdout),
                }
            )
            print(rows[-1])
    write_csv(arguments.out, rows)


if __name__ == "__main__":
    main()
