"""Checks of programs outside Python: workflow, MPI, compiler, DFT codes, SLURM, browser."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from n2amd.dft.engines.cp2k import EXECUTABLES
from n2amd.machine.finding import Finding, Tools

_MPI = """
import json
from mpi4py import MPI
import mpi4py
print(json.dumps({"mpi4py": mpi4py.__version__, "library": MPI.Get_library_version()}))
"""
_RANKS = "from mpi4py import MPI; print(f'[of {MPI.COMM_WORLD.size}]')"
#: Executables of the codes whose files are read; n2amd itself never starts them.
READ_ONLY_CODES = {
    "SIESTA": ("siesta",),
    "HONPAS": ("honpas",),
    "OpenMX": ("openmx",),
    "ABACUS": ("abacus",),
}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
#: Less than this free on the disk is told, GB.
LITTLE_SPACE_GB = 5.0


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0))


def memory_in_gigabytes() -> float:
    """Memory of the machine, GB."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def check_processor() -> Finding:
    """Cores and memory."""
    return Finding(
        "processor", "ok", f"{cores()} cores free to use, {memory_in_gigabytes():.0f} GB of memory"
    )


def check_folder(folder: Path) -> Finding:
    """Whether files can be written and locked in the folder of the job, and whether there is room."""
    item = "folder"
    free = shutil.disk_usage(folder).free / 1e9
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return Finding(
                    item,
                    "suspect",
                    f"{folder}: files cannot be locked here",
                    "never start two runs at once here, or work on another file system",
                )
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        return Finding(item, "broken", f"{folder}: cannot be written ({reason})", "change to another folder")
    if free < LITTLE_SPACE_GB:
        return Finding(
            item, "suspect", f"{folder}: {free:.1f} GB free", "make room: a job may need tens of GB"
        )
    return Finding(item, "ok", f"{folder}: writable, locks work, {free:.0f} GB free")


def check_snakemake(tools: Tools) -> Finding:
    """Whether the workflow can be started."""
    missing = [name for name in ("snakemake", "n2amd", "flock", "bash") if tools.which(name) is None]
    if missing:
        return Finding(
            "workflow",
            "broken",
            f"not on the PATH: {', '.join(missing)}",
            "make setup and . .venv/bin/activate; flock: apt-get install util-linux",
        )
    answer = tools.run(["snakemake", "--version"])
    if answer.code != 0:
        return Finding("workflow", "broken", f"snakemake does not start ({answer.last_words})", "make setup")
    return Finding("workflow", "ok", f"snakemake {answer.first_line}")


def vendor(text: str) -> str:
    """Name of the MPI that a version text is of; empty where it is none we know."""
    lower = text.lower()
    names = {
        "open mpi": "Open MPI",
        "openrte": "Open MPI",
        "openmpi": "Open MPI",
        "intel": "Intel MPI",
        "mvapich": "MVAPICH",
        "mpich": "MPICH",
        "hydra": "MPICH",
    }
    return next((name for key, name in names.items() if key in lower), "")


def check_mpi(tools: Tools) -> Finding:
    """Whether mpi4py loads a library, and whether the launcher is of the same one: two ranks are started."""
    item, install = "MPI", "pip install mpich, or load your site's MPI and build mpi4py against it"
    without = "surface hopping runs as one process"
    told, trouble = tools.load(_MPI)
    if told is None:
        return Finding(item, "absent", f"mpi4py finds no library ({trouble}): {without}", install)
    library = told["library"].splitlines()[0].strip(" \0,")
    found = f"mpi4py {told['mpi4py']} with {vendor(library) or library}"
    launcher = tools.which("mpiexec") or tools.which("mpirun")
    if launcher is None:
        if tools.which("srun"):
            return Finding(item, "ok", f"{found}; no mpiexec, jobs start by srun")
        return Finding(item, "absent", f"{found}, no mpiexec: {without}", install)
    answer = tools.run([launcher, "-n", "2", sys.executable, "-c", _RANKS])
    # ranks write at once: their lines may come joined
    sizes = re.findall(r"\[of (\d+)\]", answer.out)
    if answer.code == 0 and sizes == ["2", "2"]:
        return Finding(item, "ok", f"{found}; {launcher} starts ranks that see each other")
    if answer.code == 0 and "1" in sizes:
        other = vendor(tools.run([launcher, "--version"]).out) or "another MPI"
        return Finding(
            item, "suspect", f"{found}, but {launcher} is of {other}: every rank is alone", install
        )
    return Finding(item, "suspect", f"{found}, but {launcher} fails ({answer.last_words})", install)


def check_compiler(tools: Tools) -> Finding:
    """Whether the force field can be compiled ahead of time."""
    name = tools.environment.get("CXX", "g++")
    if tools.which(name) is None:
        return Finding(
            "compiler",
            "absent",
            f"no {name}: the force field runs uncompiled, which is slower",
            "apt-get install g++",
        )
    return Finding("compiler", "ok", tools.run([name, "--version"]).first_line or name)


def check_cp2k(tools: Tools) -> Finding:
    """Whether CP2K can be run as an engine."""
    program = next((found for name in EXECUTABLES if (found := tools.which(name))), None)
    if program is None:
        return Finding(
            "CP2K",
            "absent",
            "only its files can be read",
            "apt-get install cp2k cp2k-data, or load its module",
        )
    answer = tools.run([program, "--version"])
    if answer.code != 0:
        return Finding(
            "CP2K", "suspect", f"{program} does not start ({answer.last_words})", "install it again"
        )
    return Finding("CP2K", "ok", f"{answer.first_line} ({program}): runs as an engine")


def check_pyscf() -> Finding:
    """Whether PySCF can be run as an engine."""
    if find_spec("pyscf") is None:
        return Finding("PySCF", "absent", "cannot be run as an engine", "pip install 'n2amd[pyscf]'")
    from importlib.metadata import version

    return Finding("PySCF", "ok", f"{version('pyscf')}: runs as an engine")


def check_read_only_codes(tools: Tools) -> Finding:
    """Which of the codes are installed whose output is only read."""
    here = [name for name, programs in READ_ONLY_CODES.items() if any(tools.which(p) for p in programs)]
    return Finding(
        "other DFT",
        "ok",
        f"on the PATH: {', '.join(here) or 'none'}; {', '.join(READ_ONLY_CODES)} are only read",
    )


def check_slurm(tools: Tools) -> Finding:
    """Whether jobs can go to a SLURM cluster."""
    item = "SLURM"
    needed = ("sbatch", "squeue", "scancel", "sinfo")
    missing = [name for name in needed if tools.which(name) is None]
    if len(missing) == len(needed):
        return Finding(item, "absent", "jobs run on this machine")
    if missing:
        return Finding(item, "suspect", f"not on the PATH: {', '.join(missing)}", "load your site's module")
    answer = tools.run(["sinfo", "--noheader", "--format=%P"])
    if answer.code != 0:
        return Finding(
            item, "suspect", f"the controller does not answer ({answer.last_words})", "ask your site"
        )
    partitions = ", ".join(dict.fromkeys(answer.out.split()))
    accounting = "sacct too" if tools.which("sacct") else "no sacct: jobs are followed by squeue"
    return Finding(item, "ok", f"partitions {partitions}; {accounting}")


def check_browser(tools: Tools) -> Finding:
    """Whether there is a browser for the tests of the report."""
    program = next((found for name in BROWSERS if (found := tools.which(name))), None)
    if program is None:
        return Finding("browser", "absent", "the report needs none here; its screenshot test is skipped")
    return Finding("browser", "ok", program)
