"""All checks, several at a time, in the order in which they are told."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from n2amd.machine import programs, python_packages
from n2amd.machine.finding import Finding, Tools, guarded
from n2amd.machine.stages import Machine


def checks(folder: Path, tools: Tools) -> dict[str, Callable[[], Finding]]:
    """Return every check by the name of what it looks at."""
    return {
        "processor": programs.check_processor,
        "folder": lambda: programs.check_folder(folder),
        "Python": python_packages.check_python,
        "packages": python_packages.check_packages,
        "workflow": lambda: programs.check_snakemake(tools),
        "torch": lambda: python_packages.check_torch(tools),
        "HDF5": lambda: python_packages.check_hdf5(tools),
        "numba": lambda: python_packages.check_numba(tools),
        "MPI": lambda: programs.check_mpi(tools),
        "compiler": lambda: programs.check_compiler(tools),
        "CP2K": lambda: programs.check_cp2k(tools),
        "PySCF": programs.check_pyscf,
        "other DFT": lambda: programs.check_read_only_codes(tools),
        "SLURM": lambda: programs.check_slurm(tools),
        "browser": lambda: programs.check_browser(tools),
    }


#: Checks that load packages, in processes of their own, or start programs that do.
LOADING = frozenset({"torch", "HDF5", "numba", "MPI", "workflow"})


def examine(folder: Path, tools: Tools | None = None, *, quick: bool = False) -> list[Finding]:
    """Look at everything, side by side; `quick` leaves out what takes seconds to load."""
    left_out = LOADING if quick else frozenset[str]()
    wanted = {item: check for item, check in checks(folder, tools or Tools()).items() if item not in left_out}
    with ThreadPoolExecutor(max_workers=4) as pool:
        waiting = [pool.submit(guarded, item, check) for item, check in wanted.items()]
        return [one.result() for one in waiting]


def machine_of(findings: list[Finding], tools: Tools | None = None) -> Machine:
    """Return what the stages choose by, of what was found; of what was left out, what looks like it."""
    by_item = {finding.item: finding for finding in findings}
    if "torch" in by_item:
        seen = by_item["torch"].text.partition(" sees ")[2]
        gpus = len(seen.split(", ")) if seen else 0
    else:
        gpus = len(python_packages.gpu_names(tools or Tools()))
    return Machine(
        cores=programs.cores(),
        gpus=gpus,
        compiler=by_item["compiler"].state == "ok",
        ranks="MPI" in by_item and by_item["MPI"].state == "ok",
    )
