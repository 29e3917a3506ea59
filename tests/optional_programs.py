"""What a machine may lack, and how a test says that it needs it.

A test that needs one of `OPTIONAL` carries its marker (`@pytest.mark.cp2k`) and no condition of its own:
tests/conftest.py skips it, with the reason, where the program is missing, and hides the program's data from
every other test. `python tests/optional_programs.py` prints the files and folders of all of them, one a line:
those that `.ci/bare` hides. Only the standard library is imported here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

#: Set by `.ci/bare` where it cannot hide files: everything optional counts as missing.
HIDDEN = "N2AMD_TESTS_WITHOUT_PROGRAMS"


def search_path() -> str:
    """Return the PATH, behind the folder of this Python: a virtual environment need not be activated."""
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"


def which(command: str) -> str | None:
    """Find an executable on `search_path`."""
    return shutil.which(command, path=search_path())


def _slurm_cannot_start() -> str:
    if os.geteuid() != 0:
        return "the daemons of SLURM need root"
    own = CONF_OF_SLURM.exists() and not left_by_killed_tests()
    return "this machine has a SLURM of its own, which the tests leave alone" if own else ""


CONF_OF_SLURM = Path("/etc/slurm/slurm.conf")


def left_by_killed_tests() -> bool:
    """Whether SLURM's configuration is a link that a killed run of the tests left: its controller is dead."""
    if not CONF_OF_SLURM.is_symlink():
        return False
    pid = CONF_OF_SLURM.readlink().parent / "slurmctld.pid"
    if not pid.exists():
        return not CONF_OF_SLURM.exists()
    program = Path(f"/proc/{pid.read_text().strip()}/comm")
    return not (program.exists() and program.read_text().strip() == "slurmctld")


def _no_mounts() -> str:
    mount = which("mount")
    if os.geteuid() != 0 or mount is None:
        return "a disk of its own needs root and mount"
    place = tempfile.mkdtemp()
    try:
        done = subprocess.run([mount, "-t", "tmpfs", "tmpfs", place], capture_output=True, check=False)
        if done.returncode == 0:
            subprocess.run(["umount", place], check=True)
        return "" if done.returncode == 0 else "no file systems may be mounted here"
    finally:
        os.rmdir(place)


# MPI is loaded once a process, so not in this one
_ASK_MUMPS = "from n2amd.states.solvers.mumps_ranks import ranks; print(f'[of {ranks().size}]')"
#: For Open MPI: small machines, tests as root.
MPI_ENVIRONMENT = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_mpi_yield_when_idle": "1",
    "OMP_NUM_THREADS": "1",
}


def _ask_mumps(*launcher: str) -> subprocess.CompletedProcess[str]:
    command = [*launcher, sys.executable, "-c", _ASK_MUMPS]
    environment = os.environ | MPI_ENVIRONMENT
    return subprocess.run(command, env=environment, text=True, capture_output=True, check=False, timeout=120)


def _mumps_cannot_be_loaded() -> str:
    done = _ask_mumps()
    return "" if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


@cache
def launcher_of_mumps() -> list[str]:
    """Return what starts two processes that see each other in the MPI of MUMPS; nothing where none does."""
    for name in ("mpirun.openmpi", "mpirun.mpich", "mpirun", "mpiexec"):
        for folder in dict.fromkeys(search_path().split(os.pathsep)):
            if (program := shutil.which(name, path=folder)) is not None:
                launcher = [program, "-n", "2"]
                if _ask_mumps(*launcher).stdout.count("[of 2]") == 2:
                    return launcher
    return []


def _mumps_has_no_launcher() -> str:
    return "" if launcher_of_mumps() else "no mpirun here is of the MPI that MUMPS is linked with"


def _no_gpu() -> str:
    import torch

    return "" if torch.cuda.is_available() else "no CUDA device"


