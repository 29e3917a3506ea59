"""Checks of Python and the packages that n2amd is built on."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

from n2amd.machine.finding import Finding, Tools

INSTALL = "make setup (or: pip install --requirement envs/requirements.txt)"
#: The oldest Python that runs the program.
OLDEST = (3, 11)

_LEARNING = """
import json, torch
cuda = torch.cuda.is_available()
devices = [torch.cuda.get_device_properties(n) for n in range(torch.cuda.device_count())] if cuda else []
import e3nn, nequip, allegro, vesin
print(json.dumps({"torch": torch.__version__, "cuda": torch.version.cuda, "visible": cuda,
    "devices": [[d.name, d.total_memory / 2**30] for d in devices]}))
"""
_HDF5 = """
import json, h5py
print(json.dumps({"h5py": h5py.version.version, "hdf5": h5py.version.hdf5_version,
    "checksums": bool(h5py.h5z.filter_avail(h5py.h5z.FILTER_FLETCHER32))}))
"""
_NUMBA = """
import json, numba
add = numba.njit(lambda a, b: a + b)
assert add(1, 2) == 3
print(json.dumps({"numba": numba.__version__}))
"""


def check_python(version: tuple[int, ...] = tuple(sys.version_info[:3])) -> Finding:
    """Whether this Python is new enough."""
    found = f"{'.'.join(map(str, version))} ({sys.executable})"
    if version < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        return Finding(
            "Python", "broken", found, f"install Python {wanted} or newer, then make setup PYTHON=..."
        )
    return Finding("Python", "ok", found)


def check_packages(requirements: list[str] | None = None) -> Finding:
    """Whether every package that n2amd requires is there, in a version that suits.

    Parameters
    ----------
    requirements
        Requirements (PEP 508); default: those of the installed n2amd.
    """
    from packaging.requirements import Requirement

    item = "packages"
    if requirements is None:
        try:
            requirements = importlib.metadata.requires("n2amd") or []
        except importlib.metadata.PackageNotFoundError:
            return Finding(item, "suspect", "n2amd itself is not installed, only on the path", INSTALL)
    needed = [r for r in map(Requirement, requirements) if r.marker is None or r.marker.evaluate()]
    trouble = []
    for requirement in needed:
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            trouble.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            trouble.append(f"{requirement.name} {version} is not {requirement.specifier}")
    if trouble:
        return Finding(item, "broken", "; ".join(trouble), INSTALL)
    return Finding(item, "ok", f"{len(needed)} needed packages, versions suit")


def check_torch(tools: Tools) -> Finding:
    """Whether torch and what stands on it load, and which GPU they see."""
    told, trouble = tools.load(_LEARNING)
    if told is None:
        return Finding("torch", "broken", f"does not load ({trouble})", INSTALL)
    found = f"{told['torch']}, loads with e3nn, nequip, allegro, vesin"
    if told["visible"]:
        named = ", ".join(f"{name} {memory:.0f} GiB" for name, memory in told["devices"])
        return Finding("torch", "ok", f"{found}; CUDA {told['cuda']} sees {named}")
    gpus = gpu_names(tools)
    if gpus and told["cuda"] is None:
        return Finding(
            "torch",
            "suspect",
            f"{found}; a build for CPUs, but the machine has {', '.join(gpus)}",
            "make setup TORCH_INDEX=URL, with the index that pytorch.org names for your CUDA version",
        )
    if gpus:
        return Finding(
            "torch",
            "suspect",
            f"{found}; built for CUDA {told['cuda']}, but it cannot use {', '.join(gpus)}",
            "install a driver that suits (nvidia-smi shows what it can), or a torch for an older CUDA",
        )
    return Finding("torch", "ok", f"{found}; CPU only, no GPU here")


def gpu_names(tools: Tools) -> list[str]:
    """Names of the NVIDIA GPUs that the driver lists; nothing where there is no driver."""
    if tools.which("nvidia-smi") is None:
        return []
    answer = tools.run(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"])
    return [line.strip() for line in answer.out.splitlines() if line.strip()] if answer.code == 0 else []


def check_hdf5(tools: Tools) -> Finding:
    """Whether files can be written and read, with checksums."""
    told, trouble = tools.load(_HDF5)
    if told is None:
        return Finding("HDF5", "broken", f"h5py does not load ({trouble})", INSTALL)
    found = f"{told['hdf5']}, h5py {told['h5py']}"
    if not told["checksums"]:
        return Finding("HDF5", "broken", f"{found}, built without checksums (fletcher32)", INSTALL)
    return Finding("HDF5", "ok", f"{found}, with checksums")


def check_numba(tools: Tools) -> Finding:
    """Whether loops can be compiled, and whether those of n2amd already are."""
    item = "numba"
    told, trouble = tools.load(_NUMBA)
    if told is None:
        return Finding(item, "broken", f"cannot compile ({trouble})", INSTALL)
    package = Path(__file__).parents[1]
    given = tools.environment.get("NUMBA_CACHE_DIR")
    place = Path(given) if given else package
    kept = sum(1 for _ in place.rglob("*.nbi")) if place.is_dir() else 0
    where = given or "beside the sources"
    if kept:
        return Finding(item, "ok", f"{told['numba']}, {kept} compiled loops kept {where}")
    return Finding(
        item,
        "suspect",
        f"{told['numba']}, no compiled loops kept {where}: the first job compiles them (a minute)",
        "OMP_NUM_THREADS=1 python envs/compile_kernels.py",
    )
