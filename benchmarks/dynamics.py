"""CPU seconds of all methods on the parity input, one thread, next to peers; scaling with states.

python benchmarks/dynamics.py [--repeat 5] [--out benchmarks/results/dynamics.csv]
"""

# ruff: noqa: E402 - threads are set before numerical libraries are loaded
from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import datetime
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
from record import processor, write_csv

from n2amd.hopping import decoherence, dish, ehrenfest, fssh, propagators, renewal
from n2amd.hopping.path import ClassicalPath
from n2amd.interop import hefei

DATA = Path(__file__).parents[1] / "tests" / "data" / "hefei-namd-parity"
#: CPU seconds of peers for 20 x 200 x 1 ps (or 20 x 1 ps), compiled by gfortran 12 -O3, one thread of a Xeon.
PEERS = {
    "dish": {"Hefei-NAMD": 110.6, "Hefei-NAMD-DEV": 5.17},
    "fssh": {"Hefei-NAMD": 4.84, "Hefei-NAMD-DEV": 1.05},
}


def best(function: Callable[[], object], repeat: int) -> float:
    """Fewest CPU seconds of some calls, after one that compiles."""
    function()
    seconds = []
    for _ in range(repeat):
        begin = time.process_time()
        function()
        seconds.append(time.process_time() - begin)
    return min(seconds)


def ladder(states: int, frames: int) -> ClassicalPath:
    """A synthetic path: a gap of 1.2 eV, states 80 meV apart, energies and couplings of noise with memory."""
    generator = np.random.default_rng(1)
    mode = 2 * np.pi * 2.99792458e-5 * np.array([80, 160, 330, 520.0])

    def waves(shape: tuple[int, ...]) -> np.ndarray:
        phase = generator.uniform(0, 2 * np.pi, (4, *shape))
        series = sum(
            np.cos(w * np.arange(frames).reshape(-1, *[1] * len(shape)) + p) for w, p in zip(mode, phase)
        )
        return np.asarray(series) / np.sqrt(2)

    energies = np.r_[0.0, 1.2 + 0.08 * np.arange(states - 1)] + 0.035 * waves((states,))
    distance = np.abs(np.subtract.outer(np.arange(states), np.arange(states)))
    size = 0.005 / np.maximum(distance, 1)
    size[0] = size[:, 0] = 0.002
    upper = np.triu(size * waves((states, states)), 1)[:-1]
    return ClassicalPath(energies, 1.0, "electron", np.arange(states), 1, 0, nac=upper - upper.swapaxes(1, 2))


def product_limit(states: int, trajectories: int = 4000) -> float:
    """Seconds a trajectory and step of the bare matrix product U c of complex numbers."""
    generator = np.random.default_rng(1)
    matrix = generator.normal(size=(states, states)) * (1 + 1j)
    vectors = generator.normal(size=(states, trajectories)) * (1 + 1j)
    out = np.empty_like(vectors)

    def many() -> None:
        for _ in range(50):
            np.matmul(matrix, vectors, out=out)

    return best(many, 3) / (50 * trajectories)


def scaling(repeat: int) -> list[dict]:
    """Nanoseconds a trajectory and step by states and trajectories, next to the bare matrix product."""
    rows = []
    for states in (2, 5, 10, 20, 50):
        path = ladder(states, 1001)
        steps = propagators.build(path, "hst", 10)
        build = best(lambda path=path: propagators.build(path, "hst", 10), 1)  # type: ignore[misc]
        tau = 14.7 * (1 - np.eye(states))
        plain = fssh.prepare(path, steps, 300.0)
        decaying = decoherence.prepare(path, steps, 300.0, correction="sdm")
        limit = product_limit(states)
        # the largest number is a slice: 100 steps instead of 1,000
        for trajectories, length in ((1000, 1000), (10_000, 1000), (100_000, 100), (1_000_000, 10)):
            tables = dish.prepare(path, steps, tau, 300.0)
            common = {"seed": 1, "sample": 0, "start_frame": 0, "start_state": states - 1, "stride": length}
            unit = {**common, "steps": length, "trajectories": range(trajectories)}
            times = repeat if states <= 10 or trajectories <= 1000 else 1
            seconds = best(lambda unit=unit, tables=tables: dish.run_block(tables, **unit), times)  # type: ignore[misc]
            rows.append(
                {
                    "case": f"dish, {states} states, {trajectories} trajectories, {length} steps",
                    "seconds": seconds,
                    "nanoseconds": 1e9 * seconds / (trajectories * length),
                    "limit": 1e9 * limit,
                }
            )
        unit = {**common, "steps": 200, "stride": 200, "trajectories": range(200)}
        seconds = best(lambda unit=unit, t=decaying: decoherence.run_block(t, **unit), repeat)  # type: ignore[misc]
        rows.append(
            {
                "case": f"sdm, {states} states, 200 trajectories, 200 steps",
                "seconds": seconds,
                "nanoseconds": 1e9 * seconds / 40_000,
                "limit": 1e9 * limit,
            }
        )
        unit = {**common, "steps": 1000, "stride": 1, "trajectories": range(0)}
        seconds = best(lambda unit=unit, t=plain: fssh.run_sample(t, **unit), repeat)  # type: ignore[misc]
        rows.append({"case": f"fssh, {states} states, exact chain of 1000 steps", "seconds": seconds})
        rows.append({"case": f"propagators hst, {states} states, 1000 frames", "seconds": build})
    return rows