@dataclass(frozen=True)
class OptionalProgram:
    """A program, a Python package or a device.

    Attributes
    ----------
    marker
        Marker of the tests that need it.
    remedy
        How one gets it.
    commands
        Its executables. All must be on the PATH, or one of them if `one_is_enough`.
    packages
        Python packages that must be there.
    files
        Patterns of what `.ci/bare` hides: names in the folders of the PATH, and absolute paths.
    obstacle
        Says what else keeps it from working here; empty if nothing does.
    """

    marker: str
    remedy: str
    commands: tuple[str, ...] = ()
    one_is_enough: bool = False
    packages: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    obstacle: Callable[[], str] = str

    def missing(self) -> str:
        """Return why its tests cannot run here, or nothing."""
        if os.environ.get(HIDDEN):
            return f"{self.marker} is hidden"
        absent = [name for name in self.commands if which(name) is None]
        if self.one_is_enough and len(absent) < len(self.commands):
            absent = []
        absent += [name for name in self.packages if find_spec(name) is None]
        return f"not found: {', '.join(absent)} ({self.remedy})" if absent else self.obstacle()

    def paths(self) -> Iterator[Path]:
        """Every file and folder of it on this machine."""
        folders = dict.fromkeys(Path(name).resolve() for name in search_path().split(os.pathsep) if name)
        for pattern in (*self.commands, *self.files):
            if pattern.startswith("/"):
                yield from (path for path in (Path(pattern),) if path.exists())
            else:
                yield from (path for folder in folders if folder.is_dir() for path in folder.glob(pattern))
        for spec in map(find_spec, self.packages):
            yield from map(Path, (spec.submodule_search_locations or []) if spec else [])


OPTIONAL = (
    OptionalProgram(
        marker="cp2k",
        remedy="apt-get install --no-install-recommends cp2k cp2k-data",
        commands=("cp2k.psmp", "cp2k.ssmp", "cp2k.popt", "cp2k"),
        one_is_enough=True,
        files=("cp2k*", "/usr/share/cp2k", "/opt/cp2k", "/usr/local/share/cp2k"),
    ),
    OptionalProgram(
        marker="slurm",
        remedy="apt-get install --no-install-recommends slurm-wlm munge",
        commands=(
            "munged",
            "slurmctld",
            "slurmd",
            "sbatch",
            "scancel",
            "scontrol",
            "sinfo",
            "squeue",
            "srun",
        ),
        files=("sacct*", "salloc", "slurm*", "munge*"),
        obstacle=_slurm_cannot_start,
    ),
    OptionalProgram(
        marker="mpi",
        remedy="pip install mpich, or an MPI of the system",
        commands=("mpiexec",),
        files=("mpiexec*", "mpirun*"),
    ),
    OptionalProgram(marker="pyscf", remedy="pip install 'n2amd[pyscf]'", packages=("pyscf",)),
    OptionalProgram(marker="pardiso", remedy="pip install pypardiso", packages=("pypardiso",)),
    OptionalProgram(
        marker="mumps",
        remedy="apt-get install libmumps-dev, pip install pymumps",
        packages=("mumps",),
        obstacle=_mumps_cannot_be_loaded,
    ),
    OptionalProgram(
        marker="mumps_mpi",
        remedy="apt-get install libmumps-dev openmpi-bin, pip install pymumps",
        packages=("mumps",),
        obstacle=_mumps_has_no_launcher,
    ),
    OptionalProgram(marker="git", remedy="apt-get install git", commands=("git",)),
    OptionalProgram(
        marker="compiler",
        remedy="apt-get install g++",
        commands=("g++",),
        files=("gcc*", "cc", "c++", "clang*"),
    ),
    OptionalProgram(
        marker="chromium",
        remedy="apt-get install --no-install-recommends chromium",
        commands=("chromium", "chromium-browser", "google-chrome"),
        one_is_enough=True,
        files=("chromium*", "google-chrome*", "chrome", "/usr/lib/chromium"),
    ),
    OptionalProgram(marker="tmpfs", remedy="root, and the right to mount", obstacle=_no_mounts),
    OptionalProgram(marker="gpu", remedy="a CUDA device", obstacle=_no_gpu),
)


@cache
def missing(marker: str) -> str:
    """Return why tests with this marker cannot run here, or nothing."""
    return next(program for program in OPTIONAL if program.marker == marker).missing()


if __name__ == "__main__":
    print(*sorted({str(path) for program in OPTIONAL for path in program.paths()}), sep="\n")
