"""Copies of the workflow to run in; stand-ins for the commands test the graph without its science."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]

# writes its own command line into every file it is asked for, and notes that it ran and with how many threads
STAND_IN = """#!/usr/bin/env bash
set -euo pipefail
case $1 in config | cluster) exec {python} -m n2amd.cli "$@" ;; esac
echo "${{OMP_NUM_THREADS-}} ${{NUMBA_NUM_THREADS-}} $*" >> {log}
line=$*
if [ "$1 $2" = "trajectory run" ]; then exec {python} {trajectory} "$@"; fi
while [ $# -gt 0 ]; do
  case $1 in
    --out | --report | --json | --libra) printf '%s\\n' "$line" > "$2" ;;
    --tables)
      for name in {{functionals,supercells,scaling}}.{{csv,md}} tables.html
      do printf 'case\\n' > "$2/$name"; done ;;
    --table) printf 'case\\n' > "$2"; printf 'case\\n' > "${{2%.csv}}.parquet" ;;
  esac
  shift
done
"""

# a trajectory says how far its energy drifts, which decides whether it is accepted
DRIFT = 1.0
TRAJECTORY = f"""
import json, sys
from n2amd.storage import create_hdf5
options = dict(zip(sys.argv[3::2], sys.argv[4::2]))
settings = json.loads(options["--settings"])
if settings["max_drift_meV_per_atom_per_ps"] < {DRIFT}:
    sys.exit("error: the conserved energy drifts")
with create_hdf5(options["--out"], "trajectory") as file:
    file.attrs.update(
        drift_meV_per_atom_per_ps={DRIFT}, highest_temperature_K=310.0, timestep_fs=settings["timestep_fs"],
        n_frames=settings["frames"] + 1000,
    )
"""


@dataclass(frozen=True)
class Project:
    """A folder with Snakefile, rules, configuration and package of its own."""

    folder: Path
    environment: dict[str, str]

    def config(
        self, name: str, change: Callable[[dict], None] = lambda document: None, base: str = "test"
    ) -> str:
        """Write config/NAME.yaml: `base` with a change."""
        document = yaml.safe_load((self.folder / f"config/{base}.yaml").read_text())
        change(document)
        (self.folder / f"config/{name}.yaml").write_text(yaml.safe_dump(document))
        return f"config/{name}.yaml"

    def run(self, *command: str, check: bool = True, **options) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            text=True,
            capture_output=True,
            check=False,
            **options,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def snakemake(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("snakemake", "--cores", "2", *arguments, check=check)

    def planned(self, *configs: str, arguments: tuple[str, ...] = ()) -> dict[str, int]:
        """Jobs by rule that a dry run shows."""
        done = self.snakemake("-n", "--quiet", "rules", "--configfile", *configs, *arguments)
        return dict(job_counts(done.stdout + done.stderr))

    @property
    def calls(self) -> list[str]:
        """What the stand-in was asked to do."""
        log = self.folder / "calls.log"
        return log.read_text().splitlines() if log.exists() else []


def job_counts(text: str) -> dict[str, int]:
    """Read the first table of job counts that Snakemake printed."""
    table = text.split("Job stats:", 1)[1].split("\n\n", 1)[0] if "Job stats:" in text else ""
    counts = {name: int(n) for name, n in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}
    counts.pop("total", None)
    return counts


def lines_of_code(text: str) -> list[str]:
    """Lines that point into program files: a user who is refused something has no use for them."""
    return re.findall(r"^ *(?:File \".*|Traceback.*)$", text, re.MULTILINE)


def copy_project(folder: Path, *, stand_in: bool) -> Project:
    for name in ("Snakefile", "workflow", "config", "profiles", "envs", "src"):
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy2
        copy(source, folder / name)
    (folder / "resources").symlink_to(ROOT / "resources")
    path = [str(Path(sys.executable).parent), os.environ["PATH"]]
    if stand_in:
        binaries = folder / "bin"
        binaries.mkdir()
        program = binaries / "n2amd"
        trajectory = binaries / "trajectory.py"
        trajectory.write_text(TRAJECTORY)
        program.write_text(
            STAND_IN.format(python=sys.executable, log=folder / "calls.log", trajectory=trajectory)
        )
        program.chmod(0o755)
        path.insert(0, str(binaries))
    drop = ("SNAKEMAKE_PROFILE", "MAKEFLAGS", "MAKELEVEL", "PROFILE")
    environment = {key: value for key, value in os.environ.items() if key not in drop}
    environment |= {"PATH": os.pathsep.join(path), "PYTHONPATH": str(folder / "src")}
    return Project(folder, environment)