def by_ranks(duration_fs: float = 20_000.0) -> list[dict]:
    """CPU and wall seconds of the whole command on the parity input by number of processes; the same bits.

    A process is one rank and one thread: threads are not used beside ranks.
    """
    command = [sys.executable, "-c", "from n2amd.cli import main; main()", "dynamics", "run"]
    launcher = Path(sys.executable).with_name("mpiexec")
    settings = json.dumps({"duration_fs": duration_fs, "output_stride": 100})
    rows, first = [], None
    for ranks in [n for n in (1, 2, 4, 8, 16) if n <= len(os.sched_getaffinity(0))]:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "out.h5"
            options = ["--hefei", str(DATA), "--method", "dish", "--settings", settings, "--out", str(out)]
            before, begin = os.times(), time.perf_counter()
            subprocess.run(
                [str(launcher), "-n", str(ranks), *command, *options], check=True, capture_output=True
            )
            wall, after = time.perf_counter() - begin, os.times()
            with h5py.File(out) as found:
                population = found["population"][()]
        first = population if first is None else first
        assert np.array_equal(first, population)
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        case = f"dish command, 20 x 200 x {duration_fs / 1000:g} ps, {ranks} ranks"
        rows.append({"case": case, "seconds": cpu, "wall": wall})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "dynamics.csv")
    arguments = parser.parse_args()
    source = hefei.read(DATA)
    path = source.path
    assert source.dephasing_time is not None
    dephasing = source.dephasing_time
    steps = propagators.build(path, "hst", 10)
    tables = dish.prepare(path, steps, dephasing, 300.0)
    chain = fssh.prepare(path, steps, 300.0)
    starts = [(int(f), int(s)) for f, s in zip(source.start_frames, source.start_states)]

    def run(method: Callable, shared: object, trajectories: int, length: int = 999, **more: object) -> None:
        for sample, (frame, state) in enumerate(starts):
            method(
                shared,
                seed=1,
                sample=sample,
                start_frame=frame,
                start_state=state,
                steps=length,
                stride=1 if length == 999 else length,
                trajectories=range(trajectories),
                **more,
            )

    two = replace(path.part([path.final, path.start], start=1, final=0), source=None)
    two_steps = propagators.build(two, "hst", 10)
    tau = dephasing[0, 1]
    two_tables = dish.prepare(two, two_steps, tau * (1 - np.eye(2)), 300.0)
    corrected = {
        name: decoherence.prepare(path, steps, 300.0, correction=name)  # type: ignore[arg-type]
        for name in ("sdm", "ida")
    }
    cases: dict[str, Callable[[], object]] = {
        "propagators hst, 2000 frames x 10 states": lambda: propagators.build(path, "hst", 10),
        "dish tables": lambda: dish.prepare(path, steps, dephasing, 300.0),
        "dish 20 x 200 x 1 ps, 10 states": lambda: run(dish.run_block, tables, 200),
        "dish 20 x 200 x 1 ps, 2 states": lambda: run(dish.run_block, two_tables, 200),
        # 20 x 1 x 20 ps, a slice of 20 x 200 x 1 ns (1/10,000 of it)
        "dish slice of the ns scale: 20 x 1 x 20 ps, 10 states": lambda: run(
            dish.run_block, tables, 1, 20_000
        ),
        "dish slice of the ns scale: 20 x 64 x 20 ps, 10 states": lambda: run(
            dish.run_block, tables, 64, 20_000
        ),
        "dish renewal lifetime, 2 states": lambda: renewal.lifetime(two, two_steps, tau, 300.0),
        "fssh 20 x 1 ps (exact chain), 10 states": lambda: run(fssh.run_sample, chain, 0),
        "fssh_mc 20 x 200 x 1 ps, 10 states": lambda: run(fssh.run_sample, chain, 200, counted=True),
        "ehrenfest 20 x 1 ps, 10 states": lambda: run(ehrenfest.run_sample, steps, 0),
        "sdm 20 x 200 x 1 ps, 10 states": lambda: run(decoherence.run_block, corrected["sdm"], 200),
        "ida 20 x 200 x 1 ps, 10 states": lambda: run(decoherence.run_block, corrected["ida"], 200),
    }
    rows = []
    measured = [{"case": case, "seconds": best(call, arguments.repeat)} for case, call in cases.items()]
    for found in [*measured, *scaling(min(arguments.repeat, 3)), *by_ranks()]:
        case = str(found["case"])
        peers = (
            PEERS.get(case.split()[0], {}) if "20 x" in case and "1 ps" in case and "10 st" in case else {}
        )
        limit = found.get("limit")
        rows.append(
            {
                "date": datetime.date.today().isoformat(),
                "processor": processor(),
                "case": case,
                "n2amd_cpu_s": f"{found['seconds']:.4f}",
                "wall_s": f"{found['wall']:.2f}" if "wall" in found else "",
                "ns_per_trajectory_step": f"{found['nanoseconds']:.1f}" if limit else "",
                "matrix_product_ns": f"{limit:.1f}" if limit else "",
                "peers_processor": "Xeon, gfortran 12 -O3" if peers else "",
                **{f"{peer}_cpu_s": peers.get(peer, "") for peer in ("Hefei-NAMD", "Hefei-NAMD-DEV")},
            }
        )
        ratio = f"  Hefei-NAMD-DEV {peers['Hefei-NAMD-DEV']:.2f} s" if peers else ""
        per_step = f"  {found['nanoseconds']:.0f} ns a step, product {limit:.0f} ns" if limit else ""
        wall = f"  {found['wall']:.2f} s by the clock" if "wall" in found else ""
        print(f"{case:58s} {found['seconds']:9.4f} CPU s{wall}{ratio}{per_step}", flush=True)
    write_csv(arguments.out, rows)


if __name__ == "__main__":
    main()
