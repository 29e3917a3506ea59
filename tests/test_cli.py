"""The command line: instant help, one sentence for bad input, exit codes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "torch",
    "e3nn",
    "nequip",
    "numpy",
    "scipy",
    "numba",
    "h5py",
    "ase",
    "pandas",
    "matplotlib",
    "pydantic",
    "mpi4py",
)
STAGES = [
    "config",
    "structures",
    "dft",
    "dataset",
    "overlap",
    "forcefield",
    "hamiltonian",
    "trajectory",
    "states",
    "couplings",
    "dynamics",
    "analysis",
]


def n2amd(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "n2amd.cli", *arguments], text=True, capture_output=True, check=False
    )


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "sys.argv = ['n2amd', '--help']\n"
        "from n2amd.cli import main\n"
        "try:\n    main()\n"
        f"finally:\n    print('LOADED', [name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], text=True, capture_output=True, check=True)
    assert "LOADED []" in done.stdout


def test_help_lists_the_stages_in_order() -> None:
    done = n2amd("--help")
    assert done.returncode == 0
    first_words = [match[1] for match in re.finditer(r"^\W*(\w+)  ", done.stdout, re.MULTILINE)]
    assert [word for word in first_words if word in STAGES] == STAGES


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_has_help(stage: str) -> None:
    done = n2amd(stage, "--help")
    assert done.returncode == 0, done.stderr
    assert "Commands" in done.stdout


def test_version() -> None:
    from n2amd import __version__

    assert n2amd("--version").stdout.strip() == f"n2amd {__version__}"


def test_every_fault_is_one_sentence_and_exit_code_2(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text("materials: {}\nsupercells: [2x2]\n")
    done = n2amd("config", "check", str(file))
    assert done.returncode == 2
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"error: {file}, field ") for line in lines)


def test_unknown_option_is_exit_code_2() -> None:
    assert n2amd("config", "check", "--nonsense").returncode == 2
