"""CPU seconds and memory of a dry run (`snakemake -n`) of a sweep of some 10,000 jobs.

Five materials of twenty supercells, sixty shards, a scissor variant, two methods, five seeds: 10,068 jobs.
A small dry run comes before, as in any clone that was used once: the sources of the program are then known.

python benchmarks/dry_run.py [--repeat 3] [--out benchmarks/results/dry_run.csv]
"""

from __future__ import annotations

import argparse
import datetime
import os
import re
import resource
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path

import yaml
from record import processor, write_csv

ROOT = Path(__file__).resolve().parents[1]
MATERIALS = 5
SUPERCELLS = [f"{a}x{b}x{c}" for a, b, c in product((1, 2), (1, 2), (1, 2, 3, 4, 5))]
SHARDS = 60
#: What the two ways of asking print.
SHOWN = {"counted": ("--quiet", "rules"), "each job printed": ()}


def write_sweep(folder: Path) -> None:
    """Write the configuration of the sweep: that of the tests, many times."""
    document = yaml.safe_load((ROOT / "config/test.yaml").read_text())
    rutile = document["materials"].pop("TiO2")
    document["materials"] = {f"TiO2-{number}": rutile for number in range(MATERIALS)}
    document["supercells"] = SUPERCELLS
    document["trajectory"]["frames"] = SHARDS * document["states"]["frames_per_shard"]
    document["dynamics"]["seeds"] = list(range(5))
    (folder / "sweep.yaml").write_text(yaml.safe_dump(document))


def workflow_in(folder: Path) -> None:
    """Let a folder look like a clone: Snakemake writes into the folder that it runs in."""
    for name in ("Snakefile", "workflow", "config", "profiles", "envs", "resources"):
        (folder / name).symlink_to(ROOT / name)


def dry_run(folder: Path, config: str, *options: str) -> tuple[str, resource.struct_rusage]:
    """Return what a dry run prints and what it took."""
    command = ["snakemake", "-n", "--cores", "2", *options, "--configfile", config]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    output = folder / "output.txt"
    with output.open("w") as file:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(output.read_text())
    return output.read_text(), usage


def measure(shown: str) -> dict[str, object]:
    """Run one dry run of the sweep in a folder of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        workflow_in(folder)
        write_sweep(folder)
        dry_run(folder, "config/test.yaml")
        text, usage = dry_run(folder, "sweep.yaml", *SHOWN[shown])
    return {
        "date": datetime.date.today().isoformat(),
        "processor": processor(),
        "shown": shown,
        "jobs": int(re.findall(r"^total +(\d+)$", text, re.MULTILINE)[-1]),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_MB": round(usage.ru_maxrss / 1024),
    }


def main() -> None:
    """Time both ways of asking, each some times in a process of its own; the fastest of each is kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "dry_run.csv")
    options = parser.parse_args()
    rows = []
    for shown in SHOWN:
        rows.append(min((measure(shown) for _ in range(options.repeat)), key=lambda row: row["cpu_s"]))
        print(rows[-1])
    write_csv(options.out, rows)


if __name__ == "__main__":
    main()
