"""CPU seconds of propagators, DISH and FSSH on the parity input, one thread, next to those of peers.

python benchmarks/dynamics.py [--repeat 5] [--out benchmarks/results/dynamics.csv]
"""

# ruff: noqa: E402 - threads are set before numerical libraries are loaded
from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import csv
import datetime
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from n2amd.hopping import dish, fssh, propagators, renewal
from n2amd.hopping.path import ClassicalPath
from n2amd.interop import hefei

DATA = Path(__file__).parents[1] / "tests" / "data" / "hefei-namd-parity"
#: CPU seconds of peers for 20 x 200 x 1 ps (or 20 x 1 ps), compiled by gfortran 12 -O3, one thread of a Xeon.
PEERS = {
    "dish": {"Hefei-NAMD": 110.6, "Hefei-NAMD-DEV": 5.17},
    "fssh": {"Hefei-NAMD": 4.84, "Hefei-NAMD-DEV": 1.05},
}


def processor() -> str:
    """Name of the processor."""
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def best(function: Callable[[], object], repeat: int) -> float:
    """Fewest CPU seconds of some calls, after one that compiles."""
    function()
    seconds = []
    for _ in range(repeat):
        begin = time.process_time()
        function()
        seconds.append(time.process_time() - begin)
    return min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "dynamics.csv")
    arguments = parser.parse_args()
    source = hefei.read(DATA)
    path = source.path
    assert source.dephasing_time is not None
    steps = propagators.build(path, "hst", 10)
    tables = dish.prepare(path, steps, source.dephasing_time, 300.0)
    chain = fssh.prepare(path, steps, 300.0)
    starts = [(int(f), int(s)) for f, s in zip(source.start_frames, source.start_states)]

    def run(method: Callable, shared: object, trajectories: int) -> None:
        for sample, (frame, state) in enumerate(starts):
            method(
                shared,
                seed=1,
                sample=sample,
                start_frame=frame,
                start_state=state,
                steps=999,
                stride=1,
                trajectories=range(trajectories),
            )

    pair = ClassicalPath(
        path.energies[:, :2],
        1.0,
        "electron",
        path.band_index[:2],
        1,
        0,
        nac=np.ascontiguousarray(path.nac[:, :2, :2]),  # type: ignore[index]
    )
    pair_steps = propagators.hst(pair.energies, pair.nac, 1.0, 10)  # type: ignore[arg-type]
    pair_tables = dish.prepare(pair, pair_steps, source.dephasing_time[:2, :2], 300.0)
    tau = source.dephasing_time[0, 1]
    measured = {
        "propagators hst, 2000 frames x 10 states": best(
            lambda: propagators.build(path, "hst", 10), arguments.repeat
        ),
        "dish tables": best(
            lambda: dish.prepare(path, steps, source.dephasing_time, 300.0), arguments.repeat
        ),  # type: ignore[arg-type]
        "dish 20 x 200 x 1 ps, 10 states": best(lambda: run(dish.run_block, tables, 200), arguments.repeat),
        "dish 20 x 200 x 1 ps, 2 states": best(
            lambda: run(dish.run_block, pair_tables, 200), arguments.repeat
        ),
        "dish renewal, 2 states": best(
            lambda: renewal.lifetime(pair, pair_steps, tau, 300.0), arguments.repeat
        ),
        "fssh 20 x 1 ps (exact chain), 10 states": best(
            lambda: run(fssh.run_sample, chain, 0), arguments.repeat
        ),
    }
    rows = []
    for case, seconds in measured.items():
        method = case.split()[0]
        peers = PEERS.get(method, {}) if "10 states" in case else {}
        rows.append(
            {
                "date": datetime.date.today().isoformat(),
                "processor": processor(),
                "case": case,
                "n2amd_cpu_s": f"{seconds:.4f}",
                "peers_processor": "Xeon, gfortran 12 -O3" if peers else "",
                **{f"{peer}_cpu_s": peers.get(peer, "") for peer in ("Hefei-NAMD", "Hefei-NAMD-DEV")},
            }
        )
        ratio = f"  Hefei-NAMD-DEV {peers['Hefei-NAMD-DEV']:.2f} s" if peers else ""
        print(f"{case:45s} {seconds:9.4f} CPU s{ratio}")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with open(arguments.out, "w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
